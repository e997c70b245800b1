# SPDX-License-Identifier: Apache-2.0
"""Raw to redacted: the only place that turns values from outside into an event that may be written.

A call comes in as raw values, and an event goes out. In between each text is looked at by the
detectors, what a schema or the manifest marks is withheld, and the classification says what of the
rest may stand (`disclosure.py`). Then the event is encoded and looked at once more (`seal.py`).

Redaction that fails withholds. Whatever goes wrong in here, the caller gets an event with ids, tier,
decision and status, and `redaction_error`; never an exception, and never a value.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from onrecord.errors import ConfigError
from onrecord.event.call import Call, Json, Result
from onrecord.event.event import Event
from onrecord.event.redacted import Redacted
from onrecord.rules import outcome, pointer
from onrecord.rules.argv import secret_words
from onrecord.rules.classify import Treatment
from onrecord.rules.detection.detectors import Detectors, masked
from onrecord.rules.disclosure import Disclosure, disclosed, without_values
from onrecord.rules.echo import Secrets
from onrecord.rules.inspection import LEAF, MARGIN, NAME_WINDOW, UNPLACED, Inspection, cut, gathered, tidy
from onrecord.rules.neutral import neutral
from onrecord.rules.pattern import utf8
from onrecord.rules.pointer import Tokens
from onrecord.rules.seal import NAMES, sealed, withheld
from onrecord.rules.summary import summary_of_all, summary_of_places, text_at
from onrecord.rules.tool_schema import (
    PROTOCOL,
    UNKNOWN,
    ToolSchema,
    has_output_marks,
    input_marks,
    output_marks,
    tool_schema,
)

__all__ = ["Redactor", "Secrets"]

NAME = "onrecord-default@1"  # of the redaction policy; the version goes up with what may be written

ARGUMENTS_ROOM = 262_144  # characters of a request that are looked at
OUTPUT_ROOM = 65_536  # characters of a response that are looked at
LONGEST_NAME = 256  # characters of a name from outside that are kept
LONGEST_WORD = 512  # characters of a word of a command line, or of another fact, that are kept
MOST_WORDS = 40
MOST_KEYS = 200
MOST_POINTERS = 100
REMEMBERED = 4_096  # tool definitions

_Fields: TypeAlias = dict[str, Any]
_Part: TypeAlias = tuple[str, Json, list[Tokens]]  # under which root, what, and where it is marked

_encode_sorted = msgspec.json.Encoder(order="sorted").encode

# Where the name of a call stands on its event.
_NAMED: Mapping[str, str] = {
    "tool_call": "tool_name",
    "resource_read": "resource_uri",
    "prompt_get": "prompt_name",
}

# What of an attempt stands on each event of its call.
_SHARED = (
    *(name for name in NAMES if name != "error_type"),
    *("trace_id", "span_id", "user_id", "tenant_id", "identity_source", "identity_assurance", "session_id"),
    *("server_id", "transport", "direction", "tool_definition_hash", "risk_tier", "data_classification"),
    *("redaction_policy", "retention_class"),
)


class Redactor:
    """Makes events of calls, results and facts. Threads may share it."""

    def __init__(self, *, digest_key: bytes, detectors: Detectors, cut: int = 100) -> None:
        """`digest_key` keys the digests of values; `cut` is how many characters of a text stay.

        Raises ConfigError where `cut` is out of range.
        """
        if not 1 <= cut <= LEAF - MARGIN:
            raise ConfigError(f"redaction.cut is {cut}; give a number from 1 to {LEAF - MARGIN}")
        self._digest_key = digest_key
        self._detectors = detectors
        self._cut = cut
        self._schemas: dict[str, ToolSchema] = {}
        rules = hashlib.sha256(f"{detectors.digest}:{cut}".encode()).hexdigest()
        self._policy = f"{NAME}+{rules[:8]}"

    @property
    def policy(self) -> str:
        """Name and version of the redaction, and a short digest of its rules."""
        return self._policy

    def attempt(self, call: Call, treatment: Treatment, base: Event) -> tuple[Redacted, Secrets]:
        """Return the event of an attempt, made from `base`, and what must not come back in its result."""
        secrets = Secrets()
        base = self._placed(call, treatment, base)
        try:
            event = self._attempt(call, treatment, base, secrets)
            return Redacted(*sealed(event, secrets, self._detectors)), secrets
        except Exception:  # noqa: BLE001  # whatever went wrong, values are withheld and the call is recorded
            secrets.complete = False
            return Redacted(*withheld(base)), secrets

    def result(
        self,
        attempt_event: Event,
        secrets: Secrets,
        call: Call,
        treatment: Treatment,
        result: Result,
        base: Event,
    ) -> Redacted:
        """Return the event of a result, made from `base`; who and what are those of `attempt_event`."""
        base = replace(base, **{name: getattr(attempt_event, name) for name in _SHARED})
        try:
            event = self._result(call, treatment, result, base, secrets)
            return Redacted(*sealed(event, secrets, self._detectors))
        except Exception:  # noqa: BLE001  # as in attempt
            return Redacted(*withheld(base))

    def fact(self, base: Event, outside: Mapping[str, str | list[str]]) -> Redacted:
        """Return an event about ourselves that carries text from outside, each piece of it masked.

        What is called like a field for names (`client_name`, `tool_name`…) goes there, the rest into
        `detail`. A list is read as a command line.
        """
        base = replace(
            base,
            redaction_policy=base.redaction_policy or self._policy,
            retention_class=base.retention_class or "standard",
        )
        try:
            return Redacted(*sealed(self._fact(base, outside), Secrets(), self._detectors))
        except Exception:  # noqa: BLE001  # as in attempt
            return Redacted(*withheld(base))

    def text(self, text: str, limit: int = 200) -> str:
        """Return `text` as it may be shown to a person: masked, cut, and unable to act on a terminal."""
        return neutral(self._masked(text, limit))

    # attempts

    def _placed(self, call: Call, treatment: Treatment, base: Event) -> Event:
        """Return `base` with what is known of the call from our own side."""
        at, actor = call.connection, call.connection.actor
        return replace(
            base,
            user_id=base.user_id or actor.user_id,
            tenant_id=base.tenant_id or actor.tenant_id,
            identity_source=base.identity_source or actor.identity_source,
            identity_assurance=base.identity_assurance or actor.identity_assurance,
            session_id=base.session_id or at.session_id,
            server_id=base.server_id or at.server_id,
            transport=base.transport or at.transport,
            direction=call.direction,
            risk_tier=treatment.tier,
            data_classification=treatment.classification,
            redaction_policy=self._policy,
            retention_class=treatment.retention_class,
        )

    def _attempt(self, call: Call, treatment: Treatment, base: Event, secrets: Secrets) -> Event:
        arguments = call.arguments.open()
        schema = self._schema(call)
        given = _names(call, treatment)
        inspection = Inspection(self._detectors, secrets, low=treatment.classification == "low", room=ARGUMENTS_ROOM)
        marks = input_marks(call, treatment, schema)
        parts: list[_Part] = [("arguments", arguments, marks), ("_meta", call.meta.open(), [])]
        self._inspect(inspection, given.values(), parts)
        shown = disclosed(treatment, schema_known=schema.known)
        fields: _Fields = {field: inspection.name(text, LONGEST_NAME) for field, text in given.items()}
        if shown.keys and isinstance(arguments, dict) and ("arguments",) not in inspection.held:
            fields["arg_keys"] = tuple(inspection.key(key) for key in list(arguments)[:MOST_KEYS])
        if secrets.complete:  # else something could not be noted, and might be among the values
            declared = treatment.summary
            fields["input_summary"] = self._summary(shown, arguments, ("arguments",), declared, inspection)
        return replace(
            base,
            **fields,
            input_hash=self._digest(arguments),
            input_size=call.size_bytes,
            sensitive_fields=_sensitive_fields(inspection, shown),
            data_kinds=tuple(inspection.kinds),
            tool_definition_hash=call.definition.digest if call.definition else "",
            trace_id=_hex(call.trace.trace_id, 32),
            span_id=_hex(call.trace.span_id, 16),
        )

    def _schema(self, call: Call) -> ToolSchema:
        if call.definition is None:
            return UNKNOWN if call.event_type in ("tool_call", "request") else PROTOCOL
        digest = call.definition.digest
        schema = self._schemas.get(digest) if digest else None
        if schema is None:
            schema = tool_schema(call.definition)
            if len(self._schemas) >= REMEMBERED:
                self._schemas.clear()
            self._schemas[digest] = schema
        return schema

    def _inspect(self, inspection: Inspection, names: Iterable[str], parts: Sequence[_Part]) -> None:
        """Look at `names` and `parts`: all at once, and one by one only where there is something."""
        texts = [text[:NAME_WINDOW] for text in names]
        named = texts.copy()
        plain = not inspection.secrets
        for _, value, marks in parts:
            plain = plain and not marks and gathered(value, texts, room=inspection.room, binary=inspection.binary)
        if plain and not self._detectors.suspect(utf8("\n".join(texts))):
            return
        inspection.inspect_names(named)
        for root, value, marks in parts:
            inspection.inspect(root, value, marks)

    def _summary(
        self, shown: Disclosure, value: Json, root: Tokens, declared: Sequence[str], inspection: Inspection
    ) -> str:
        if shown.values == "all":
            return summary_of_all(value, root, inspection, self._cut)
        if shown.values == "declared" and declared:
            return summary_of_places(value, root, declared, inspection, self._cut)
        return ""

    def _digest(self, arguments: Json) -> str:
        """Return the keyed digest of `arguments`, the same for the same value; "" where they can't be encoded."""
        try:
            encoded = b"1" + _encode_sorted(arguments)
        except (ValueError, OverflowError, RecursionError, TypeError):  # lone surrogates, very large integers
            try:
                encoded = b"2" + json.dumps(arguments, sort_keys=True, separators=(",", ":")).encode()
            except (ValueError, RecursionError, TypeError):
                return ""
        return hmac.digest(self._digest_key, b"onrecord arguments " + encoded, "sha256").hex()

    # results

    def _result(self, call: Call, treatment: Treatment, result: Result, base: Event, secrets: Secrets) -> Event:
        body = result.body.open()
        schema = self._schema(call)
        root = "error" if outcome.is_error(body) else "result"
        failed = root == "error" or result.status == "failed"
        kind = result.error_type or ("tool_error" if failed else "")
        keys = () if root == "error" else (list(result.fields) or outcome.field_names(body))[:MOST_KEYS]
        marks = output_marks(call, treatment, schema, outcome.structured(body))
        inspection = Inspection(
            self._detectors, secrets, low=treatment.classification == "low", room=OUTPUT_ROOM, binary=True
        )
        self._inspect(inspection, [kind, *keys], [(root, body, marks)])
        unread = root == "result" and outcome.structured(body) is None and not failed
        if (marks and inspection.unplaced) or (unread and has_output_marks(treatment, schema)):
            # the text repeats values too short to be told apart, or stands in for what the marks are about
            inspection.held[root, "content"] = UNPLACED
        shown = disclosed(treatment, schema_known=schema.known)
        if not secrets.complete:
            shown = without_values(shown)
        if not shown.keys or (root, "structuredContent") in inspection.held or (root,) in inspection.held:
            keys = ()
        return replace(
            base,
            error_type=inspection.name(kind, LONGEST_NAME),
            output_size=result.size_bytes,
            output_type=() if root == "error" else outcome.content_types(body),
            fields_returned=tuple(inspection.key(key) for key in keys),
            sensitive_fields=_sensitive_fields(inspection, shown),
            data_kinds=tuple(inspection.kinds),
            error_summary=self._error(shown, body, root, inspection) if failed else "",
            output_summary="" if failed else self._output(shown, body, treatment, inspection),
        )

    def _error(self, shown: Disclosure, body: Json, root: str, inspection: Inspection) -> str:
        place = outcome.error_text(body) if shown.values == "all" else None
        return "" if place is None else text_at(body, root, place, inspection, self._cut)

    def _output(self, shown: Disclosure, body: Json, treatment: Treatment, inspection: Inspection) -> str:
        if shown.values == "all":
            return summary_of_all(body, ("result",), inspection, self._cut)
        inner = outcome.structured(body)
        return self._summary(shown, inner, ("result", "structuredContent"), treatment.output_summary, inspection)

    # facts

    def _fact(self, base: Event, outside: Mapping[str, str | list[str]]) -> Event:
        fields: _Fields = {}
        detail: _Fields = dict(base.detail)
        for key, given in outside.items():
            if isinstance(given, list):
                detail[key] = self._command(given)
            elif key in NAMES:
                fields[key] = self._masked(given, LONGEST_NAME)
            else:
                detail[key] = self._masked(given, LONGEST_WORD)
        return replace(base, **fields, detail=detail)

    def _command(self, words: list[str]) -> list[str]:
        secret = secret_words(words)
        shown: list[str] = []
        for i, word in enumerate(words[:MOST_WORDS]):
            start, label = secret.get(i, (len(word), ""))
            kept = self._masked(word[:start], LONGEST_WORD)
            shown.append(f"{kept}[REDACTED:{label}]" if label else kept)
        return [*shown, "…"] if len(words) > MOST_WORDS else shown

    def _masked(self, text: str, limit: int) -> str:
        window = text if len(text) <= NAME_WINDOW else text[: NAME_WINDOW - MARGIN]
        return cut(tidy(masked(self._detectors, window)), limit)


