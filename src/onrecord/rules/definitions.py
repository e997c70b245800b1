# SPDX-License-Identifier: Apache-2.0
"""Tool definitions that were seen before, and what is another one now.

What a server says of a tool goes to the model, and the server may say something else tomorrow. So the
definition that a tool has when it is first used is pinned, as a whole: name, title, description,
schemas, annotations. Another one under the same name waits until a person accepts it.

What is kept of a definition is its digest, and its texts masked and cut, to show a person what
changed. Nothing here reads a file; `pins.py` keeps the book.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from onrecord.event.call import Call, Json, Standing
from onrecord.rules import names, pointer
from onrecord.rules.policy import Verdict

TOOLS = 1_000  # of one server that are pinned; what comes then is treated as unknown
LEAVES = 400  # texts of one definition that are kept
ROOM = 8_192  # characters of all of them
TEXT = 2_048  # characters of one
NAME = 256  # characters of a tool's name
BATCH = 50  # tools that one event names; they fit a line
KEY = 128  # characters of one key

WITHHELD = "[WITHHELD:value]"  # what a schema gives as a value of a property whose name announces a secret

Action: TypeAlias = Literal[
    "pinned",
    "changed",
    "reverted",  # to the one that is pinned
    "removed",
    "returned",
    "renamed",
    "outdated",  # the server says that its list is another now
    "flagged",
    "unpinned",
    "set_aside",
    "accepted",
    "forgotten",
]
Digest: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
By: TypeAlias = Literal["first_use", "person"]

_VALUES = frozenset({"default", "const", "enum", "example", "examples"})  # under these a schema gives values


class Version(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One definition of a tool. `said` is its texts by JSON Pointer, masked; `cut` says that not all are there."""

    digest: Digest
    rest: Digest
    destructive: bool = False
    flags: tuple[str, ...] = ()
    said: dict[str, str] = {}
    cut: bool = False


class Pin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is known of a tool. `accepted` is its pinned definition, `listed` another one that waits for a person.

    `name` and `was` (the name under which the same definition was pinned before) are masked.
    """

    name: str
    accepted: Version | None = None
    by: By = "first_use"
    listed: Version | None = None
    gone: bool = False
    was: str = ""


class Book(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pins of one server, by keyed digest of the tool's name.

    `doubtful`: an earlier book was lost, so what is seen first now may not be what was seen first.
    """

    server: str
    pins: dict[str, Pin] = {}
    doubtful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Change:
    """Something about a definition that goes on the record. Names are raw; `why` is in words of our own."""

    action: Action
    name: str = ""
    kind: Literal["tool", "prompt", "resource", "server"] = "tool"
    before: str = ""
    after: str = ""
    flags: tuple[str, ...] = ()
    was: str = ""
    why: str = ""
    places: tuple[str, ...] = ()
    count: int = 0
    tools: tuple[tuple[str, str], ...] = ()  # of many that are pinned at once: digest, and name, masked

    @property
    def alarming(self) -> bool:
        """Whether somebody should look at it."""
        renamed = self.action == "renamed" and self.kind == "tool"
        return renamed or self.action in ("changed", "set_aside") or bool(self.flags)

    def __repr__(self) -> str:
        return f"<change {self.action}>"


@dataclass(frozen=True, slots=True)
class Difference:
    """A place in a definition, and what stood and stands there; None where there was or is nothing."""

    place: str
    before: str | None
    after: str | None


def judged(pin: Pin | None, version: Version, *, doubtful: bool, again: bool) -> tuple[Pin, Action | None]:
    """Return the pin of a tool that is listed as `version`, and what that is, where it is anything new.

    `again` says that this listing had the tool before: of two definitions the one that is not pinned counts.
    `pin` must not be None where the tool has one; its name is the caller's to set.
    """
    if pin is None:
        unsure = Pin(name="", listed=version)
        return (unsure if doubtful else Pin(name="", accepted=version)), "pinned"
    back = replace(pin, gone=False)
    if pin.accepted is not None and pin.accepted.digest == version.digest:
        if pin.listed is None or again:
            return back, "returned" if pin.gone else None
        return replace(back, listed=None), "reverted"
    if pin.listed is not None and pin.listed.digest == version.digest:
        return back, "returned" if pin.gone else None
    return replace(back, listed=version), "changed"


def standing(pin: Pin | None, digest: str) -> Standing:
    """Return what a definition with `digest` is worth."""
    if pin is None:
        return "unpinned"
    if pin.accepted is None:
        return "unconfirmed"
    return "accepted" if pin.accepted.digest == digest else "changed"


def missing(book: Book, seen: Collection[str]) -> list[str]:
    """Return the keys of tools that a whole listing, which had those in `seen`, no longer has."""
    return [key for key, pin in book.pins.items() if not pin.gone and key not in seen]


