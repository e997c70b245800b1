# SPDX-License-Identifier: Apache-2.0
"""Check digits: known numbers from the public descriptions are right, and one wrong digit is noticed."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.rules.detection import digits, overseas
from onrecord.rules.detection.europe import EUROPE
from onrecord.rules.detection.overseas import OVERSEAS

JUDGES = {**EUROPE, **OVERSEAS}

# Examples that authorities and standards print, of nobody.
KNOWN = {
    "de-tax-id": "36574261809",
    "de-pension": "65070803A019",
    "de-health": "A123456780",
    "de-physician": "123456601",
    "de-document": "L01X00T471",
    "at-insurance": "1237010180",
    "ch-insurance": "7569217076985",
    "nl-citizen": "111222333",
    "be-register": "85073003328",
    "lu-register": "1893120105732",
    "fr-insurance": "295109912611193",
    "ie-service": "6433435F",
    "uk-health": "9434765870",
    "uk-tax": "1955839661",
    "uk-insurance": "AB123456C",
    "es-person": "54362315K",
    "es-firm": "J99216582",
    "pt-tax": "501964843",
    "it-fiscal": "RCCMNL83S18D969H",
    "it-firm": "00743110157",
    "gr-tax": "094259216",
    "gr-insurance": "01013099997",
    "hr-person": "33392005961",
    "se-person": "8803200016",
    "se-firm": "2120000142",
    "no-person": "15108695088",
    "fi-person": "131052-308T",
    "dk-person": "2110625629",
    "is-person": "1201743399",
    "baltic-person": "36805280109",
    "lv-person": "16117519997",
    "pl-person": "44051401359",
    "pl-tax": "8567346215",
    "cz-person": "7103192745",
    "hu-tax": "8071592153",
    "hu-insurance": "111111110",
    "ro-person": "1630615123457",
    "bg-person": "7523169263",
    "balkan-person": "0101006500006",
    "ru-tax": "123456789047",
    "ru-insurance": "11223344595",
    "ua-tax": "1759013776",
    "us-itin": "911701234",
    "us-routing": "111000025",
    "us-provider": "1234567893",
    "us-prescriber": "AB1234563",
    "ca-insurance": "123456782",
    "mx-person": "BOXW310820HNERXN09",
    "mx-tax": "GODE561231GR8",
    "br-person": "39053344705",
    "br-firm": "16727230000197",
    "ar-tax": "20055361682",
    "cl-person": "125319092",
    "co-tax": "2131234321",
    "ec-person": "1714307103",
    "in-person": "234123412346",
    "in-goods": "27ABCDE1234F1Z5",
    "sg-person": "S1234567D",
    "cn-person": "11010519491231002X",
    "hk-person": "A1234563",
    "tw-person": "A123456789",
    "jp-person": "123456789018",
    "kr-person": "9601211021413",
    "th-person": "1234545678781",
    "tr-person": "17291716060",
    "il-person": "039337423",
    "my-person": "770305021234",
    "ae-person": "784196865703050",
    "za-person": "7503305044089",
    "au-tax": "123456782",
    "au-business": "51824753556",
    "au-company": "004085616",
    "au-health": "2123456701",
    "nz-tax": "049091850",
    "vehicle": "1M8GDM9AXKP042788",
}
# Those whose sum or structure notices each wrong digit.
EXACT = {
    *("de-tax-id", "ch-insurance", "nl-citizen", "be-register", "fr-insurance", "ie-service"),
    *("uk-health", "es-person", "es-firm", "it-firm", "hr-person", "gr-insurance", "se-person"),
    *("no-person", "fi-person", "pl-person", "cz-person", "us-routing", "us-provider", "ca-insurance"),
    *("br-firm", "cl-person", "ec-person", "in-person", "sg-person", "cn-person", "il-person"),
    *("za-person", "au-tax", "au-business", "ae-person", "hk-person"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_number_from_the_public_description_is_right(name: str):
    assert JUDGES[name](KNOWN[name])


@pytest.mark.parametrize("name", sorted(EXACT))
def test_each_wrong_digit_is_noticed(name: str):
    number = KNOWN[name]
    for i in range(len(number)):
        for digit in "0123456789" if number[i].isdigit() else "":
            if digit != number[i]:
                assert not JUDGES[name](number[:i] + digit + number[i + 1 :]), (i, digit)


@pytest.mark.parametrize("name", sorted(set(JUDGES) - {"luhn"} - set(KNOWN)))
def test_each_judge_has_a_known_number_or_is_a_variant_of_one_that_has(name: str):
    assert name in {"kr-person-old", "se-person-dashed"}


@given(st.text("0123456789", min_size=1, max_size=18))
def test_a_number_has_exactly_one_luhn_digit(number: str):
    right = [digit for digit in "0123456789" if digits.luhn(number + digit)]
    assert len(right) == 1


@given(st.text("0123456789", min_size=1, max_size=18), st.data())
def test_verhoeff_notices_each_wrong_digit_and_each_swap(number: str, data: st.DataObject):
    (right,) = [number + digit for digit in "0123456789" if digits.verhoeff(number + digit)]
    i = data.draw(st.integers(0, len(right) - 2))
    swapped = right[:i] + right[i + 1] + right[i] + right[i + 2 :]
    assert swapped == right or not digits.verhoeff(swapped)
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != right[i]]))
    assert not digits.verhoeff(right[:i] + wrong + right[i + 1 :])


@given(st.text("0123456789", min_size=1, max_size=18), st.data())
def test_the_sums_of_iso_7064_and_gs1_notice_each_wrong_digit(number: str, data: st.DataObject):
    i = data.draw(st.integers(0, len(number) - 1))
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != number[i]]))
    for judge, last in ((digits.mod_11_10, "0123456789"), (digits.mod_11_2, "0123456789X"), (digits.ean, "0123456789")):
        (right,) = [digit for digit in last if judge(number + digit)]
        assert not judge(number[:i] + wrong + number[i + 1 :] + right)


def test_a_calendar_knows_the_months():
    assert digits.calendar(2024, 2, 29)
    assert not digits.calendar(2023, 2, 29)
    assert not digits.calendar(2023, 4, 31)
    assert not digits.calendar(2023, 13, 1)
    assert not digits.calendar(2023, 0, 1)


@pytest.mark.parametrize(
    ("judge", "number", "wrong"),
    [
        (overseas.sa_person, "2134567896", "3134567896"),
        (overseas.sa_person, "2134567896", "2134567897"),
        (overseas.kz_person, "850101330007", "850101330008"),
        (overseas.kz_person, "850101330007", "851301330007"),
        (overseas.id_person, "3174012501900001", "3174013201900001"),
        (overseas.id_person, "3174016501900001", "0974016501900001"),
        (overseas.vn_person, "001090012345", "099090012345"),
        (overseas.lk_person, "199012345678", "199040012345"),
        (overseas.eg_person, "29001011234567", "29001010834567"),
        (overseas.eg_person, "29001011234567", "19001011234567"),
    ],
)
def test_a_number_without_the_structure_of_its_state_is_wrong(judge: Callable[[str], bool], number: str, wrong: str):
    assert judge(number)
    assert not judge(wrong)
