# SPDX-License-Identifier: Apache-2.0
"""Whether a tool is fit to be exposed: what is set, what is inferred, what is missing, and what to write.

What is asked for follows the tier, as the depth of the record does: the riskier a call, the more must
be said before it. A tool of tier 3 or 4 that lacks something is not ready; one below that is usable
and open. What is inferred is never called set: nobody has looked at it yet.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec

from onrecord.event.call import Definition
from onrecord.rules.classify import Manifest, ToolRule, Treatment, classify
from onrecord.rules.inference import Guessed, call_of, guessed, why
from onrecord.views.draft import listed, literal, proposals, quoted

State: TypeAlias = Literal["set", "inferred", "missing", "optional"]
RISKY = 3  # from this tier up, what is missing makes a tool not ready
IRREVERSIBLE = 4


class Aspect(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a rule may say. `write` is the line of `onrecord.toml` that says it, where it is not said."""

    name: str
    state: State
    value: str = ""
    why: str = ""
    write: str = ""


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    """How far one tool is: ready, open (below tier 3) or not ready. `rule` begins the table to write it into."""

    tool: str
    tier: int
    grade: Literal["ready", "open", "not ready"]
    aspects: tuple[Aspect, ...]
    rule: str

    @property
    def missing(self) -> tuple[Aspect, ...]:
        """What keeps it from being ready."""
        return tuple(aspect for aspect in self.aspects if aspect.state == "missing")


def graded(server: str, definition: Definition, manifest: Manifest) -> Grade:
    """Return how far a tool of `server` is, by what `manifest` says of it."""
    rules = [rule for rule in manifest if rule.matches(server, definition.name)]
    treatment = classify(call_of(server, definition), manifest)
    guess = guessed(server, definition, treatment.tier)
    proposed = {key: f"{key} = {value}" for key, value, _ in proposals(guess, treatment)}
    aspects = tuple(_aspects(definition, rules, treatment, guess, proposed))
    lacks = any(aspect.state == "missing" for aspect in aspects)
    return Grade(
        tool=definition.name,
        tier=treatment.tier,
        grade=("not ready" if treatment.tier >= RISKY else "open") if lacks else "ready",
        aspects=aspects,
        rule=f"[[tool]]\nserver = {quoted(literal(server))}\ntool = {quoted(literal(definition.name))}",
    )


def _aspects(
    definition: Definition,
    rules: Sequence[ToolRule],
    treatment: Treatment,
    guess: Guessed,
    proposed: dict[str, str],
) -> Iterator[Aspect]:
    tier = treatment.tier
    stated = treatment.source == "manifest"
    yield Aspect(
        name="tier",
        state="set" if stated else "inferred",
        value=str(tier),
        why="" if stated else why(definition, treatment),
        write="" if stated else f"tier = {tier}",
    )
    yield _by_default("classification", treatment.classification, any(rule.classification for rule in rules))
    yield _by_default("retention_class", treatment.retention_class, any(rule.retention_class for rule in rules))
    yield from _sensitive(treatment, guess)
    if tier >= 1:
        yield _asked("scope", _said(rules, "scope"), proposed, needed=True)
    if tier >= RISKY:
        yield _asked("approver_roles", treatment.approver_roles, proposed, needed=True)
    if tier >= 1 and treatment.classification == "medium" and guess.arguments:
        write = proposed.get("summary", "summary = []")
        yield _asked("summary", _said(rules, "summary"), {"summary": write}, needed=tier >= 2)
    yield from _references(rules, treatment, guess, proposed)


def _by_default(name: str, value: str, is_set: bool) -> Aspect:  # noqa: FBT001  # a claim about the value beside it
    if is_set:
        return Aspect(name=name, state="set", value=value)
    return Aspect(name=name, state="inferred", value=value, why="the default", write=f"{name} = {quoted(value)}")


def _sensitive(treatment: Treatment, guess: Guessed) -> Iterator[Aspect]:
    if not guess.schema_known:
        yield Aspect(name="sensitive", state="missing", why="no schema says what it takes", write='sensitive = ["/…"]')
        return
    told = (*treatment.sensitive, *treatment.sensitive_output)
    marked = (*guess.sensitive, *guess.sensitive_output, *guess.told)
    if told:
        yield Aspect(name="sensitive", state="set", value=", ".join(told))
    elif marked:
        yield Aspect(
            name="sensitive", state="inferred", value=", ".join(marked), why="marked by its schema or its name"
        )
    else:
        yield Aspect(name="sensitive", state="inferred", value="none", why="no schema and no name marks anything")


def _references(
    rules: Sequence[ToolRule], treatment: Treatment, guess: Guessed, proposed: dict[str, str]
) -> Iterator[Aspect]:
    tier = treatment.tier
    if tier >= 2 and (guess.arguments or guess.outputs):  # what takes and gives nothing names nothing
        named = treatment.resource or treatment.result_id
        write = proposed.get("resource") or proposed.get("result_id") or 'resource = "…"'
        yield _asked("resource", named, {"resource": write}, needed=True)
    for key in ("before", "after"):
        if tier >= 2 and (getattr(treatment, key) or key in proposed):
            yield _asked(key, getattr(treatment, key), proposed, needed=False)
    if tier >= RISKY and (guess.goes_out or guess.recipient or treatment.recipient):
        yield _asked("recipient", treatment.recipient, {"recipient": 'recipient = "/…"', **proposed}, needed=True)
    if tier >= RISKY and (treatment.limits or guess.amount):
        said = [f"{text} at most {most:g}" for text, most in treatment.limits]
        yield _asked("limits", said, proposed, needed=False)
    if tier >= RISKY:
        needed = tier >= IRREVERSIBLE
        yield _asked("rollback", treatment.rollback, {"rollback": 'rollback = "runbook …"', **proposed}, needed=needed)
        key = treatment.idempotency_key or _duplicates(rules)
        write = proposed.get("idempotency_key", "allow_duplicates = false")
        yield _asked("idempotency_key", key, {"idempotency_key": write}, needed=needed)


def _duplicates(rules: Sequence[ToolRule]) -> str:
    """Return what is said about identical calls of a tool without a key, where somebody said it."""
    said = next((rule.allow_duplicates for rule in rules if rule.allow_duplicates is not None), None)
    return "" if said is None else f"none; identical calls are {'meant' if said else 'refused'}"


def _said(rules: Sequence[ToolRule], key: str) -> str | tuple[str, ...]:
    said = next((getattr(rule, key) for rule in rules if getattr(rule, key) is not None), None)
    return ("none",) if said == () else said or ()


def _asked(name: str, value: str | Sequence[str], proposed: dict[str, str], *, needed: bool) -> Aspect:
    if value:
        return Aspect(name=name, state="set", value=value if isinstance(value, str) else ", ".join(value))
    write = proposed.get(name, f"{name} = {listed(['…'])}")
    return Aspect(name=name, state="missing" if needed else "optional", write=write)