def same_under_another_name(book: Book, key: str) -> str | None:
    """Return the key of a tool that is gone and had the definition that `key` has now, but for its name."""
    now = current(book.pins[key])
    for other, pin in book.pins.items():
        if other != key and pin.gone and now is not None and now.rest in _rests(pin):
            return other
    return None


def renamed(pin: Pin, old: Pin) -> Pin:
    """Return the pin of a tool that was `old` before: what waited for a person then, waits under its new name."""
    pin, now = replace(pin, was=old.name), pin.accepted
    if now is None or old.listed is None or (old.accepted is not None and old.accepted.rest == now.rest):
        return pin
    return replace(pin, accepted=old.accepted, listed=now)


def is_listed_alike(book: Book, digests: Mapping[str, str]) -> bool:
    """Say whether all tools of these keys and definitions were listed last by the server of `book`."""
    pins = [(book.pins.get(key), digest) for key, digest in digests.items()]
    versions = [(current(pin), digest) for pin, digest in pins if pin is not None and not pin.gone]
    alike = [now for now, digest in versions if now is not None and now.digest == digest]
    return 0 < len(digests) == len(alike)


def _rests(pin: Pin) -> set[str]:
    return {version.rest for version in (pin.accepted, pin.listed) if version is not None}


def current(pin: Pin) -> Version | None:
    """Return the definition that the server lists, or listed last."""
    return pin.listed or pin.accepted


def accepted(pin: Pin) -> Pin:
    """Return `pin` after a person accepted the definition that the server lists."""
    return replace(pin, accepted=current(pin), listed=None, by="person")


def together(changes: list[Change], shown: Callable[[str, int], str]) -> list[Change]:
    """Return `changes` with the tools that are pinned, and not flagged, as few changes for many of them."""
    plain = [one for one in changes if one.action == "pinned" and not one.flags]
    rest = [one for one in changes if one.action != "pinned" or one.flags]
    tools = [(one.after, shown(one.name, NAME)) for one in plain]
    batches = [tuple(tools[at : at + BATCH]) for at in range(0, len(tools), BATCH)]
    return [*rest, *(Change(action="pinned", count=len(batch), tools=batch) for batch in batches)]


def refusal(of: Standing, flags: Collection[str], *, changed: str, flagged: str) -> str:
    """Return why a tool must not be called, by the settings; "" where it may."""
    if changed == "block" and of in ("changed", "unconfirmed", "unpinned"):
        why = {"changed": "its definition changed", "unconfirmed": "its pinned definition was lost"}
        return f"{why.get(of, 'its definition could not be pinned')}, and nobody has accepted it"
    if flagged == "block" and flags:
        return f"its definition is flagged {', '.join(flags)}, and nobody has accepted it"
    return ""


def by_definition(call: Call) -> Verdict | None:
    """Return why `call` must not run because of the definition of its tool; None where that is no reason."""
    why = call.definition.refused if call.definition is not None else ""
    if not why:
        return None
    safe = f"{why}; a person can, with: onrecord tools accept"
    return Verdict(decision="deny", reason=why, safe=safe, id="definitions", error_type="definition_refused")


def differences(before: Version | None, after: Version) -> list[Difference]:
    """Return where two definitions differ, as far as their texts are kept, in the order of places."""
    old: Mapping[str, str] = {} if before is None else before.said
    places = sorted({*old, *after.said})
    pairs = [Difference(place, old.get(place), after.said.get(place)) for place in places]
    return [one for one in pairs if one.before != one.after]


# what is kept of a definition


def kept(definition: Json, shown: Callable[[str, int], str]) -> tuple[dict[str, str], bool]:
    """Return the texts of `definition` by place, and whether something was left out.

    `shown` masks a text and cuts it. Values that a schema gives for what a name announces as a secret are withheld.
    """
    said: dict[str, str] = {}
    room, cut = ROOM, False
    for place, text, secret in _leaves(definition):
        if len(said) >= LEAVES or room <= 0:
            return said, True
        at = pointer.written(tuple(shown(token, KEY) for token in place))
        what = WITHHELD if secret else shown(text, min(TEXT, room))
        cut = cut or len(text) > min(TEXT, room)
        room -= len(at) + len(what)
        said[at] = what
    return said, cut


def _leaves(value: Json) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """Yield each text, number and empty value with its place; and whether it is a value that a name announces."""
    waiting: list[tuple[tuple[str, ...], Json, bool]] = [((), value, False)]
    while waiting:
        place, node, secret = waiting.pop()
        if isinstance(node, dict) and node:
            pairs = [((*place, key), child, secret or _gives(place, key)) for key, child in node.items()]
            waiting.extend(reversed(pairs))
        elif isinstance(node, list) and node:
            waiting.extend(reversed([((*place, str(i)), child, secret) for i, child in enumerate(node)]))
        else:
            yield place, node if isinstance(node, str) else json.dumps(node), secret


def _gives(place: tuple[str, ...], key: str) -> bool:
    return key in _VALUES and any(names.label_of(token) for token in place)
