# SPDX-License-Identifier: Apache-2.0
"""Cedar decides: the real engine, the real schema, policies as an operator writes them."""

import itertools
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engines.questions import POLICIES, cedar, question

from onrecord.config import build_policy
from onrecord.doors.protocol import CALLS
from onrecord.engines.cedar import Cedar
from onrecord.engines.cedar_files import PolicyFile, context_read, rules_in
from onrecord.errors import ConfigError
from onrecord.ledger.place import Home
from onrecord.rules.policy import DENIED, UNAPPROVED, UNDECIDED, Context, Policy, authzen
from onrecord.rules.policy_input import Given
from onrecord.settings import load

pytestmark = pytest.mark.requirement("C2")

ENGINE = cedar()
SCHEMA = ENGINE._schema
ALL = cedar("permit (principal, action, resource);")


def policy(engine, *, enforce=True, deadline_ns=10**10, clock=time.monotonic_ns):
    return Policy(engine, enforce=enforce, deadline_ns=deadline_ns, clock=clock)


class Broken:
    """What fails in the place of Cedar, as it does on a machine where it cannot be loaded."""

    name, version = "cedar", "0" * 64

    def evaluate(self, question):
        raise MemoryError(f"no room for {question.resource.id}")


class Paused:
    """Cedar on a machine that stands still before it decides."""

    def __init__(self, engine):
        self.engine, self.name, self.version = engine, engine.name, engine.version

    def evaluate(self, question):
        time.sleep(1.5)
        return self.engine.evaluate(question)


def test_a_machine_that_stands_still_denies_nothing(tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "team.cedar").write_text("permit (principal, action, resource);")
    (tmp_path / "onrecord.toml").write_text('[policy]\nengine = "cedar"\ntimeout = "1s"\n')
    built = build_policy(load(Home(tmp_path)))
    assert built is not None
    built._engine = Paused(built._engine)
    assert built.decide(question()).decision == "allow"


SCOPES = [((), ()), (("w",), ("w",)), (("w",), ("r", "w")), (("w",), ()), (("w", "x"), ("w",))]
FAILURES = ["works", "raises", "late", "diagnostic"]


@pytest.mark.parametrize(
    ("tier", "scopes", "failure", "enforce"), list(itertools.product(range(5), SCOPES, FAILURES, (True, False)))
)
def test_tier_by_scope_by_failure_of_the_engine(tier, scopes, failure, enforce):
    required, present = scopes
    engine = Broken() if failure == "raises" else ENGINE
    ticks = itertools.count(step=10**9)
    chosen = policy(engine, enforce=enforce, clock=lambda: next(ticks), deadline_ns=1 if failure == "late" else 10**10)
    asked = question(tier=tier, required=required, present=present, assurance="token")
    if failure == "diagnostic":
        asked = question(tier=tier, required=required, present=present, action="no such action")

    verdict = chosen.decide(asked)

    if failure != "works" or not set(required) <= set(present) or tier == 4:
        meant = "deny"
    else:
        meant = "needs_approval" if tier == 3 else "allow"
    assert verdict.refuses == (enforce and meant != "allow")
    assert (verdict.decision if enforce else verdict.observed or "allow") == meant
    assert bool(verdict.safe) == verdict.refuses
    assert verdict.reason
    if failure != "works":
        assert (verdict.id, verdict.error_type) == ("engine", "policy_failed")
        assert verdict.safe == (UNDECIDED if enforce else "")


def test_a_verdict_names_each_policy_that_led_to_it_with_its_file():
    verdict = ENGINE.evaluate(question(assurance="token"))

    assert verdict.determining == ("a.cedar#everyday", "a.cedar#verified")
    assert verdict.reason == "permitted by a.cedar#everyday (tiers up to 2 are everyday work), a.cedar#verified"


def test_what_no_policy_permits_is_denied():
    verdict = ENGINE.evaluate(question(action="completion/complete", kind="server", name="other"))

    assert (verdict.decision, verdict.id, verdict.safe) == ("deny", "default", DENIED)


