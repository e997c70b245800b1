# SPDX-License-Identifier: Apache-2.0
"""`Event`: an immutable fact in the past tense, one JSON line, one leaf of the tree.

Keys are flat, and those that identify a call stand on each of its events, so `jq` and SQL need no
joins. A key that has nothing to say is absent from the line; absent always means "not known or
not applicable". The first six keys are set by the ledger when it writes the line, the others by
whoever records the event. Field names are fixed: scripts and users rely on them.

This file holds the shape only. What may stand in a field is decided in `rules`.
"""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

SCHEMA_VERSION = 1

GENESIS_PREV_HASH = "0" * 64  # `prev_hash` of seq 0

EventType: TypeAlias = Literal[
    # calls
    "tool_call",
    "resource_read",
    "prompt_get",
    "completion",
    "sampling",
    "elicitation",
    "task",
    "request",  # a method that no known revision of the protocol defines
    # the life of the recorder and of what it watches
    "recorder_start",
    "recorder_stop",
    "install",
    "uninstall",
    "connection",
    "authentication",
    "policy_decision",
    "approval",
    "configuration",
    "tool_definition",
    "security",
    "access",
    "retention",
    "key",
    "heartbeat",
    "delivery_failure",
    # the life of the log itself
    "log_open",
    "log_recovered",
    "degraded",  # the disk is full, and what is written uses the reserve; or that is over
    "gap",
]

Phase: TypeAlias = Literal["", "attempt", "decision", "approval", "result"]
PolicyDecision: TypeAlias = Literal["", "allow", "deny", "needs_approval"]
Classification: TypeAlias = Literal["", "low", "medium", "high", "critical"]
ResultStatus: TypeAlias = Literal[
    "",
    "accepted",  # a task that runs on
    "succeeded",
    "failed",
    "blocked",
    "cancelled",
    "timed_out",
    "input_required",
    "unknown",
]

IdentitySource: TypeAlias = Literal[
    "", "oauth", "identity_jws", "id_token", "os_account", "peer_cred", "client_asserted", "none"
]
IdentityAssurance: TypeAlias = Literal["", "none", "asserted", "os_account", "token", "token_mfa", "phishing_resistant"]
PrincipalType: TypeAlias = Literal["", "human", "workload", "unknown"]
Fits: TypeAlias = Literal["", "valid", "invalid", "unchecked"]
Transport: TypeAlias = Literal["", "stdio", "http", "sdk"]
Tier: TypeAlias = Annotated[int, Meta(ge=0, le=4)]
Texts: TypeAlias = tuple[str, ...]


