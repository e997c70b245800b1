# SPDX-License-Identifier: Apache-2.0
"""`onrecord init` and `onrecord readiness`, against real servers of both eras: what they write, say and leave alone."""

import json
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doors.listing_http import TOKEN, Listing
from tests.doors.session import SERVER, Session, onrecord, record
from tests.rules.calls import definition

from onrecord.event.call import Definition, Raw
from onrecord.ledger.place import Home
from onrecord.rules.classify import Manifest, ToolRule, Treatment, classify
from onrecord.rules.inference import call_of, guessed
from onrecord.settings import load, read
from onrecord.views.draft import drafted, literal
from onrecord.views.readiness import graded

GIT = [str(Path(sys.executable).with_name("mcp-server-git"))]
LISTING = [sys.executable, str(Path(__file__).parents[1] / "doors" / "listing_server.py"), "legacy"]


def rules(home: Path) -> Manifest:
    return load(Home(home)).settings.tool


def treatments(home: Path, server: str, tools: dict[str, Definition], *, known: bool) -> dict[str, Treatment]:
    manifest = rules(home) if known else ()
    return {name: classify(call_of(server, tool), manifest) for name, tool in tools.items()}


@pytest.mark.requirement("E4")
@pytest.mark.parametrize(("command", "server"), [(GIT, "git"), (SERVER, "scripted")])
def test_what_init_writes_is_read_back_and_changes_no_treatment(tmp_path, command, server):
    from onrecord.doors.probe import ask

    done = onrecord(tmp_path, "init", "--server-id", server, "--", *command)

    assert (done.returncode, done.stdout) == (0, "")
    tools = {tool.name: tool for tool in ask(command, timeout_s=60).tools}
    assert f"{len(tools)} rules for {server}" in done.stderr
    assert [(rule.server, rule.tool) for rule in rules(tmp_path)] == [(server, name) for name in tools]
    before = treatments(tmp_path, server, tools, known=False)
    after = treatments(tmp_path, server, tools, known=True)
    for name, was in before.items():
        now = after[name]
        assert (now.tier, now.classification, now.retention_class) == (
            was.tier,
            was.classification,
            was.retention_class,
        )
        assert now.source == "manifest"
        assert (now.scope, now.summary, now.recipient, now.resource) == ((), (), "", "")
    assert onrecord(tmp_path, "doctor").returncode == 0


def test_init_says_why_and_proposes_what_it_cannot_know(tmp_path):
    onrecord(tmp_path, "init", "--server-id", "git", "--", *GIT)

    text = (tmp_path / "onrecord.toml").read_text()
    reset = text[text.index('tool = "git_reset"') :].split("\n\n")[0]
    assert "tier = 3 " in reset
    assert "# annotations: destructiveHint" in reset
    assert '# scope = ["git:delete"]' in reset
    assert "# approver_roles = " in reset
    status = text[text.index('tool = "git_status"') :].split("\n\n")[0]
    assert "# annotations: readOnlyHint" in status
    assert '# summary = ["/repo_path"]' in status
    assert "nothing says more: neither annotations nor name" in text


def test_every_proposal_can_be_taken_as_it_stands(tmp_path):
    """Uncommented, each proposal is a setting that is read."""
    tools = [{"name": "pay_invoice", "inputSchema": PAYMENT, "outputSchema": PAID}]
    made = drafted("bank", [built(tool) for tool in tools], ())

    taken = "\n".join(line.removeprefix("# ") if " = " in line else line for line in made.text.splitlines())
    (rule,) = read(taken.encode(), Path("onrecord.toml")).settings.tool
    assert (rule.tier, rule.scope, rule.recipient) == (3, ("bank:pay",), "/payee")
    assert (rule.idempotency_key, rule.result_id, rule.rollback) == ("/request_id", "/id", "/undo_reference")
    assert (rule.before, rule.after) == (("/balance_before",), ("/balance_after",))
    assert rule.resource == "bank:{account}"
    assert rule.sensitive == ("/pin",)
    assert rule.summary == ("/account", "/amount")
    assert rule.limits == {"/amount": 100}


