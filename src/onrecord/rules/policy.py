# SPDX-License-Identifier: Apache-2.0
"""Whether a call may run: the question that is put to a policy engine, and the verdict that comes back.

The question has AuthZEN's shape (Authorization API 1.0): who, does what, to what, under which
circumstances. It holds attributes only. No argument of a call is in it but by its keyed digest, and those that the
manifest names for policies (`policy_input.py`). All of it stands on the record, as far as the class allows, so that the
question can be asked again; an engine outside of this process learns no other value of a call. Where the settings say
so, and not else, such an engine is told two things more, which stay raw here: the name in a verified token, and what
the manifest says that a call acts on.

A verdict says why twice: in full for the record, and in words of the operator or of ours for the
caller, who may be a model under somebody's control. Neither quotes an engine that was told a value, as it may repeat
it: of an error it says of which kind it is, and in which policy. Whatever goes wrong denies. What judges a call for
another reason than policy, as a refused duplicate, gives a `Verdict` too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias

from msgspec.structs import replace as replaced

from onrecord.event.call import NOTHING, Json, Raw
from onrecord.event.event import Event, Fits, PolicyDecision
from onrecord.rules.policy_input import NOTHING_GIVEN, Given, nested

NO_POLICY = "no policy is configured: everything is recorded, nothing is denied"
DENIED = "denied by policy"  # what the caller learns where the policy says no more
UNDECIDED = "not allowed: the policy could not be evaluated"
UNAPPROVED = "this call needs an approval, and none can be asked for here"
UNFIT = "the arguments do not fit the tool's input schema"
OF_ANOTHER_TYPE = "what the policy reads of the arguments is not of the type that the manifest says"
LONGEST_REASON = 1_000  # characters

ResourceType: TypeAlias = Literal["tool", "resource", "prompt", "server"]
Kind: TypeAlias = Literal["human", "workload", "unknown"]
Standing: TypeAlias = Literal["pinned", "changed", "unconfirmed", "unpinned", "stale", "unknown"]

# As AuthZEN is told; of whom nothing is known but that there is somebody, no more is said (COAZ-MCP, draft 1).
_SUBJECTS: dict[Kind, str] = {"human": "user", "workload": "workload", "unknown": "identity"}


# How much each kind of assurance is worth, so that a policy can ask for "at least".
LEVELS = {"": 0, "none": 0, "asserted": 1, "os_account": 2, "token": 3, "token_mfa": 4, "phishing_resistant": 5}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Subject:
    """Who asks. `id` is a pseudonym, empty where nobody is known; `level` is the worth of `assurance`.

    Of a workload that acts for nobody, `id` is its own. `kind` is what a verified token says, and unknown without one.
    `agent` and `client` are those that a token names, `acting` how many act for the subject, one for another.
    `name` is what a verified token calls them; of the record it can't be had again.
    """

    id: str = ""
    kind: Kind = "unknown"
    tenant: str = ""
    source: str = "none"
    assurance: str = "none"
    issuer: str = ""
    agent: str = ""
    client: str = ""
    roles: tuple[str, ...] = ()
    acting: int = 0
    name: Raw = field(default=NOTHING, compare=False)

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
    """Under which circumstances. Digests are in hex, and empty where there is nothing to digest.

    `definition` is what the tool's definition is worth: "pinned", or why it is not, or "unknown" where it was not
    listed; `description_flags` is what looks like an attack in it. `limits_exceeded` are pointers of the manifest, and
    `input` holds the arguments that the manifest names for policies.
    `tainted_by` is all that was flagged in this session before. `repeats` says that the same call was made before.
    """

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
    definition: Standing = "unknown"
    description_flags: tuple[str, ...] = ()
    approver_roles: tuple[str, ...] = ()
    limits_exceeded: tuple[str, ...] = ()
    arguments_valid: Fits = "unchecked"
    input: Given = NOTHING_GIVEN
    repeats: bool = False
    suspicious_before: int = 0  # the latest calls of this session whose output was flagged
    tainted_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Question:
    """May `subject` do `action`, an MCP method, to `resource`? A method that MCP does not define is `request`.

    `template` is the manifest's for what a tool acts on, and `arguments` are those that fill it.
    `approval` is the id of an approval that was given for it; an engine that has asked for one then allows, or not.
    """

    subject: Subject
    action: str
    resource: Resource
    context: Context
    template: str = field(default="", compare=False)
    arguments: Raw = field(default=NOTHING, compare=False)
    approval: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was decided. `safe` is for the caller, and empty where the call may run.

    `error_type` stands on the closing event of a call that may not. `observed` is what a policy decides
    that is only watched; then `decision` is "allow". `approvers` are roles, where somebody may approve.
    `version` is that of the policies where the engine learns it with the answer, and `consistency` its token for the
    state of what it knew.
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
    version: str = ""
    consistency: str = ""

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
            policy_version=self.version or event.policy_version,
            policy_consistency=self.consistency,
        )


UNJUDGED = Verdict(decision="allow", reason=NO_POLICY, id="none")


def was_asked(attempt: Event) -> bool:
    """Say whether a policy decided: then what it was asked about stands on the record, whatever the tier."""
    return attempt.policy_id not in ("", UNJUDGED.id)


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
        """Decide. Whatever this raises is a denial, and so is a verdict that comes with errors, or decides nothing."""
        ...


class Policy:
    """An engine, and what its verdicts mean: they hold, or are only watched."""

    def __init__(
        self, engine: Engine, *, enforce: bool, deadline_ns: int, clock: Callable[[], int], elsewhere: bool = False
    ) -> None:
        """`clock` counts nanoseconds. A verdict that takes longer than `deadline_ns` is none.

        `elsewhere`: the engine is not in this process, so that asking it takes a while.
        """
        self.elsewhere = elsewhere
        self._engine = engine
        self.enforces = enforce
        self._deadline_ns = deadline_ns
        self._clock = clock

    @property
    def version(self) -> str:
        """The engine's, as far as it is known now."""
        return self._engine.version

    def decide(self, question: Question, unfit: Sequence[str] = ()) -> Verdict:
        """Return what the engine decides; a failure of any kind denies.

        The engine is not asked about arguments that do not fit the tool, or are not of the type that the manifest says:
        they are denied. `unfit` are the places that do not fit, as far as they are known.
        """
        about = question.context
        if about.arguments_valid == "invalid":
            verdict = _invalid(UNFIT, unfit, "arguments")
        elif about.input.unread:
            verdict = _invalid(OF_ANOTHER_TYPE, about.input.unread, "policy_input")
        else:
            verdict = self._judged(question)
        if self.enforces or not verdict.refuses:
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
            if not verdict.decision or (verdict.errors and verdict.decision != "deny"):
                return failed(self._engine.name, *(verdict.errors or ("it gave no verdict",)))
        except Exception as e:  # noqa: BLE001  # whatever went wrong, nothing was decided
            return failed(self._engine.name, type(e).__name__)  # what it says may repeat a value
        took = self._clock() - began
        if took > self._deadline_ns and not verdict.errors:
            return failed(self._engine.name, f"it took {took // 1_000_000} ms, of {self._deadline_ns // 1_000_000}")
        return verdict


