# SPDX-License-Identifier: Apache-2.0
"""Whether a call may run: the question that is put to a policy engine, and the verdict that comes back.

The question has AuthZEN's shape (Authorization API 1.0): who, does what, to what, under which
circumstances. It holds attributes only. No argument of a call is in it but by its keyed digest, so
that each question can be asked again of the record, and an engine outside of this process learns no
value of a call.

A verdict says why twice: in full for the record, and in words of the operator or of ours for the
caller, who may be a model under somebody's control. Whatever goes wrong denies. What judges a call for
another reason than policy, as a refused duplicate, gives a `Verdict` too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from msgspec.structs import replace as replaced

from onrecord.event.call import Call, Json
from onrecord.event.event import Event, PolicyDecision
from onrecord.rules.classify import Treatment

NO_POLICY = "no policy is configured: everything is recorded, nothing is denied"
DENIED = "denied by policy"  # what the caller learns where the policy says no more
UNDECIDED = "not allowed: the policy could not be evaluated"
UNAPPROVED = "this call needs an approval, and none can be asked for here"
LONGEST_REASON = 1_000  # characters; an engine's errors may quote at length

ResourceType: TypeAlias = Literal["tool", "resource", "prompt", "server"]

# How much each kind of assurance is worth, so that a policy can ask for "at least".
LEVELS = {"": 0, "none": 0, "asserted": 1, "os_account": 2, "token": 3, "token_mfa": 4, "phishing_resistant": 5}

_RESOURCES: dict[str, ResourceType] = {"tool_call": "tool", "resource_read": "resource", "prompt_get": "prompt"}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Subject:
    """Who asks. `id` is a pseudonym, empty where nobody is known; `level` is the worth of `assurance`."""

    id: str = ""
    tenant: str = ""
    source: str = "none"
    assurance: str = "none"
    agent: str = ""
    client: str = ""

    @property
    def level(self) -> int:
        """How much is known of who it is, from 0."""
        return LEVELS.get(self.assurance, 0)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Resource:
    """What it is done to. `id` is the tool, the URI, the prompt, or, of any other request, the server."""

    type: ResourceType
    id: str
    server: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Context:
    """Under which circumstances. Digests are in hex, and empty where there is nothing to digest."""

    tier: int
    classification: str
    scope_required: tuple[str, ...] = ()
    scope_present: tuple[str, ...] = ()
    direction: str = "client_to_server"
    round: int = 0
    transport: str = ""
    trace_id: str = ""
    arguments_digest: str = ""
    definition_digest: str = ""
    suspicious_before: int = 0  # calls of this session whose output was flagged; 0 where it was not


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Question:
    """May `subject` do `action`, an MCP method, to `resource`? A method that MCP does not define is `request`."""

    subject: Subject
    action: str
    resource: Resource
    context: Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was decided. `safe` is for the caller, and empty where the call may run.

    `error_type` stands on the closing event of a call that may not. `observed` is what a policy decides
    that is only watched; then `decision` is "allow". `approvers` are roles, where somebody may approve.
    """

    decision: PolicyDecision
    reason: str
    safe: str = ""
    id: str = ""
    determining: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    error_type: str = "denied"
    observed: PolicyDecision = ""

    @property
    def refuses(self) -> bool:
        """Whether the call must not be forwarded."""
        return self.decision != "allow"

    def on(self, event: Event) -> Event:
        """Return `event` with what was decided."""
        return replaced(
            event,
            policy_decision=self.decision,
            policy_reason=self.reason,
            policy_id=self.id,
            policy_determining=self.determining,
            policy_observed=self.observed,
        )


UNJUDGED = Verdict(decision="allow", reason=NO_POLICY, id="none")


class Engine(Protocol):
    """What decides. One that is told to stop after some time does so by itself, and raises."""

    @property
    def name(self) -> str:
        """Which engine this is, as `cedar`."""
        ...

    @property
    def version(self) -> str:
        """Digest of all that its verdicts depend on but the question."""
        ...

    def evaluate(self, question: Question) -> Verdict:
        """Decide. Whatever this raises is a denial."""
        ...


