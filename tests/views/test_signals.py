# SPDX-License-Identifier: Apache-2.0
"""What each rule finds, what it nearly finds and doesn't, and that this depends on the events alone."""

import random
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.views.signalled import DAY, HOUR, MINUTE, RULES, T0_US, Record, attempt, new_id, of, other, result

from onrecord.errors import ConfigError
from onrecord.event.schema import read_event
from onrecord.ledger.lines import lines_from, segment_files
from onrecord.ledger.place import Home
from onrecord.signal_settings import SignalSettings
from onrecord.views.signals.detector import Detector
from onrecord.views.signals.finding import NAMED
from onrecord.views.signals.memory import Memory
from onrecord.views.signals.rule import in_force, read_rules, tunings

DENIED = {"policy_decision": "deny", "policy_id": "tenants"}
UNFIT = {"policy_decision": "deny", "policy_id": "arguments"}
CALL = new_id()


def times(count, event, *, every=10.0, start=0.0):
    """Return so many events like one, `every` so many seconds."""
    return [(start + n * every, event(n) if callable(event) else event) for n in range(count)]


def days_of(count, per_hour, event, *, start=0.0):
    """Return days on which something is done so often in one hour."""
    return [(start + day * DAY + n * 30, event) for day in range(count) for n in range(per_hour)]


def denied(tool="read_file", **fields):
    return attempt(tool, **DENIED, **fields)


def ended(**fields):
    return [(0, result(**fields))]


def security(action, **fields):
    return [(0, other("security", action=action, **fields))]


READ = (0, result(data_classification="high"))
LISTED = other("tool_definition", tool_name="look", server_id="files")
FIRST = (0, attempt(risk_tier=3))
LOADED = other("configuration", action="load")
APPROVED = {"approval_decision": "approved", "approval_approver": "u_ann", "server_id": "files", "tool_name": "pay"}

