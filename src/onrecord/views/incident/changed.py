# SPDX-License-Identifier: Apache-2.0
"""What changed: how each call ended, what it acted on, the state before and after, the way back, and what came twice.

That a server says it succeeded is its word. That a call was blocked is ours: it never reached the server.
"""

import msgspec

from onrecord.event.event import Event
from onrecord.views.incident.saying import Case, Saying, named, quoted, target, values
from onrecord.views.incident.seen import Seen, Told

DEEP_FROM = 2  # from this tier up, the record has the resource, the states and the way back
_REUSED = "idempotency-key-reused"
_GIVEN_UP = {
    "cancelled": "it was cancelled, and the server may have done it all the same",
    "timed_out": "no answer came in time, and the server may have done it all the same",
}


def answer_changed(case: Case, saying: Saying) -> None:
    """Say what each call came to."""
    ran: list[tuple[Told, Seen, Seen | None]] = []
    for told, begun, ended in case.rounds():
        first = ended[0] if ended else None
        if _outcome(case, saying, told, begun, ended) and (begun or first):
            ran.append((told, begun or ended[0], first))
    for _, begun, ended in ran:
        _acted_on(saying, begun, ended)
    for _, begun, ended in ran:
        _came_of_it(saying, begun, ended)
    own = {(told.ledger, told.call_id) for told in case.calls}
    for one in (one for told in case.all for one in told.of("attempt")):
        if own.intersection({(one.ledger, one.event.call_id), (one.ledger, one.event.repeats)}):
            _repeat(case, saying, one)
    for _, begun, ended in ran:
        _open_ends(saying, begun, ended)


def _outcome(case: Case, saying: Saying, told: Told, begun: Seen | None, ended: list[Seen]) -> bool:
    """Say how a round ended, and return whether it may have changed anything."""
    if begun is None:
        saying.unknown(
            "begun", "how it began: what was asked for, and what was decided", "no attempt was found", *ended
        )
    if not ended:
        assert begun is not None
        ran = told.may_have_run(begun.event.round)
        runs = "it runs still, or its recorder died"
        why = f"no closing event was found{f': {runs}' if ran else ''}{case.deleted_behind(begun)}"
        text = "how it ended" if ran else "how it ended; it was not let through"
        saying.unknown("outcome", text, why, begun)
        return ran
    for one in ended[1:]:
        late = "after the call was closed, an answer came" if one.event.late else "a further closing event says"
        saying.claim("late", f"{late}: {one.event.result_status}", one)
    return _ended(saying, told, ended[0])


def _ended(saying: Saying, told: Told, one: Seen) -> bool:
    event = one.event
    status, kind = event.result_status, f" ({named(event.error_type)})" if event.error_type else ""
    whose = "the client" if event.direction == "server_to_client" else "the server"
    if status == "blocked" or (status in _GIVEN_UP and not told.may_have_run(event.round)):
        saying.fact("nothing", f"{target(event)} did not run: {status}{kind}", one)
        return False
    if status == "input_required":
        saying.fact("nothing", f"{target(event)} had not run yet: input was asked for first", one)
        return False
    if status in _GIVEN_UP:
        saying.unknown("outcome", "whether it took effect", _GIVEN_UP[status], one)
    elif status == "succeeded":
        saying.claim("outcome", f"{whose} answered that it succeeded", one)
    elif status == "failed":
        said = f": {quoted(event.error_summary)}" if event.error_summary else ""
        saying.claim("outcome", f"{whose} answered {target(event)} with a failure{kind}{said}", one)
        why = "a failure says nothing of what was done before it"
        saying.unknown("before_failure", "whether it changed anything before it failed", why, one)
    elif status == "accepted":
        saying.claim("outcome", f"{whose} answered that it works on it, as a task", one)
        saying.unknown("task", "how that task ended", "its end is in calls about the task, if a client asked", one)
    else:
        saying.unknown("outcome", "whether it took effect", f"its end was not seen{kind}", one)
    return True