PAYMENT = {
    "type": "object",
    "required": ["account", "amount"],
    "properties": {
        "payee": {"type": "string"},
        "account": {"type": "string"},
        "amount": {"type": "number"},
        "request_id": {"type": "string"},
        "pin": {"type": "string", "writeOnly": True},
        "password": {"type": "string"},
        "note": {"type": "string"},
    },
}
PAID = {"type": "object", "properties": {"id": {}, "balance_before": {}, "balance_after": {}, "undo_reference": {}}}


def built(tool) -> Definition:
    return Definition(
        name=tool["name"],
        digest="",
        input_schema=Raw(tool.get("inputSchema")),
        output_schema=Raw(tool.get("outputSchema")),
    )


def test_events_of_a_call_are_the_same_with_what_init_wrote(tmp_path):
    """Field by field, but for ids, times, sizes of time, and the digest of the settings."""
    said = []
    for name in ("without", "with"):
        home = tmp_path / name
        home.mkdir(mode=0o700)
        if name == "with":
            assert onrecord(home, "init", "--server-id", "scripted", "--", *SERVER).returncode == 0
        with Session(home) as session:
            session.call("login", user="someone", code="a marked value")
            session.call("erase", text="x")
            session.end()
        said.append([stable(event) for event in record(home) if event["event_type"] == "tool_call"])
    assert len(said[0]) == 4
    assert said[0] == said[1]


def stable(event):
    moving = ("_id", "_hash", "timestamp", "seq", "wid", "wseq", "latency_us", "policy_version", "span")
    return {key: value for key, value in event.items() if not key.endswith(moving)}


@pytest.mark.parametrize("options", [(), ("--out", "{home}/onrecord.toml")])
def test_a_file_that_is_there_is_never_overwritten(tmp_path, options):
    file = tmp_path / "onrecord.toml"
    file.write_text('tenant = "mine"\n')

    done = onrecord(tmp_path, "init", *(one.format(home=tmp_path) for one in options), "--", *SERVER)

    assert done.returncode == 2
    assert "is there already; --merge adds what it leaves unsaid, --force writes it anew" in done.stderr
    assert file.read_text() == 'tenant = "mine"\n'


def test_with_force_the_file_is_written_anew_and_the_old_one_is_kept(tmp_path):
    file = tmp_path / "onrecord.toml"
    file.write_text("this is no TOML")

    assert onrecord(tmp_path, "init", "--force", "--", *SERVER).returncode == 0

    assert len(rules(tmp_path)) == 19
    assert (tmp_path / "onrecord.toml.old").read_text() == "this is no TOML"


def test_merge_adds_only_what_is_missing_and_a_second_one_nothing(tmp_path):
    file = tmp_path / "onrecord.toml"
    rule = '[[tool]]\ntool = "e*"\ntier = 4\nclassification = "critical"\n'
    mine = f'tenant = "mine"  # kept\n{rule}[run]\ncall_timeout = "5m"'
    file.write_text(mine)

    done = onrecord(tmp_path, "init", "--merge", "--server-id", "scripted", "--", *SERVER)

    assert done.returncode == 0
    text = file.read_text()
    assert text.startswith(mine + "\n")
    by_tool = {rule.tool: rule for rule in rules(tmp_path)}
    assert by_tool["echo"].tier is None
    assert by_tool["echo"].classification is None
    assert by_tool["echo"].retention_class == "critical"
    assert by_tool["store"].tier == 2
    again = onrecord(tmp_path, "init", "--merge", "--server-id", "scripted", "--", *SERVER)
    assert again.returncode == 0
    assert "no rule to add" in again.stderr
    assert file.read_text() == text


def test_merge_into_a_file_that_cannot_take_it_changes_nothing(tmp_path):
    file = tmp_path / "onrecord.toml"
    for text in ('tool = [{ tool = "x", tier = 1 }]\n', "[[tool]]\ntire = 3\n"):
        file.write_text(text)

        done = onrecord(tmp_path, "init", "--merge", "--", *SERVER)

        assert done.returncode == 2
        assert str(file) in done.stderr
        assert "Traceback" not in done.stderr
        assert file.read_text() == text


