# SPDX-License-Identifier: Apache-2.0
"""`onrecord policy`: what the policy decides on a call, and what another would have decided on those of the record."""

import re
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import msgspec
from msgspec.structs import replace as replaced

from onrecord.cli.accessed import accessed
from onrecord.cli.inputs import opened
from onrecord.cli.read import events_of, log_of
from onrecord.cli.terminal import print_json, put, say
from onrecord.config import build_engine, build_pins, build_redactor
from onrecord.doors import protocol, wire
from onrecord.doors.conversation import Conversation
from onrecord.doors.definitions import Definitions
from onrecord.errors import ConfigError, MessageRefused, NotVerified, OnRecordError
from onrecord.event.call import Actor, Call, Definition, Json, Raw
from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.keys import open_digest_key
from onrecord.rules.arguments import exceeded_in
from onrecord.rules.asked_again import is_asked, question_again
from onrecord.rules.classify import Manifest, classify
from onrecord.rules.definitions import by_definition
from onrecord.rules.fitting import Fitting
from onrecord.rules.policy import Engine, Policy, Question, Verdict, authzen
from onrecord.rules.question import question_of
from onrecord.rules.treated_again import Again, treated_again
from onrecord.settings import Loaded, home_folder, load

_LONGEST = 64 << 20  # bytes of a call
_SINCE = re.compile(r"(\d{1,6})\s*([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_NOT_BY_POLICY = ("duplicates", "definitions")
_UNKNOWN = {
    "annotations": "what the tool's annotations said",
    "arguments": "the values of the arguments",
    "earlier calls": "which other calls they would repeat",
    "name": "the whole name by which rules match",
}
_NOT_TOLD = ("withheld", "not_known", "undecided")
_NEVER_LATE_NS = 10**18  # a person waits here, no call


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is asked about a call; why it must not run whatever the policy says; and where its arguments do not fit."""

    question: Question
    refused: Verdict | None = None
    unfit: tuple[str, ...] = ()


def check(options: Namespace) -> int:
    """Print what the policy decides on one call; return 0 where it may run."""
    loaded = load(home_folder(), options.config)
    policy = _policy(_engine(loaded))
    asked = _asked(_read(options.call), options, loaded)
    question = asked.question
    verdict = asked.refused or policy.decide(question, asked.unfit)  # from here on the version is that of what decided
    if options.json:
        print_json({**_told(verdict), "policy_version": policy.version, "question": authzen(question)})
    else:
        put(f"decision   {verdict.decision}")
        put(f"reason     {verdict.reason}")
        if verdict.safe:
            put(f"caller     {verdict.safe}")
        put(f"tier       {question.context.tier} {question.context.classification}")
        put(f"tool       definition {question.context.definition}, arguments {question.context.arguments_valid}")
        put(f"policy     {policy.version}")
    return 1 if verdict.refuses else 0


def _told(verdict: Verdict) -> dict[str, Json]:
    return {
        "decision": verdict.decision,
        "reason": verdict.reason,
        "safe_reason": verdict.safe,
        "policy_id": verdict.id,
        "determining": list(verdict.determining),
        "obligations": list(verdict.obligations),
        "approvers": list(verdict.approvers),
        "errors": list(verdict.errors),
        "consistency": verdict.consistency,
    }


def _engine(loaded: Loaded, folder: Path | None = None) -> Engine:
    engine = build_engine(loaded, folder)
    if engine is None:
        raise ConfigError('no policy is configured: set [policy] engine = "cedar" in onrecord.toml')
    return engine


def _policy(engine: Engine) -> Policy:
    return Policy(engine, enforce=True, deadline_ns=_NEVER_LATE_NS, clock=lambda: 0)


def _read(name: str) -> bytes:
    if name == "-":
        data = sys.stdin.buffer.read(_LONGEST + 1)
    else:
        with opened(Path(name)) as file:
            data = file.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise OnRecordError(f"{name}: is larger than {_LONGEST} bytes")
    return data.strip()


def _asked(data: bytes, options: Namespace, loaded: Loaded) -> _Asked:
    """Return what is asked about a request, or about an attempt on the record."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise OnRecordError(f"{options.call}: is not JSON: {e}") from e
    if not isinstance(value, dict):
        raise OnRecordError(f"{options.call}: is no JSON object; give a request, or an attempt from the record")
    fields = cast(dict[str, object], value)
    if "event_type" in fields:
        return _Asked(question=_of_attempt(data, options.call))
    if not isinstance(fields.get("method"), str):
        raise OnRecordError(f'{options.call}: has neither "method" nor "event_type": it is no request, and no event')
    try:
        message = wire.decode(msgspec.json.encode({"jsonrpc": "2.0", "id": 0, **fields}))
    except MessageRefused as e:
        raise OnRecordError(f"{options.call}: {e.reason}") from e
    if not isinstance(message, wire.Request):
        raise OnRecordError(f"{options.call}: is no request")
    tenant = loaded.settings.tenant if options.tenant is None else options.tenant
    actor = Actor(
        user_id="" if options.kind == "workload" else options.user,
        agent_id=options.user if options.kind == "workload" else "",
        tenant_id=tenant,
        identity_assurance=options.assurance,
        principal_type=options.kind,
        scopes=tuple(options.scope),
        subject=Raw(options.subject or None),
        roles=tuple(options.role),
    )
    call = Conversation(actor, options.server_id, "stdio", str).call(message, len(data), "client_to_server")
    call = _defined(call, options, loaded)
    treatment = classify(call, loaded.settings.tool)
    fit = Fitting().of(call)
    base = Event(
        scope_required=treatment.scope,
        scope_present=actor.scopes,
        roles_present=actor.roles,
        approver_roles=treatment.approver_roles,
        limits_exceeded=exceeded_in(call, treatment.limits),
        arguments_valid=fit.valid,
        suspicious_signals=call.signals,
        suspicious_before=("",) if options.tainted_by else (),
        tainted_by=tuple(sorted(set(options.tainted_by))),
    )
    return _Asked(question=question_of(call, treatment, base), refused=by_definition(call), unfit=fit.places)


def _defined(call: Call, options: Namespace, loaded: Loaded) -> Call:
    """Return `call` with what is known of its tool: as it was pinned, or as a given listing has it."""
    home = home_folder()
    if call.event_type != "tool_call":
        return call
    listed = _listed(options.tools, call.name) if options.tools else None
    if not home.pins.is_dir():
        return replace(call, definition=None if listed is None else replace(listed, standing="unpinned"))
    digest_key = open_digest_key(home)
    pins = build_pins(home, loaded, digest_key, build_redactor(digest_key, loaded))
    known = pins.known(options.server_id, call.name) if listed is None else pins.standing(options.server_id, listed)
    signals = Definitions(pins, options.server_id).signals(call.method, call.name, known)
    return replace(call, definition=known, signals=signals)


def _listed(file: Path, name: str) -> Definition | None:
    """Return the definition of a tool in a file that holds a listing, as a server answers `tools/list`."""
    try:
        said = msgspec.json.decode(_read(str(file)), type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as e:
        raise OnRecordError(f"{file}: is no JSON object: {e}") from e
    listing = cast(Json, said.get("result", said))
    return next((one for one in protocol.definitions_in(listing) if one.name == name), None)


def _of_attempt(data: bytes, name: str) -> Question:
    try:
        event = read_event(data)
    except NotVerified as e:
        raise OnRecordError(f"{name}: {e}") from e
    question = question_again(event) if is_asked(event) else None
    if question is None:
        raise OnRecordError(f"{name}: is no attempt of a call, or a part of what was asked is withheld")
    return question


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
    manifest = None if options.manifest is None else load(home, options.manifest).settings.tool
    new = loaded if manifest is None else replace(loaded, settings=replaced(loaded.settings, tool=manifest))
    policy = _policy(_engine(new, options.policy))
    again = None if manifest is None else _treating(manifest, loaded)
    log = log_of(home, "calls")
    places = {"policy": options.policy, "manifest": options.manifest}
    accessed(home, "policy_replay", since=options.since, **{key: str(place or "") for key, place in places.items()})
    found = _Replayed(
        Counter(calls=0, unchanged=0, withheld=0, not_by_policy=0, not_known=0, undecided=0, treated_otherwise=0)
    )
    for _, event in events_of(log, 0):
        if is_asked(event) and event.timestamp >= since:
            _replay(event, policy, again, _declared(event, new.settings.tool), found, options.examples)
    _print_replay(policy, found, as_json=options.json)
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
    if counts["treated_otherwise"]:
        say(f"{counts['treated_otherwise']} would have another tier, class, scope, role or limit")
    if counts["withheld"]:
        say(f"of {counts['withheld']} calls a part of what is asked is withheld; they were not decided")
    if counts["not_by_policy"]:
        say(f"{counts['not_by_policy']} were refused for another reason than policy; they were not decided again")
    if counts["undecided"]:
        say(f"{counts['undecided']} calls could not be decided; the first: {found.undecided}")
    if counts["not_known"]:
        why = ", ".join(f"{_UNKNOWN[reason]} ({count})" for reason, count in sorted(found.unknown.items()))
        say(f"of {counts['not_known']} calls nobody knows, as the record does not hold {why}")


def _moment(since: str) -> str:
    """Return the time stamp from which on calls count. Raises OnRecordError."""
    if not since:
        return ""
    match = _SINCE.fullmatch(since)
    if match:
        moment = datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    else:
        try:
            moment = datetime.fromisoformat(since)
        except ValueError as e:
            raise OnRecordError(f"--since {since[:40]!r}: say how long, as 30d, 12h or 45m, or a date") from e
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