def _names(call: Call, treatment: Treatment) -> dict[str, str]:
    """Return what client and server call things, by field of the event; without the empty ones."""
    at = call.connection
    given = {
        "method": call.method,
        "request_id": str(call.request_id),
        "client_name": at.client_name,
        "client_version": at.client_version,
        "server_name": at.server_name,
        "server_version": at.server_version,
        "protocol_version": at.protocol_version,
    }
    field = _NAMED.get(call.event_type)
    if field is not None:
        closed = call.event_type == "resource_read" and treatment.classification in ("high", "critical")
        given[field] = _without_query(call.name) if closed else call.name
    return {field: text for field, text in given.items() if text}


def _without_query(uri: str) -> str:
    """Return a URI without its query and fragment: arguments, of which these classes show no value."""
    ends = [at for at in (uri.find("?"), uri.find("#")) if at >= 0]
    return uri[: min(ends)] if ends else uri


def _hex(text: str, length: int) -> str:
    return text if len(text) == length and not text.strip("0123456789abcdef") else ""


def _sensitive_fields(inspection: Inspection, shown: Disclosure) -> tuple[str, ...]:
    """Return what may be said of where values are withheld; of too many places, the whole and the first."""
    if shown.pointers == "none" or not inspection.fields:
        return ()
    roots = tuple(dict.fromkeys(pointer.written(path[:1]) for path in inspection.fields))
    if shown.pointers == "root":
        return roots
    named = tuple(dict.fromkeys(inspection.pointers(MOST_POINTERS)))
    return (*roots, *named) if len(inspection.fields) > MOST_POINTERS else named
