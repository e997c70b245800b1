# SPDX-License-Identifier: Apache-2.0
"""Personal data: what is found, in which spellings, and what only looks like it."""

import ipaddress
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.rules.detection.detectors import Detectors, builtin_rules
from onrecord.rules.detection.digits import luhn
from onrecord.rules.detection.rule import prove
from onrecord.rules.detection.surroundings import stands

PERSONAL = tuple(rule for rule in builtin_rules()[0] if rule.kind == "pii")
DETECTORS = Detectors(PERSONAL)


def found(text: str, *, low: bool = False) -> list[tuple[str, str]]:
    return [(one.label, text[one.start : one.end]) for one in DETECTORS.find(text, low=low)]


def test_each_rule_holds_against_its_own_texts():
    prove(PERSONAL)


@pytest.mark.parametrize(
    "written",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "4111 1111\n1111 1111",
        "4111\u00a01111\u00a01111\u00a01111",
        "41 11 11 11 11 11 11 11",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "3782 822463 10005",
        "6304000000000000",
        "2223003122003222",
        "4222222222222",
    ],
)
def test_a_card_is_found_however_it_is_grouped(written: str):
    assert found(f"paid with {written}, thanks") == [("card-number", written)]


@given(st.text("0123456789", min_size=15, max_size=15).map(lambda body: "4" + body))
def test_sixteen_digits_of_an_issuer_are_a_card_exactly_if_their_luhn_digit_is_right(number: str):
    assert (("card-number", number) in found(f"x {number} y")) == luhn(number)


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "0.4111111111111111",
        "id 4111-1111-1111-1111-22",
        "4111 1111 1111 1111 1111 1111",  # a table
        "1732190400000",
        "b4111111111111111",
    ],
)
def test_what_only_looks_like_a_card_stays(text: str):
    assert not [label for label, _ in found(text) if label == "card-number"]


@pytest.mark.parametrize(
    "written",
    [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "de89 3704 0044 0532 0130 00",
        "DE89-3704-0044-0532-0130-00",
        "MT84MALT011000012345MTLCAST001S",
        "NO9386011117947",
    ],
)
def test_an_iban_is_found_however_it_is_spaced(written: str):
    assert found(f"to {written} please") == [("iban", written)]


def test_an_iban_with_a_wrong_digit_stays():
    assert not found("DE89 3704 0044 0532 0130 01")


@pytest.mark.parametrize(
    "written",
    [
        "+49 30 901820",
        "+15062345678",
        "+46 (0)179 459 33",
        "+44 (20) 7946 0958",
        "0049 30 901820",
        "(602)272-9781",
        "618-226-1460",
        "259.735.7502x459",
        "1-703-847-0040 ext 103",
        "01.84.17.61.18",
        "0161 496 0000",
        "07700900123",
        "08-806 23 93",
    ],
)
def test_a_phone_number_needs_no_word_before_it_where_its_form_says_so(written: str):
    assert found(f"or {written} then") == [("phone-number", written)]


@pytest.mark.parametrize("text", ["Phone: {}", '"mobilePhone": "{}"', "tel. {}", "{} (fax)", "Телефон: {}", "電話{}"])
@pytest.mark.parametrize("written", ["(99) 645-791", "467 3395", "60-56-85-91", "9498777106"])
def test_any_number_is_a_phone_number_where_a_word_says_so(text: str, written: str):
    assert ("phone-number", written) in found(text.format(written))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T11:30:00+0100",
        "phone: 2026-11-21",
        "phone: 21.11.2026",
        "tel: 10.20.30.40",
        "phone 3.14159265",
        "1+1234567890",
        "copyright 1997-1999, phone 1.0",
        "hotels 12345678",
        "0012345678901",
        "46.123456, 7.123456",
        "$1,234,567.89",
        "0123456789",
        "ISBN 0306406152",
    ],
)
def test_dates_versions_coordinates_and_amounts_are_no_phone_numbers(text: str):
    assert not [label for label, _ in found(text) if label == "phone-number"]


@pytest.mark.parametrize(
    "written",
    [
        "dummy.person+tag@mail.example.co.uk",
        "dummy@bücher.example",
        "dummy@xn--bcher-kva.example",
        '"dummy person"@example.org',
        "o'dummy@example.org",
        "dummy (at) example (dot) org",
        "dummy[at]example.org",
    ],
)
def test_an_address_is_found_however_it_is_spelt(written: str):
    assert found(f"write to {written} today") == [("email", written)]


def test_the_user_of_a_repository_and_the_scale_of_an_image_are_no_addresses():
    assert not found("git@example.org:a/b.git logo@2x.png react@18.2.0 user@localhost")