def test_a_missing_scope_denies_whatever_is_permitted():
    verdict = ALL.evaluate(question(required=("repo:write",)))

    assert (verdict.decision, verdict.id) == ("deny", "onrecord.cedar#scope")
    assert verdict.safe == "denied by policy: a required scope is missing"


def test_the_caller_learns_the_safe_reason_and_no_other():
    verdict = ENGINE.evaluate(question(tier=4))

    assert verdict.safe == "denied by policy: nothing of tier 4 runs here"
    assert "a.cedar" not in verdict.safe


def test_where_an_approval_would_be_enough_it_is_asked_for_with_the_roles_that_may_give_it():
    verdict = ENGINE.evaluate(question(tier=3, assurance="token"))

    assert (verdict.decision, verdict.obligations, verdict.approvers) == (
        "needs_approval",
        ("approval",),
        ("finance", "ops"),
    )
    assert (verdict.safe, verdict.error_type) == (UNAPPROVED, "needs_approval")


def test_the_caller_learns_the_safe_reason_for_which_an_approval_is_needed():
    ask = '@id("ask") @safe_reason("large payments") @obligation("approval") forbid (principal, action, resource);'
    verdict = cedar(PERMIT + ask).evaluate(question())

    assert (verdict.decision, verdict.safe) == ("needs_approval", f"{UNAPPROVED}: large payments")


def test_annotations_of_an_operators_own_are_no_concern_of_ours():
    assert not cedar('@ticket("7") @season("winter") @ids("x") ' + PERMIT).evaluate(question()).refuses


def asking_for(*roles: str):
    """A Cedar whose policies ask for approvals of a call, one for each of `roles`."""
    forbids = [
        f'@id("f{number}") @obligation("approval") @approvers("{one}") forbid (principal, action, resource);'
        for number, one in enumerate(roles)
    ]
    return cedar(PERMIT + "\n".join(forbids))


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    ("roles", "approvers"),
    [
        (("finance", "finance"), ("finance",)),
        (("finance, ops", "security, finance"), ("finance",)),
        (("ops, finance", "finance, ops, security"), ("ops", "finance")),
        (("finance", ""), ("finance",)),
        (("", ""), ()),
    ],
)
def test_who_approves_for_several_policies_has_a_role_that_each_of_them_accepts(roles, approvers):
    verdict = asking_for(*roles).evaluate(question())

    assert (verdict.decision, verdict.approvers) == ("needs_approval", approvers)


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    "roles",
    [("finance", "security"), ("finance, ops", "security"), ("a, b", "b, c", "c, a"), ("finance", "", "security")],
)
@pytest.mark.parametrize("approval", ["", "0198c0de"])
def test_policies_that_ask_for_different_roles_are_not_lifted_by_one_approval(roles, approval):
    verdict = asking_for(*roles).evaluate(replace(question(), approval=approval))

    assert (verdict.decision, verdict.error_type, verdict.approvers) == ("deny", "denied", ())
    assert "different roles" in verdict.reason
    assert all(f"a.cedar#f{number} ({one})" in verdict.reason for number, one in enumerate(roles) if one)
    assert verdict.safe == "denied by policy: it would need approvals of different roles"


@pytest.mark.requirement("C5")
def test_a_policy_that_names_no_roles_asks_for_those_of_the_manifest_beside_one_that_does():
    engine = asking_for("finance", "")
    manifest = [(), ("security",), ("security", "finance")]
    asked = [replace(question(), context=replace(question().context, approver_roles=roles)) for roles in manifest]

    verdicts = [engine.evaluate(one) for one in asked]

    assert [one.decision for one in verdicts] == ["needs_approval", "deny", "needs_approval"]
    assert [one.approvers for one in verdicts] == [("finance",), (), ("finance",)]


def test_nobody_is_asked_to_approve_what_no_policy_permits():
    verdict = ENGINE.evaluate(question(tier=3))

    assert (verdict.decision, verdict.id) == ("deny", "default")
    assert "even if approved" in verdict.reason


def test_a_final_denial_stays_one_beside_an_approval():
    verdict = ENGINE.evaluate(question(tier=3, required=("w",), assurance="token"))

    assert (verdict.decision, verdict.id) == ("deny", "onrecord.cedar#scope")


