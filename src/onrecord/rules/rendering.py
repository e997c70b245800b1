# SPDX-License-Identifier: Apache-2.0
"""Text that somebody else chose, made safe for each place that shows it: tables, pages, logs, Markdown, JSON.

Each function makes the text neutral first (see neutral.py), so nothing acts or hides, and then
quotes what the place itself would read as more than text. What comes out is text there, and
nothing else. The result is for people; a program reads the record itself.
"""

import json
from collections.abc import Iterable

from onrecord.event.call import Json
from onrecord.rules.neutral import neutral

_FORMULA = frozenset("=+-@\t\r\n|%\uff1d\uff0b\uff0d\uff20\u2212")  # what spreadsheets take for the start of one
_MARKDOWN = frozenset("\\`*_{}[]()<>#+-.!|~&$:@/=")


def csv_cell(text: str) -> str:
    """Return `text` as one quoted CSV cell that no spreadsheet takes for a formula.

    OWASP, CSV Injection: a quote goes before what could start one, also after blanks.
    """
    shown = neutral(text)
    if shown.lstrip(" \u00a0\u3000\"'")[:1] in _FORMULA and shown.strip():
        shown = f"'{shown}"
    return '"' + shown.replace('"', '""') + '"'


def csv_row(texts: Iterable[str]) -> str:
    """Return one line of CSV, with its end (RFC 4180)."""
    return ",".join(map(csv_cell, texts)) + "\r\n"


def html_text(text: str) -> str:
    """Return `text` for the inside of an element or of a quoted attribute."""
    shown = neutral(text, multiline=True)
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;"), ("`", "&#96;")):
        shown = shown.replace(char, entity)
    return shown


def html_attribute(text: str) -> str:
    """Return `text` as the quoted value of an attribute that holds text. Not for addresses, styles or scripts."""
    return f'"{html_text(neutral(text))}"'


def syslog_value(text: str) -> str:
    """Return `text` as the quoted value of an SD-PARAM (RFC 5424, 6.3.3)."""
    shown = neutral(text)
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]") + '"'


def markdown(text: str) -> str:
    """Return `text` as one line of Markdown that is only text: no link, image, heading, code or markup."""
    return "".join(f"&#{ord(char)};" if char in _MARKDOWN else char for char in neutral(text)).strip(" ")


def json_text(value: Json) -> str:
    """Return `value` as one line of JSON that a terminal or page may show; escapes turn back into the same value."""
    shown = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return shown.replace("\x7f", "\\u007f").replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