@given(st.ip_addresses(v=4).filter(lambda ip: ip.packed[0] not in (0, 127, 255) and ip.packed[2:] != b"\0\0"))
def test_an_address_of_a_host_is_found(ip: ipaddress.IPv4Address):
    assert ("ip-address", str(ip)) in found(f"peer {ip}:443") or str(ip) == "169.254.169.254"


@given(st.integers(0x2000_0000_0000_0000_1000, 1 << 96).map(lambda n: ipaddress.IPv6Address((0x2A00 << 112) + n)))
def test_an_ipv6_address_is_found_short_and_long(ip: ipaddress.IPv6Address):
    for written in (ip.compressed, ip.exploded, ip.compressed.upper()):
        assert found(f"[{written}]:443") == [("ip-address", written)]


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "0.0.0.0", "::1", "255.255.255.0", "10.0.0.0/8", "169.254.169.254", "300.1.2.3"),
        *("version 10.20.30.40", "Chrome/120.0.6099.109", "1.2.3.4", "1.3.6.1.4.1.311", "2.5.29.37"),
        *("std::cafe::babe", "12:30:45", "a[1::2]", "MyClass::toString", "text2001:db8::1", "2001::25de::cade"),
        *("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "00:1A:2B:3C:4D", "aa:bb:cc:dd:ee:ff:00:11:22:33:44:55"),
    ],
)
def test_what_names_no_machine_stays(text: str):
    assert not found(text)


@pytest.mark.parametrize(
    "written", ["00:1A:2b:3C:4D:5E", "00-1A-2B-3C-4D-5E", "001a.2b3c.4d5e", "00:1a:2b:ff:fe:3c:4d:5e"]
)
def test_a_hardware_address_is_found_in_each_notation(written: str):
    assert found(f"handler failed for {written}: timeout") == [("mac-address", written)]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("PESEL 44051401359", "national-id"),
        ("my tax id is 12345678", "tax-id"),
        ('"passportNumber": "CD7654321"', "passport"),
        ("Passports: AB1234567 and XY9876543", "passport"),
        ("여권번호는 M789C1234입니다", "passport"),
        ("driver's license no. D1234567", "drivers-licence"),
        ("ssn 078051121", "ssn"),
        ("date of birth: March 3, 1990", "birth-date"),
        ("CVV: 123", "card-code"),
        ("routing number 111000025", "bank-account"),
        ("account number: 945456787654", "bank-account"),
        ("IMEI 490154203237518", "device-id"),
        ("my wallet: 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ", "crypto-wallet"),
    ],
)
def test_what_a_word_announces_is_found(text: str, label: str):
    assert label in [one for one, _ in found(text)]


@pytest.mark.parametrize(
    "text",
    ["PESEL 44051401350", "NHS 9434765871", "routing number 111000026", "IMEI 490154203237519", "setting 123456789"],
)
def test_what_a_word_announces_stays_where_its_check_digit_is_wrong(text: str):
    assert not found(text)


def test_class_low_keeps_how_to_reach_people_and_masks_what_stands_for_them():
    reach = "dummy@example.org +49 30 901820 10.20.30.40 00:1a:2b:3c:4d:5e"
    text = f"{reach} 4111111111111111 078-05-1121 DE89370400440532013000"
    assert [label for label, _ in found(text, low=True)] == ["card-number", "ssn", "iban"]
    assert len(found(text)) == 7


def test_a_short_keyword_stands_as_a_word_or_as_a_part_of_a_name():
    for text in ("TIN: 1", "tax_tin", "userTin", "tinNumber"):
        assert stands("tin", text.lower(), text), text
    for text in ("setting", "tinted", "LATIN CAPITAL", "Tint"):
        assert not stands("tin", text.lower(), text), text


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "1 ",
        "1.",
        "10.1.2.33 ",
        "a@b.co ",
        "a@",
        "+49 ",
        "+",
        "4 1 1 1 ",
        "ff:",
        "1::",
        "AD24",
        "AB12 ",
        "tel 12 ",
        "é@",
    ],
)
def test_hostile_text_takes_linear_time(unit: str):
    text = (unit * 262_144)[:262_144]
    DETECTORS.find(text[:8_192])
    begin = time.thread_time()
    DETECTORS.find(text)
    assert time.thread_time() - begin < 2  # a quarter of a second where nothing else runs


@settings(max_examples=200)
@given(st.text("0123456789 .-+()/:@abfxéT\n", max_size=80))
def test_no_text_makes_a_check_fail(text: str):
    for one in DETECTORS.find(f"tel tin passport ssn vin cvv iban mac {text}"):
        assert 0 <= one.start < one.end
