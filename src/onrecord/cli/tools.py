# SPDX-License-Identifier: Apache-2.0
"""`onrecord tools`: which definitions are pinned, what changed in them, and a person's word on it.

Accepting and forgetting are on the record before they take effect. What a running recorder believes
follows the file, so its next call counts with it.
"""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from msgspec.structs import replace

from onrecord.cli.terminal import print_json, put, say
from onrecord.config import build_pins, build_recorder, build_redactor
from onrecord.errors import CommandError, ConfigError
from onrecord.event.event import Event
from onrecord.ledger.keys import open_digest_key
from onrecord.ledger.place import Home
from onrecord.pins import Pins
from onrecord.rules import definitions as rules
from onrecord.rules.definitions import Book, Pin
from onrecord.settings import Loaded, home_folder, load

NOTHING = "there are no pinned definitions yet; they are pinned when a client lists the tools of a server"


@dataclass(frozen=True, slots=True)
class _Tool:
    """One tool, and the book that it stands in."""

    key: str
    pin: Pin
    book: Book

    @property
    def standing(self) -> str:
        if self.pin.accepted is None:
            return "unconfirmed"
        return "changed" if self.pin.listed else "removed" if self.pin.gone else "pinned"

    @property
    def waits(self) -> bool:
        return self.pin.listed is not None

    @property
    def is_doubted(self) -> bool:
        """Whether a person's word may still be missing, though the pin is of what is listed."""
        return self.book.doubtful or (bool(self.flags) and self.pin.by != "person")

    @property
    def flags(self) -> tuple[str, ...]:
        now = rules.current(self.pin)
        return now.flags if now else ()


def tools(options: Namespace) -> int:
    """Show pins, or change them by a person's word."""
    home = home_folder()
    loaded = load(home, options.config)
    digest_key = open_digest_key(home)
    pins = build_pins(home, loaded, digest_key, build_redactor(digest_key, loaded))
    chosen = list(_chosen(pins, options))
    if options.action in ("list", "diff"):
        show = _list if options.action == "list" else _diff
        show(chosen, as_json=options.json)
        return 1 if any(tool.waits for tool in chosen) else 0
    if not options.names and not options.all:
        raise CommandError(f"say which tools to {options.action}, or --all", 2)
    if options.action == "accept" and not options.names:
        chosen = [tool for tool in chosen if tool.waits or tool.is_doubted]
        if not chosen and not options.json:
            say("no definition waits to be accepted")
    return _ruled(home, loaded, pins, chosen, options)


def _chosen(pins: Pins, options: Namespace) -> Iterator[_Tool]:
    """Yield the tools that the options name. Raises CommandError for one that there isn't, or that two servers have."""
    books = [book for book in pins.books() if options.server in (None, book.server)]
    if options.server and not books:
        raise CommandError("there are no pins of a server of that name; see: onrecord tools list", 2)
    found = [_Tool(key, pin, book) for book in books for key, pin in book.pins.items()]
    if not options.names:
        yield from sorted(found, key=lambda tool: (tool.book.server, tool.pin.name))
    for name in options.names:
        key = pins.key_of(name)
        named = [tool for tool in found if tool.key == key]
        if not named:
            raise CommandError("there is no pin of a tool of that name; see: onrecord tools list", 2)
        if len(named) > 1 and options.action in ("accept", "forget"):
            raise CommandError("more than one server has a tool of that name; say which: --server ID", 2)
        yield from named


def _list(chosen: list[_Tool], *, as_json: bool) -> None:
    if not chosen and not as_json:
        say(NOTHING)
    for tool in chosen:
        now = rules.current(tool.pin)
        if as_json:
            print_json(
                {
                    "server": tool.book.server,
                    "tool": tool.pin.name,
                    "standing": tool.standing,
                    "by": tool.pin.by,
                    "pinned": tool.pin.accepted.digest if tool.pin.accepted else "",
                    "listed": now.digest if now else "",
                    "flags": tool.flags,
                    "gone": tool.pin.gone,
                    "was": tool.pin.was,
                }
            )
            continue
        more = [f"flagged {', '.join(tool.flags)}"] if tool.flags else []
        more += [f"was {tool.pin.was}"] if tool.pin.was else []
        more += ["accepted by a person"] if tool.pin.by == "person" else []
        digest = now.digest[:16] if now else ""
        put(f"{tool.standing:<11}  {tool.book.server}/{tool.pin.name}  {digest}  {'; '.join(more)}".rstrip())


