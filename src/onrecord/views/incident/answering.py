# SPDX-License-Identifier: Apache-2.0
"""From the events that were gathered to the incident: the answers, the calls, the timeline. Nothing is read here."""

from collections.abc import Callable, Mapping

from onrecord.views.incident.allowed import answer_allowed
from onrecord.views.incident.approved import answer_approved
from onrecord.views.incident.changed import answer_changed
from onrecord.views.incident.chosen import answer_chosen
from onrecord.views.incident.injected import answer_injected
from onrecord.views.incident.model import Answer, CallLine, Entry, Incident, QuestionName
from onrecord.views.incident.saying import Case, Saying
from onrecord.views.incident.seen import Gathered, Told
from onrecord.views.incident.timeline import told
from onrecord.views.incident.who import answer_who

_ANSWERING: Mapping[QuestionName, Callable[[Case, Saying], None]] = {
    "who": answer_who,
    "chosen": answer_chosen,
    "allowed": answer_allowed,
    "approved": answer_approved,
    "changed": answer_changed,
    "injected": answer_injected,
}
_READ = "these lines were read, and not verified: onrecord verify says whether the record is what it was"


def incident_of(gathered: Gathered) -> Incident:
    """Return what the record says of what was gathered, which must not be empty."""
    case = Case(gathered)
    own = [one for one in gathered.seen if not one.beside]
    return Incident(
        kind=gathered.kind,
        subject=gathered.subject,
        begun=own[0].event.timestamp,
        ended=own[-1].event.timestamp,
        ledgers=gathered.ledgers,
        events=len(own),
        calls=tuple(_line(each) for each in case.all),
        answers=tuple(_answer(case, name) for name in _ANSWERING),
        timeline=tuple(
            Entry(
                at=one.event.timestamp,
                cite=one.cite,
                call=case.number(one),
                text=told(one.event),
                beside=one.beside,
            )
            for one in gathered.seen
        ),
        gone=gathered.gone,
        remarks=(_READ, *gathered.remarks),
    )


def _answer(case: Case, name: QuestionName) -> Answer:
    saying = Saying(case)
    _ANSWERING[name](case, saying)
    return saying.answer(name)


def _line(call: Told) -> CallLine:
    first = call.seen[0].event
    decided = [one.event.policy_decision for one in (*call.of("attempt"), *call.of("decision"))]
    ended = [one.event.result_status for one in call.of("result")]
    return CallLine(
        number=call.number,
        call_id=call.call_id,
        ledger=call.ledger,
        server=first.server_id,
        name=first.tool_name or first.resource_uri or first.prompt_name or first.method,
        begun=first.timestamp,
        decision=decided[-1] if decided else "",
        status=ended[-1] if ended else "",
        beside=call.beside,
    )
