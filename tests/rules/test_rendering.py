# SPDX-License-Identifier: Apache-2.0
"""Nothing in a tool's output acts where it is shown."""

import csv
import io
import json
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.rules.neutral import neutral
from onrecord.rules.rendering import csv_cell, csv_row, html_attribute, html_text, json_text, markdown, syslog_value

TEXTS = st.text(
    alphabet=st.characters()
    | st.sampled_from("=+-@\t\r\n\x1b[]\"'<>&`\\|,;!() \u202e\u200b\U000e0041\x9b\u2028")
    | st.characters(max_codepoint=0xA0)
)
ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))

    def handle_comment(self, data):
        self.tags.append(("comment", data))

    def handle_decl(self, decl):
        self.tags.append(("decl", decl))

    def handle_pi(self, data):
        self.tags.append(("pi", data))

    def handle_data(self, data):
        self.text += data


@given(TEXTS)
@pytest.mark.requirement("B7")
def test_nothing_acts_or_hides_wherever_it_is_shown(text):
    for show in (csv_cell, html_attribute, syslog_value, markdown, json_text, neutral):
        assert not [char for char in show(text) if unicodedata.category(char) in ACTING]
    assert not [char for char in html_text(text) if unicodedata.category(char) in ACTING and char not in "\n\t"]


@given(st.lists(TEXTS, min_size=1))
@pytest.mark.requirement("B7")
def test_no_cell_starts_a_formula_or_ends_before_its_end(texts):
    row = csv_row(texts)
    rows = list(csv.reader(io.StringIO(row, newline="")))
    assert len(rows) == 1
    assert len(rows[0]) == len(texts)
    assert row.count("\n") == 1
    assert not any(cell.strip()[:1] in tuple("=+-@|%") for cell in rows[0] if cell.strip())


@given(TEXTS)
@pytest.mark.requirement("B7")
def test_a_page_shows_text_and_nothing_else(text):
    seen = Seen()
    seen.feed(f"<p title={html_attribute(text)}>{html_text(text)}</p>")
    seen.close()
    assert seen.tags == [("p", [("title", neutral(text))])]
    assert seen.text == neutral(text, multiline=True)


@given(TEXTS)
def test_a_syslog_value_ends_where_it_says(text):
    shown = syslog_value(text)[1:-1].replace("\\\\", "")
    assert shown.replace('\\"', "").count('"') == 0
    assert shown.replace("\\]", "").count("]") == 0


@given(TEXTS)
def test_markdown_has_no_mark_left(text):
    shown = markdown(text)
    assert not set(shown.replace("&#", "")) & set("`*_[]()<>!|~\\")


@given(st.recursive(TEXTS, st.lists))
def test_json_for_people_is_the_same_value(value):
    assert json.loads(json_text(value)) == value
    assert json_text(value).isascii()


@given(TEXTS)
def test_neutral_text_stays_as_it_is(text):
    assert neutral(neutral(text)) == neutral(text)