# By rule: events in which it finds something, and others in which it nearly does. Of the log `calls` unless it says so.
CASES = {
    "denied-burst": (
        times(5, denied()),
        [*times(4, denied()), *times(9, attempt(**UNFIT), start=40), (601, denied())],
    ),
    "denied-many-tools": (times(4, lambda n: denied(f"t{n}")), times(9, lambda n: denied(f"t{n % 3}"))),
    "policy-violation": ([(0, denied(risk_tier=3))], [(0, denied(risk_tier=2)), (1, attempt(risk_tier=3))]),
    "observed-violation": ([(0, attempt(policy_observed="deny"))], [(0, attempt(policy_observed="allow"))]),
    "policy-failed": (ended(error_type="policy_failed"), ended(error_type="invalid_arguments")),
    "scope-mismatch": (
        [(0, attempt(scope_required=("a", "b"), scope_present=("a",)))],
        [(0, attempt(scope_required=("a",), scope_present=("a", "b"))), (1, attempt(scope_present=("a",)))],
    ),
    "scope-refused": (
        [(0, other("authentication", action="refuse", error_type="insufficient_scope"))],
        [(0, other("authentication", action="refuse", error_type="not_authenticated"))],
    ),
    "unfit-arguments": (
        times(5, attempt(arguments_valid="invalid")),
        times(9, lambda n: attempt(arguments_valid="unchecked" if n % 2 else "invalid", session_id=f"s{n % 4}")),
    ),
    "login-burst": (
        times(5, other("authentication", action="refuse", client_ip="192.0.2.1")),
        times(8, lambda n: other("authentication", action="refuse", client_ip=f"192.0.2.{n % 2}")),
    ),
    "refusals-flood": (security("refusals_summed"), security("message_refused")),
    "refused-messages": (
        [(n, security("message_refused")[0][1]) for n in range(5)],
        [(n * 200, security("message_refused")[0][1]) for n in range(9)],
    ),
    "suspicious-retries": (
        times(3, attempt(repeats=CALL)),
        [*times(2, attempt(repeats=CALL)), (20, attempt()), (30, attempt(repeats=CALL, user_id="u_bob"))],
    ),
    "repeated-risky-call": (
        [(0, attempt(repeats=CALL, risk_tier=3))],
        [(0, attempt(repeats=CALL, risk_tier=2)), (1, attempt(risk_tier=4))],
    ),
    "reused-idempotency-key": (
        [(0, attempt(suspicious_signals=("repeated-call", "idempotency-key-reused")))],
        [(0, attempt(suspicious_signals=("repeated-call",)))],
    ),
    "approval-mismatch": (ended(error_type="approval_mismatch"), ended(error_type="approval_rejected")),
    "approval-replay": (ended(error_type="approval_used"), ended(error_type="approval_expired")),
    "approval-altered": (security("approval_altered"), security("approval_refused")),
    "vote-refused": (security("vote_refused"), [(0, other("approval", action="approved"))]),
    "self-approval": (
        [(0, other("approval", **APPROVED, risk_tier=3, detail={"independent": False}))],
        [
            (0, other("approval", **APPROVED, risk_tier=3, detail={"independent": True})),
            (1, other("approval", **APPROVED, risk_tier=2, detail={"independent": False})),
            (2, other("approval", risk_tier=3, approval_decision="rejected", detail={"independent": False})),
        ],
    ),
    "mass-approval": (
        times(10, other("approval", **APPROVED), every=20),
        times(20, other("approval", **APPROVED), every=40),
    ),
    "suspicious-output": (ended(suspicious_signals=("instruction",)), [(0, attempt(suspicious_signals=("x",)))]),
    "suspicious-request": (
        [(0, attempt(direction="server_to_client", suspicious_signals=("instruction",)))],
        [(0, attempt(suspicious_signals=("repeated-call",))), (1, attempt(direction="server_to_client"))],
    ),
    "risky-after-flagged": (
        [(0, attempt(suspicious_before=(CALL,), risk_tier=3))],
        [(0, attempt(suspicious_before=(CALL,), risk_tier=2)), (1, attempt(risk_tier=4))],
    ),
    "sent-after-flagged": (
        [(0, attempt(suspicious_before=(CALL,), recipient="eve@example.com"))],
        [(0, attempt(suspicious_before=(CALL,))), (1, attempt(recipient="eve@example.com"))],
    ),
    "sent-after-sensitive-read": (
        [READ, (29 * MINUTE, attempt("send", recipient="x@example.com"))],
        [
            (0, attempt("send", recipient="x@example.com")),  # before it was read
            (1, READ[1]),
            (2, attempt("send", recipient="x@example.com", session_id="s-2")),
            (3, attempt("send", recipient="x@example.com", policy_decision="deny")),
            (31 * MINUTE + 1, attempt("send", recipient="x@example.com")),
        ],
    ),
    "risky-after-sensitive-read": (
        [READ, (60, attempt("pay", risk_tier=3))],
        [(0, result(data_classification="high", result_status="failed")), (60, attempt("pay", risk_tier=3))],
    ),
    "definition-changed": (
        [(0, {**LISTED, "action": "changed"})],
        [(0, {**LISTED, "action": "pinned"}), (1, {**LISTED, "action": "reverted"})],
    ),
    "definition-flagged": (
        [(0, {**LISTED, "action": "flagged", "suspicious_signals": ("tool-description:instruction",)})],
        [(0, {**LISTED, "action": "pinned"})],
    ),
    "definition-blocked": (ended(error_type="definition_refused"), ended(error_type="tool_error")),
    "server-off-the-record": ([(0, other("uninstall", server_id="files"))], [(0, other("install"))]),
    "new-policy": (
        [(0, {**LOADED, "policy_version": "a"}), (2 * DAY, {**LOADED, "policy_version": "b"})],
        [(n * DAY, {**LOADED, "policy_version": "a"}) for n in range(4)],
    ),
    "chain-break": (security("ledger_alarm"), security("tool_definition_change")),
    "verdict-overruled": (security("verdict_overruled"), security("vote_refused")),
    "log-recovered": ([(0, other("log_recovered"))], [(0, other("log_open"))]),
    "disk-full": (
        [(0, other("degraded", action="disk_full"))],
        [(0, other("degraded", action="disk_has_room"))],
    ),
    "gap": ([(0, other("gap"))], [(0, other("heartbeat"))]),
    "missing-lines": ((), ()),  # no writer leaves lines out: see below
    "not-recorded": (ended(error_type="not_recorded"), ended(error_type="timeout")),
    "open-call": (
        [(0, attempt(call_id=CALL)), (2 * HOUR, other("heartbeat"))],
        [(0, attempt(call_id=CALL)), (2 * HOUR - 1, result(call_id=CALL)), (3 * HOUR, other("heartbeat"))],
    ),
    "unknown-end": (ended(result_status="unknown"), ended(result_status="timed_out")),
    "person-rate": (
        [*days_of(5, 30, attempt()), *times(121, attempt(), every=5, start=6 * DAY)],
        [*days_of(5, 30, attempt()), *times(120, attempt(), every=5, start=6 * DAY)],
    ),
    "tool-rate": (
        [*days_of(3, 20, attempt()), *times(121, attempt(), every=5, start=4 * DAY)],
        [*days_of(2, 20, attempt()), *times(121, attempt(), every=5, start=4 * DAY)],  # known for two days only
    ),
    "call-flood": (times(120, attempt(), every=0.4), times(240, attempt(), every=0.6)),
    "new-risky-tool": (
        [FIRST, (8 * DAY, attempt("pay", risk_tier=3))],
        [FIRST, (6 * DAY, attempt("pay", risk_tier=3)), (9 * DAY, attempt("pay", risk_tier=3))],
    ),
    "new-server": (
        [(0, attempt()), (8 * DAY, attempt(server_id="mail"))],
        [(0, attempt()), (8 * DAY, attempt()), (80 * DAY, attempt())],
    ),
}


