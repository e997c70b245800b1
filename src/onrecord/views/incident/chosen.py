# SPDX-License-Identifier: Apache-2.0
"""What was proposed: the tool, the arguments as far as they may be shown, the model, and the tool's definition then.

Whether another tool would have been right is for people to say. What helps them is here: what was asked for, whether
it fitted, what the tool said of itself at the time, and what else its server had listed.
"""

from typing import Any

import msgspec

from onrecord.event.event import Event
from onrecord.views.incident.saying import Case, Saying, named, quoted, several, target, values
from onrecord.views.incident.seen import Seen

_STANDING = {
    "tool-definition:changed": "it had changed since it was pinned, and nobody had accepted it",
    "tool-definition:unconfirmed": "its pin had been lost, and nobody had accepted it",
    "tool-definition:unpinned": "it could not be pinned",
    "tool-definition:stale": "the server had said that its list is another one by then",
}
_WITHHELD = {
    "high": "the class high shows no values",
    "critical": "the class critical shows neither names nor values",
}


def answer_chosen(case: Case, saying: Saying) -> None:
    """Say what the model asked for, and what is known of the tool."""
    attempts = case.attempts()
    for one in attempts:
        _proposed(saying, one)
    for one in attempts:
        if one.event.direction != "server_to_client":
            _model(saying, one)
    for one in attempts:
        _arguments(saying, one)
    for one in attempts:
        _definition(case, saying, one)
    _changes(case, saying)
    _offered(case, saying)
    if attempts:
        saying.unknown(
            "intended", "whether it was what the person wanted", "the record has what was called, not what was meant"
        )


def _proposed(saying: Saying, one: Seen) -> None:
    event = one.event
    how = f"tier {event.risk_tier}, class {event.data_classification or 'not known'}"
    names = f"; arguments: {several(event.arg_keys)}" if event.arg_keys else ""
    shown = f"; values: {values(event.input_summary)}" if event.input_summary else ""
    answers = f"; answers to the server's questions: {values(event.answers_summary)}" if event.answers_summary else ""
    saying.fact("proposed", f"{target(event)} was asked for ({how}){names}{shown}{answers}", one)
    _values(saying, one)
    if event.limits_exceeded:
        text = f"arguments past the limits of the manifest: {several(event.limits_exceeded)}"
        saying.fact("limits", f"{target(event)}: {text}", one)


def _values(saying: Saying, one: Seen) -> None:
    event = one.event
    shown = _keys(event.input_summary)
    missing = [key for key in event.arg_keys if key not in shown]
    hidden = [place for place in event.sensitive_fields if place.startswith("/arguments/")]
    if missing:
        saying.unknown("values", f"{target(event)}: the values of {several(missing)}", _why(event), one)
    elif not event.arg_keys and (
        event.redaction_error or event.data_classification == "critical" or not event.risk_tier
    ):
        saying.unknown("values", f"{target(event)}: what the arguments were, if there were any", _why(event), one)
    if hidden:
        text = f"{target(event)}: what stood at {several(hidden)}"
        saying.unknown("redacted", text, "redaction withheld it", one)


def _keys(summary: str) -> frozenset[str]:
    try:
        return frozenset(msgspec.json.decode(summary, type=dict[str, Any])) if summary else frozenset()
    except (msgspec.MsgspecError, RecursionError):
        return frozenset()


def _why(event: Event) -> str:
    """Return why values of a call are not on the record."""
    if event.redaction_error:
        return "redaction failed, so they are withheld"
    if event.risk_tier == 0:
        return "of tier 0 no arguments are recorded"
    if event.data_classification in _WITHHELD:
        return _WITHHELD[event.data_classification]
    if _standing(event) or (event.event_type == "tool_call" and not event.tool_definition_hash):
        return "no definition was known that is believed, so nobody could say what its schema marks"
    if event.data_classification == "medium":
        return "the class medium shows only values that the manifest declares"
    return "redaction withheld them, or they are too long"


def _standing(event: Event) -> str:
    return next((_STANDING[flag] for flag in event.suspicious_signals if flag in _STANDING), "")


def _model(saying: Saying, one: Seen) -> None:
    event = one.event
    if event.model or event.model_step_id:
        model = f"the model {quoted(event.model)}" if event.model else "a model that it does not name"
        step = f", at its step {quoted(event.model_step_id)}" if event.model_step_id else ""
        saying.claim("model", f"the client says that {model} chose it{step}", one)
    else:
        saying.unknown("model", "which model chose it, and at which step", "the client did not say", one)


