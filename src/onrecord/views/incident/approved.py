# SPDX-License-Identifier: Apache-2.0
"""Whether a person approved it: what they were shown and what not, who said what, and whether what ran is just that."""

from onrecord.event.event import Event
from onrecord.views.incident.saying import Case, Saying, named, quoted, several
from onrecord.views.incident.seen import Seen, Told

_VOTES = ("approved", "rejected", "withdrawn")
_TIME = {"escalated": "nobody decided for a while, so a second role may", "expired": "nobody decided in time"}
_REFUSED = ("vote_refused", "approval_refused", "approval_altered")


def answer_approved(case: Case, saying: Saying) -> None:
    """Say how each approval was asked for, given and used."""
    for told in case.calls:
        _without(saying, told)
    for told in case.all:
        for one in told.of("approval"):
            if not one.beside:
                _step(saying, told, one)
    for told in case.calls:
        for one in told.of("decision"):
            _used(case, saying, one)
        _mismatch(saying, told)
        _open_ends(case, saying, told)
    for one in case.beside("security"):
        if one.event.action in _REFUSED and _is_of(case, one):
            reason = f": {quoted(str(one.event.detail['reason']))}" if one.event.detail.get("reason") else ""
            saying.fact("refused", f"{one.event.action}{reason}", one)


def _is_of(case: Case, one: Seen) -> bool:
    """Say whether what did not count was for an approval of these calls: others of the session have theirs."""
    event = one.event
    named_there = {event.approval_id, str(event.detail.get("file", ""))} - {""}
    seen = [each for told in case.calls for each in told.seen if each.ledger == one.ledger]
    if named_there.intersection(each.event.approval_id for each in seen):
        return True
    if event.call_id:
        return event.call_id in {each.event.call_id for each in seen}
    return not named_there


def _without(saying: Saying, told: Told) -> None:
    for one in told.of("attempt"):
        if one.event.approval_id:
            continue
        if one.event.policy_decision == "needs_approval":
            saying.fact("unasked", "it needs an approval, and none could be asked for", one)
        elif not one.event.policy_decision:
            saying.unknown("none", "whether it needed an approval", "the event says no decision", one)
        elif not told.of("approval"):
            saying.fact("none", "no approval was asked for: the decision did not need one", one)


def _step(saying: Saying, told: Told, one: Seen) -> None:
    event = one.event
    if event.action == "requested":
        _asked(saying, told, one)
    elif event.action in _VOTES:
        _vote(saying, one)
    elif event.action in _TIME:
        saying.fact("time", f"{event.action} at {event.timestamp}: {_TIME[event.action]}", one)


def _asked(saying: Saying, told: Told, one: Seen) -> None:
    event, said = one.event, one.event.detail
    roles = [str(role) for role in said.get("roles", ())]
    of = f" of the role {several(roles)}" if roles else ""
    terms = [
        name
        for name, key in (("by somebody else than who asked", "four_eyes"), ("with proof of presence", "step_up"))
        if said.get(key)
    ]
    text = f"the approval {event.approval_id} was asked for at {event.timestamp}: {said.get('quorum', 1)} needed{of}"
    saying.fact("asked", ", ".join((text, *terms)), one)
    hidden = said.get("hidden")
    view = f"view {named(event.approval_prompt_version)}, SHA-256 {event.approval_preview_hash}"
    whole = "; no value of the arguments was left out" if hidden == 0 else ""
    saying.fact(
        "shown", f"approvers are shown ({view}): {', '.join(map(named, event.approval_fields_shown))}{whole}", one
    )
    if isinstance(hidden, int) and hidden > 0:
        _hidden(saying, told, one, hidden)


def _hidden(saying: Saying, told: Told, one: Seen, count: int) -> None:
    """Say which arguments approvers did not see, as far as their names are on the record."""
    keys = [key for each in told.of("attempt") for key in each.event.arg_keys]
    shown = set(one.event.approval_fields_shown)
    missing = [key for key in dict.fromkeys(keys) if f"arguments.{key}" not in shown]
    which = f": {several(missing)}" if missing else "; the record does not name the arguments"
    saying.fact("hidden", f"values of arguments that approvers are not shown, or not in full: {count}{which}", one)


def _vote(saying: Saying, one: Seen) -> None:
    event, said = one.event, one.event.detail
    role = f", as {named(event.approval_role)}" if event.approval_role else ""
    independent = said.get("independent")
    apart = {
        True: "independent of who asked",
        False: "not independent of who asked: a confirmation, not a second pair of eyes",
    }
    facts = [
        f"over {named(str(said.get('channel', 'a channel that is not known')))}",
        f"assurance {event.identity_assurance or 'none'}",
        "with proof of presence" if said.get("stepped_up") else "",
        apart.get(independent, "") if isinstance(independent, bool) else "",
    ]
    about = ", ".join(filter(None, facts))
    saying.fact("vote", f"{event.action} by {named(event.approval_approver)}{role} at {event.timestamp}, {about}", one)


def _used(case: Case, saying: Saying, one: Seen) -> None:
    event = one.event
    if not event.approval_id:
        return
    match = event.approval_execution_match
    if match is None:
        saying.unknown("used", "whether what ran is what was approved", "the decision does not say", one)
    elif match:
        asked = event.detail.get("asked_in")
        other = f"; it was asked for in {case.called(one.ledger, str(asked))}" if asked else ""
        text = f"the approval was used at {event.timestamp}: what was let through is what was approved{other}"
        saying.fact("used", text, one)
    else:
        saying.fact("mismatch", "what was let through is not what was approved", one)


def _mismatch(saying: Saying, told: Told) -> None:
    for one in told.of("result"):
        if one.event.approval_execution_match is False:
            saying.fact("mismatch", "what was to run is not what was approved, and it did not run", one)


def _open_ends(case: Case, saying: Saying, told: Told) -> None:
    asked = [one for one in told.of("approval") if one.event.action == "requested"]
    decided = [one for one in told.of("approval") if one.event.action in (*_VOTES, "expired")]
    if asked and not decided:
        saying.unknown("vote", "what was decided", "no vote is on the record, and no end", *asked)
    waiting = [one for one in told.of("attempt") if _waits(one.event)]
    known = {each.event.approval_id for call in case.all for each in call.of("approval")}
    unknown = [one for one in waiting if one.event.approval_id not in known]
    if unknown:
        why = "no event that was found says that it was asked for"
        saying.unknown("asked", f"what approvers saw of {unknown[0].event.approval_id}", why, *unknown)
    if waiting and not told.of("decision"):
        saying.fact("unused", "no approval was used by this call", *waiting)


def _waits(event: Event) -> bool:
    return event.policy_decision == "needs_approval" and bool(event.approval_id)
