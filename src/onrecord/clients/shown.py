# SPDX-License-Identifier: Apache-2.0
"""A change of a configuration as it may be shown: every value is masked but those that the change is about.

What stands in an environment, a header, a comment or the client's other settings is `…`, whatever it looks like.
"""

from collections.abc import Callable, Collection, Iterator
from difflib import SequenceMatcher
from typing import TypeAlias

from onrecord.clients.document import BOM, Form, Member, Value, literal
from onrecord.clients.known import Client, Keys
from onrecord.rules.neutral import neutral

Masking: TypeAlias = Callable[[list[str]], list[str]]
"""Makes of the words of a command line what may be shown of each; of more words than it shows, fewer."""

_AROUND = 2  # lines
_WIDTH = 400  # characters of a line; a file without line ends is one
_MOST = 500  # servers; finding the lines takes longer than their number
_HIDDEN = "…"


def difference(
    form: Form, client: Client, before: str, after: str, servers: Collection[Keys], masking: Masking
) -> Iterator[str]:
    """Yield the lines of a diff. Of `servers`, the commands, arguments and URLs are shown as far as `masking` lets."""
    if len(servers) > _MOST:
        yield f"{len(servers)} servers change, which are too many to be shown"
        return
    old = _masked(form, client, before, servers, masking)
    new = _masked(form, client, after, servers, masking)
    first, behind = _frame(old, new)
    matcher = SequenceMatcher(None, old[first : len(old) - behind], new[first : len(new) - behind])
    for group in matcher.get_grouped_opcodes(_AROUND):
        yield f"@@ -{first + group[0][1] + 1} +{first + group[0][3] + 1} @@"
        for kind, old_from, old_to, new_from, new_to in group:
            was, now = old[first + old_from : first + old_to], new[first + new_from : first + new_to]
            if kind == "equal":
                yield from (" " + neutral(line, limit=_WIDTH) for line in was)
            else:
                yield from ("-" + neutral(line, limit=_WIDTH) for line in was)
                yield from ("+" + neutral(line, limit=_WIDTH) for line in now)


def _frame(old: list[str], new: list[str]) -> tuple[int, int]:
    """Return how many lines at the start, and at the end, are far from any change."""
    most = min(len(old), len(new))
    first = next((i for i in range(most) if old[i] != new[i]), most)
    behind = next((i for i in range(most - first) if old[-1 - i] != new[-1 - i]), most - first)
    return max(0, first - _AROUND), max(0, behind - _AROUND)


def _masked(form: Form, client: Client, text: str, servers: Collection[Keys], masking: Masking) -> list[str]:
    """Return the lines of `text` as they may be shown."""
    told: dict[int, str] = {}
    for entry in form.entries(text, client.servers):
        if entry.path in servers:
            told.update(_told(entry.value, masking))
    parts: list[str] = []
    at = 0
    for start, end in form.scalars(text):
        parts += [text[at:start], told.get(start) or _hidden(text[start:end])]
        at = end
    return "".join([*parts, text[at:]]).removeprefix(BOM).splitlines()


def _hidden(raw: str) -> str:
    if raw[:2] in ("//", "/*"):
        return raw[:2] + _HIDDEN + ("*/" if raw[:2] == "/*" else "")
    if raw[:1] == "#":
        return f"#{_HIDDEN}"
    return literal(_HIDDEN) if raw[:1] in "\"'" else _HIDDEN


def _told(value: Value, masking: Masking) -> Iterator[tuple[int, str]]:
    """Yield what is shown of a server's command line and URL, by where it stands."""
    members = value.members
    command = members.get("command")
    inner = command.value.members if command is not None and command.value.kind == "table" else members
    program = inner.get("path" if inner is not members else "command")
    items = [item for member in (program, inner.get("args")) if member for item in _texts(member)]
    shown = masking([item.text for item in items])
    for item, text in zip(items, [*shown, *[_HIDDEN] * (len(items) - len(shown))], strict=False):
        yield item.start, literal(text)
    for key in ("url", "serverUrl", "httpUrl"):
        if key in members and members[key].value.kind == "text":
            yield members[key].value.start, literal(" ".join(masking([members[key].value.text])))
    if "type" in members and members["type"].value.kind == "text":
        yield members["type"].value.start, literal(members["type"].value.text[:40])


def _texts(member: Member) -> list[Value]:
    return [item for item in (member.value, *member.value.items) if item.kind == "text"]
