# SPDX-License-Identifier: Apache-2.0
"""Whether prompt injection was involved: what was flagged, whose word it was, what came after it, and what alarmed.

A flag is a sign and proves nothing; that nothing was flagged proves nothing either. That a call came after flagged
output is a fact. That it came because of it is known to nobody.
"""

from collections.abc import Iterable

from onrecord.event.event import Event
from onrecord.views.incident.saying import MOST, Case, Saying, named, quoted, several, target, values
from onrecord.views.incident.seen import Seen
from onrecord.views.signals.finding import SIGNAL, is_finding

_OF_REPEATS = ("repeated-call", "idempotency-key-reused")
# by OWASP and MITRE ATLAS; a year or a part of one may follow, as in LLM01:2025 and AML.T0051.001
_ABOUT_INJECTION = ("mcp_prompt_injection", "mcp_tool_poisoning", "MCP03", "MCP06", "ASI01", "LLM01", "AML.T0051")
_UNCHECKED = "unchecked"


def is_of_injection(ids: Iterable[str]) -> bool:
    """Say whether one of these is the id of an attack by what a model reads."""
    return any(each.startswith(_ABOUT_INJECTION) for each in ids)


def answer_injected(case: Case, saying: Saying) -> None:
    """Say what of the calls looked like an attack, and what came after it."""
    flagged = [one for told in case.all for one in told.seen if _flags(one.event)]
    for one in flagged:
        _flagged(case, saying, one)
    for one in flagged:
        _after(case, saying, one)
    _unfound(case, saying, flagged)
    _definitions(case, saying)
    for one in case.beside("security"):
        _alarm(saying, one)
    _rest(case, saying, flagged)


def _flags(event: Event) -> tuple[str, ...]:
    """Return what is flagged in what a server said: in an answer, or in what it asks of the client."""
    if event.phase == "result" or (event.phase == "attempt" and event.direction == "server_to_client"):
        return tuple(flag for flag in event.suspicious_signals if not _of_definition(flag) and flag not in _OF_REPEATS)
    return ()


def _of_definition(flag: str) -> bool:
    kind, colon, _ = flag.partition(":")
    return bool(colon) and (kind == "tool-definition" or kind.endswith("-description"))


def _flagged(case: Case, saying: Saying, one: Seen) -> None:
    event = one.event
    what = "the output of" if event.phase == "result" else "what the server asked of the client in"
    source = event.output_source or ("server" if event.phase == "attempt" else "")
    whose = f"; it is the word of the {source}, and untrusted" if source else ""
    passed = "the caller got it as it came" if event.phase == "result" else "it passed as it came"
    if event.policy_decision == "deny" and event.phase == "result":
        passed = "it was withheld from the caller"
    elif event.output_sanitised:
        passed = "it was changed before the caller got it"
    called = case.called(one.ledger, event.call_id)
    text = f"{what} {called}, {target(event)}, was flagged {several(_flags(event))}{whose}; {passed}"
    saying.say("flagged", "sign", text, one)
    if event.output_summary or event.error_summary:
        shown = values(event.output_summary) if event.output_summary else quoted(event.error_summary)
        saying.claim("text", f"{called} was answered, as far as the record has it: {shown}", one)
    elif event.phase == "result":
        why = f"the class {event.data_classification or 'of the call'} does not show it, or redaction withheld it"
        saying.unknown("text", f"what the flagged output of {called} said", why, one)


def _after(case: Case, saying: Saying, one: Seen) -> None:
    """Say which calls came after flagged output, by what stood on them when they were asked for; the riskiest first."""
    first = case.called(one.ledger, one.event.call_id)
    later = [each for told in case.all if told.ledger == one.ledger for each in told.of("attempt")]
    found = [each for each in later if one.event.call_id in each.event.suspicious_before]
    found = [each for each in found if each.event.call_id != one.event.call_id]
    found.sort(key=lambda each: -(each.event.risk_tier or 0))
    for each in found[:MOST]:
        event = each.event
        shown = f", values {values(event.input_summary)}" if event.input_summary else ""
        to = f", to {quoted(event.recipient)}" if event.recipient else ""
        this = case.called(each.ledger, event.call_id)
        saying.fact("after", f"after {first} came {this}, {target(event)}: tier {event.risk_tier}{to}{shown}", each)
    if len(found) > MOST:
        saying.fact("after", f"after {first} came more calls, none of a higher tier", *found[MOST:])


