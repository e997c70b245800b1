# SPDX-License-Identifier: Apache-2.0
"""An incident as one HTML page that stands alone: no script, nothing from elsewhere, fit to be printed.

A policy in the page forbids all that is not this style, so even a mistake in here could load and run nothing. Links
lead within the page only, to anchors that are numbered here.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

from onrecord.rules.rendering import html_text
from onrecord.views.incident import plain
from onrecord.views.incident.model import Answer, Citation, Entry, Incident, QuestionName

_SHORT: dict[QuestionName, str] = {
    "who": "Who",
    "chosen": "What was proposed",
    "allowed": "Allowed",
    "approved": "Approved",
    "changed": "What changed",
    "injected": "Prompt injection",
}
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
body { overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
a { color: inherit; } .contents a { margin-right: 1rem; }
ul { padding-left: 1.2rem; } li { margin: .3rem 0; }
.fact::marker { content: "\\2022  "; } .claim::marker { content: "\\2013  "; }
.sign::marker { content: "!  "; } .unknown::marker { content: "?  "; }
.sign > span:first-child { font-weight: 600; } .unknown { font-style: italic; }
.cites, .beside { opacity: .7; } .cites { font-size: .8em; font-style: normal; }
.remark { border-left: .3rem solid; padding-left: .6rem; list-style: none; }
table { border-collapse: collapse; width: 100%; font-size: .85em; }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #8886; }
td { min-width: 1rem; } td:last-child { font-size: .85em; } tr:target { outline: 2px solid; }
@media screen and (max-width: 45rem) {
  table, tbody, tr { display: block; } thead { display: none; }
  td { display: inline; border: 0; } td:last-child { display: block; }
  tr { border-bottom: 1px solid #8886; padding: .4rem 0; }
}
@media print { body { font-size: 10pt; max-width: none; margin: 0; } .contents { display: none; } }
@media print { h2 { break-after: avoid; } li, tr { break-inside: avoid; } a { text-decoration: none; } }
"""


def text(incident: Incident) -> str:
    """Return the whole page."""
    return "\n".join(_page(incident)) + "\n"


def _page(incident: Incident) -> Iterator[str]:
    anchors = {entry.cite: f"e{number}" for number, entry in enumerate(incident.timeline, 1)}
    title = html_text(plain.heading(incident))
    style = b64encode(sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{title}</h1><p>{html_text(plain.span(incident))}</p>"
    for remark in (*incident.remarks, *(plain.gone(each) for each in incident.gone)):
        yield f'<p class="remark">{html_text(remark)}</p>'
    yield f'<p class="contents">{"".join(_contents(incident))}</p>'
    for number, answer in enumerate(incident.answers, 1):
        yield f'<h2 id="q{number}">{number}. {html_text(answer.question)}</h2>'
        yield from _answer(answer, anchors)
    yield '<h2 id="calls">Calls</h2>'
    yield from _calls(incident)
    yield '<h2 id="timeline">Timeline</h2>'
    yield from _timeline(incident.timeline, anchors)
    yield "</body></html>"


def _contents(incident: Incident) -> Iterator[str]:
    for number, answer in enumerate(incident.answers, 1):
        yield f'<a href="#q{number}">{number}. {html_text(_SHORT[answer.name])}</a> '
    yield '<a href="#calls">Calls</a> <a href="#timeline">Timeline</a>'


def _answer(answer: Answer, anchors: Mapping[Citation, str]) -> Iterator[str]:
    yield "<ul>"
    for said in answer.statements[: plain.SAID]:
        about = _about(said.calls, said.cites, anchors)
        yield f'<li class="{said.worth}"><span>{html_text(plain.statement(said))}</span>{about}</li>'
    for said in answer.not_known[: plain.SAID]:
        shown = html_text(plain.not_known(said))
        yield f'<li class="unknown"><span>{shown}</span>{_about(said.calls, said.cites, anchors)}</li>'
    yield from (f'<li class="remark">{html_text(text)}</li>' for text in plain.unsaid(answer))
    yield "</ul>"


def _about(numbers: Sequence[int], cites: Sequence[Citation], anchors: Mapping[Citation, str]) -> str:
    shown: dict[str, list[str]] = {}
    for cite in cites[: plain.CITED]:  # the log is named before the first of its events: calls#41, 42
        links = shown.setdefault(plain.log(cite), [])
        name = str(cite.seq) if links else plain.place(cite)
        links.append(f'<a href="#{anchors[cite]}">{html_text(name)}</a>')
    more = f" and {len(cites) - plain.CITED} more" if len(cites) > plain.CITED else ""
    parts = [html_text(plain.calls(numbers)), "; ".join(", ".join(links) for links in shown.values()) + more]
    about = "; ".join(part for part in parts if part)
    return f' <span class="cites">[{about}]</span>' if about else ""


def _calls(incident: Incident) -> Iterator[str]:
    names = ("", "begun", "server", "what", "decision", "end", "call id")
    yield f"<table><thead><tr>{''.join(f'<th>{name}</th>' for name in names)}</tr></thead><tbody>"
    for call in incident.calls:
        server = f"{call.ledger} {call.server}".strip()
        cells = (str(call.number), call.begun, server, call.name, call.decision, call.status or "no closing event")
        yield _row((*cells, call.call_id), beside=call.beside)
    yield "</tbody></table>"


def _timeline(entries: Iterable[Entry], anchors: Mapping[Citation, str]) -> Iterator[str]:
    yield "<table><thead><tr><th>at</th><th>where</th><th>call</th><th>what</th><th>event id</th></tr></thead><tbody>"
    for entry in entries:
        cells = (
            entry.at,
            plain.place(entry.cite),
            f"call {entry.call}" if entry.call else "",
            entry.text,
            entry.cite.event_id,
        )
        yield _row(cells, beside=entry.beside, anchor=anchors[entry.cite])
    yield "</tbody></table>"


def _row(cells: Sequence[str], *, beside: bool, anchor: str = "") -> str:
    kind = ' class="beside"' if beside else ""
    place = f' id="{anchor}"' if anchor else ""
    return f"<tr{kind}{place}>{''.join(f'<td>{html_text(cell)}</td>' for cell in cells)}</tr>"