def _diff(chosen: list[_Tool], *, as_json: bool) -> None:
    for tool in (one for one in chosen if one.waits):
        old, new = tool.pin.accepted, tool.pin.listed
        assert new is not None
        found = rules.differences(old, new)
        unseen = not found or new.cut or (old is not None and old.cut)
        if as_json:
            print_json(
                {
                    "server": tool.book.server,
                    "tool": tool.pin.name,
                    "pinned": old.digest if old else "",
                    "listed": new.digest,
                    "flags": new.flags,
                    "differences": [asdict(one) for one in found],
                    "unseen": unseen,
                }
            )
            continue
        put(f"{tool.book.server}/{tool.pin.name}  {old.digest[:16] if old else 'lost'} → {new.digest[:16]}")
        if new.flags:
            put(f"  flagged {', '.join(new.flags)}")
        for one in found:
            put(f"  {one.place or '/'}")
            if one.before is not None:
                put(f"    - {one.before}")
            if one.after is not None:
                put(f"    + {one.after}")
        if unseen:
            put("  not all of the texts are kept: what changed may lie in what is masked, or was too long")


def _ruled(home: Home, loaded: Loaded, pins: Pins, chosen: list[_Tool], options: Namespace) -> int:
    """Put a person's word on the record, then into the book of each server."""
    accept: bool = options.action == "accept"
    if accept and options.digest is not None:
        _check_digest(chosen, options.digest)
    for book in {tool.book.server: tool.book for tool in chosen}.values():
        of_book = [tool for tool in chosen if tool.book is book]
        whole = len(of_book) == len(book.pins) and options.all
        _record(home, loaded, of_book, "accepted" if accept else "forgotten")
        changed = {tool.key: rules.accepted(tool.pin) for tool in of_book} if accept else {}
        kept = {key: pin for key, pin in book.pins.items() if accept or key not in {tool.key for tool in of_book}}
        new = replace(book, pins={**kept, **changed}, doubtful=book.doubtful and not whole)
        pins.write(new, book)
    done = "accepted" if accept else "forgotten"
    if options.json:
        print_json({done: [{"server": tool.book.server, "tool": tool.pin.name} for tool in chosen]})
    else:
        for tool in chosen:
            put(f"{done} {tool.book.server}/{tool.pin.name}")
    return 0


def _check_digest(chosen: list[_Tool], digest: str) -> None:
    if len(digest) < 8 or len(chosen) != 1:
        raise CommandError("--digest takes at least 8 digits, and one tool", 2)
    now = rules.current(chosen[0].pin)
    if now is None or not now.digest.startswith(digest.lower()):
        raise ConfigError("the server lists another definition than that by now; see: onrecord tools diff")


def _record(home: Home, loaded: Loaded, chosen: list[_Tool], action: str) -> None:
    """Put on the log of calls what a person says of definitions. Raises LedgerError: then nothing has changed."""
    recorder, actor = build_recorder(home, loaded, say)
    base = Event(
        event_type="tool_definition",
        action=action,
        user_id=actor.user_id,
        tenant_id=actor.tenant_id,
        identity_source=actor.identity_source,
        identity_assurance=actor.identity_assurance,
    )
    recorder.state((_said(base, tool), {"tool_name": tool.pin.name}) for tool in chosen)


def _said(base: Event, tool: _Tool) -> Event:
    now = rules.current(tool.pin)
    return replace(
        base,
        server_id=tool.book.server,
        tool_definition_hash=now.digest if now else "",
        detail={"before": tool.pin.accepted.digest} if tool.pin.accepted else {},
    )
