# SPDX-License-Identifier: Apache-2.0
"""`onrecord approvals`: which calls wait for somebody to approve them, what approvers see, and a person's decision.

What is shown before a decision is the view whose hash stands in the statement, and nothing else of the call. A
decision is on the record before it counts, and so is one that does not count.
"""

import os
import sys
import time
from argparse import Namespace

from onrecord.approvals import Approvals, Kept
from onrecord.cli.accessed import accessed
from onrecord.cli.terminal import ask, print_json, put, say
from onrecord.config import build_recorder
from onrecord.errors import CommandError, NotAuthenticated, OnRecordError
from onrecord.ledger.clock import now_us
from onrecord.ledger.keys import open_digest_key
from onrecord.ledger.place import Home
from onrecord.people import build_approver
from onrecord.rules import approval
from onrecord.rules.approval import Choice, VoteRefused
from onrecord.rules.preview import View
from onrecord.settings import Loaded, home_folder, load

_END = 6  # characters of the id that are asked for
_SHORTEST = 8  # characters of an id by which a request is named
_WAITS = ("pending", "escalated")
_STANDS = (*_WAITS, "approved")


def list(options: Namespace) -> int:  # noqa: A001  # as the action is called
    """Show the requests of this home that stand, or all that are kept, the oldest first."""
    home = home_folder()
    loaded = load(home, options.config)
    found, broken = Approvals(home, open_digest_key(home)).all()
    accessed(home, "approvals")
    shown = [kept for kept in found if options.all or state_of(kept) in _STANDS]
    for kept in shown:
        _print_row(kept, as_json=options.json)
    if broken or any(now_us() >= kept.statement.expires_us for kept in found):
        tidy(home, loaded)
    for approval_id in broken:
        say(f"{approval_id} is not what was written; it does not count, and is asked for again")
    if not shown and not broken and not options.json:
        say("nothing waits for an approval")
    return 1 if broken or any(state_of(kept) in _WAITS for kept in found) else 0


def tidy(home: Home, loaded: Loaded) -> None:
    """Have expired requests closed and altered ones put aside, which is on the record; say where that can't be."""
    try:
        recorder, _ = build_recorder(home, loaded, say)
        assert recorder.guard.approving is not None, "a recorder asks for approvals"
        with recorder.briefly():
            recorder.guard.approving.tidy()
    except OnRecordError as e:
        say(f"expired requests are not closed, nor altered ones put aside: {e}")


def show(options: Namespace) -> int:
    """Show one request: the view, its hash, the terms and the votes."""
    home = home_folder()
    kept = request_of(home, load(home, options.config), options.id)
    accessed(home, "approvals", which=kept.statement.id)
    print_request(kept, as_json=options.json)
    return 0


def approve(options: Namespace) -> int:
    """Approve one request."""
    return _decide(options, "approved")


def reject(options: Namespace) -> int:
    """Reject one request."""
    return _decide(options, "rejected")


def _decide(options: Namespace, choice: Choice) -> int:
    home = home_folder()
    loaded = load(home, options.config)
    digest_key = open_digest_key(home)
    kept = request_of(home, loaded, options.id)
    if options.yes and options.id != kept.statement.id:
        raise CommandError(f"--yes takes the whole id, which is {kept.statement.id}; nothing was decided", 2)
    check_view(kept)
    if not options.json:
        print_request(kept, as_json=False)
    if not options.yes:
        _confirm(kept.statement.id, choice)
    try:
        approver = build_approver(home, loaded, digest_key, os.environ)
    except NotAuthenticated as e:
        raise CommandError(f"not {choice}: {e}", 1) from e
    recorder, _ = build_recorder(home, loaded, say)
    approving = recorder.guard.approving
    assert approving is not None, "a recorder asks for approvals"
    with recorder.briefly():
        try:
            kept = approving.cast(kept.statement.id, choice, approver, "cli")
        except VoteRefused as e:
            raise CommandError(f"not {choice}: {e}", 1) from e
    if options.json:
        print_json(facts_of(kept))
    else:
        put(outcome_of(kept))
    return 0


