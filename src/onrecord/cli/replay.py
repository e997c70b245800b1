# SPDX-License-Identifier: Apache-2.0
"""`onrecord policy replay`: what other policies, or another manifest, would have decided on the calls of the record."""

from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from msgspec.structs import replace as replaced

from onrecord.cli.accessed import accessed
from onrecord.cli.policy import engine_of, policy_of
from onrecord.cli.read import events_of, log_of
from onrecord.cli.terminal import print_json, put, say
from onrecord.cli.times import instant_us
from onrecord.config import build_engine
from onrecord.errors import ConfigError, OnRecordError
from onrecord.event.event import Event
from onrecord.ledger.clock import TimeText
from onrecord.rules.asked_again import is_asked, question_again
from onrecord.rules.classify import Manifest
from onrecord.rules.policy import Policy
from onrecord.rules.treated_again import Again, treated_again
from onrecord.settings import Loaded, home_folder, load

_NOT_BY_POLICY = ("duplicates", "definitions")
_UNKNOWN = {
    "annotations": "what the tool's annotations said",
    "arguments": "the values of the arguments",
    "earlier calls": "which other calls they would repeat",
    "name": "the whole name by which rules match",
}
_COUNTED = (
    "calls",
    "unchanged",
    "withheld",
    "not_by_policy",
    "not_known",
    "undecided",
    "treated_otherwise",
    "observed",
)
_NOT_TOLD = ("withheld", "not_known", "undecided")


@dataclass(slots=True)
class _Change:
    count: int = 0
    examples: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class _Replayed:
    """What came of a replay: counts, what is not on the record, and changes by tool, decisions and rule."""

    counts: Counter[str]
    undecided: str = ""  # why the engine could not decide on the first of those on which it couldn't
    unknown: Counter[str] = field(default_factory=Counter[str])
    changes: dict[tuple[str, str, str, str], _Change] = field(default_factory=dict[tuple[str, str, str, str], _Change])


def replay(options: Namespace) -> int:
    """Print which decisions on the record other policies, or another manifest, would change; return 0 where none."""
    home = home_folder()
    loaded = load(home, options.config)
    since = _moment(options.since)
    if options.policy is not None and not options.policy.is_dir():
        raise OnRecordError(f"--policy {options.policy}: there is no such folder")
    manifest = None if options.manifest is None else load(home, options.manifest).settings.tool
    new = loaded if manifest is None else replace(loaded, settings=replaced(loaded.settings, tool=manifest))
    policy = policy_of(engine_of(new, options.policy))
    again = None if manifest is None else _treating(manifest, loaded)
    log = log_of(home, "calls")
    places = {"policy": options.policy, "manifest": options.manifest}
    accessed(home, "policy_replay", since=options.since, **{key: str(place or "") for key, place in places.items()})
    found = _Replayed(Counter(dict.fromkeys(_COUNTED, 0)))
    for _, event in events_of(log, 0):
        if is_asked(event) and event.timestamp >= since:
            _replay(event, policy, again, _declared(event, new.settings.tool), found, options.examples)
    _print_replay(policy, found, as_json=options.json)
    if found.undecided:
        say(f"{found.counts['undecided']} calls could not be decided; the first: {found.undecided}")
    return 1 if found.changes or any(found.counts[one] for one in _NOT_TOLD) else 0


def _treating(manifest: Manifest, loaded: Loaded) -> Callable[[Event], Again]:
    """Return what says how an attempt would be treated by `manifest`; its own was that of `loaded`, if that fits."""
    versions = {loaded.digest}
    with suppress(ConfigError):  # policies that can't be read now tell nothing of those of then
        engine = build_engine(loaded)
        versions |= set() if engine is None else {engine.version}
    known = loaded.settings.tool
    return lambda event: treated_again(event, manifest, known if event.policy_version in versions else None)


def _declared(event: Event, manifest: Manifest) -> set[str]:
    """Return the arguments that the rules for what was called name for policies."""
    about = event.tool_name or event.resource_uri or event.prompt_name or event.method
    return {place for rule in manifest if rule.matches(event.server_id, about) for place in rule.policy_input}


def _replay(
    event: Event,
    policy: Policy,
    again: Callable[[Event], Again] | None,
    declared: set[str],
    found: _Replayed,
    examples: int,
) -> None:
    """Decide on one attempt again, and count what comes of it."""
    counts = found.counts
    counts["calls"] += 1
    counts["observed"] += bool(event.policy_observed)
    if event.policy_id in _NOT_BY_POLICY:
        counts["not_by_policy"] += 1
        return
    if question_again(event, declared) is None:
        counts["withheld"] += 1
        return
    told = Again(attempts=(event,)) if again is None else again(event)
    questions = [question_again(attempt, declared) for attempt in told.attempts]
    verdicts = [policy.decide(question) for question in questions if question is not None]
    failed = next((verdict for verdict in verdicts if verdict.errors), None)
    if failed is not None:
        counts["undecided"] += 1
        found.undecided = found.undecided or failed.reason
        return
    if len({verdict.decision for verdict in verdicts}) != 1:
        counts["not_known"] += 1
        found.unknown.update(told.unknown)
        return
    counts["treated_otherwise"] += event not in told.attempts
    then, now = event.policy_observed or event.policy_decision, verdicts[0]
    if then == now.decision:
        counts["unchanged"] += 1
        return
    about = event.tool_name or event.resource_uri or event.prompt_name or event.method
    change = found.changes.setdefault((about, then, now.decision, now.id), _Change())
    change.count += 1
    if len(change.examples) < examples:
        change.examples.append(event.event_id)


def _print_replay(policy: Policy, found: _Replayed, *, as_json: bool) -> None:
    counts = found.counts
    ordered = sorted(found.changes.items(), key=lambda item: (-item[1].count, item[0]))
    if as_json:
        rows = [
            {"about": about, "then": then, "now": now, "policy_id": rule, "count": one.count, "examples": one.examples}
            for (about, then, now, rule), one in ordered
        ]
        print_json({"policy_version": policy.version, **counts, "unknown": found.unknown, "changed": rows})
        return
    for (about, then, now, rule), one in ordered:
        put(f"{one.count:>7}  {about}: {then} → {now}, by {rule}; as {', '.join(one.examples)}")
    say(f"{counts['calls']} calls, {sum(one.count for one in found.changes.values())} would be decided otherwise")
    if counts["observed"]:
        say(f"{counts['observed']} went on as policies were only observed; enforced, these would have stopped them")
    if counts["treated_otherwise"]:
        say(f"{counts['treated_otherwise']} would have another tier, class, scope, role or limit")
    if counts["withheld"]:
        say(f"of {counts['withheld']} calls a part of what is asked is withheld; they were not decided")
    if counts["not_by_policy"]:
        say(f"{counts['not_by_policy']} were refused for another reason than policy; they were not decided again")
    if counts["not_known"]:
        why = ", ".join(f"{_UNKNOWN[reason]} ({count})" for reason, count in sorted(found.unknown.items()))
        say(f"of {counts['not_known']} calls nobody knows, as the record does not hold {why}")


def _moment(since: str) -> str:
    """Return the time stamp from which on calls count. Raises OnRecordError."""
    return TimeText().of(instant_us(since, "--since")) if since else ""
