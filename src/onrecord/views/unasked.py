# SPDX-License-Identifier: Apache-2.0
"""Risky tools that a policy lets somebody call without an approval.

A policy is asked, for each tool, about callers of every assurance who have the scopes that it takes; nothing is called.
That is a sample: one that lets only a certain person, role or agent call is not found out so. Where policies read
arguments of a tool, calls without them and with some of each type are tried, and what was not tried is said to be so.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from onrecord.event.call import Definition
from onrecord.event.event import Event, IdentityAssurance, IdentitySource
from onrecord.rules.asked_again import question_again
from onrecord.rules.classify import Manifest, Treatment, classify
from onrecord.rules.inference import call_of
from onrecord.rules.policy import Question, Verdict
from onrecord.rules.policy_input import Given, Kind, Value, written

_PATTERN = frozenset("*?[")
RISKY = 3  # from this tier up, somebody should be asked

Caller: TypeAlias = tuple[IdentitySource, IdentityAssurance, Literal["", "human"]]
CALLERS: tuple[Caller, ...] = (
    ("none", "none", ""),
    ("os_account", "os_account", ""),
    ("id_token", "token", "human"),
    ("id_token", "token_mfa", "human"),
    ("id_token", "phishing_resistant", "human"),
)

# Arguments that are tried, by type: the least that a call may do, a little, and as much as there is.
TRIED: Mapping[Kind, tuple[Value, Value, Value]] = {
    "long": (0, 1, 2**63 - 1),
    "decimal": (Decimal("0.0"), Decimal("1.0"), Decimal("922337203685477.5807")),
    "bool": (False, True, True),
    "string": ("", "a", "a"),
    "strings": ((), ("a",), ("a", "b")),
}

Known: TypeAlias = dict[tuple[str, str], int]  # tier by server and tool


class Seen(msgspec.Struct):
    """What an attempt on the record says of a tool."""

    server_id: str = ""
    tool_name: str = ""
    risk_tier: int | None = None
    phase: str = ""


class Unasked(NamedTuple):
    """A tool that a caller of this assurance, the lowest, may call without an approval.

    `inputs` are its arguments that policies read, by pointer. Without an assurance nothing that was tried is allowed,
    and other arguments may be.
    """

    server: str
    tool: str
    tier: int
    assurance: IdentityAssurance | Literal[""]
    inputs: tuple[str, ...] = ()


def risky_tools(seen: Iterable[Seen], manifest: Manifest) -> Known:
    """Return the tools of tier 3 and 4: those that were called, and those that a rule names without a pattern.

    The server of a tool that a rule names for all servers is empty.
    """
    recorded = {(one.server_id, one.tool_name): one.risk_tier or 0 for one in seen if one.tool_name}
    called = {tool for _, tool in recorded}
    plain = [rule for rule in manifest if not _PATTERN & {*rule.tool, *rule.server.removeprefix("*")}]
    named = {(rule.server.removeprefix("*"), rule.tool): 0 for rule in plain if rule.tool not in called}
    tiers = {about: _tier(*about, tier, manifest) for about, tier in {**named, **recorded}.items()}
    return {about: tier for about, tier in sorted(tiers.items()) if tier >= RISKY}


def _tier(server: str, tool: str, recorded: int, manifest: Manifest) -> int:
    """Return the tier of a tool: what the manifest says, else what it was, which may rest on its annotations."""
    treatment = classify(call_of(server, Definition(name=tool, digest="")), manifest)
    return treatment.tier if treatment.source == "manifest" else max(treatment.tier, recorded)


def unasked(
    tools: Known, manifest: Manifest, decide: Callable[[Question], Verdict], reads: Callable[[str], bool]
) -> list[Unasked]:
    """Return those of `tools` that somebody may call without an approval, or may with arguments that were not tried.

    `reads` says whether policies that may speak of a tool read arguments.
    """
    found: list[Unasked] = []
    for (server, tool), tier in tools.items():
        treatment = classify(call_of(server, Definition(name=tool, digest="")), manifest)
        declared = dict(treatment.policy_input) if reads(tool) else {}
        attempts = [replace(_attempt(server, tool, tier, treatment), policy_input=one) for one in _inputs(declared)]
        callers = [level for level in CALLERS if any(_allows(one, level, decide) for one in attempts)]
        if callers or declared:
            found.append(Unasked(server, tool, tier, callers[0][1] if callers else "", tuple(declared)))
    return found


def _allows(attempt: Event, caller: Caller, decide: Callable[[Question], Verdict]) -> bool:
    source, assurance, kind = caller
    user = "" if source == "none" else "u_somebody"
    known = replace(attempt, user_id=user, identity_source=source, identity_assurance=assurance, principal_type=kind)
    question = question_again(known)
    return question is not None and decide(question).decision == "allow"


def _inputs(declared: Mapping[str, Kind]) -> list[str]:
    """Return the arguments that are tried, as they are on the record: none, and some of each type."""
    given = [Given(values=tuple((at, TRIED[kind][i]) for at, kind in declared.items())) for i in range(3)]
    return ["", *(written(one, declared, lambda _: "") for one in given)] if declared else [""]


def _attempt(server: str, tool: str, tier: int, treatment: Treatment) -> Event:
    return Event(
        phase="attempt",
        event_type="tool_call",
        method="tools/call",
        direction="client_to_server",
        transport="stdio",
        server_id=server,
        tool_name=tool,
        tool_definition_hash="0" * 64,
        risk_tier=tier,
        data_classification=treatment.classification,
        scope_required=treatment.scope,
        scope_present=treatment.scope,
        approver_roles=treatment.approver_roles,
    )