def outcome_of(kept: Kept) -> str:
    """Return what the last vote on a request came to, at its own time: the request may have expired since."""
    of, vote = kept.statement, kept.cast[-1]
    said = "withdrawn" if approval.is_withdrawal(of, vote) else vote.decision
    state = approval.standing(of, kept.cast, vote.at_us)
    return f"{said}; the request is {'over' if state == 'rejected' else f'{state} until {_clock(of.expires_us)}'}"


def request_of(home: Home, loaded: Loaded, begins: str) -> Kept:
    """Return the one request of `home` whose id begins so. Raises CommandError."""
    if len(begins) < _SHORTEST:
        raise CommandError(f"give the first {_SHORTEST} characters of the id, or more; see: onrecord approvals list", 2)
    found, broken = Approvals(home, open_digest_key(home)).all()
    if any(one.startswith(begins) for one in broken):
        tidy(home, loaded)
        raise CommandError("this request is not what was written; it does not count, and is asked for again", 1)
    same = [kept for kept in found if kept.statement.id.startswith(begins)]
    if len(same) != 1:
        many = "more than one request begins so" if same else "there is no such request"
        raise CommandError(f"{many}; see: onrecord approvals list", 2)
    return same[0]


def check_view(kept: Kept) -> None:
    """Raise OnRecordError where what is shown is not what was asked."""
    shown = View(lines=kept.view, fields=kept.fields, hidden=kept.hidden, version=kept.statement.prompt_version)
    if shown.hash() != kept.statement.preview_hash:
        raise OnRecordError("this version shows another view than the one that was asked for; nothing was decided")


def _confirm(approval_id: str, choice: Choice) -> None:
    """Have the person at the terminal say which one they mean. Raises CommandError."""
    if not sys.stdin.isatty():
        raise CommandError("nobody is at a terminal to be asked; give --yes", 2)
    verb = {"approved": "approve", "rejected": "reject"}[choice]
    if ask(f"to {verb} it, type the last {_END} characters of its id:") != approval_id[-_END:]:
        raise CommandError("that is not how the id ends; nothing was decided", 1)


def state_of(kept: Kept) -> str:
    return "used" if kept.redeemed else approval.standing(kept.statement, kept.cast, now_us())


def _print_row(kept: Kept, *, as_json: bool) -> None:
    if as_json:
        print_json(facts_of(kept))
        return
    of = kept.statement
    yes = sum(vote.decision == "approved" for vote in kept.cast)
    left_s = max(0, of.expires_us - now_us()) // 1_000_000
    put(
        f"{of.id}  {state_of(kept):<9}  tier {of.tier}  {of.server}/{of.name}  by {of.requester or 'a workload'}"
        f"  {yes} of {of.quorum}  {f'{left_s // 60} min' if left_s >= 60 else f'{left_s} s'} left"
    )


def print_request(kept: Kept, *, as_json: bool) -> None:
    if as_json:
        print_json(facts_of(kept) | {"view": kept.view})
        return
    of = kept.statement
    for line in kept.view:
        put(line)
    put(f"view SHA-256 {of.preview_hash}")
    put(f"statement SHA-256 {of.digest()}")
    put(f"approval {of.id}: {state_of(kept)}, until {_clock(of.expires_us)}")
    put(f"needs {_needs(kept)}")
    for vote in kept.cast:
        own = "" if approval.is_independent(of, vote) else ", not independently"
        put(f"{vote.decision} by {vote.approver} ({vote.assurance}, by {vote.channel}{own}) {_clock(vote.at_us)}")


def _needs(kept: Kept) -> str:
    of = kept.statement
    roles = approval.eligible(of, now_us())
    parts = [
        f"{of.quorum} of role {' or '.join(roles)}" if roles else f"{of.quorum}",
        f"known by {of.assurance} or better",
    ]
    parts += ["another person than the requester"] if of.four_eyes else []
    parts += ["a step-up"] if of.step_up else []
    return "; ".join([*parts, f"decided by {' or '.join(of.channels)}"])


def facts_of(kept: Kept) -> dict[str, object]:
    of = kept.statement
    return {
        "id": of.id,
        "state": state_of(kept),
        "digest": of.digest(),
        "statement": of,
        "hidden": kept.hidden,
        "votes": kept.cast,
        "redeemed": kept.redeemed,
    }


def _clock(at_us: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at_us / 1e6))