def test_init_can_print_and_without_a_command_says_what_to_say(tmp_path):
    shown = onrecord(tmp_path, "init", "-o", "-", "--", *SERVER)
    assert len(tomllib.loads(shown.stdout)["tool"]) == 19
    assert not (tmp_path / "onrecord.toml").exists()
    assert onrecord(tmp_path, "init").returncode == 2
    for verb in ("init", "readiness"):
        odd = onrecord(tmp_path, verb, "--server-id", "a\udcff", "--", *SERVER)
        assert odd.returncode in (1, 2)
        assert "Traceback" not in odd.stderr
        missing = onrecord(tmp_path, verb, "--", "no-such-command-anywhere")
        assert missing.returncode == 127
        assert "Traceback" not in missing.stderr


@pytest.mark.requirement("E4")
def test_a_server_at_a_url_is_graded_and_gets_a_manifest_of_the_same_name(tmp_path):
    tools = [{"name": "pay_invoice", "inputSchema": PAYMENT, "outputSchema": PAID}]
    with Listing("present", tools) as server:
        done = onrecord(tmp_path, "readiness", server.url, "--json")
        assert done.returncode == 1
        told = json.loads(done.stdout)
        assert (told["server_id"], told["protocol_version"]) == (server.host, "2026-07-28")
        assert [(one["tool"], one["grade"]) for one in told["tools"]] == [("pay_invoice", "not ready")]

        assert onrecord(tmp_path, "init", "--server-id", "bank", server.url).returncode == 0
    assert [(rule.server, rule.tool, rule.tier) for rule in rules(tmp_path)] == [("bank", "pay_invoice", 3)]


def test_a_token_comes_from_a_variable_or_a_file_and_stands_nowhere(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    monkeypatch.setenv("MINE", TOKEN)
    with Listing("token") as server:
        for option in (("--token-env", "MINE"), ("--token-file", str(file))):
            done = onrecord(tmp_path, "init", "-o", "-", server.url, *option)
            assert (done.returncode, 'tool = "one"' in done.stdout) == (0, True)
            assert TOKEN not in done.stdout + done.stderr
        without = onrecord(tmp_path, "init", server.url)
    assert without.returncode == 2
    assert "asks for a token (401)" in without.stderr
    assert "--token-env NAME or --token-file FILE" in without.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["https://a.test/mcp", "--token-env", "NO_SUCH"], "the environment variable NO_SUCH is not set, or empty"),
        (["https://a.test/mcp", "--token-env", "ODD"], "the environment variable ODD holds no bearer token"),
        (["https://a.test/mcp", "--token-file", "{home}/none"], "none: cannot be read: no such file"),
        (["https://a.test/mcp", "--token-file", "{home}/open"], "can be read by other accounts; chmod 600"),
        (["https://a.test/mcp", "--token-file", "{home}/odd"], "odd holds no bearer token"),
        (["https://a.test/mcp", "--token-file", "{home}/odd", "--token-env", "ODD"], "a token is named twice"),
        (["https://a.test/mcp", "https://b.test/mcp"], "give one URL"),
        (["http://a.test/mcp"], "http:// is for this machine alone; --allow-http"),
        (["https://"], "the URL must be https"),
        (["--token-env", "ODD", "--", "true"], "are for a server at a URL"),
    ],
)
def test_what_is_wrong_with_a_url_or_a_token_is_one_clear_error(tmp_path, monkeypatch, options, said):
    monkeypatch.setenv("ODD", "two words")
    for name, mode in (("open", 0o644), ("odd", 0o600)):
        (tmp_path / name).write_text("two words")
        (tmp_path / name).chmod(mode)

    done = onrecord(tmp_path, "readiness", *(one.format(home=tmp_path) for one in options))

    assert done.returncode == 2
    assert said in done.stderr
    assert "two words" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


HOSTILE = ["*", "get_*", "a?", "[ab]", 'x]\n[[tool]]\ntool = "*"\ntier = 0\n#', "\x1b[2J", "\u202eevil", "'\"\\", "é"]


