# SPDX-License-Identifier: Apache-2.0
"""What a client may read of the settings that it is recorded by, before it calls: all of it, by name. Pure.

Nothing is copied from the settings as a whole: what is not named here is not told. So no path of the machine, no URL,
no account, no name of a person and no tenant is in it, and no pattern by which rules find tools: they may hold such
names.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from onrecord.event.call import Call, Standing
from onrecord.event.event import IdentityAssurance
from onrecord.rules.actions import Table
from onrecord.rules.approval import STRICT, Channel, Terms
from onrecord.rules.classify import FAIL_CLOSED, Class, Durability, Manifest, Output, Source, Treatment
from onrecord.rules.disclosure import disclosed

VERSION = 1  # of the form; a new key does not raise it
MOST_TOOLS = 1_000  # that are told one by one
STANDARD = "standard"  # the retention class of what no rule names

_TIERS = range(5)
_CLASSES: tuple[Class, ...] = ("low", "medium", "high", "critical")

Mode: TypeAlias = Literal["none", "observe", "enforce"]
Act: TypeAlias = Literal["note", "block"]


def _about(text: str) -> Meta:
    return Meta(description=text)


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """What records."""

    name: str = "onrecord"
    version: str


class RetentionClass(msgspec.Struct, frozen=True, kw_only=True):
    """How long events of one class are kept."""

    deletes_after_s: Annotated[int | None, _about("seconds; null: nothing is deleted by age")] = None


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long the record is kept."""

    enforced: Annotated[bool, _about("whether anything is deleted by age; not in this version")] = False
    default_class: str = STANDARD
    classes: dict[str, RetentionClass]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What of a call of one class is written."""

    keys: Annotated[bool, _about("whether the names of arguments are")]
    values: Annotated[Literal["all", "declared", "none"], _about("masked and cut; `declared`: those that a rule names")]
    places: Annotated[Literal["each", "root", "none"], _about("of what is withheld")]


class Redaction(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with values before they are written."""

    policy: Annotated[str, _about("name, version and digest of the rules, as each event has it")]
    longest_text: Annotated[int, _about("characters of a text that stay")]
    names: Annotated[bool, _about("whether names and places are masked too")]
    rules_off: Annotated[tuple[str, ...], _about("ids of rules that are not applied")]
    own_rules: Annotated[int, _about("how many files of rules there are beside those of the product")]
    actions: Annotated[dict[str, str | dict[str, str]], _about("what is done with what is found, where it is set")]
    deadline_ms: Annotated[int, _about("what was not looked at by then is withheld")]
    kept: Annotated[dict[str, Kept], _about("by classification; of tier 0 nothing is, whatever its class")]


class TierTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the calls of one tier."""

    unrecorded: Annotated[
        Literal["spooled", "refused"],
        _about("a call that can't be recorded: it runs and its events wait in a bounded spool, or it does not run"),
    ]
    attempt: Annotated[Durability, _about("how safe its attempt is before it runs")]
    result: Annotated[Durability, _about("how safe its result is before it is answered")]


class ApprovalTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What an approval of a call of one tier takes."""

    another_person: Annotated[bool, _about("whether who asks can't approve")]
    step_up: Annotated[bool, _about("whether approvers prove their presence for the very call")]
    assurance: Annotated[IdentityAssurance, _about("what must at least be known of an approver")]
    expires_s: float
    user_confirms: Annotated[bool, _about("whether the user may confirm in the client, where no role is demanded")]
    possible: Annotated[bool, _about("whether anybody can give one here")]