def _acted_on(saying: Saying, begun: Seen, ended: Seen | None) -> None:
    asked, said = begun.event, ended.event if ended else Event()
    if asked.downstream_resource:
        saying.fact("target", f"by its arguments it acted on {quoted(asked.downstream_resource)}", begun)
    elif asked.resource_uri:
        saying.fact("target", f"it read {quoted(asked.resource_uri)}", begun)
    if ended and said.downstream_resource not in ("", asked.downstream_resource):
        saying.claim("target", f"its handler says that it acted on {quoted(said.downstream_resource)}", ended)
    if asked.recipient:
        saying.fact("recipient", f"by its arguments it went to {quoted(asked.recipient)}", begun)
    if asked.idempotency_key:
        saying.fact("idempotency", f"its idempotency key was {quoted(asked.idempotency_key)}", begun)


def _came_of_it(saying: Saying, begun: Seen, ended: Seen | None) -> None:
    asked, said = begun.event, ended.event if ended else Event()
    if ended and said.result_id:
        saying.claim("result", f"the result names what was made or changed: {quoted(said.result_id)}", ended)
    states = [
        f"{name} {quoted(text)}"
        for name, text in (("before", said.before_summary), ("after", said.after_summary))
        if text
    ]
    if ended and states:
        saying.claim("state", f"the result says: {', '.join(states)}", ended)
    if ended and said.content_reference:
        saying.claim("content", f"its content is kept elsewhere: {quoted(said.content_reference)}", ended)
    if ended and said.ext:
        saying.claim("own", f"its handler added: {values(_json(said))}", ended)
    if asked.rollback_reference:
        saying.fact("rollback", f"the manifest says: {quoted(asked.rollback_reference)}", begun)
    if ended and said.rollback_reference not in ("", asked.rollback_reference):
        saying.claim("rollback", f"the result says: {quoted(said.rollback_reference)}", ended)


def _json(event: Event) -> str:
    return msgspec.json.encode(event.ext).decode()


def _repeat(case: Case, saying: Saying, one: Seen) -> None:
    event = one.event
    if not event.repeats:
        return
    this, first = case.called(one.ledger, event.call_id), case.called(one.ledger, event.repeats)
    others = [each for told in case.all if told.call_id == event.repeats for each in told.of("attempt")]
    if _REUSED in event.suspicious_signals:
        text = f"{this} has the idempotency key of {first}, for other arguments"
    elif event.policy_decision == "deny":
        text = f"{this} repeats {first}, with the same arguments, and was refused"
    else:
        text = f"{this} repeats {first}, with the same arguments: what they do may have been done twice"
    saying.fact("repeat", text, one, *others)


def _open_ends(saying: Saying, begun: Seen, ended: Seen | None) -> None:
    """Say what of a call that may have changed something is not known."""
    asked, said = begun.event, ended.event if ended else Event()
    if asked.direction == "server_to_client":
        return  # what a client says to its server changes nothing by itself
    rests_on = (begun, ended) if ended else (begun,)
    tier = asked.risk_tier
    shown = any((said.before_summary, said.after_summary, said.rollback_reference))
    if tier is not None and tier < DEEP_FROM and not shown:
        why = f"of tier {tier} the record has no states and no way back"
        saying.unknown("effect", "what it changed, if it changed anything", why, *rests_on)
        return
    if not any((asked.downstream_resource, asked.resource_uri, asked.recipient, said.downstream_resource)):
        why = "the manifest names no resource and no recipient for it, or the arguments do not hold them"
        saying.unknown("target", "what it acted on", why, *rests_on)
    if not (said.before_summary or said.after_summary):
        why = _missing(said, ended, "before_summary", "after_summary")
        saying.unknown("state", "the state before and after", why, *rests_on)
    if not (asked.rollback_reference or said.rollback_reference):
        saying.unknown("rollback", "how to undo it", _missing(said, ended, "rollback_reference"), *rests_on)


def _missing(said: Event, ended: Seen | None, *fields: str) -> str:
    if ended is None:
        return "there is no result"
    if any(field in said.not_told for field in fields):
        return "the manifest names a place for it, and the result does not hold it"
    return "the manifest names no place for it"