def test_each_rule_has_cases():
    assert list(CASES) == [rule.id for rule in RULES]


def log_of(rule):
    return next(each.log for each in RULES if each.id == rule)


@pytest.mark.requirement("E5")
@pytest.mark.parametrize("rule", [rule for rule, (yes, _) in CASES.items() if yes])
def test_a_rule_finds_what_it_is_for_and_names_the_events(tmp_path, rule):
    record = Record(tmp_path)
    ids = record.write(CASES[rule][0], log_of(rule))

    found = of(rule, record.found())
    assert len(found) == 1
    written = next(event for event in record.findings() if event.event_id == found[0].id)
    assert written.action == f"signal:{rule}"
    assert written.event_type == "security"
    detail = written.detail
    assert detail["why"]
    assert set(detail["events"]) <= set(ids)
    assert detail["count"] >= len(detail["events"]) or len(detail["events"]) <= NAMED
    assert detail.get("owasp") or detail["mcp"]
    assert detail["asi"]


@pytest.mark.requirement("E5")
@pytest.mark.parametrize("rule", [rule for rule, (_, no) in CASES.items() if no])
def test_what_nearly_is_such_a_thing_is_not_found(tmp_path, rule):
    record = Record(tmp_path)
    record.write(CASES[rule][1], log_of(rule))

    assert of(rule, record.found()) == []


@pytest.mark.parametrize(("rule", "error"), [("approval-mismatch",) * 2, ("approval-replay", "approval_used")])
def test_an_approval_that_does_not_count_hides_none_that_comes_after_it(tmp_path, rule, error):
    record = Record(tmp_path)
    named = ["a-1", "a-1", "a-2", "", ""]  # a forged answer may name none
    ids = record.write(
        (second, result(error_type=error.replace("-", "_"), approval_id=which)) for second, which in enumerate(named)
    )

    found = of(rule, record.found())
    assert [finding.events for finding in found] == [(each,) for each in ids]
    assert [finding.left_out for finding in found] == [0] * 5