def test_the_same_tool_of_another_server_is_another_resource():
    engine = cedar('permit (principal, action, resource == MCP::Tool::"commit") when { resource.server == "git" };')

    assert not engine.evaluate(question(name="commit")).refuses
    assert engine.evaluate(question(name="commit", server="evil")).refuses


@given(st.text(), st.text(), st.text())
def test_a_name_of_any_kind_is_decided_by_what_it_is(name, user, server):
    engine = ENGINE_OF_ONE
    verdict = policy(engine).decide(question(name=name, id=user, server=server))

    assert verdict.refuses == (name != "only")


ENGINE_OF_ONE = cedar('permit (principal, action, resource == MCP::Tool::"only");')


@pytest.mark.parametrize("enforce", [True, False])
@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        ("context.input.pin * 4611686018427387904 > 7", "integer overflow"),
        ("-9223372036854775807 - context.input.pin > 7", "integer overflow"),
    ],
)
def test_an_error_of_a_policy_is_told_by_its_kind_and_the_policy_and_no_value_is(condition, kind, enforce):
    text = f'@id("no") forbid (principal, action, resource) when {{ context.input has pin && {condition} }};'
    engine = Cedar([PolicyFile(name="a.cedar", text=PERMIT + text)], b"", {"/pin": "long"})
    verdict = policy(engine, enforce=enforce).decide(question(input=Given(values=(("/pin", 8675309),))))

    assert verdict.errors == (f"{kind} in a.cedar#no",)
    assert verdict.reason.endswith(f"the policy engine cedar failed: {kind} in a.cedar#no")
    assert "8675309" not in repr(verdict)


def test_of_an_engine_that_breaks_the_kind_of_error_is_told_and_not_what_it_says():
    verdict = policy(Broken()).decide(question(name="8675309"))

    assert verdict.reason == "the policy engine cedar failed: MemoryError"
    assert "8675309" not in repr(verdict)


def test_a_name_that_no_engine_can_read_is_denied_and_not_told():
    verdict = policy(ALL).decide(question(name="half \udc80 secret"))

    assert (verdict.decision, verdict.error_type) == ("deny", "policy_failed")
    assert "secret" not in verdict.reason


@pytest.mark.parametrize("method", sorted({*CALLS, "request"}))
def test_a_policy_can_speak_of_every_method_that_is_recorded(method):
    kind = {"tools/call": "tool", "resources/read": "resource", "prompts/get": "prompt"}.get(method, "server")
    verdict = ALL.evaluate(question(action=method, kind=kind))

    assert not verdict.refuses, verdict


PERMIT = "permit (principal, action, resource);\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("permit (principal, action", r"a.cedar: policy 1 \(line 1\): is not Cedar: unexpected end of input"),
        (PERMIT + "\n// why\npermit (principal,", r"a.cedar: policy 2 \(line 4\): is not Cedar"),
        (
            PERMIT + '@id("x") forbid (principal, action, resource) when { context.teir > 1 };',
            "policy 2 .'x', line 2.: ",
        ),
        ('permit (principal, action == MCP::Action::"tools/cal", resource);', "unrecognized action"),
        ("permit (principal is MCP::Usr, action, resource);", "unrecognized entity type"),
        ("permit (principal, action, resource) when { context.tier };", "expected Bool"),
        ("permit (principal == ?principal, action, resource);", "is a template"),
        ('@id("a") ' + PERMIT + '@id("a") ' + PERMIT, "a.cedar#a: this id stands twice, the second time in line 2"),
        ('@id("a\\nb") ' + PERMIT, "the id may hold"),
        ('@obligation("dance") forbid (principal, action, resource);', "@obligation stands on a forbid"),
        ('@obligation("approval") ' + PERMIT, "@obligation stands on a forbid"),
        ('@obligations("approval") forbid (principal, action, resource);', "did you mean @obligation?"),
        ('@Reason("x") ' + PERMIT, "@Reason means nothing; did you mean @reason?"),
        ('@approvers("finance") forbid (principal, action, resource);', "@approvers stands beside @obligation"),
        (
            "permit (principal, action, resource) when { context.teir > 1 };",
            r"line 1.: attribute `teir` in context not found; did you mean `tier`\?$",
        ),
        ("permit (principal, action, resource) when { context.input.amount > 1 };", "declared as policy_input of a"),
        ("", "hold no policy"),
        ("// nothing; really\n", "hold no policy"),
        ("grant everything;", "is not Cedar"),
    ],
)
def test_a_policy_that_does_not_hold_is_refused_with_file_and_policy(text, said):
    with pytest.raises(ConfigError, match=said):
        cedar(text)


