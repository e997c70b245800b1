# SPDX-License-Identifier: Apache-2.0
"""The attempt of a call as it would stand on the record under another manifest, as far as the record can tell.

Tier, class, scopes, approver roles and limits follow from the rules that match, and from two things that are not on
the record: what the tool's annotations said, and the values of its arguments. Where the manifest of that time is
known, what it left to inference is: the tier that was recorded. Else each way in which it may have been is returned,
for a policy to be asked about all of them: where it answers all of them alike, it does not matter. Where the name by
which rules match is not on the record, or there are too many ways, there is no telling.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeAlias

from msgspec.structs import replace

from onrecord.event.call import NOTHING, Actor, Call, Connection, Definition
from onrecord.event.event import Event
from onrecord.rules.classify import Manifest, Treatment, classify

MOST = 64  # ways in which one call may be treated
_HIDES_QUERIES = ("high", "critical")  # classes of which a URI is recorded without its query
_COMPARED = ("tool_call", "request")  # what is compared with earlier calls, whatever its tier

Unknown: TypeAlias = Literal["annotations", "arguments", "earlier calls", "name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What an attempt would be. Without `unknown`, `attempts` is one; else what is not on the record is said there.

    No attempts: there is no telling.
    """

    attempts: tuple[Event, ...]
    unknown: tuple[Unknown, ...] = ()


def treated_again(attempt: Event, manifest: Manifest, before: Manifest | None) -> Again:
    """Return what `attempt` would be under `manifest`; `before` is the one in force then, None where nobody knows."""
    if _unnamed(attempt, manifest) or (before is not None and _unnamed(attempt, before)):
        return Again(attempts=(), unknown=("name",))
    unknown: dict[Unknown, None] = {}
    ways: list[Event] = []
    treatments = list(_treatments(attempt, manifest, before))
    if len(treatments) != 1:
        unknown["annotations"] = None
    for treatment, old in treatments:
        exceeded = _exceeded(attempt, treatment, old)
        repeats = _repeats(attempt, treatment, old)
        if len(exceeded) != 1:
            unknown["arguments"] = None
        if len(repeats) > 1:
            unknown["earlier calls"] = None
        for limits, repeated in product(exceeded, repeats):
            event = replace(
                attempt,
                risk_tier=treatment.tier,
                data_classification=treatment.classification,
                scope_required=treatment.scope,
                approver_roles=treatment.approver_roles,
                limits_exceeded=limits,
                repeats=repeated,
            )
            if event not in ways:
                ways.append(event)
        if not exceeded or len(ways) > MOST:
            return Again(attempts=(), unknown=tuple(unknown))
    return Again(attempts=tuple(ways), unknown=tuple(unknown))


def _unnamed(attempt: Event, manifest: Manifest) -> bool:
    """Say whether rules may match by a name that is not on the record, or not all of it."""
    cut = attempt.event_type == "resource_read" and attempt.data_classification in _HIDES_QUERIES
    if attempt.event_type != "task" and not cut:
        return False
    return any(rule.tool != "*" for rule in manifest)


def _treatments(
    attempt: Event, manifest: Manifest, before: Manifest | None
) -> Iterator[tuple[Treatment, Treatment | None]]:
    """Yield how the call is treated, and was where that is known, by each definition that its tool may have had."""
    seen: list[Treatment] = []
    for call in _calls(attempt):
        old = None if before is None else classify(call, before)
        if old is not None and old.tier != attempt.risk_tier:
            continue  # so that was not its definition
        treatment = classify(call, manifest)
        if treatment.tier not in [one.tier for one in seen]:
            seen.append(treatment)
            yield treatment, old


def _calls(attempt: Event) -> Iterator[Call]:
    name = attempt.tool_name or attempt.resource_uri or attempt.prompt_name
    unlisted = not attempt.tool_definition_hash and not any("definition:" in one for one in attempt.suspicious_signals)
    listed = attempt.event_type == "tool_call" and not unlisted
    hints = ((None, None), (True, None), (None, True)) if listed else ((None, None),)
    for read_only, destructive in hints:
        yield Call(
            event_type=attempt.event_type,
            method=attempt.method,
            name=name,
            arguments=NOTHING,
            meta=NOTHING,
            request_id=0,
            connection=Connection(session_id="", server_id=attempt.server_id, transport="stdio", actor=Actor()),
            size_bytes=0,
            definition=Definition(name=name, digest="", read_only=read_only, destructive=destructive),
        )


def _exceeded(attempt: Event, treatment: Treatment, old: Treatment | None) -> list[tuple[str, ...]]:
    """Return which limits the arguments may be past: each set that is possible; none where there are too many."""
    known = dict(old.limits) if old is not None else {}
    choices: list[Sequence[tuple[str, ...]]] = []
    for pointer, most in treatment.limits:
        was = pointer in attempt.limits_exceeded
        told = pointer in known and (known[pointer] == most or (was and most < known[pointer]))
        looser = pointer in known and not was and most > known[pointer]
        if told or looser:
            choices.append([(pointer,) if was else ()])
        else:
            choices.append([(), (pointer,)])
    if sum(len(choice) > 1 for choice in choices) > 4:
        return []
    return [tuple(one for part in way for one in part) for way in product(*choices)]


def _repeats(attempt: Event, treatment: Treatment, old: Treatment | None) -> list[str]:
    """Return which call this one may be said to repeat: the one on the record, or that it may be another or none."""
    if attempt.direction != "client_to_server":
        return [attempt.repeats]
    if old is not None:
        same = old.idempotency_key == treatment.idempotency_key
    else:
        same = not treatment.idempotency_key and not attempt.idempotency_key and (attempt.risk_tier or 0) >= 2
    crossed = (treatment.tier >= 4) != ((attempt.risk_tier or 0) >= 4) and attempt.event_type not in _COMPARED
    if same and not crossed:
        return [attempt.repeats]
    return [attempt.repeats, "" if attempt.repeats else attempt.call_id]