def test_lines_of_a_writer_that_are_missing_are_found_unless_they_were_deleted_on_the_record(tmp_path):
    record = Record(tmp_path)
    ids = record.write(times(6, attempt()))
    record.close()
    (path,) = segment_files(record.home.log())
    lines = path.read_bytes().splitlines(keepends=True)
    seen = [read_event(line) for line in lines]

    def look(number, event, detector, deleted):
        if number in (3, 4):
            if deleted:
                detector.delete()
            return []
        return detector.see(event)

    detector = Detector(RULES, "calls", Memory())
    (one,) = of("missing-lines", [f for n, e in enumerate(seen) for f in look(n, e, detector, deleted=False)])
    assert one.why == f"lines {seen[3].wseq} to {seen[4].wseq} of the writer of this one are missing"
    assert set(one.events) <= set(ids)
    detector = Detector(RULES, "calls", Memory())
    assert of("missing-lines", [f for n, e in enumerate(seen) for f in look(n, e, detector, deleted=True)]) == []


def test_what_waits_for_its_end_is_found_also_where_nothing_is_recorded_any_more(tmp_path):
    record = Record(tmp_path)
    (asked,) = record.write([(0, attempt())])

    assert of("open-call", record.found(now_s=2 * HOUR)) == []  # a line may be on its way
    (found,) = of("open-call", record.found(now_s=2 * HOUR + 2 * MINUTE))
    assert found.events == (asked,)
    assert found.shared["tool_name"] == "read_file"
    record.write([(3 * HOUR, other("heartbeat"))])
    assert of("open-call", record.found()) == []  # not once more by the time of the log


def test_after_a_finding_those_like_it_are_counted_and_told_with_the_next(tmp_path):
    record = Record(tmp_path)
    record.write(times(30, denied(), every=10))
    record.write([(0, denied(user_id="u_bob"))] * 5)
    record.write(times(5, denied(), every=10, start=HOUR))

    first, of_bob, again = of("denied-burst", record.found())
    assert (first.left_out, of_bob.left_out) == (0, 0)
    assert of_bob.shared == {"user_id": "u_bob"}
    assert (again.shared["user_id"], again.left_out) == ("u_ann", 0)  # it was quiet for longer than the mute counts
    assert again.why == "5 events within 10m of the same user_id, the last 40 s after the first"


def test_what_was_left_out_is_told(tmp_path):
    record = Record(tmp_path)
    record.write(times(70, denied(), every=10))

    assert [finding.left_out for finding in of("denied-burst", record.found())] == [0, 11]


# It depends on the events alone


@pytest.mark.requirement("E5")
@settings(max_examples=12)
@given(batch=st.integers(1, 400), goes=st.lists(st.integers(0, 600), max_size=4))
def test_whatever_is_read_at_once_the_same_is_found(tmp_path_factory, batch, goes):
    home, lines, expected = some_weeks(tmp_path_factory)
    record = Record(home.path)
    for left in (*[min(n, len(lines)) for n in sorted(goes)], len(lines)):
        shorten(home, lines, left)
        record.found(rules=LOUD, batch=batch)
    assert sorted(event.event_id for event in record.findings()) == expected


LOUD = in_force(
    RULES,
    (),
    tunings(
        {
            "denied-burst": {"count": 2, "window": "6h", "mute": "1h"},
            "call-flood": {"count": 2, "window": "3h", "mute": "1h"},
            "open-call": {"window": "1h", "mute": "1m"},
            "new-risky-tool": {"learn": "2d", "mute": "1h", "forget": "3d"},
            "person-rate": {"floor": 1, "times": 1.0, "days": 9},
            "tool-rate": {"floor": 1, "times": 1.0, "days": 9},
        }
    ),
)
_written = []


def some_weeks(factory):
    """Return a home with an empty log, the lines of a log of some weeks, and what is found in them in one go."""
    if not _written:
        record = Record(factory.mktemp("weeks"))
        record.write(ordinary_weeks(300, random.Random(1)))
        lines = [line.data for line in lines_from(record.home.log())]
        detector = Detector(LOUD, "calls", Memory())
        found = [finding for line in lines for finding in detector.see(read_event(line))]
        assert {finding.rule.kind for finding in found} >= {"each", "burst", "sequence", "first", "rate", "open"}
        assert any(finding.left_out for finding in found)
        _written.append((lines, sorted(finding.id for finding in found)))
    lines, expected = _written[0]
    home = Home(factory.mktemp("again"))
    home.log().segments.mkdir(parents=True)
    return home, lines, expected