def test_no_name_of_a_tool_reaches_beyond_its_own_rule(tmp_path, monkeypatch):
    tools = [{"name": name, "annotations": {"readOnlyHint": True}, "inputSchema": {}} for name in HOSTILE]
    monkeypatch.setenv("TOOLS", json.dumps(tools))

    done = onrecord(tmp_path, "init", "--server-id", "x", "--", *LISTING)

    assert done.returncode == 0
    written = rules(tmp_path)
    assert len(written) == len(HOSTILE)
    for rule, name in zip(written, HOSTILE, strict=True):
        assert rule.tier == 1
        assert [other for other in [*HOSTILE, "delete_all", "get_all", "ab", "a"] if rule.matches("x", other)] == [name]
    text = (tmp_path / "onrecord.toml").read_text()
    assert all(char.isprintable() or char == "\n" for char in text)
    assert text.isascii() or "…" in text


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_pattern_made_of_a_name_matches_that_name_alone(name, other):
    rule = ToolRule(tool=literal(name) or "*", tier=1)
    assert not name or rule.matches("any", name)
    assert not name or name == other or not rule.matches("any", other)


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=60), st.text(max_size=30))
def test_rules_for_any_names_are_read_back(server, tool, argument):
    schema = {"type": "object", "properties": {argument: {"type": "string", "sensitive": True}, "to": {}}}
    one = Definition(name=tool, digest="", input_schema=Raw(schema))
    draft = drafted(server, [one], ())
    if not draft.rules:
        assert draft.left_out == (tool,)
        return
    (rule,) = read(draft.text.encode(), Path("x")).settings.tool
    assert rule.matches(server, tool)
    assert classify(call_of(server, one), [rule]).tier == classify(call_of(server, one), ()).tier


# readiness


@pytest.mark.requirement("E4")
def test_readiness_grades_each_tool_and_ends_with_1_where_a_risky_one_lacks_something(tmp_path):
    done = onrecord(tmp_path, "readiness", "--json", "--server-id", "git", "--", *GIT)

    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["server_id"], told["protocol_version"]) == ("git", "2026-07-28")
    grades = {one["tool"]: one for one in told["tools"]}
    assert grades["git_reset"]["grade"] == "not ready"
    assert grades["git_status"]["grade"] == "open"
    aspects = {aspect["name"]: aspect for aspect in grades["git_reset"]["aspects"]}
    assert (aspects["tier"]["state"], aspects["tier"]["why"]) == ("inferred", "annotations: destructiveHint")
    assert {name for name, one in aspects.items() if one["state"] == "missing"} == {
        "scope",
        "approver_roles",
        "summary",
        "resource",
    }
    shown = onrecord(tmp_path, "readiness", "--server-id", "git", "--", *GIT)
    assert shown.returncode == 1
    assert "git_reset  tier 3  NOT READY" in shown.stdout
    assert '    scope = ["git:delete"]' in shown.stdout


def test_what_readiness_says_to_write_makes_a_tool_ready(tmp_path):
    done = onrecord(tmp_path, "readiness", "--json", "--server-id", "scripted", "--", *SERVER)
    grades = json.loads(done.stdout)["tools"]
    lines = []
    for one in grades:
        missing = [aspect["write"] for aspect in one["aspects"] if aspect["state"] == "missing"]
        lines += [one["rule"], *missing] if missing else []
    (tmp_path / "onrecord.toml").write_text("\n".join(lines).replace("…", "x"))

    after = onrecord(tmp_path, "readiness", "--json", "--server-id", "scripted", "--", *SERVER)

    assert after.returncode == 0
    assert {one["grade"] for one in json.loads(after.stdout)["tools"]} == {"ready"}


@pytest.mark.requirement("E4")
@pytest.mark.parametrize("tier", range(5))
def test_what_is_asked_for_follows_the_tier(tier):
    one = built({"name": "pay_invoice", "inputSchema": PAYMENT, "outputSchema": PAID})
    grade = graded("bank", one, [ToolRule(tier=tier)])

    wanted = set()
    if tier >= 1:
        wanted |= {"scope"}
    if tier >= 2:
        wanted |= {"summary", "resource"}
    if tier >= 3:
        wanted |= {"approver_roles", "recipient"}
    if tier >= 4:
        wanted |= {"rollback", "idempotency_key"}
    assert {aspect.name for aspect in grade.missing} == wanted
    assert grade.grade == (("not ready" if tier >= 3 else "open") if wanted else "ready")


