# SPDX-License-Identifier: Apache-2.0
"""`onrecord policy check`: what the policy decides on a call."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import msgspec

from onrecord.approval_settings import ApprovalSettings
from onrecord.cli.inputs import opened
from onrecord.cli.terminal import print_json, put
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
from onrecord.rules.classify import classify
from onrecord.rules.definitions import by_definition
from onrecord.rules.fitting import Fitting
from onrecord.rules.policy import Engine, Policy, Question, Verdict, authzen
from onrecord.rules.question import question_of, resource_type
from onrecord.settings import Loaded, home_folder, load

_LONGEST = 64 << 20  # bytes of a call
_PASSES = "such a request only sets up, describes or watches; no policy is asked about it, and it passes"
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
    policy = policy_of(engine_of(loaded))
    asked = _asked(_read(options.call), options, loaded)
    if asked is None:
        return _undecided(policy, as_json=options.json)
    question = asked.question
    verdict = asked.refused or policy.decide(question, asked.unfit)  # from here on the version is that of what decided
    if options.json:
        print_json({**_told(verdict), "policy_version": policy.version, "question": authzen(question)})
    else:
        put(f"decision   {verdict.decision}")
        put(f"reason     {verdict.reason}")
        for line in _needed(verdict, question.context.approver_roles, loaded.settings.approvals):
            put(line)
        put(f"tier       {question.context.tier} {question.context.classification}")
        put(f"tool       definition {question.context.definition}, arguments {question.context.arguments_valid}")
        put(f"policy     {policy.version}")
    return 1 if verdict.refuses else 0


def _needed(verdict: Verdict, roles: Sequence[str], approvals: ApprovalSettings) -> Iterator[str]:
    """Yield what the caller gets instead of a call; `roles` approve where the policy names none."""
    if verdict.decision != "needs_approval":
        yield from [f"caller     {verdict.safe}"] if verdict.safe else []
        return
    yield f"obliges    {', '.join(verdict.obligations) or 'approval'}"
    yield f"approvers  {', '.join(verdict.approvers or roles) or 'anyone who is not excluded'}"
    if approvals.channels:
        yield f"caller     waits up to {approvals.wait} for somebody's approval: {', '.join(approvals.channels)}"
    else:
        yield f"caller     {verdict.safe}"


def _undecided(policy: Policy, *, as_json: bool) -> int:
    if as_json:
        print_json({"decision": "not decided", "reason": _PASSES, "policy_version": policy.version})
    else:
        put(f"decision   not decided: {_PASSES}")
        put(f"policy     {policy.version}")
    return 0


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


def engine_of(loaded: Loaded, folder: Path | None = None) -> Engine:
    """Return the engine of the settings, with the policies of `folder` if one is given. Raises ConfigError."""
    engine = build_engine(loaded, folder)
    if engine is None:
        raise ConfigError('no policy is configured: set [policy] engine = "cedar" in onrecord.toml')
    return engine


def policy_of(engine: Engine) -> Policy:
    """Return what `engine` decides, enforced, however long it takes."""
    return Policy(engine, enforce=True, deadline_ns=_NEVER_LATE_NS, clock=lambda: 0)


def _read(name: str) -> bytes:
    if name == "-":
        data = sys.stdin.buffer.read(_LONGEST + 1)
    else:
        with opened(Path(name)) as file:
            data = file.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise OnRecordError(f"{_named(name)}: is larger than {_LONGEST} bytes")
    return data.strip()


def _named(call: str) -> str:
    return "standard input" if call == "-" else call


def _asked(data: bytes, options: Namespace, loaded: Loaded) -> _Asked | None:
    """Return what is asked about a request, or about an attempt on the record; None of a request that none decides."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise OnRecordError(f"{_named(options.call)}: is not JSON: {e}") from e
    if not isinstance(value, dict):
        raise OnRecordError(f"{_named(options.call)}: is no JSON object; give a request, or an attempt from the record")
    fields = cast(dict[str, object], value)
    if "event_type" in fields:
        return _Asked(question=_of_attempt(data, _named(options.call)))
    if not isinstance(fields.get("method"), str):
        raise OnRecordError(
            f'{_named(options.call)}: has neither "method" nor "event_type": it is no request, and no event'
        )
    try:
        message = wire.decode(msgspec.json.encode({"jsonrpc": "2.0", "id": 0, **fields}))
    except MessageRefused as e:
        raise OnRecordError(f"{_named(options.call)}: {e.reason}") from e
    if not isinstance(message, wire.Request):
        raise OnRecordError(f"{_named(options.call)}: is no request")
    kind = protocol.event_type_of(message.method)
    if kind is None:
        return None
    if resource_type(kind) != "server" and not protocol.name_of(message.method, message.params):
        raise OnRecordError(f"{_named(options.call)}: {message.method} without a name in its params calls nothing")
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