def test_a_semicolon_in_a_string_or_a_comment_ends_no_policy():
    text = (
        '// one; two\n@reason("a; \\"b\\"; // c") permit (principal, action, resource) when { resource.server == ";" };'
    )
    (rule,) = rules_in(PolicyFile(name="a.cedar", text=text), SCHEMA)

    assert rule.reason == 'a; "b"; // c'


@given(st.text(alphabet=st.sampled_from('permit(principal,action,resource)forbid;"\\/ \n@id{}when')))
def test_any_text_is_a_policy_or_one_clear_error(text):
    said = "b.cedar"
    try:
        cedar(POLICIES, text)
    except ConfigError as e:
        said = str(e)

    assert said.startswith("b.cedar")


def test_the_version_follows_policies_and_manifest_and_nothing_else():
    assert cedar().version == cedar().version
    assert len({cedar().version, cedar(POLICIES + PERMIT).version, cedar(manifest=b"x").version}) == 3
    assert cedar(POLICIES + "\n// a word").version == cedar().version


@pytest.mark.parametrize(
    ("condition", "read"),
    [
        ("context.tier > 1 && context.round == 0", {"tier", "round"}),
        ("context has trace_id && principal.level > 1", {"trace_id"}),
        ('[context.transport].contains("http") || (if context.tier > 2 then true else false)', {"transport", "tier"}),
        ("true", set()),
        ("context == context", None),
        ("[context].contains(context)", None),
        ("{a: context}.a.tier > 1", None),
    ],
)
def test_what_policies_read_of_the_circumstances_is_known_or_all_of_it_counts(condition, read):
    rules = rules_in(PolicyFile(name="a", text=f"permit (principal, action, resource) when {{ {condition} }};"), SCHEMA)

    assert context_read(rules) == read


@given(
    st.lists(
        st.builds(
            question,
            tier=st.integers(0, 4),
            required=st.sampled_from([(), ("w",)]),
            present=st.sampled_from([(), ("w",)]),
            assurance=st.sampled_from(["none", "token"]),
            name=st.sampled_from(["a", "b"]),
            server=st.sampled_from(["git", "other"]),
        ),
        max_size=12,
    )
)
def test_a_remembered_verdict_is_the_one_that_would_be_given_anew(asked):
    for one in asked:
        assert ENGINE.evaluate(one) == ENGINE._evaluated(one)


@pytest.mark.parametrize("name", sorted(Context.__slots__))
def test_each_of_the_circumstances_can_be_read_and_told_by_itself(name):
    assert (
        not cedar(f"permit (principal, action, resource) when {{ context has {name} }};").evaluate(question()).refuses
    )


def test_a_policy_can_take_all_circumstances_together():
    assert not cedar("permit (principal, action, resource) when { context == context };").evaluate(question()).refuses


def test_what_a_decision_point_elsewhere_is_told_is_what_policies_here_can_read():
    said: Any = authzen(question())

    assert set(said["context"]) == set(Context.__slots__)


@pytest.mark.requirement("C3")
def test_a_workload_is_not_taken_for_a_person():
    people = cedar("permit (principal is MCP::User, action, resource);")
    kinds = ("human", "workload", "unknown")

    assert [people.evaluate(question(kind_of=kind)).refuses for kind in kinds] == [False, True, False]
    said: list[Any] = [authzen(question(kind_of=kind)) for kind in kinds]
    assert [one["subject"]["type"] for one in said] == ["user", "workload", "identity"]
