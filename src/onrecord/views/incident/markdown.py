# SPDX-License-Identifier: Apache-2.0
"""An incident as Markdown: headings and lists of ours, and in them text that is nothing else."""

from collections.abc import Iterator, Sequence

from onrecord.rules.rendering import markdown
from onrecord.views.incident import plain
from onrecord.views.incident.model import Citation, Incident


def text(incident: Incident) -> str:
    """Return the whole report."""
    return "\n".join(_lines(incident)) + "\n"


def _lines(incident: Incident) -> Iterator[str]:
    yield f"# {markdown(plain.heading(incident))}"
    yield ""
    yield markdown(plain.span(incident))
    yield ""
    for remark in (*incident.remarks, *(plain.gone(each) for each in incident.gone)):
        yield f"- {markdown(remark)}"
    for number, answer in enumerate(incident.answers, 1):
        yield ""
        yield f"## {number}\\. {markdown(answer.question)}"
        yield ""
        for said in answer.statements[: plain.SAID]:
            yield f"- {markdown(plain.statement(said))}{_about(said.calls, said.cites)}"
        for said in answer.not_known[: plain.SAID]:
            yield f"- *{markdown(plain.not_known(said))}*{_about(said.calls, said.cites)}"
        yield from (f"- {markdown(text)}" for text in plain.unsaid(answer))
    for title, rows in (
        ("Calls", map(plain.call_line, incident.calls)),
        ("Timeline", map(plain.entry_line, incident.timeline)),
    ):
        yield ""
        yield f"## {title}"
        yield ""
        yield from (f"- {markdown(row)}" for row in rows)


def _about(numbers: Sequence[int], cites: Sequence[Citation]) -> str:
    shown = [f"{plain.place(cite)} ({cite.event_id})" for cite in cites[: plain.CITED]]
    more = f"{len(cites) - plain.CITED} more" if len(cites) > plain.CITED else ""
    about = "; ".join(part for part in (plain.calls(numbers), *shown, more) if part)
    return f" — {markdown(about)}" if about else ""
