# SPDX-License-Identifier: Apache-2.0
"""`onrecord export`: chosen entries with their proofs, for somebody who is to see these and no others."""

import re
from argparse import Namespace
from collections.abc import Iterator
from typing import get_args

from onrecord.cli.accessed import accessed
from onrecord.cli.prove import unreadable
from onrecord.cli.read import pseudonym
from onrecord.cli.terminal import print_json, put, say
from onrecord.cli.times import instant_us
from onrecord.errors import OnRecordError
from onrecord.event.event import EventType
from onrecord.ledger.clock import TimeText
from onrecord.ledger.evidence import newest_signed
from onrecord.ledger.export import export_bundle
from onrecord.ledger.keys import own_verifiers
from onrecord.ledger.place import Home
from onrecord.ledger.selection import Selected, Selection, select
from onrecord.ledger.verify import SIGNING_S
from onrecord.settings import home_folder

_PLACES = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")


def export(options: Namespace) -> int:
    """Write the chosen entries as an evidence bundle."""
    home = home_folder()
    folder, keys = home.log(options.log), own_verifiers(home, options.log)
    selection = _selection(options, home)
    if selection == Selection() and not options.all:
        raise OnRecordError("say which entries: --seq, --call, --user, --tool, --type, --since, --until, or --all")
    try:
        signed = newest_signed(folder, keys)
        size = signed.checkpoint.size if signed else 0
        chosen = select(folder, selection, size)
        if not chosen.seqs:
            raise OnRecordError("; ".join(["no entry is chosen by that", *_left_out(chosen)]))
        made = export_bundle(folder, keys, chosen.seqs, options.out)
    except OSError as e:
        raise unreadable(e, folder) from e
    accessed(home, "export", log=options.log, entries=str(made.entries), out=options.out.name)
    if options.json:
        print_json({"path": str(options.out), "entries": made.entries, "size": made.size, "origin": made.origin})
    else:
        put(f"{options.out}: {made.entries} of {made.size} entries of {made.origin}")
    if made.entries > len(chosen.seqs):
        say(f"{made.entries - len(chosen.seqs)} of them hand the signing key over, and prove the rest")
    for left_out in _left_out(chosen):
        say(left_out)
    say(f"to check it elsewhere: onrecord verify {options.out} --key FILE, with the key that onrecord keys shows")
    return 0


def _left_out(chosen: Selected) -> Iterator[str]:
    if chosen.unsigned:
        yield f"left out: {chosen.unsigned} that are not signed yet; a running recorder signs within {SIGNING_S:.0f} s"
    if chosen.deleted:
        yield f"left out: {chosen.deleted} that were deleted, and of which the log keeps the hash alone"


def _selection(options: Namespace, home: Home) -> Selection:
    return Selection(
        places=tuple(places for text in options.seq for places in _places(text)),
        call_id=options.call or "",
        user_id=pseudonym(home, options.user) if options.user else "",
        tool_name=options.tool or "",
        event_type=_event_type(options.type) if options.type else "",
        since=_stamp(options.since, "--since"),
        until=_stamp(options.until, "--until"),
    )


def _places(text: str) -> list[range]:
    """Return the places that `A-B,C` names, both ends included."""
    found: list[range] = []
    for part in text.split(","):
        match = _PLACES.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise OnRecordError(f"--seq {text}: name places as in 3-17,40")
        found.append(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found


def _event_type(name: str) -> str:
    if name not in get_args(EventType):
        raise OnRecordError(f"there is no event_type {name}; there are: {', '.join(sorted(get_args(EventType)))}")
    return name


def _stamp(text: str | None, option: str) -> str:
    """Return a time as the log writes times."""
    return "" if text is None else TimeText().of(instant_us(text, option))