def _about(text: str) -> Meta:
    return Meta(description=text)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger itself sets on a line, and all that a chain check needs to read."""

    schema_version: int
    seq: int
    prev_hash: str
    timestamp: str
    wid: str
    wseq: int


def _unnamed() -> EventType:
    return "request"  # from a function, so that it is written out: a reader is never left to guess


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One fact on the record."""

    # set by the ledger
    schema_version: Annotated[int, _about("version of this schema")] = 0
    seq: Annotated[int, Meta(ge=-1, description="place in the log, from 0")] = -1
    prev_hash: Annotated[str, _about("leaf hash of the line before, in hex; 64 zeros for seq 0")] = ""
    timestamp: Annotated[str, _about("RFC 3339 UTC with microseconds, never decreasing within a log")] = ""
    wid: Annotated[str, _about("the process that wrote the line")] = ""
    wseq: Annotated[int, _about("that process's own count, without gaps, from 0")] = -1

    # what it is
    event_id: Annotated[str, _about("UUIDv7 of this event")] = ""
    event_type: Annotated[EventType, _about("what kind of fact this is")] = msgspec.field(default_factory=_unnamed)
    phase: Annotated[Phase, _about("which part of a call this is; absent where it is not one of a call")] = ""
    action: Annotated[str, _about("what was done, for events that are not calls: open, close, rotate…")] = ""
    call_id: Annotated[str, _about("UUIDv7 shared by all events of one call")] = ""
    round: Annotated[int, _about("which round of a call that asks for input in between, from 0")] = 0
    correlation_id: Annotated[str, _about("UUIDv7 shared by all calls of one request of the user")] = ""
    trace_id: Annotated[str, _about("W3C trace id, 32 hex digits")] = ""
    span_id: Annotated[str, _about("W3C id of the caller's span, or the call's where a trace begins here; 16 hex")] = ""
    trace_source: Annotated[Literal["", "client", "onrecord"], _about("who began the trace")] = ""
    trace_faults: Annotated[Texts, _about("what the client sent of its trace, and could not be read")] = ()
    trace_propagated: Annotated[bool, _about("the server got this trace with the request, in place of none")] = False

    # who
    user_id: Annotated[str, _about("pseudonym of the person behind the call")] = ""
    tenant_id: Annotated[str, _about("organisation that the person acts for")] = ""
    identity_source: Annotated[IdentitySource, _about("where the identity comes from")] = ""
    identity_assurance: Annotated[IdentityAssurance, _about("how much that source is worth")] = ""
    identity_issuer: Annotated[str, _about("who issued the token that was verified, as the settings name it")] = ""
    identity_key_id: Annotated[str, _about("id of the issuer's key that the token was verified with")] = ""
    token_hash: Annotated[str, _about("keyed digest of the token's id, in hex")] = ""
    auth_time: Annotated[str, _about("when the person last logged in, by the issuer's word; RFC 3339 UTC")] = ""
    auth_context: Annotated[str, _about("how sure the issuer was then, in its own terms: the claim acr")] = ""
    auth_methods: Annotated[Texts, _about("how the person proved who they are, by the issuer: the claim amr")] = ()
    principal_type: Annotated[
        PrincipalType, _about("whether a natural person is behind the token, by the claim that the settings name")
    ] = ""
    agent_id: Annotated[str, _about("pseudonym of the agent that acts for the person, or by itself")] = ""
    act_chain: Annotated[Texts, _about("pseudonyms of those that act for the person, the nearest first")] = ()
    client_id: Annotated[str, _about("OAuth client id, where a token names one")] = ""
    agent_name: Annotated[str, _about("what the client calls the agent that acts; its own claim")] = ""
    client_name: Annotated[str, _about("what the client calls itself; its own claim")] = ""
    client_version: Annotated[str, _about("version that the client claims")] = ""
    client_ip: Annotated[str, _about("peer address; absent over stdio")] = ""
    peer_uid: Annotated[int | None, _about("account that handed the event to the recorder service, by the kernel")] = (
        None
    )
    peer_pid: Annotated[int | None, _about("process that handed it over, by the kernel")] = None
    session_id: Annotated[str, _about("UUIDv7 of the connection, ours, not the protocol's")] = ""

    # at what
    server_id: Annotated[str, _about("name of the wrapped server in this recorder's configuration")] = ""
    server_name: Annotated[str, _about("what the server calls itself; its own claim")] = ""
    server_version: Annotated[str, _about("version that the server claims")] = ""
    transport: Annotated[Transport, _about("the door that it came through")] = ""
    protocol_version: Annotated[str, _about("MCP revision in use")] = ""
    method: Annotated[str, _about("MCP method")] = ""
    direction: Annotated[Literal["", "client_to_server", "server_to_client"], _about("who asked whom")] = ""
    request_id: Annotated[str, _about("JSON-RPC id; unique only per sender and connection")] = ""
    tool_name: Annotated[str, _about("tool that was called")] = ""
    resource_uri: Annotated[str, _about("resource that was read")] = ""
    prompt_name: Annotated[str, _about("prompt that was fetched")] = ""
    tool_definition_hash: Annotated[str, _about("SHA-256 of the tool's definition, in hex")] = ""
    downstream_resource: Annotated[str, _about("what the tool acts on behind the server")] = ""
    recipient: Annotated[str, _about("who receives what the tool sends")] = ""
    model: Annotated[str, _about("model that chose the call, where the client says so")] = ""
    model_step_id: Annotated[str, _about("step of the model, where the client says so")] = ""
    prompt_hash: Annotated[str, _about("keyed digest of the prompt or turn, where given")] = ""

    # how risky
    risk_tier: Annotated[Tier | None, _about("0 harmless to 4 irreversible")] = None
    data_classification: Annotated[Classification, _about("how sensitive its data is")] = ""

    # what was asked
    input_summary: Annotated[str, _about("JSON of the argument values that the class allows, redacted")] = ""
    answers_summary: Annotated[str, _about("the same of the answers to a server's questions, in a further round")] = ""
    arg_keys: Annotated[Texts, _about("names of the top-level arguments")] = ()
    arguments_valid: Annotated[Fits, _about("whether the arguments fit the tool's input schema")] = ""
    policy_input: Annotated[str, _about("JSON of arguments that a policy reads, by pointer, as the class allows")] = ""
    arguments_unfit: Annotated[Texts, _about("JSON Pointers of arguments that do not fit")] = ()
    input_hash: Annotated[str, _about("keyed digest of all arguments, in hex")] = ""
    answers_hash: Annotated[str, _about("keyed digest of the answers to a server's questions, in hex")] = ""
    input_size: Annotated[int | None, _about("bytes of the whole request")] = None
    forwarded_without: Annotated[Texts, _about("JSON Pointers of what was taken out before it was forwarded")] = ()

    # what was decided
    scope_required: Annotated[Texts, _about("scopes that the tool asks for")] = ()
    limits_exceeded: Annotated[Texts, _about("JSON Pointers of arguments past the limits of the manifest")] = ()
    scope_present: Annotated[Texts, _about("scopes that the caller had")] = ()
    roles_present: Annotated[Texts, _about("roles of the caller, as a verified token names them")] = ()
    approver_roles: Annotated[Texts, _about("roles that may approve it, as the manifest names them")] = ()
    policy_decision: Annotated[PolicyDecision, _about("whether it may run")] = ""
    policy_reason: Annotated[str, _about("why, in full")] = ""
    policy_id: Annotated[str, _about("the rule that decided")] = ""
    policy_determining: Annotated[Texts, _about("all rules that led to the decision, where a policy decided")] = ()
    policy_observed: Annotated[PolicyDecision, _about("what a policy decides that is watched but not enforced")] = ""
    policy_version: Annotated[str, _about("digest of policy, schema and manifest")] = ""
    policy_consistency: Annotated[str, _about("an engine's token for the state of relationships it decided on")] = ""
    consent_user: Annotated[str, _about("pseudonym of who consented")] = ""
    consent_client: Annotated[str, _about("client that the consent names")] = ""
    consent_scope: Annotated[Texts, _about("scopes that the consent covers")] = ()
    consent_downstream: Annotated[str, _about("downstream that the consent covers")] = ""

    # who approved
    approval_id: Annotated[str, _about("UUIDv7 of the approval")] = ""
    approval_version: Annotated[int | None, _about("version of the approval")] = None
    approval_approver: Annotated[str, _about("pseudonym of the approver")] = ""
    approval_role: Annotated[str, _about("role in which the approver decided")] = ""
    approval_prompt_version: Annotated[str, _about("version of the text that was shown")] = ""
    approval_fields_shown: Annotated[Texts, _about("exactly the fields that were shown")] = ()
    approval_decision: Annotated[
        Literal["", "approved", "rejected", "expired", "escalated"], _about("what the approver decided")
    ] = ""
    approval_preview_hash: Annotated[str, _about("digest of the view that the approver saw")] = ""
    approval_execution_match: Annotated[bool | None, _about("whether what ran is what was approved")] = None

    # how it ended
    result_status: Annotated[ResultStatus, _about("how the call ended")] = ""
    error_type: Annotated[str, _about("kind of failure: tool_error, a JSON-RPC code, server_exited…")] = ""
    error_summary: Annotated[str, _about("the error's text as far as the class allows, redacted")] = ""
    latency_us: Annotated[int | None, _about("microseconds from attempt to result")] = None
    output_summary: Annotated[str, _about("the result as far as the class allows, redacted")] = ""
    output_size: Annotated[int | None, _about("bytes of the whole response")] = None
    output_type: Annotated[Texts, _about("content types of the result")] = ()
    output_source: Annotated[str, _about("where the result comes from; always untrusted")] = ""
    output_sanitised: Annotated[bool | None, _about("whether it was changed before the model saw it")] = None
    suspicious_signals: Annotated[Texts, _about("what looked like an attack in it; flags, never proof")] = ()
    suspicious_before: Annotated[
        Texts, _about("calls of this session, the latest, whose output was flagged before; also of the person's others")
    ] = ()
    tainted_by: Annotated[
        Texts, _about("all that was flagged before in this session or the person's others, by kind")
    ] = ()
    late: Annotated[bool, _about("the answer came after the call was closed")] = False
    repeats: Annotated[str, _about("first identical call, of the same person and a short while before")] = ""

    # what changed
    result_id: Annotated[str, _about("id of what was made or changed, as the result names it")] = ""
    before_summary: Annotated[str, _about("state before, as far as known")] = ""
    after_summary: Annotated[str, _about("state after, as far as known")] = ""
    rollback_reference: Annotated[str, _about("how to undo it")] = ""
    not_told: Annotated[
        Texts, _about("of these, what the manifest names and the result does not hold; annotations, if not taken")
    ] = ()
    idempotency_key: Annotated[str, _about("key that makes a retry harmless")] = ""
    fields_returned: Annotated[Texts, _about("names of the fields of the result")] = ()
    data_kinds: Annotated[Texts, _about("kinds of data in arguments or result, such as email")] = ()
    content_reference: Annotated[str, _about("reference to content that another system governs")] = ""

    # how it was treated
    redaction_policy: Annotated[str, _about("name@version of the rules that were applied")] = ""
    sensitive_fields: Annotated[Texts, _about("JSON Pointers of what was withheld")] = ()
    value_tags: Annotated[Texts, _about("label and keyed tag of values withheld: the same value has the same tag")] = ()
    redaction_error: Annotated[bool, _about("redaction failed, so the values are withheld")] = False
    retention_class: Annotated[str, _about("which retention rule applies")] = ""

    # open ends
    detail: Annotated[dict[str, Any], _about("typed facts of events that are not calls")] = {}
    ext: Annotated[dict[str, Any], _about("a product's own fields")] = {}


UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON, no UTF-8, or nested without end."""

_encoder = msgspec.json.Encoder()


def encode(event: Event) -> bytes:
    """Return `event` as one JSON object, without a line feed."""
    return _encoder.encode(event)
