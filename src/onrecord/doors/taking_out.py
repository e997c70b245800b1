# SPDX-License-Identifier: Apache-2.0
"""Takes one member of `params._meta` out of a message, and leaves every other byte as it came. Pure.

A token that was meant for this recorder is not handed on. The message has been decoded strictly before, so what is
walked here is JSON without doubled keys; nothing is encoded anew.
"""

import json
import re
from collections.abc import Iterator

_BLANK = re.compile(rb"[ \t\n\r]*")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_PLAIN = re.compile(rb"[^\s,\]}]+")
_NEXT = re.compile(rb'["\[\]{}]')


def without_meta(line: bytes, key: str) -> bytes:
    """Return `line` without the member `key` of `params._meta`, and the comma beside it; as it is where it has none."""
    at: int | None = _blank(line, 0)
    for name in ("params", "_meta"):
        at = next((start for member, _, start, _ in _members(line, at) if member == name), None)
        if at is None or line[at : at + 1] != b"{":
            return line
    members = list(_members(line, at))
    for number, (member, start, _, end) in enumerate(members):
        if member == key:
            if number + 1 < len(members):
                return line[:start] + line[members[number + 1][1] :]
            before = members[number - 1][3] if number else start
            return line[:before] + line[end:]
    return line


def _members(line: bytes, at: int) -> Iterator[tuple[str, int, int, int]]:
    """Yield each member of the object at `at`: its name, and where it, its value and the end of that are."""
    at = _blank(line, at + 1)
    while line[at : at + 1] == b'"':
        start, colon = at, _end(line, at)
        value = _blank(line, _blank(line, colon) + 1)
        end = _end(line, value)
        yield json.loads(line[start:colon]), start, value, end
        at = _blank(line, end)
        if line[at : at + 1] == b",":
            at = _blank(line, at + 1)


def _blank(line: bytes, at: int) -> int:
    found = _BLANK.match(line, at)
    return found.end() if found else at


def _end(line: bytes, at: int) -> int:
    """Return where the value that starts at `at` ends."""
    if line[at : at + 1] not in (b"{", b"["):
        found = (_STRING if line[at : at + 1] == b'"' else _PLAIN).match(line, at)
        return found.end() if found else len(line)
    depth = 0
    while found := _NEXT.search(line, at):
        at = found.end()
        if found[0] == b'"':
            at = _end(line, found.start())
        elif found[0] in (b"{", b"["):
            depth += 1
        else:
            depth -= 1
            if not depth:
                return at
    return len(line)