def ordinary_weeks(count, chance):
    """Yield events of three weeks: calls of three people, some denied, flagged, risky, sensitive, or without an end."""
    at_s = 0.0
    for _ in range(count):
        at_s += chance.expovariate(count / (21 * DAY)) if chance.random() < 0.4 else chance.random() * MINUTE
        who = {"user_id": f"u_{chance.randrange(3)}", "session_id": f"s_{chance.randrange(3)}", "call_id": new_id()}
        risk = chance.choice([1, 1, 2, 3])
        tool, classed = f"tool_{chance.randrange(30)}_{risk}", chance.choice(["medium", "medium", "high"])
        more = chance.choice([{}, {}, DENIED, {"suspicious_before": (CALL,)}, {"recipient": "x@example.com"}])
        yield at_s, attempt(tool, **who, risk_tier=risk, data_classification=classed, **more)
        if chance.random() < 0.9:
            yield at_s + 1, result(tool, **who, risk_tier=risk, data_classification=classed)


def shorten(home, lines, count):
    """Have a log hold its first `count` lines, and no more."""
    home.log().first_segment.write_bytes(b"".join(line + b"\n" for line in lines[:count]))


# Rules as data

PAGE = (Path(__file__).parents[2] / "docs" / "signals.md").read_text(encoding="utf-8")


def test_the_page_lists_each_rule_and_no_other():
    table = PAGE.partition("## Rules")[2].partition("## Your own")[0]
    listed = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", table, re.MULTILINE)
    assert listed == [(each.id, each.title) for each in RULES]


def test_the_rule_on_the_page_and_its_settings_are_ones_that_can_be_used():
    settings_text, own = (text.partition("\n")[2] for text in re.findall(r"```toml\n(.+?)```", PAGE, re.DOTALL))
    (added,) = read_rules(own, "own.toml")
    said = msgspec.convert(tomllib.loads(settings_text)["signals"], SignalSettings)
    assert {each.id for each in in_force((*RULES, added), said.off, tunings(said.tune))} >= {"exports-at-night"}


def rule(text):
    return read_rules(f"[[signal]]\n{text}", "own.toml")


GOOD = 'id = "a-b"\ntitle = "t"\nseverity = "low"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "signal 1: "),
        (GOOD + 'kind = "eech"\nwhen = {}', "eech"),
        (GOOD + 'kind = "each"', "a rule of kind each needs when"),
        (GOOD + 'kind = "each"\nwhen = {}\ncount = 3', "a rule of kind each has no count"),
        (GOOD + 'kind = "each"\nwhen = {}\nwindwo = "3m"', "unknown key windwo; did you mean window?"),
        (GOOD + 'kind = "each"\nwhen = { tool = "x" }', "when: tool: no column tool"),
        (GOOD + 'kind = "each"\nwhen = { tool_nam = "x" }', "did you mean tool_name?"),
        (GOOD + 'kind = "each"\nwhen = { phase = "atempt" }', "it never says atempt; did you mean attempt?"),
        (GOOD + 'kind = "each"\nwhen = { risk_tier = "3" }', "nothing that it can say"),
        (GOOD + 'kind = "each"\nwhen = { risk_tier = { leest = 3 } }', "did you mean least?"),
        (GOOD + 'kind = "each"\nwhen = { tool_name = { least = 3 } }', "a column of numbers"),
        (GOOD + 'kind = "each"\nwhen = { tool_name = [] }', "names no value"),
        (GOOD + 'kind = "each"\nwhen = { late = "yes" }', "nothing that it can say"),
        (GOOD + 'kind = "each"\nwhen = { ts = 3 }', "no column ts"),
        (GOOD + 'kind = "each"\nwhen = {}\nmute = "soon"', "mute: 'soon' is no duration"),
        (GOOD + 'kind = "burst"\nwhen = {}\ncount = 1\nwindow = "1m"', "count: give a number from 2"),
        (GOOD + 'kind = "burst"\nwhen = {}\ncount = 5\nwindow = "0m"', "window: '0m' is no duration"),
        (GOOD + 'kind = "burst"\nwhen = {}\ncount = 5\nwindow = "1m"\nby = ["seq"]', "by: seq is no column by which"),
        (GOOD + 'kind = "first"\nwhen = {}\nby = []', "by names no column"),
        (GOOD + 'kind = "rate"\nwhen = {}\nby = ["user_id"]\nfloor = 0\ntimes = 2.0\ndays = 3', "floor and times"),
        (GOOD.replace("a-b", "A b") + 'kind = "gap"', "id: use up to 48"),
        (GOOD + 'kind = "gap"\n[[signal]]\n' + GOOD + 'kind = "gap"', "another rule has this id"),
        (GOOD + "kind = 3", "kind"),
        ("x = [", "is not TOML"),
    ],
)
def test_a_rule_that_cannot_work_is_one_clear_error(text, told):
    with pytest.raises(ConfigError) as caught:
        rule(text)
    assert told in str(caught.value)
    assert str(caught.value).startswith("own.toml: ")


