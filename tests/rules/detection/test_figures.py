# SPDX-License-Identifier: Apache-2.0
"""Numbers that measure, count or tell things apart are no personal data; cards among them stay cards."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.rules.detection.detectors import Detectors, builtin_rules
from onrecord.rules.detection.digits import luhn
from onrecord.rules.detection.figures import crowded, measured, numbered, outnumbered

DETECTORS = Detectors(tuple(rule for rule in builtin_rules()[0] if rule.kind == "pii"))
CARDS = ("4111111111111111", "5500000000000004", "378282246310005", "6011000990139424")
FLOATS = st.floats(-1e9, 1e9, allow_nan=False).filter(lambda number: "e" not in repr(number))


def found(text: str) -> list[tuple[str, str]]:
    return [(one.label, text[one.start : one.end]) for one in DETECTORS.find(text)]


@settings(max_examples=500)
@given(FLOATS)
def test_a_decimal_is_never_a_card_however_its_digits_add_up(number: float):
    for text in (f'{{"lat": {number!r}}}', f"{number!r}", f"{number!r}, {number!r}", f"x={number!r};"):
        assert not [one for one in found(text) if one[0] == "card-number"]


@given(st.lists(FLOATS, min_size=8, max_size=8))
def test_a_list_of_decimals_holds_no_card_in_whatever_it_is_written(numbers: list[float]):
    for text in (json.dumps(numbers), "\n".join(map(repr, numbers)), "\t".join(map(repr, numbers)), repr(numbers)):
        assert not [one for one in found(text) if one[0] == "card-number"]


@pytest.mark.parametrize(
    "text",
    [
        '{"lat": 54.34163745426289}',
        "card 54.34163745426289",
        '{"type": "Point", "coordinates": [-40.27093545247112, 61.17481036915794]}',
        "57.90\n730901803442919",  # a price and an id
        "41.148376\n79.545723",
        "664 561 198 599 382 484 121 311",
        "44505434\n44898437\n73431697",
        "cpu 6687806 5910812 162168 9870",
        "160 203 188",
        "12.5 391 901 518 767 033",
        "3468 9191 1610 3526 2837 7069",
        "9936 2337 4104, 3986 5728 6821, 9762 4313 2711, 7102 9021 7160",
        '{"order_id": 4111111111111111}',
        "offset=4111111111111111",
        '"hash": -6676962602294698964',
        "eth1: 4704197474847 4347285055 0 0",
        "tracking number 4111 1111 1111 1111",
        "build 707.408.7049",
        "FedEx 4802 6337 3945",
        "ts=1704212258079",
        "VAT 521.69, count 193775077",
        "gst/gettext.h\nCopyright: 1995-1998, 2000-2002",
        "CA\t+4734-05243\tAmerica/St_Johns",
        "ea 35\n00000010  0e 03 33 15 94 39 a1 32",
        "order 0641023906 shipped",
    ],
)
def test_a_figure_is_no_personal_data(text: str):
    assert not found(text)


def test_in_a_column_of_ids_none_is_a_card_and_in_a_column_of_cards_each_is():
    ids = [f"{5_390_123_456_789_000 + 7 * i}" for i in range(40)]
    assert any(map(luhn, ids))
    for text in ("\n".join(ids), json.dumps(ids), ",".join(ids), "\n".join(f"{i},item,3" for i in ids)):
        assert not found(text)
    for between in ("\n", ", ", '", "', ",a\n"):
        assert [value for _, value in found(between.join(CARDS))] == list(CARDS)


def test_in_a_column_of_records_the_cards_stay_beside_ids_and_amounts():
    rows = [{"id": 17 + i, "card": card, "amount": 99.95} for i, card in enumerate(CARDS)]
    assert [value for _, value in found(json.dumps(rows))] == list(CARDS)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "please charge {} for it",
        "Anna\t{}\t12/27",
        "| Anna | {} | 12/27 |",
        "{} 12/27 123",
        "{} 1227 123",
        "1. {}\n2. other",
        "card no:-{}",
        '{{"id": 7, "value": "{}", "ok": true}}',
        "order 1111222233334441, tracking 9999222233334449, card {}",
        "ERROR handler failed for {}: timeout",
    ],
)
@pytest.mark.parametrize(
    "written", ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005"]
)
def test_a_card_is_found_in_a_sentence_a_cell_and_a_record(text: str, written: str):
    assert ("card-number", written) in found(text.format(written))


def test_a_card_is_found_that_is_wrapped_but_not_where_lines_are_rows_of_numbers():
    assert found("paid 4111 1111\n1111 1111 today") == [("card-number", "4111 1111\n1111 1111")]
    assert found("pay 3782 822463\n10005 today") == [("card-number", "3782 822463\n10005")]
    assert not found("2371 6452\n4111 1111\n1111 1111\n5544 2837")


def test_a_card_is_found_behind_another_number_of_four_digits():
    assert found("in 2026 4111-1111-1111-1111") == [("card-number", "4111-1111-1111-1111")]


def test_a_name_says_whether_a_number_measures_or_tells_things_apart():
    for text in ('"offset": 1', "size=1", "count 1", '"byteCount":1'):
        assert measured(text, len(text) - 1), text
    for text in ("orderId: 1", "order no. 1", "trace_id=1", "ISBN 1", "/item/1"):
        assert numbered(text, len(text) - 1), text
    for text in ("card_id: 1", "phone number 1", "x 1", "call me at 1", "value: 1", "contact=1"):
        assert not numbered(text, len(text) - 1), text
    assert numbered("id: 1", 4)
    assert not numbered("id: 1", 4, person=True)


def test_two_numbers_are_no_list():
    assert not outnumbered("123456, 654321", 0, 6, lambda *_: False)
    assert outnumbered("123456, 654321, 111222", 0, 6, lambda *_: False)
    assert not outnumbered("123456, 654321, 111222", 0, 6, lambda *_: True)


def test_a_date_and_the_next_cell_make_no_row():
    assert crowded("815 577 523 894", 4, 11)
    for text, start, end in (("577 523 2026-11-21", 0, 7), ("1. 577 523", 3, 10), ("17\t577 523\t12", 3, 10)):
        assert not crowded(text, start, end), text


@settings(max_examples=200)
@given(st.text('0123456789 .,-\t\n[]":=abid', max_size=60), st.data())
def test_no_surroundings_make_a_test_fail(text: str, data: st.DataObject):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert isinstance(measured(text, start) or numbered(text, start) or crowded(text, start, end), bool)
    assert isinstance(outnumbered(text, start, end, lambda *_: False), bool)
    found(f"4111111111111111{text}")
    found(f"{text}, 130-692-544, {text}")


@pytest.mark.parametrize("unit", ["4111111111111111, ", "4111 1111 1111 1111, ", "0612345678\n", "130-692-544 "])
def test_long_lists_take_linear_time(unit: str):
    text = (unit * 262_144)[:262_144]
    DETECTORS.find(text[:8_192])
    begin = time.thread_time()
    DETECTORS.find(text)
    assert time.thread_time() - begin < 8  # a second where nothing else runs
