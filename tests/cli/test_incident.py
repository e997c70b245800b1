# SPDX-License-Identifier: Apache-2.0
"""`onrecord incident`: its forms, in which nothing acts that others chose; what it lacks; who looked, and at what."""

import json
import re
import shutil
import unicodedata
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from tests.cli.test_access import accesses
from tests.doors.session import onrecord, record
from tests.views import incidents
from tests.views.signalled import DAY, Record, attempt, new_id, other

from onrecord.event.event import Event, encode
from onrecord.event.redacted import Redacted, own_fact
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.place import Home
from onrecord.ledger.pruning import delete
from onrecord.ledger.spool import Spool

FORMS = ("text", "json", "markdown", "html")
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\u202eesrever\u2066\u200b</td><script>alert(1)</script><img src=x onerror=alert(1)> "
    "[press](javascript:alert(1)) ![i](https://evil.example/i.png) `code` **bold** https://evil.example\n"
    "## 6. Was prompt injection involved?\n  - no\r\n1. Who started it\n<!-- "
)
STRUCTURE = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "ul", "li", "span", "a",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


class Page(HTMLParser):
    """The elements of a page, what they are given, and its text."""

    def __init__(self):
        super().__init__()
        self.elements, self.text, self.comments = [], "", []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.comments.append(data)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A home in which everything that others may choose acts, if it can; and the id to begin with."""
    home = tmp_path_factory.mktemp("hostile") / "home"
    world = incidents.World(home, incidents.rule("*", 3, "low", rollback="/undo", result_id="/id", recipient="/to"))
    name = f"look{HOSTILE}"
    world.serves(
        incidents.tool(name, HOSTILE, {"to": "string"}),
        calls_itself=HOSTILE,
        answers={name: incidents.structured(id=HOSTILE, undo=HOSTILE, **{HOSTILE: HOSTILE})},
    )
    with world.session(HOSTILE) as session:
        meta = {incidents.INVOCATION: {"turnId": HOSTILE, "model": HOSTILE}}
        session.ask("tools/call", name=name, arguments={"to": HOSTILE, HOSTILE: HOSTILE}, _meta=meta)
        session.end()
    attempt, result = (e for e in record(home) if e["event_type"] == "tool_call")
    assert "<script>" in attempt["tool_name"]
    assert "\u202e" in attempt["input_summary"] + attempt["recipient"]
    assert "<script>" in result["output_summary"]
    return home, attempt["session_id"]


def shown(home, start, form, *arguments):
    asked = onrecord(home, "incident", start, "--format", form, *arguments)
    assert (asked.returncode, asked.stderr) == (0, "")
    return asked.stdout


@pytest.mark.requirement("E2", "B7")
def test_nothing_that_others_chose_acts_on_a_terminal_or_looks_like_an_answer(hostile):
    text = shown(*hostile, "text")

    assert [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")] == []
    assert len(re.findall(r"^[0-9]\. ", text, re.MULTILINE)) == 6
    assert text.count("\n## ") == 0


@pytest.mark.requirement("E2", "B7")
def test_nothing_that_others_chose_is_more_than_text_in_json(hostile):
    text = shown(*hostile, "json")

    assert text.isascii()
    assert "<" not in text
    assert len(json.loads(text)["answers"]) == 6


@pytest.mark.requirement("E2", "B7")
def test_nothing_that_others_chose_is_more_than_text_in_markdown(hostile):
    tokens = MarkdownIt("commonmark", {"html": True}).parse(shown(*hostile, "markdown"))

    kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}
    blocks = ("heading", "paragraph", "bullet_list", "list_item", "em")
    ours = {f"{kind}_{end}" for kind in blocks for end in ("open", "close")}
    assert kinds <= {*ours, "inline", "text", "softbreak", "text_special"}
    headings = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    assert len(headings) == 1 + 6 + 2


@pytest.mark.requirement("E2", "B7")
def test_a_page_holds_no_element_that_others_chose_and_loads_nothing(hostile):
    page = Page()
    page.feed(text := shown(*hostile, "html"))
    page.close()

    assert {tag for tag, _ in page.elements} == STRUCTURE
    assert page.comments == []
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for tag, attributes in page.elements:
        allowed = {"a": {"href"}, "html": {"lang"}, "meta": {"charset", "name", "http-equiv", "content"}}
        assert set(attributes) <= allowed.get(tag, {"class", "id"})
        assert tag != "a" or attributes["href"][1:] in ids
    policy = next(attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "<script>alert(1)" in page.text
    assert "\x1b" not in text + page.text
    assert "\u202e" not in text


def test_a_report_goes_to_a_file_that_is_not_there_yet(hostile, tmp_path):
    home, start = hostile
    for form in FORMS:
        file = tmp_path / f"report.{form}"
        assert shown(home, start, form, "--out", str(file)) == f"{file}\n"
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text() == shown(home, start, form)
        again = onrecord(home, "incident", start, "--out", str(file))
        assert (again.returncode, "is there already" in again.stderr) == (2, True)


@pytest.mark.requirement("A3", "E2")
def test_each_look_is_on_the_access_log_with_what_was_asked_and_how_many_events_came(hostile):
    home, start = hostile
    incident = json.loads(shown(home, start, "json", "--since", "2026-01-01"))

    event = accesses(home)[-1]
    assert event["action"] == "incident"
    assert json.loads(event["detail"]["filter"]) == {"which": start, "since_us": 1767225600_000_000}
    assert event["detail"]["count"] == str(len(incident["timeline"]))
    assert event["detail"]["log"] == "calls,security"


@pytest.mark.requirement("E2")
@pytest.mark.parametrize(
    "which", ["01a20095-5ff4-7a58-bfd2-0b5fcb40364a", "0" * 32, "u_nobody", "nobody here", HOSTILE]
)
def test_what_is_not_on_the_record_is_said_and_recorded_without_a_name(hostile, which):
    home, _ = hostile
    asked = onrecord(home, "incident", which)

    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr.startswith("onrecord: nothing on the record is called ")
    assert len(asked.stderr.splitlines()) == 1
    event = accesses(home)[-1]
    assert (event["action"], event["detail"]["count"]) == ("incident", "0")
    assert "nobody here" not in json.dumps(event)


@pytest.mark.requirement("E2")
@pytest.mark.parametrize("waited_s", [5, 3 * DAY, 40 * DAY])
def test_an_event_is_found_by_its_id_however_long_it_waited_to_be_written(tmp_path, waited_s):
    written = Record(tmp_path)
    written.write([(0, other("heartbeat"))])
    spool = Spool(lambda: own_fact("gap", event_id=new_id(), action="spooled"))
    for fields in (attempt("before"), attempt("late"), attempt("after")):
        event = Event(**{"event_id": new_id(), **fields})
        spool.add(Redacted(event, encode(event)))
    written.write([(second, attempt("meanwhile")) for second in (waited_s / 2, waited_s)])
    spool.drain(written.ledger(), deadline_s=5)
    written.write([(waited_s + n, attempt("later")) for n in range(9)])
    written.close()
    (late,) = [event for event in record(tmp_path) if event.get("tool_name") == "late"]

    asked = onrecord(tmp_path, "incident", late["event_id"], "--format", "json")

    assert asked.returncode == 0, asked.stderr
    found = json.loads(asked.stdout)
    assert [call["name"] for call in found["calls"] if not call["beside"]] == ["late"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("x", "--limit", "0"), "--limit 0 asks for nothing"),
        (("x", "--since", "soon"), "--since 'soon' is not a time"),
        (("x", "--home", "/nothing/here"), "there is no log of calls in /nothing/here"),
        (("x", "--format", "pdf"), "invalid choice: 'pdf'"),
        ((), "required"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(hostile, arguments, told):
    asked = onrecord(hostile[0], "incident", *arguments)

    assert asked.returncode == 2
    assert told in asked.stderr
    assert "Traceback" not in asked.stderr


@pytest.mark.requirement("E2")
def test_lines_that_were_deleted_are_told_with_their_rule_and_not_guessed(tmp_path):
    home = tmp_path / "home"
    start = incidents.wrong_tool(home)
    attempt, result = (e["seq"] for e in record(home) if e["event_type"] == "tool_call")
    _sealed(home)
    delete(Home(home), [(result, result)], "after-a-year")

    incident = json.loads(shown(home, start, "json"))
    (gone,) = incident["gone"]
    assert (gone["first"], gone["last"], gone["rule"]) == (result, result, "after-a-year")
    (outcome,) = [one for one in incident["answers"][4]["not_known"] if one["topic"] == "outcome"]
    assert "deleted under the rule after-a-year" in outcome["why"]
    text = shown(home, start, "text")
    assert f"calls#{result} was deleted under the rule after-a-year" in text

    delete(Home(home), [(attempt, attempt)], "after-a-year")
    asked = onrecord(home, "incident", start)
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "2 lines were deleted on the record" in asked.stderr


def _sealed(home):
    """End the segment that a home's log of calls is in."""
    keys, _ = open_keys(Home(home), "calls")
    ledger = Ledger.open(Home(home), keys.signer, segment_bytes=1, deadline_s=5)
    for number in range(3):
        event_id = f"01a20095-5ff4-7a58-bfd2-0b5fcb40364{number}"
        ledger.append(own_fact("heartbeat", event_id=event_id))
    ledger.publish()
    ledger.close()


