# SPDX-License-Identifier: Apache-2.0
"""Ways in which a text reaches a call other than as it is, and where its secret then lies.

A form that maps characters keeps the place of the secret; one that turns all of a text into a run
of others (base64, hex) makes that run the secret.
"""

import base64
import html
import json
from collections.abc import Callable, Mapping
from urllib.parse import quote

from bench.redaction.scoring import Span

Form = Callable[[str, int, int], tuple[str, Span]]


def _mapped(write: Callable[[str], str], before: str = "", after: str = "") -> Form:
    """Return the form in which each part of a text is written by `write`."""

    def form(text: str, start: int, end: int) -> tuple[str, Span]:
        head, secret = before + write(text[:start]), write(text[start:end])
        return head + secret + write(text[end:]) + after, (len(head), len(head) + len(secret))

    return form


def _within(change: Callable[[str], str]) -> Form:
    """Return the form in which the secret alone is changed."""

    def form(text: str, start: int, end: int) -> tuple[str, Span]:
        secret = change(text[start:end])
        return text[:start] + secret + text[end:], (start, start + len(secret))

    return form


def _run(write: Callable[[str], str]) -> Form:
    """Return the form in which all of a text becomes one run."""

    def form(text: str, _start: int, _end: int) -> tuple[str, Span]:
        head, run = "payload: ", write(text)
        return f"{head}{run}\n", (len(head), len(head) + len(run))

    return form


def _around(before: str, after: str) -> Form:
    """Return the form in which a secret stands without its text, between others."""

    def form(text: str, start: int, end: int) -> tuple[str, Span]:
        return before + text[start:end] + after, (len(before), len(before) + end - start)

    return form


def _json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else char for char in text)


def _b64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


def _b64url(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode().rstrip("=")


def _between(char: str, every: int) -> Callable[[str], str]:
    return lambda text: char.join(text[i : i + every] for i in range(0, len(text), every))


def _wide(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


FORMS: Mapping[str, Form] = {
    "plain": _mapped(str),
    "JSON string": _mapped(_json, '{"text": "', '"}'),
    "JSON in JSON": _mapped(lambda text: _json(_json(text)), '{"text": "{\\"body\\": \\"', '\\"}"}'),
    "\\uXXXX": _mapped(_escaped),
    "URL": _mapped(lambda text: quote(text, safe="", errors="replace")),
    "URL, as a query": _mapped(
        lambda text: quote(text, safe="", errors="replace"), "https://example.test/submit?note=", "&page=2"
    ),
    "HTML, named": _mapped(lambda text: html.escape(text, quote=True), "<p>", "</p>"),
    "HTML, numeric": _mapped(lambda text: "".join(f"&#{ord(char)};" for char in text), "<p>", "</p>"),
    "base64": _run(_b64),
    "base64 for URLs": _run(_b64url),
    "base64 twice": _run(lambda text: _b64(_b64(text))),
    "hex": _run(lambda text: text.encode("utf-8", "replace").hex()),
    "zero width": _within(_between("\u200b", 4)),
    "soft hyphens": _within(_between("\u00ad", 6)),
    "full width": _within(_wide),
    "wrapped lines": _within(_between("\n", 20)),
    "escaped line ends": _within(_between("\\n", 20)),
    "string concatenation": _within(_between('" + "', 12)),
    "in a traceback": _mapped(
        str,
        'Traceback (most recent call last):\n  File "app.py", line 12, in main\nRuntimeError: ',
        "\n",
    ),
    "under a telling key": _around('{"user": "ann", "api_key": "', '", "page": 2}'),
    "in a command": _around("deploy --verbose --token ", " --region eu"),
}