class Approvals(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of calls that a policy wants approved. Which those are, a policy decides call by call."""

    in_force: Annotated[bool, _about("whether a call can need one: a policy is enforced")]
    channels: Annotated[tuple[Channel, ...], _about("ways in which a decision counts")]
    quorum: Annotated[int, _about("how many people must say yes")]
    wait_s: Annotated[float, _about("how long a call waits; then its request stands until it expires")]
    escalate_after_s: Annotated[float, _about("after that other roles may decide too; 0 is never")]
    escalate_roles: tuple[str, ...]
    tiers: dict[str, ApprovalTerms]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What decides on calls."""

    mode: Mode
    engine: str
    version: Annotated[str, _about("as each attempt has it")]
    changed_definitions: Annotated[Act, _about("what becomes of calls of a tool whose definition changed")]
    flagged_definitions: Annotated[Act, _about("or whose definition looks like an attack")]
    verified_identity: Annotated[bool, _about("whether a call without a verified token is refused")]


class OutputTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with a result that looks as if it wanted to instruct the model."""

    flags: Output


class CheckpointKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that signs the record's checkpoints; one to compare with, as whoever tells it may tell another one."""

    name: str
    vkey: Annotated[str, _about("name, id and key, as C2SP signed notes have it")]


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """How the record can be checked."""

    origin: Annotated[str, _about("the first line of its latest checkpoint; empty where it is not known here")]
    keys: Annotated[tuple[CheckpointKey, ...], _about("oldest first; the last one signs")]
    witnesses: Annotated[int, _about("how many are asked to cosign checkpoints")]
    timestamps: Annotated[int, _about("how many authorities are asked to timestamp them")]


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """How calls of one tool are treated."""

    name: str
    tier: int
    tier_from: Source
    classification: Class
    retention_class: str
    scope: tuple[str, ...]
    approver_roles: tuple[str, ...]
    output: Annotated[Output | None, _about("null: as `output.flags` says")]
    definition: Annotated[Standing, _about("how far its definition is believed")]
    refused: Annotated[bool, _about("whether its definition alone keeps it from running")]


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """The tools of the wrapped server that were listed to this client."""

    listed: tuple[Tool, ...]
    more: Annotated[int, _about("that were listed and are not told")]


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force, as far as clients may read them: the resource `onrecord://policy`."""

    schema_version: int = VERSION
    product: Product
    retention: Retention
    redaction: Redaction
    tiers: dict[str, TierTerms]
    policy: Policy
    approvals: Approvals
    output: OutputTerms
    ledger: Ledger
    tools: Tools = Tools(listed=(), more=0)


def retention(manifest: Manifest) -> Retention:
    """Return the classes that events may have."""
    named = {STANDARD, "critical", *(rule.retention_class for rule in manifest if rule.retention_class)}
    return Retention(classes={name: RetentionClass() for name in sorted(named)})


def kept() -> dict[str, Kept]:
    """Return what is written of calls, by classification."""
    found: dict[str, Kept] = {}
    for name in _CLASSES:
        shown = disclosed(Treatment(tier=1, classification=name, retention_class=STANDARD), schema_known=True)
        found[name] = Kept(keys=shown.keys, values=shown.values, places=shown.pointers)
    return found


def tiers() -> dict[str, TierTerms]:
    """Return what holds for calls, by tier."""
    found: dict[str, TierTerms] = {}
    for tier in _TIERS:
        treated = Treatment(tier=tier, classification="medium", retention_class=STANDARD)
        found[str(tier)] = TierTerms(
            unrecorded="refused" if tier >= FAIL_CLOSED else "spooled",
            attempt=treated.attempt_durability,
            result=treated.result_durability,
        )
    return found


def approvals(terms: Terms, *, in_force: bool) -> Approvals:
    """Return what approvals take by `terms`."""
    by_tier = {
        str(tier): ApprovalTerms(
            another_person=tier >= terms.four_eyes_from,
            step_up=tier >= terms.step_up_from,
            assurance=terms.needed_of(tier),
            expires_s=(terms.expires_strict_us if tier >= STRICT else terms.expires_us) / 1e6,
            user_confirms=terms.is_confirmable(tier),
            possible=bool(terms.channels) and (terms.is_confirmable(tier) or not terms.out_of_reach(tier)),
        )
        for tier in _TIERS
    }
    return Approvals(
        in_force=in_force,
        channels=terms.channels,
        quorum=terms.quorum,
        wait_s=terms.wait_s,
        escalate_after_s=terms.escalate_after_us / 1e6,
        escalate_roles=terms.escalate_roles,
        tiers=by_tier,
    )


def actions(table: Table) -> dict[str, str | dict[str, str]]:
    """Return a table of actions, as it may be told: the words are those of the product, or of rules."""
    return {key: one if isinstance(one, str) else dict(one) for key, one in sorted(table.items())}


def tools(treated: Iterable[tuple[Call, Treatment]], count: int) -> Tools:
    """Return how the tools of which these are calls are treated; `count` are known."""
    listed = tuple(_tool(call, treatment) for call, treatment in treated)
    return Tools(listed=listed, more=count - len(listed))


def _tool(call: Call, treatment: Treatment) -> Tool:
    known = call.definition
    return Tool(
        name=call.name.encode(errors="replace").decode(),  # half a surrogate pair stands for no character
        tier=treatment.tier,
        tier_from=treatment.source,
        classification=treatment.classification,
        retention_class=treatment.retention_class,
        scope=treatment.scope,
        approver_roles=treatment.approver_roles,
        output=treatment.output,
        definition="unconfirmed" if known is None else known.standing,
        refused=known is not None and bool(known.refused),
    )


def schema_text() -> str:
    """Return the JSON Schema 2020-12 of a declaration, as the text of the checked-in file."""
    (root,), components = msgspec.json.schema_components([Declaration], ref_template="#/$defs/{name}")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:onrecord:policy:{VERSION}",
        **root,
        "$defs": components,
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"