@pytest.mark.requirement("E2")
def test_one_trace_over_two_homes_is_one_incident_and_a_copy_of_a_ledger_counts_as_one(tmp_path):
    first, second, copy = tmp_path / "first", tmp_path / "second", tmp_path / "copy"
    incidents.retried(first)
    incidents.retried(second)
    shutil.copytree(second / "ledger", copy)

    incident = json.loads(shown(first, incidents.TRACE, "json", "--home", str(first), "--home", str(copy)))
    assert [call["ledger"] for call in incident["calls"]] == [str(first)] * 2 + [str(copy)] * 2
    assert {entry["cite"]["ledger"] for entry in incident["timeline"]} == {str(first), str(copy)}
    assert [entry["at"] for entry in incident["timeline"]] == sorted(entry["at"] for entry in incident["timeline"])
    assert "each ledger's own clock" in incident["remarks"][-1]
    assert "in 2 ledgers" in shown(first, incidents.TRACE, "text", "--home", str(first), "--home", str(copy))
    assert [e["action"] for e in accesses(first)] == ["incident", "incident"]


@pytest.mark.requirement("E2")
def test_what_is_cut_is_said(tmp_path):
    home = tmp_path / "home"
    start = incidents.over_scoped(home)

    text = shown(home, start, "text", "--limit", "3")
    (cut,) = [line for line in text.splitlines() if line.startswith("! only the newest 3 events")]
    assert "older ones are not" in cut
    incident = json.loads(shown(home, start, "json", "--limit", "3"))
    assert [(call["name"], call["status"]) for call in incident["calls"]] == [("grant", "succeeded")]  # and whole