def test_a_tool_without_a_schema_is_said_to_lack_one_and_what_needs_nothing_can_say_so():
    unknown = Definition(name="look", digest="")
    assert [aspect.why for aspect in graded("s", unknown, ()).missing if aspect.name == "sensitive"] == [
        "no schema says what it takes"
    ]
    said = [ToolRule(tier=4, scope=(), approver_roles=("owner",), rollback="none", allow_duplicates=False)]
    assert graded("s", definition(), said).grade == "ready"


# doctor


def test_doctor_names_a_rule_that_matches_nothing(tmp_path):
    text = '[[tool]]\nserver = "scriptd"\n[[tool]]\ntool = "stroe"\n[[tool]]\ntool = "sto*"\n'
    (tmp_path / "onrecord.toml").write_text(text)
    assert "3 for tools; no call is on the record yet" in onrecord(tmp_path, "doctor").stdout
    with Session(tmp_path) as session:
        session.call("store", text="x")
        session.end()

    done = onrecord(tmp_path, "doctor")

    assert done.returncode == 0
    nothing = [line for line in done.stdout.splitlines() if "matches nothing" in line]
    assert [line.split("rules")[1].strip() for line in nothing] == [
        "tool 1 (server 'scriptd', tool '*') matches nothing that is on the record; did you mean server 'scripted'?",
        "tool 2 (server '*', tool 'stroe') matches nothing that is on the record; did you mean tool 'store'?",
    ]


APPROVALS = """
@id("verified") permit (principal, action == MCP::Action::"tools/call", resource) when { principal.level >= 2 };
@id("ask") @obligation("approval") @approvers("owner") forbid (principal, action, resource)
when { context.tier >= 4 || resource == MCP::Tool::"erase" };
"""


# Without these, that nobody here can approve a call of tier 4 is a finding of its own.
WITHIN_REACH = '[approvals]\nwait = "1s"\nstep_up_from = 5\nassurance_tier_4 = "os_account"\n'


def findings(home, about):
    done = onrecord(home, "doctor", "--json")
    return [(one["state"], one["text"]) for one in json.loads(done.stdout) if one["about"] == about]


def test_doctor_names_risky_tools_that_no_policy_asks_an_approval_for(tmp_path):
    rules = '[[tool]]\ntool = "pay"\ntier = 4\n[[tool]]\ntool = "st*"\ntier = 3\n'
    rules += '[[tool]]\nserver = "bank"\ntool = "wire"\ntier = 3\nscope = ["bank:pay"]\n'
    (tmp_path / "onrecord.toml").write_text(WITHIN_REACH + '[policy]\nengine = "cedar"\n' + rules)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "team.cedar").write_text(APPROVALS)
    with Session(tmp_path) as session:
        for tool in ("erase", "store", "echo"):
            session.call(tool, text="x")
        session.end()

    said = "no policy asks for an approval; somebody who is known by os_account, with its scopes, may call it"
    assert findings(tmp_path, "approvals") == [
        ("warn", f"wire of bank, tier 3: {said}"),
        ("warn", f"store of scripted, tier 3: {said}"),
    ]
    (tmp_path / "policies" / "team.cedar").write_text(APPROVALS.replace("tier >= 4", "tier >= 3"))
    assert findings(tmp_path, "approvals") == [("ok", "4 tools of tier 3 and 4; none is allowed without an approval")]


@pytest.mark.parametrize(
    ("server", "name", "scope", "goes_out"),
    [
        ("git", "git_checkout", "git:write", False),
        ("vcs", "checkout_branch", "vcs:write", False),
        ("shop", "checkout", "shop:pay", True),
    ],
)
def test_to_check_a_branch_out_is_not_to_pay(server, name, scope, goes_out):
    guess = guessed(server, Definition(name=name, digest=""), 3)

    assert (guess.scope, guess.goes_out) == (scope, goes_out)


