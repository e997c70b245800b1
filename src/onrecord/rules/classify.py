# SPDX-License-Identifier: Apache-2.0
"""How risky a call is and how sensitive its data: what the manifest says, else what can be inferred.

A server's annotations are its own claims. They are believed where they warn, and for the one step
down from "unknown" to "reads only"; a name that says `delete` or `pay` outweighs them. A name only
ever raises: `get_everything` proves nothing. What the manifest says is the operator's word and
outweighs all of it.

Tier says what must be on disk before a call goes on; classification says which values may be
written at all. This file decides both and reads no value of a call, only what it is called.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from onrecord.event.call import Call
from onrecord.event.event import EventType
from onrecord.rules.canary import SERVER_ID as CANARY
from onrecord.rules.manifest import Class, Manifest, Output, ToolRule
from onrecord.rules.policy_input import Kind
from onrecord.rules.words import LONGEST, listed, words

__all__ = ["Class", "Manifest", "Output", "ToolRule", "Treatment", "classify"]

Durability: TypeAlias = Literal["written", "flushed", "signed"]
Source: TypeAlias = Literal["manifest", "annotations", "name", "default"]

# What the verbs in a tool's name do that can't be taken back. Sending is here because what was sent
# stays sent, and permissions because what follows runs under them.
DESTROYS = listed(
    "delete del remove rm drop purge destroy wipe erase truncate shred terminate kill uninstall format reset overwrite"
)
PAYS = listed("pay payout refund charge transfer withdraw purchase buy checkout wire")
SENDS = listed("send publish broadcast tweet")
PERMITS = listed("grant revoke authorize impersonate chmod chown sudo")
RUNS = listed("exec execute eval shell deploy")
IRREVERSIBLE = DESTROYS | PAYS | SENDS | PERMITS | RUNS

# Requests other than tool calls are defined by the protocol: all but an unknown one only read or ask.
TIER_OF: Mapping[EventType, int] = {
    "resource_read": 1,
    "prompt_get": 1,
    "completion": 0,
    "sampling": 1,
    "elicitation": 1,
    "task": 1,
}
FAIL_CLOSED = 2  # from this tier up, a call that can't be recorded must not run
UNKNOWN_TIER = 2  # an unannotated tool, or a method that no known revision defines

# The only rule that a self-test's calls know: their values are written, so that it shows how they are redacted, and
# they do not run unrecorded. No rule of the settings applies, as the test would then be of that rule.
_OF_CANARY = (ToolRule(tier=FAIL_CLOSED, classification="low"),)

_ATTEMPTS: tuple[Durability, ...] = ("written", "written", "flushed", "signed", "signed")
_RESULTS: tuple[Durability, ...] = ("written", "written", "written", "signed", "signed")


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """How one call is to be treated: what rules say of it, see `ToolRule`. `source` says where its tier comes from."""

    tier: int
    classification: Class
    retention_class: str
    summary: tuple[str, ...] = ()
    output_summary: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    sensitive_output: tuple[str, ...] = ()
    actions: tuple[tuple[str, str], ...] = ()
    source: Source = "default"
    output: Output | None = None
    scope: tuple[str, ...] = ()
    approver_roles: tuple[str, ...] = ()
    limits: tuple[tuple[str, float], ...] = ()
    policy_input: tuple[tuple[str, Kind], ...] = ()
    resource: str = ""
    recipient: str = ""
    result_id: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    rollback: str = ""
    idempotency_key: str = ""
    allow_duplicates: bool = False

    @property
    def attempt_durability(self) -> Durability:
        """How safe the attempt must be before the call goes on."""
        return _ATTEMPTS[self.tier]

    @property
    def result_durability(self) -> Durability:
        """How safe the result must be before the caller gets it."""
        return _RESULTS[self.tier]

    @property
    def fails_closed(self) -> bool:
        """Whether a call that can't be recorded must not run."""
        return self.tier >= FAIL_CLOSED


def classify(call: Call, manifest: Manifest) -> Treatment:
    """Return how `call` is to be treated.

    The first rule that sets an attribute decides it, except that everything which any matching rule
    calls sensitive is sensitive: a rule can't take back what another withholds.
    """
    server = call.connection.server_id
    manifest = _OF_CANARY if server == CANARY else manifest
    rules = [rule for rule in manifest if rule.matches(server, call.name)] if manifest else []
    tier, source = _tier(call, rules)
    classes: list[Class | None] = [rule.classification for rule in rules]
    outputs: list[Output | None] = [rule.output for rule in rules]
    classification: Class = _first(classes) or "medium"
    retention = _first([rule.retention_class or None for rule in rules])
    if not rules:
        return Treatment(tier=tier, classification=classification, retention_class="standard", source=source)
    declared: dict[str, Kind] = {at: rule.policy_input[at] for rule in reversed(rules) for at in rule.policy_input}
    duplicates: list[bool | None] = [rule.allow_duplicates for rule in rules]
    return Treatment(
        tier=tier,
        classification=classification,
        retention_class=retention or ("critical" if classification == "critical" else "standard"),
        summary=_first([rule.summary for rule in rules]) or (),
        output_summary=_first([rule.output_summary for rule in rules]) or (),
        sensitive=tuple(text for rule in rules for text in rule.sensitive),
        sensitive_output=tuple(text for rule in rules for text in rule.sensitive_output),
        actions=tuple({key: rule.actions[key] for rule in reversed(rules) for key in rule.actions}.items()),
        source=source,
        output=_first(outputs),
        scope=_first([rule.scope for rule in rules]) or (),
        approver_roles=_first([rule.approver_roles for rule in rules]) or (),
        policy_input=tuple(declared.items()),
        limits=tuple({key: rule.limits[key] for rule in reversed(rules) for key in rule.limits}.items()),
        resource=_said([rule.resource for rule in rules]),
        recipient=_said([rule.recipient for rule in rules]),
        result_id=_said([rule.result_id for rule in rules]),
        before=_first([rule.before for rule in rules]) or (),
        after=_first([rule.after for rule in rules]) or (),
        rollback=_said([rule.rollback for rule in rules]),
        idempotency_key=_said([rule.idempotency_key for rule in rules]),
        allow_duplicates=_first(duplicates) or False,
    )


def _tier(call: Call, rules: list[ToolRule]) -> tuple[int, Source]:
    stated = _first([rule.tier for rule in rules])
    if stated is not None:
        return stated, "manifest"
    if call.event_type != "tool_call":
        return TIER_OF.get(call.event_type, UNKNOWN_TIER), "default"
    definition = call.definition
    if definition is not None and definition.destructive is True:
        return 3, "annotations"
    if warns(call.name):
        return 3, "name"
    if definition is not None and definition.read_only is True:
        return 1, "annotations"
    return UNKNOWN_TIER, "default"


def warns(name: str) -> bool:
    """Say whether a tool's name says that it does what can't be taken back; a name too long to read does."""
    return len(name) > LONGEST or not IRREVERSIBLE.isdisjoint(words(name))


def _first(values: list[_T | None]) -> _T | None:
    return next((value for value in values if value is not None), None)


def _said(texts: list[str]) -> str:
    return _first([text or None for text in texts]) or ""