def _arguments(saying: Saying, one: Seen) -> None:
    event = one.event
    if event.arguments_valid == "valid":
        saying.fact("arguments", "the arguments fit the tool's input schema", one)
    elif event.arguments_valid == "invalid":
        where = f" at {several(place or 'the top' for place in event.arguments_unfit)}" if event.arguments_unfit else ""
        saying.fact("arguments", f"{target(event)}: the arguments do not fit the tool's input schema{where}", one)
    elif event.event_type == "tool_call":
        why = "there was no schema that is believed, or it could not be checked"
        saying.unknown("arguments", f"{target(event)}: whether the arguments fit the tool's input schema", why, one)


def _definition(case: Case, saying: Saying, one: Seen) -> None:
    event = one.event
    if event.event_type != "tool_call":
        return
    digest, standing = event.tool_definition_hash, _standing(event)
    if not digest:
        text = f"{target(event)}: which definition the model saw"
        saying.unknown("definition", text, "the server had not listed it over this connection", one)
    elif standing:
        saying.fact("definition", f"{target(event)} had the definition {digest}: {standing}", one)
    elif pinned := [each for each in _definitions(case, one) if _pins(each.event, digest)]:
        by = "was pinned when it was first listed" if pinned[-1].event.action == "pinned" else "a person accepted"
        text = f"{target(event)} had the definition {digest}, which {by}, at {pinned[-1].event.timestamp}"
        saying.fact("definition", text, one, pinned[-1])
    else:
        saying.fact("definition", f"{target(event)} had the definition {digest}", one)
        why = "no event that was found says so"
        saying.unknown("pinned", f"{target(event)}: when that definition was pinned", why, one)


def _definitions(case: Case, one: Seen) -> list[Seen]:
    """Return what is known of the definitions of a server until a call of it began."""
    return [
        each
        for each in case.beside("tool_definition")
        if (each.ledger, each.event.server_id) == (one.ledger, one.event.server_id)
        and each.log == "calls"
        and each.event.seq < one.event.seq
    ]


def _pins(event: Event, digest: str) -> bool:
    if event.action not in ("pinned", "accepted"):
        return False
    return event.tool_definition_hash == digest or digest in _tools(event)


def _tools(event: Event) -> dict[str, str]:
    """Return the tools that an event names, by the digest of their definition."""
    try:
        return msgspec.convert(event.detail.get("tools", {}), dict[str, str])
    except msgspec.MsgspecError:
        return {}


def _changes(case: Case, saying: Saying) -> None:
    called = {(one.ledger, one.event.server_id, one.event.tool_name) for one in case.attempts()}
    for one in case.beside("tool_definition"):
        event = one.event
        names = {event.tool_name, str(event.detail.get("was", ""))} - {""}
        if event.action == "pinned" or not any((one.ledger, event.server_id, name) in called for name in names):
            continue
        before, places = str(event.detail.get("before", "")), str(event.detail.get("places", ""))
        parts = [
            f"from {named(before)}" if before else "",
            f"to {named(event.tool_definition_hash)}" if event.tool_definition_hash else "",
            f"at {quoted(places)}" if places else "",
            f"before called {quoted(str(event.detail['was']))}" if event.detail.get("was") else "",
        ]
        about = " ".join(filter(None, parts))
        text = f"the definition of {target(event)}: {event.action} at {event.timestamp} {about}".rstrip()
        saying.fact("definition_change", text, one)


def _offered(case: Case, saying: Saying) -> None:
    """Say which other tools the same servers had listed: of those the model could choose."""
    called = {(one.ledger, one.event.server_id, one.event.tool_name) for one in case.attempts()}
    for ledger, server in dict.fromkeys((ledger, server) for ledger, server, _ in called):
        pinned = [
            one
            for one in case.beside("tool_definition")
            if (one.ledger, one.event.server_id, one.event.action) == (ledger, server, "pinned")
        ]
        tools = {name: one for one in pinned for name in _tools(one.event).values()}
        others = {name: one for name, one in tools.items() if (ledger, server, name) not in called}
        if others:
            text = f"{named(server)} had also listed: {several(others)}"
            saying.fact("offered", text, *others.values())