def _invalid(reason: str, places: Sequence[str], by: str) -> Verdict:
    where = f" at {', '.join(one or 'the top' for one in places)}" if places else ""
    return Verdict(decision="deny", reason=reason, safe=f"{reason}{where}", id=by, error_type="invalid_arguments")


_VERBS = {"deny": "denied", "needs_approval": "an approval would be needed"}


def failed(engine: str, *errors: str) -> Verdict:
    """Return the verdict where an engine has none; `errors` are words of ours, which repeat nothing of the question."""
    reason = f"the policy engine {engine} failed: {'; '.join(errors)}"[:LONGEST_REASON]
    return Verdict(
        decision="deny", reason=reason, safe=UNDECIDED, id="engine", errors=errors, error_type="policy_failed"
    )


def authzen(question: Question) -> dict[str, Json]:
    """Return `question` as the body of an AuthZEN evaluation request."""
    subject, resource, context = question.subject, question.resource, question.context
    given: dict[str, Json] = {"approval": {"id": question.approval}} if question.approval else {}
    return {
        "subject": {
            "type": _SUBJECTS[subject.kind],
            "id": subject.id,
            "properties": attributes(subject),
        },
        "action": {"name": question.action},
        "resource": {"type": resource.type, "id": resource.id, "properties": {"server": resource.server}},
        "context": {**circumstances(context), **given},
    }


def attributes(subject: Subject) -> dict[str, Json]:
    """Return what is known of `subject`, as an engine reads it."""
    return {
        "kind": subject.kind,
        "tenant": subject.tenant,
        "source": subject.source,
        "assurance": subject.assurance,
        "level": subject.level,
        "issuer": subject.issuer,
        "agent": subject.agent,
        "client": subject.client,
        "roles": list(subject.roles),
        "acting": subject.acting,
    }


def _as_text(number: str) -> Json:
    return number


def circumstances(context: Context, decimal: Callable[[str], Json] = _as_text) -> dict[str, Json]:
    """Return `context` as an engine reads it; `decimal` says how it reads such a number."""
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
        "definition": context.definition,
        "description_flags": list(context.description_flags),
        "approver_roles": list(context.approver_roles),
        "limits_exceeded": list(context.limits_exceeded),
        "arguments_valid": context.arguments_valid,
        "input": nested(context.input.values, decimal),
        "repeats": context.repeats,
        "suspicious_before": context.suspicious_before,
        "tainted_by": list(context.tainted_by),
    }
