# SPDX-License-Identifier: Apache-2.0
"""The last look at an event before it is written: does it fit, and is nothing left that should not be there?

What the event took from outside is searched by the detectors once more, as one text, and for each
value that was withheld. What comes before has masked all of it already, so a hit here means that something went
wrong: then everything that was shown is dropped, and if that does not help, all but our own ids.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, TypeAlias, cast

from msgspec.structs import replace

from onrecord.event.event import Event, encode
from onrecord.rules.detection.detectors import Detectors
from onrecord.rules.detection.offsets import APART
from onrecord.rules.echo import FOUND, Secrets

BODY = 31 * 1024  # bytes of an encoded event; the ledger adds its own keys, and a line holds 32 KiB

_SUMMARIES = ("input_summary", "answers_summary", "policy_input", "output_summary", "error_summary")
_KEYS = ("arg_keys", "arguments_unfit", "fields_returned")
_REFERENCES = (
    *("downstream_resource", "recipient", "result_id", "before_summary", "after_summary"),
    *("rollback_reference", "idempotency_key", "content_reference"),
)
# Names that clients and servers give.
NAMES = (
    *("method", "request_id", "tool_name", "resource_uri", "prompt_name", "error_type"),
    *("client_name", "client_version", "server_name", "server_version", "protocol_version"),
    *("model", "model_step_id", "agent_name"),
)

# What is left of an event when its redaction failed: values of our own.
_OWN = (
    *("event_id", "event_type", "phase", "action", "call_id", "round", "correlation_id"),
    *("user_id", "tenant_id", "identity_source", "identity_assurance", "session_id", "server_id", "transport"),
    *("identity_issuer", "identity_key_id", "token_hash", "principal_type", "agent_id", "client_id", "act_chain"),
    *("direction", "policy_decision", "policy_id", "policy_determining", "policy_observed", "policy_version"),
    *("result_status", "latency_us", "late", "trace_source", "trace_faults", "arguments_valid"),
    *("output_source", "output_sanitised", "suspicious_signals", "suspicious_before", "tainted_by", "repeats"),
    "policy_consistency",
    *("risk_tier", "data_classification", "redaction_policy", "retention_class"),
    *("approval_id", "approval_approver", "approval_decision", "approval_preview_hash", "approval_execution_match"),
)

# Ids, digests, words and numbers of our own, none of which is searched.
OURS = frozenset(
    {
        *_OWN,
        *("schema_version", "seq", "prev_hash", "timestamp", "wid", "wseq", "trace_id", "span_id", "trace_propagated"),
        *("forwarded_without", "client_ip", "peer_uid", "peer_pid", "auth_time", "auth_context", "auth_methods"),
        *("tool_definition_hash", "prompt_hash", "input_hash", "answers_hash"),
        *("input_size", "consent_user", "approval_version", "data_kinds", "value_tags", "output_type"),
        *("output_size", "not_told", "redaction_error"),
    }
)
# What may have come from outside, or repeats what did; a test sees to it that each field of an event is here or there.
OUTSIDE = frozenset(
    {
        *NAMES,
        *_SUMMARIES,
        *_KEYS,
        *_REFERENCES,
        *("limits_exceeded", "scope_required", "scope_present", "roles_present", "approver_roles"),
        *("policy_reason", "consent_client", "consent_scope", "consent_downstream", "approval_role"),
        *("approval_prompt_version", "approval_fields_shown"),
        *("sensitive_fields", "detail", "ext"),
    }
)
_FIELDS = {name: getattr(Event(), name) for name in Event.__struct_fields__ if name in OUTSIDE}
_TEXTS = tuple(name for name, default in _FIELDS.items() if isinstance(default, str))
_LISTS = tuple(name for name, default in _FIELDS.items() if isinstance(default, tuple))
_Several: TypeAlias = Callable[[Event], tuple[Any, ...]]
_texts: _Several = attrgetter(*_TEXTS)
_lists: _Several = attrgetter(*_LISTS)
# Of the texts, what may show a value of the call; names are another matter, and why a policy decides is written by us.
_shown: _Several = attrgetter(*(name for name in _TEXTS if name not in {*NAMES, "policy_reason"}))


def sealed(event: Event, secrets: Secrets, detectors: Detectors) -> tuple[Event, bytes]:
    """Return `event` and its encoding, both without what does not fit or should not be there."""
    event, body = _fitted(event)
    if _is_clean(event, secrets, detectors):
        return event, body
    bare = replace(_emptied(event, *_SUMMARIES, *_KEYS, *_REFERENCES, "ext", "sensitive_fields"), redaction_error=True)
    body = encode(bare)
    if len(body) <= BODY and _is_clean(bare, secrets, detectors):
        return bare, body
    return withheld(event)


def withheld(event: Event) -> tuple[Event, bytes]:
    """Return what of `event` is our own, and says that its redaction failed."""
    own: dict[str, Any] = {name: getattr(event, name) for name in _OWN}
    bare = Event(**own, redaction_error=True)
    return bare, encode(bare)


def _fitted(event: Event) -> tuple[Event, bytes]:
    """Return `event` and its encoding, with what takes most room left out until it fits."""
    body = encode(event)
    for names in (_SUMMARIES, _KEYS, ("ext",), _REFERENCES, ("sensitive_fields",), ("detail",)):
        if len(body) <= BODY:
            break
        event = _emptied(event, *names)
        body = encode(event)
    return event, body


def _emptied(event: Event, *names: str) -> Event:
    empty: dict[str, Any] = {name: type(getattr(event, name))() for name in names}
    return replace(event, **empty)


def _is_clean(event: Event, secrets: Secrets, detectors: Detectors) -> bool:
    together = APART.join(_outside(event))
    if detectors.find(together, low=event.data_classification == "low", encoded=True):
        return False
    if not secrets:
        return True
    if any(secrets.occur(text, FOUND, decoded=False) for text in (*filter(None, _shown(event)), *_within(event))):
        return False
    return not any(secrets.in_name(text, decoded=False) for text in _told(event))


def _told(event: Event) -> Iterator[str]:
    """Yield the names that this event says first; those of a call stand on its attempt, and a result repeats them."""
    for name in NAMES if event.phase != "result" else ("error_type",):
        if name != "method" or event.event_type == "request":  # else one of those that MCP defines
            yield getattr(event, name)
    for name in _KEYS:
        yield from getattr(event, name)
    for place in event.sensitive_fields:
        yield place[1:].partition("/")[2]  # what is below the root, which is a word of ours


def _outside(event: Event) -> Iterator[str]:
    """Return each text of `event` but our own ids, digests and words, as a reader of the line reads it."""
    return chain(filter(None, _texts(event)), chain.from_iterable(_lists(event)), _within(event))


def _within(event: Event) -> Iterator[str]:
    """Yield the texts in those fields that are objects."""
    for more in (event.detail, event.ext):
        if more:
            yield from _texts_in(more)


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, child in cast(Mapping[str, object], value).items():
            yield key
            yield from _texts_in(child)
    elif isinstance(value, list | tuple):
        for child in cast(Sequence[object], value):
            yield from _texts_in(child)