class Policy:
    """An engine, and what its verdicts mean: they hold, or are only watched."""

    def __init__(self, engine: Engine, *, enforce: bool, deadline_ns: int, clock: Callable[[], int]) -> None:
        """`clock` counts nanoseconds. A verdict that takes longer than `deadline_ns` is none."""
        self._engine = engine
        self._enforce = enforce
        self._deadline_ns = deadline_ns
        self._clock = clock
        self.version = engine.version

    def decide(self, question: Question) -> Verdict:
        """Return what the engine decides; a failure of any kind denies."""
        verdict = self._judged(question)
        if self._enforce or not verdict.refuses:
            return verdict
        return replace(
            verdict,
            decision="allow",
            observed=verdict.decision,
            reason=f"only observed; else {_VERBS[verdict.decision]}: {verdict.reason}",
            safe="",
        )

    def _judged(self, question: Question) -> Verdict:
        began = self._clock()
        try:
            verdict = self._engine.evaluate(question)
        except Exception as e:  # noqa: BLE001  # whatever went wrong, nothing was decided
            return failed(self._engine.name, question, f"{type(e).__name__}: {e}")
        took = self._clock() - began
        if took > self._deadline_ns:
            return failed(
                self._engine.name, question, f"it took {took // 1_000_000} ms, of {self._deadline_ns // 1_000_000}"
            )
        return verdict


_VERBS = {"deny": "denied", "needs_approval": "an approval would be needed"}


def failed(engine: str, question: Question, *errors: str) -> Verdict:
    """Return the verdict where an engine has none; errors are told without the name of what was called."""
    name = question.resource.id
    told = [error.replace(name, "…") if name else error for error in errors]
    said = tuple(error[:LONGEST_REASON] for error in told)
    reason = f"the policy engine {engine} failed: {'; '.join(said)}"[:LONGEST_REASON]
    return Verdict(decision="deny", reason=reason, safe=UNDECIDED, id="engine", errors=said, error_type="policy_failed")


def resource_type(event_type: str) -> ResourceType:
    """Return what a call of this kind is about."""
    return _RESOURCES.get(event_type, "server")


def question_of(call: Call, treatment: Treatment, attempt: Event) -> Question:
    """Return what is asked about `call`; `attempt` is its event as far as it is known before it is redacted."""
    actor = call.connection.actor
    kind = resource_type(call.event_type)
    server = call.connection.server_id
    return Question(
        subject=Subject(
            id=actor.user_id,
            tenant=actor.tenant_id,
            source=actor.identity_source,
            assurance=actor.identity_assurance,
        ),
        action=call.method if call.event_type != "request" else "request",
        resource=Resource(type=kind, id=server if kind == "server" else call.name, server=server),
        context=Context(
            tier=treatment.tier,
            classification=treatment.classification,
            scope_required=attempt.scope_required,
            scope_present=attempt.scope_present,
            direction=call.direction,
            round=attempt.round,
            transport=call.connection.transport,
            trace_id=attempt.trace_id or call.trace.trace_id,
            arguments_digest=attempt.input_hash,
            definition_digest=call.definition.digest if call.definition else "",
            suspicious_before=len(attempt.suspicious_before),
        ),
    )


def authzen(question: Question) -> dict[str, Json]:
    """Return `question` as the body of an AuthZEN evaluation request."""
    subject, resource, context = question.subject, question.resource, question.context
    return {
        "subject": {
            "type": "user",
            "id": subject.id,
            "properties": {
                "tenant": subject.tenant,
                "source": subject.source,
                "assurance": subject.assurance,
                "level": subject.level,
                "agent": subject.agent,
                "client": subject.client,
            },
        },
        "action": {"name": question.action},
        "resource": {"type": resource.type, "id": resource.id, "properties": {"server": resource.server}},
        "context": circumstances(context),
    }


def circumstances(context: Context) -> dict[str, Json]:
    """Return `context` as an engine reads it."""
    return {
        "tier": context.tier,
        "classification": context.classification,
        "scope_required": list(context.scope_required),
        "scope_present": list(context.scope_present),
        "direction": context.direction,
        "round": context.round,
        "transport": context.transport,
        "trace_id": context.trace_id,
        "arguments_digest": context.arguments_digest,
        "definition_digest": context.definition_digest,
        "suspicious_before": context.suspicious_before,
    }