def _unfound(case: Case, saying: Saying, flagged: list[Seen]) -> None:
    """Say of calls that something before them was flagged which is not among what was found."""
    found = {one.event.call_id for one in flagged}
    for one in case.attempts():
        event = one.event
        if event.tainted_by and not found.intersection(event.suspicious_before):
            this = case.called(one.ledger, event.call_id)
            saying.fact("tainted", f"{this} came after output that was flagged {several(event.tainted_by)}", one)
            why = "the calls that it names were not found" if event.suspicious_before else "the event names no call"
            saying.unknown("source", f"which output that was, before {this}", why, one)


def _definitions(case: Case, saying: Saying) -> None:
    called = {(one.ledger, one.event.server_id, one.event.tool_name) for one in case.attempts()}
    about = [
        one
        for one in (*case.attempts(), *case.beside("tool_definition"))
        if one.event.phase == "attempt" or (one.ledger, one.event.server_id, one.event.tool_name) in called
    ]
    for one in about:
        flags = [flag for flag in one.event.suspicious_signals if "-description:" in flag]
        if flags:
            text = f"the description of {target(one.event)} was flagged {several(flags)}, which the model reads"
            saying.say("definition", "sign", text, one)


def _alarm(saying: Saying, one: Seen) -> None:
    """Say what alarmed: a finding of a rule, what a person said of one, or an event by itself."""
    event, said = one.event, one.event.detail
    if is_finding(event):
        ids = [str(said["owasp"])] if said.get("owasp") else []
        ids += [str(each) for name in ("mcp", "asi", "atlas") for each in said.get(name, ())]
        known = f" ({several(ids)})" if ids else ""
        what = f"{event.action.removeprefix(SIGNAL)}, {said.get('severity', 'of a severity that is withheld')}"
        told = [quoted(str(said[name])) for name in ("title", "why") if said.get(name)]
        why = ", ".join(told) or "why was withheld"
        if ids and not is_of_injection(ids):
            saying.fact("security", f"a finding of another kind, by the rule {what}: {why}{known}", one)
        else:
            saying.say("finding", "sign", f"the rule {what}: {why}{known}", one)
        return
    reason = event.policy_reason or str(said.get("reason", ""))
    why = f": {quoted(reason)}" if reason else ""
    if said.get("finding"):
        by = f"{named(event.action)} by {named(event.user_id or 'somebody')} at {event.timestamp}"
        saying.fact("review", f"of the finding {named(str(said['finding']))}: {by}{why}", one)
        return
    about = f" about {target(event)}" if event.tool_name else ""
    saying.fact("security", f"{named(event.action)}{about}{why}", one)


def _rest(case: Case, saying: Saying, flagged: list[Seen]) -> None:
    """Say what was looked at and not flagged, and what was never seen."""
    unseen: list[Seen] = []
    looked: list[Seen] = []
    for _, begun, ended in case.rounds():
        answered = [one for one in ended if one.event.result_status != "unknown"]
        looked += answered[:1]
        if not answered and (rests_on := ended[:1] or ([begun] if begun else [])):
            unseen += rests_on
    if unseen:
        why = "no answer to it was seen by the recorder"
        saying.unknown("output", "whether the output looked like an attack", why, *unseen)
    own = [one for one in flagged if not one.beside]
    if looked and not own:
        if any(one.event.output_source for one in looked):
            text = "no output of these calls was flagged, which is no proof that none was an attack"
        else:
            text = "there was no output: none of these calls was answered by its server"
        saying.fact("none", text, *looked)
    if unchecked := [one for one in own if _UNCHECKED in _flags(one.event)]:
        saying.unknown(
            "unchecked", "whether all of the output is harmless", "it could not be looked at whole", *unchecked
        )