LARGE = """
permit (principal, action == MCP::Action::"tools/call", resource);
@id("large") @obligation("approval") forbid (principal, action, resource == MCP::Tool::"pay")
unless { context.input has amount && context.input.amount.lessThan(decimal("500.0")) };
@id("abroad") @obligation("approval") forbid (principal, action, resource == MCP::Tool::"ship")
unless { context.input has to && context.input.to == "CH" };
@id("other") @obligation("approval") forbid (principal, action, resource == MCP::Tool::"erase");
"""


def test_doctor_does_not_say_that_an_approval_is_asked_for_where_that_depends_on_arguments(tmp_path):
    rules = '[[tool]]\ntool = "pay"\ntier = 4\npolicy_input = { "/amount" = "decimal" }\n'
    rules += '[[tool]]\ntool = "ship"\ntier = 3\npolicy_input = { "/to" = "string" }\n'
    rules += '[[tool]]\ntool = "erase"\ntier = 3\npolicy_input = { "/to" = "string" }\n'
    (tmp_path / "onrecord.toml").write_text(WITHIN_REACH + '[policy]\nengine = "cedar"\n' + rules)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "team.cedar").write_text(LARGE)

    pay, ship = findings(tmp_path, "approvals")
    assert pay[0] == "warn"
    assert pay[1].startswith("pay of any server, tier 4: depending on /amount, no policy asks for an approval; ")
    assert ship[0] == "ok"
    assert ship[1].startswith("ship of any server, tier 3: whether an approval is asked for may depend on /to; ")


def test_doctor_says_where_approvals_cannot_be_tried_or_do_not_hold(tmp_path):
    assert findings(tmp_path, "approvals") == []
    file = tmp_path / "onrecord.toml"
    file.write_text(WITHIN_REACH + '[policy]\nengine = "authzen"\nurl = "http://127.0.0.1:9"\n')
    ((state, text),) = findings(tmp_path, "approvals")
    assert (state, "not tried here" in text) == ("ok", True)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "team.cedar").write_text("permit (principal, action, resource);")
    file.write_text(WITHIN_REACH + '[policy]\nengine = "cedar"\nmode = "observe"\n[[tool]]\ntool = "pay"\ntier = 4\n')
    assert [text for _, text in findings(tmp_path, "approvals")] == [
        "policies are only observed: no call waits for anybody",
        "pay of any server, tier 4: no policy asks for an approval; anybody, with its scopes, may call it",
    ]
    (tmp_path / "policies" / "team.cedar").write_text("permit (")
    ((state, text),) = findings(tmp_path, "approvals")
    assert (state, "team.cedar" in text) == ("fail", True)


@pytest.mark.requirement("A6")
def test_a_call_at_the_real_door_goes_as_deep_as_its_tier(tmp_path):
    text = (
        '[[tool]]\ntool = "erase"\ntier = 4\nscope = ["files:erase"]\nresource = "files:{text}"\nrecipient = "/to"\n'
        'idempotency_key = "/key"\nrollback = "backup of the night"\nlimits = { "/n" = 3 }\n'
    )
    (tmp_path / "onrecord.toml").write_text(text)
    with Session(tmp_path) as session:
        session.call("erase", text="folder", to="archive", key="k-1", n=4)
        session.call("store", text="folder", to="archive", key="k-1")
        session.end()

    erased = [event for event in record(tmp_path) if event.get("tool_name") == "erase"]
    assert [event["phase"] for event in erased] == ["attempt", "result"]
    for event in erased:
        assert event["scope_required"] == ["files:erase"]
        assert event["downstream_resource"] == "files:folder"
        assert (event["recipient"], event["idempotency_key"]) == ("archive", "k-1")
        assert event["rollback_reference"] == "backup of the night"
        assert event["limits_exceeded"] == ["/n"]
    stored = [event for event in record(tmp_path) if event.get("tool_name") == "store"]
    assert not {"scope_required", "recipient", "idempotency_key"} & {key for event in stored for key in event}
