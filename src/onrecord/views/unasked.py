# SPDX-License-Identifier: Apache-2.0
"""Risky tools that a policy lets somebody call without an approval.

A policy is asked, for each tool, about callers of every assurance who have the scopes that it takes; nothing is called.
That is a sample: one that lets only a certain person, role or agent call is not found out so.
"""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from onrecord.event.call import Definition
from onrecord.event.event import Event, IdentityAssurance, IdentitySource
from onrecord.rules.asked_again import question_again
from onrecord.rules.classify import Manifest, classify
from onrecord.rules.inference import call_of
from onrecord.rules.policy import Question, Verdict

_PATTERN = frozenset("*?[")
RISKY = 3  # from this tier up, somebody should be asked

CALLERS: tuple[tuple[IdentitySource, IdentityAssurance, Literal["", "human"]], ...] = (
    ("none", "none", ""),
    ("os_account", "os_account", ""),
    ("id_token", "token", "human"),
    ("id_token", "token_mfa", "human"),
    ("id_token", "phishing_resistant", "human"),
)

Known: TypeAlias = dict[tuple[str, str], int]  # tier by server and tool


class Seen(msgspec.Struct):
    """What an attempt on the record says of a tool."""

    server_id: str = ""
    tool_name: str = ""
    risk_tier: int | None = None
    phase: str = ""


class Unasked(NamedTuple):
    """A tool that a caller of this assurance, the lowest, may call without an approval."""

    server: str
    tool: str
    tier: int
    assurance: IdentityAssurance


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


def unasked(tools: Known, manifest: Manifest, decide: Callable[[Question], Verdict]) -> list[Unasked]:
    """Return those of `tools` that somebody may call without an approval."""
    found: list[Unasked] = []
    for (server, tool), tier in tools.items():
        treatment = classify(call_of(server, Definition(name=tool, digest="")), manifest)
        for source, assurance, kind in CALLERS:
            attempt = Event(
                phase="attempt",
                event_type="tool_call",
                method="tools/call",
                direction="client_to_server",
                transport="stdio",
                server_id=server,
                tool_name=tool,
                tool_definition_hash="0" * 64,
                user_id="" if source == "none" else "u_somebody",
                identity_source=source,
                identity_assurance=assurance,
                principal_type=kind,
                risk_tier=tier,
                data_classification=treatment.classification,
                scope_required=treatment.scope,
                scope_present=treatment.scope,
                approver_roles=treatment.approver_roles,
            )
            question = question_again(attempt)
            if question is not None and decide(question).decision == "allow":
                found.append(Unasked(server, tool, tier, assurance))
                break
    return found
