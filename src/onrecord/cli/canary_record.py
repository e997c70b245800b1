# SPDX-License-Identifier: Apache-2.0
"""What the canaries of a self-test left on the record, and whether that is redacted and proven.

Looks at what is new since the self-test began, so a long log takes no longer than a short one. The lines are found by
the trace that the client began, and proven one by one against the newest signed checkpoint; whether all the rest of the
log is what was signed is for `onrecord verify`. Files are searched in `canary_files.py`. Nothing is written.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from onrecord.cli.canary_checks import Check, Spoken
from onrecord.cli.canary_files import Files, said
from onrecord.cli.canary_index import indexed
from onrecord.cli.canary_store import delivered
from onrecord.errors import NotVerified, OnRecordError
from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.evidence import newest_signed, tiles_of
from onrecord.ledger.keys import own_verifiers
from onrecord.ledger.lines import last_seq, lines_from, segment_files
from onrecord.ledger.merkle import inclusion_path, leaf_hash
from onrecord.ledger.note import Checkpoint, VerifierKey
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.proof import Proof, check_proof
from onrecord.ledger.tiles import reader_over_tiles
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import SIGNING_S
from onrecord.ledger.whereabouts import own_socket, read_moved, way_of
from onrecord.rules.canary import ANSWERED, ASKED, SERVER_ID, TOOL
from onrecord.settings import Loaded

_TRIES = 5  # at a tree that others go on writing
_UNPINNED = ""  # in place of a trace


Entry: TypeAlias = tuple[bytes, Event]


class Before:
    """How a home was before a self-test: where its log ended, and which files there were."""

    def __init__(self, home: Home, loaded: Loaded) -> None:
        self.home = home
        self.loaded = loaded
        moved = read_moved(home)
        self.kept_by = "" if moved is None else moved.account
        self.kept_in = home if moved is None else Home(Path(moved.home))
        self.files = Files({home.path, self.kept_in.path})
        self.fault = ""
        self.next_seq = 0
        try:
            self.next_seq = last_seq(self.folder) + 1 if segment_files(self.folder) else 0
        except (OnRecordError, OSError) as e:
            self.fault = said(e)

    @property
    def folder(self) -> LogFolder:
        """The log that the canaries go to."""
        return self.kept_in.log()


def examine(before: Before, spoken: Sequence[Spoken], ends: float) -> Iterator[Check]:
    """Yield what holds of the record and of the files of a home after `spoken`."""
    try:
        found = _found(before, {one.trace_id for one in spoken})
    except (OnRecordError, OSError) as e:
        found = {}
        yield Check("fail", "recorded", f"the record cannot be read: {said(e)}{_elsewhere(before)}")
    else:
        for one in spoken:
            yield _recorded(before, one, found.get(one.trace_id, []))
    yield _masked(found)
    events = [event for _, event in _of_calls(found)]
    yield indexed(before.kept_in, before.next_seq, events)
    yield delivered(before.kept_in, before.loaded, events, ends)
    yield before.files.searched(spoken, ends)
    yield _verified(before, found, ends)


# on the record


def _found(before: Before, traces: set[str]) -> dict[str, list[Entry]]:
    """Return the lines of each canary, by its trace, and those that say why its tool is not pinned.

    Raises NotVerified, OSError.
    """
    found: dict[str, list[Entry]] = {}
    if before.fault:
        raise NotVerified(before.fault)
    if not segment_files(before.folder):
        return found
    mark = f'"{SERVER_ID}"'.encode()
    for line in lines_from(before.folder, before.next_seq):
        if mark in line.data:
            event = read_event(line.data)
            if event.trace_id in traces and event.phase:
                found.setdefault(event.trace_id, []).append((line.data, event))
            elif event.event_type == "tool_definition" and event.action == "unpinned":
                found.setdefault(_UNPINNED, []).append((line.data, event))
    return found


def _of_calls(found: dict[str, list[Entry]]) -> list[Entry]:
    return [entry for trace, entries in found.items() if trace != _UNPINNED for entry in entries]


def _recorded(before: Before, one: Spoken, entries: Sequence[Entry]) -> Check:
    """Say whether attempt and result are there, in order, and what was decided."""
    about = "recorded"
    events = [event for _, event in entries]
    if not events:
        return Check("fail", about, f"{one.era}: nothing of the call is on the record{_elsewhere(before)}")
    phases = [event.phase for event in events]
    if phases[0] != "attempt" or phases[-1] != "result" or phases.count("result") != 1:
        return Check("fail", about, f"{one.era}: on the record are, in this order, {', '.join(phases)}")
    first, last = events[0], events[-1]
    if any((e.call_id, e.server_id, e.tool_name) != (first.call_id, SERVER_ID, TOOL) for e in events):
        return Check("fail", about, f"{one.era}: the events of the call do not say that they are of one canary")
    where = f"{one.era}: attempt {first.seq}, result {last.seq}"
    if first.policy_decision in ("deny", "needs_approval"):
        does = "denies the canary" if first.policy_decision == "deny" else "wants an approval for the canary"
        why = " ".join(filter(None, (first.policy_id, first.policy_reason)))
        return Check(
            "fail",
            "policy",
            f"{where}: the policy {does} ({why}): that is on the record as it should be, and "
            f"what follows it was not tested; let it allow {TOOL} of server {SERVER_ID}",
        )
    if one.refusal or one.fault:
        return Check("fail", about, f"{where}: it ended {last.result_status} ({last.error_type})")
    if last.result_status != "succeeded":
        return Check("fail", about, f"{where}: the tool answered, and the result says {last.result_status}")
    if one.token and first.identity_source != "oauth":
        return Check("fail", about, f"{where}: the caller's token held, and the record does not name it as the source")
    how = f"{last.policy_decision or 'allow'}, tier {last.risk_tier}, {last.data_classification}"
    return Check("ok", about, f"{where}, in order, {how}, {_known(first)}")


def _known(event: Event) -> str:
    """Return by what the record knows who called, so that nobody takes a claim for a proof."""
    if event.identity_source in ("", "none"):
        return "caller not known"
    return f"caller known by {event.identity_source} ({event.identity_assurance})"


def turned_away(before: Before) -> Check:
    """Say whether a request without a token is on the record as one that was turned away."""
    about = "turned away"
    try:
        lines = lines_from(before.folder, before.next_seq) if segment_files(before.folder) else ()
        for line in lines:
            if f'"{SERVER_ID}"'.encode() in line.data:
                event = read_event(line.data)
                if event.event_type == "authentication" and event.action == "refuse":
                    return Check("ok", about, f"who comes without a token: {event.error_type}, entry {event.seq}")
    except (OnRecordError, OSError) as e:
        return Check("fail", about, f"the record cannot be read: {said(e)}{_elsewhere(before)}")
    return Check("fail", about, f"who came without a token is not on the record{_elsewhere(before)}")


def _elsewhere(before: Before) -> str:
    """Return where else the record may be, and who can look there."""
    if before.kept_by:
        return f"; {before.kept_by} keeps it in {before.kept_in.path}: run this as one who may read that"
    with suppress(OnRecordError):
        way = way_of(before.home, named=before.loaded.settings.recorder.socket, environ=os.environ)
        if way is not None and way.socket != own_socket(before.home):
            return f"; the service at {way.socket} keeps it in a home of its own, which this one does not name"
    return ""


# redacted


def _masked(found: dict[str, list[Entry]]) -> Check:
    """Say whether the values are on the record, with a stand-in for each secret."""
    about = "redacted"
    events = [event for _, event in _of_calls(found)]
    if not events:
        return Check("none", about, "nothing is on the record to look at")
    unpinned = "".join(
        f"; its tool was not pinned: {event.detail.get('why')}" for _, event in found.get(_UNPINNED, [])[:1]
    )
    if any(event.redaction_error for event in events):
        return Check("fail", about, "redaction failed, and the values were withheld")
    for event in events:
        if event.phase == "attempt" or event.result_status == "succeeded":
            places = ASKED if event.phase == "attempt" else ANSWERED
            withheld = len(event.sensitive_fields)
            if not (event.input_summary or event.output_summary):
                text = f"entry {event.seq} has no values of the call, so nothing shows how they are redacted{unpinned}"
                return Check("fail", about, text)
            if withheld < len(places):
                text = f"entry {event.seq} names {withheld} of {len(places)} places with a secret as withheld"
                return Check("fail", about, text)
    kinds = sorted({kind for event in events for kind in event.data_kinds})
    return Check("ok", about, f"withheld: {', '.join(kinds)}; by {events[0].redaction_policy}")


# verified


def _verified(before: Before, found: dict[str, list[Entry]], ends: float) -> Check:
    """Say whether each line of the canaries is in the tree that is signed."""
    about = "verified"
    lines = sorted((event.seq, data) for data, event in _of_calls(found))
    if not lines:
        return Check("none", about, "nothing is on the record to prove")
    try:
        keys = own_verifiers(before.kept_in)
        checkpoint = _proven(before.folder, keys, lines, ends)
        guard = read_guard(before.kept_in.guard())
        if guard is not None and guard.size > checkpoint.size and guard.origin == checkpoint.origin:
            text = f"the checkpoint covers {checkpoint.size} entries, and {guard.size} had been there"
            return Check("fail", about, f"{text}; run: onrecord verify")
    except (OnRecordError, OSError) as e:
        return Check("fail", about, said(e))
    text = f"{len(lines)} lines are in the tree of {checkpoint.size} entries that {checkpoint.origin} has signed"
    return Check("ok", about, text)


def _proven(
    folder: LogFolder, keys: Sequence[VerifierKey], lines: Sequence[tuple[int, bytes]], ends: float
) -> Checkpoint:
    """Return a signed checkpoint whose tree has each of `lines` in its place. Raises NotVerified, OSError."""
    last = lines[-1][0]
    wait_s = max(0.0, min(2 * SIGNING_S, ends - time.monotonic()))
    for left in reversed(range(_TRIES)):
        signed = newest_signed(folder, keys, covering=last + 1, wait_s=wait_s)
        if signed is None or signed.checkpoint.size <= last:
            raise NotVerified(f"entry {last} is on the record, and no checkpoint covers it; run: onrecord verify")
        size = signed.checkpoint.size
        try:
            for seq, data in lines:
                path = inclusion_path(seq, size, reader_over_tiles(tiles_of(folder), size))
                check_proof(Proof(index=seq, path=tuple(path), note=signed.note), leaf_hash(data), keys)
            return signed.checkpoint
        except NotVerified as e:
            if not left:  # until then a recorder may have replaced a tile of that tree by a larger one
                raise NotVerified(f"the canary's lines are not proven: {e}; run: onrecord verify") from e
    raise AssertionError
