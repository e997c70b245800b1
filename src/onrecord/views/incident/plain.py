# SPDX-License-Identifier: Apache-2.0
"""An incident as lines of text. Whoever prints them makes them neutral."""

from collections.abc import Iterator, Sequence

from onrecord.views.incident.model import Answer, CallLine, Citation, Entry, Gone, Incident, NotKnown, Statement
from onrecord.views.incident.saying import named

SAID = 200  # statements of one answer that are shown to people
CITED = 20  # events that one statement shows
_WORTH = {"fact": "", "claim": "a claim: ", "sign": "a sign, no proof: "}


def lines(incident: Incident) -> Iterator[str]:
    """Yield the whole report, line by line."""
    yield heading(incident)
    yield span(incident)
    for remark in (*incident.remarks, *(gone(each) for each in incident.gone)):
        yield f"! {remark}"
    for number, answer in enumerate(incident.answers, 1):
        yield ""
        yield f"{number}. {answer.question}"
        yield from _answer(answer)
    yield ""
    yield "Calls"
    yield from (f"  {call_line(each)}" for each in incident.calls)
    yield ""
    yield "Timeline"
    yield from (f"  {entry_line(each)}" for each in incident.timeline)


def heading(incident: Incident) -> str:
    """Return what the report is about."""
    return f"Incident: {incident.kind} {named(incident.subject)}"


def span(incident: Incident) -> str:
    """Return its time, and how much of the record it is made of."""
    own = sum(not call.beside for call in incident.calls)
    ledgers = f" in {len(incident.ledgers)} ledgers" if len(incident.ledgers) > 1 else ""
    beside = len(incident.timeline) - incident.events
    return (
        f"{incident.begun} to {incident.ended}: {own} {'call' if own == 1 else 'calls'}, "
        f"{incident.events} {'event' if incident.events == 1 else 'events'}{ledgers}, and {beside} beside them"
    )


def gone(each: Gone) -> str:
    """Return what was deleted, and which entry says so."""
    where = f"{log(each.cite)}#{each.first}"
    which = f"{where} was" if each.first == each.last else f"{where} to {each.last} were"
    return (
        f"{which} deleted under the rule {named(each.rule)}, as {place(each.cite)} says; whether they belong to "
        "this is not known"
    )


def place(cite: Citation) -> str:
    """Return where an event stands: `calls#41`, with its ledger where there are several."""
    return f"{log(cite)}#{cite.seq}"


def log(cite: Citation) -> str:
    """Return in which log an event stands."""
    return f"{named(cite.ledger)} {cite.log}" if cite.ledger else cite.log


def places(cites: Sequence[Citation]) -> str:
    """Return where events stand, the first of many: `calls#41, 42; security#3`."""
    shown: dict[str, list[str]] = {}
    for cite in cites[:CITED]:
        shown.setdefault(log(cite), []).append(str(cite.seq))
    more = f" and {len(cites) - CITED} more" if len(cites) > CITED else ""
    return "; ".join(f"{name}#{', '.join(seqs)}" for name, seqs in shown.items()) + more


def statement(said: Statement) -> str:
    """Return a statement with what it is worth."""
    return f"{_WORTH[said.worth]}{said.text}"


def not_known(said: NotKnown) -> str:
    """Return what is not known, and why."""
    return f"not known: {said.text}: {said.why}"


def calls(numbers: Sequence[int]) -> str:
    """Return which calls something is said of, in runs: `calls 1, 3 to 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a} to {b}" for a, b in runs]
    listed = ", ".join(shown[:CITED]) + (" and more" if len(shown) > CITED else "")
    return f"call {listed}" if len(numbers) == 1 else f"calls {listed}" if numbers else ""


def _answer(answer: Answer) -> Iterator[str]:
    for said in answer.statements[:SAID]:
        yield f"  - {statement(said)}{_about(said.calls, said.cites)}"
    for said in answer.not_known[:SAID]:
        yield f"  ? {not_known(said)}{_about(said.calls, said.cites)}"
    yield from (f"  ! {text}" for text in unsaid(answer))


def unsaid(answer: Answer) -> Iterator[str]:
    """Yield what an answer lacks: anything, or what is too much for people to read."""
    if not (answer.statements or answer.not_known):
        yield "not known: nothing that was found says anything of it"
    more = max(0, len(answer.statements) - SAID) + max(0, len(answer.not_known) - SAID)
    if more:
        yield f"{more} more statements are left out here; JSON has all, or ask for a shorter time"


def _about(numbers: Sequence[int], cites: Sequence[Citation]) -> str:
    about = "; ".join(part for part in (calls(numbers), places(cites)) if part)
    return f"  [{about}]" if about else ""


def call_line(call: CallLine) -> str:
    """Return one line about a call."""
    where = f"{named(call.ledger)} " if call.ledger else ""
    name = f"{named(call.server or 'a server without a name')}/{named(call.name)}"
    ended = call.status or "no closing event"
    beside = "  (beside it)" if call.beside else ""
    decided = call.decision or "not decided"
    return f"{call.number}  {call.begun}  {where}{name}  {decided}  {ended}  {call.call_id}{beside}"


def entry_line(entry: Entry) -> str:
    """Return one event as a line: when, where it stands, of which call, what it says, and its id."""
    of = f"call {entry.call}: " if entry.call else ""
    beside = "  (beside it)" if entry.beside else ""
    return f"{entry.at}  {place(entry.cite)}  {of}{entry.text}  {entry.cite.event_id}{beside}"