@pytest.mark.parametrize(
    ("off", "tune", "told"),
    [
        (["denied-brust"], {}, "signals.off: no rule denied-brust; did you mean denied-burst?"),
        ([], {"x": {}}, "signals.tune: no rule x"),
        ([], {"denied-burst": {"cuont": 3}}, "unknown key signals.tune.denied-burst.cuont; did you mean count?"),
        ([], {"denied-burst": {"count": "3"}}, "signals.tune.denied-burst: expected `int"),
        ([], {"gap": {"count": 3}}, "signals.tune.gap: a rule of kind each has no count"),
        ([], {"denied-burst": {"window": "1y"}}, "signals.tune.denied-burst: window"),
    ],
)
def test_settings_that_no_rule_has_are_one_clear_error(off, tune, told):
    with pytest.raises(ConfigError) as caught:
        in_force(RULES, off, tunings(tune))
    assert told in str(caught.value)


def test_a_rule_that_is_off_or_tuned_finds_what_it_is_told_to(tmp_path):
    record = Record(tmp_path)
    record.write(times(3, denied()))
    assert of("denied-burst", record.found(rules=in_force(RULES, (), tunings({"denied-burst": {"count": 3}}))))
    other_record = Record(tmp_path / "other")
    other_record.write(times(9, denied()))
    assert of("denied-burst", other_record.found(rules=in_force(RULES, ("denied-burst",), {}))) == []


def test_a_rule_that_is_changed_forgets_and_the_others_do_not(tmp_path):
    record = Record(tmp_path)
    record.write([*times(4, denied("pay")), *times(119, attempt(), every=0.1, start=31)])
    assert record.found() == []
    changed = in_force(RULES, (), tunings({"denied-burst": {"count": 4}}))
    record.write([(44, denied("pay")), (45, attempt())])

    found = record.found(rules=changed)
    assert of("denied-burst", found) == []  # of the five it has seen one
    assert of("call-flood", found)


def test_a_finding_holds_nothing_of_what_was_asked_or_answered(tmp_path):
    record = Record(tmp_path)
    record.write([(0, result(suspicious_signals=("instruction",), output_summary="SECRET", error_summary="SECRET"))])
    record.found()
    assert b"SECRET" not in b"".join(line.data for line in lines_from(record.home.log("security")))


def test_times_are_of_the_log(tmp_path):
    record = Record(tmp_path)
    record.write([(5, result(result_status="unknown"))])
    (found,) = of("unknown-end", record.found())
    assert found.at_us == T0_US + 5_000_000
    assert Path(record.home.path / "signals" / "state.sqlite").is_file()
