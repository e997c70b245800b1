# SPDX-License-Identifier: Apache-2.0
"""Raw to redacted: the only place that turns values from outside into an event that may be written.

A call comes in as raw values, and an event goes out. In between each text is looked at by the
detectors, what a schema or the manifest marks is withheld, and the classification says what of the
rest may stand (`disclosure.py`). Then the event is encoded and looked at once more (`seal.py`).

Redaction that fails withholds. Whatever goes wrong in here, the caller gets an event with ids, tier,
decision and status, and `redaction_error`; never an exception, and never a value.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from msgspec.json import encode as _json
from msgspec.structs import replace

from onrecord.event.call import Call, Json, Result
from onrecord.event.event import Event
from onrecord.event.redacted import Redacted
from onrecord.rules import outcome
from onrecord.rules.actions import Handling, Own, Table, check_cut
from onrecord.rules.approval import bound
from onrecord.rules.called import names_of
from onrecord.rules.classify import Treatment
from onrecord.rules.commands import shown_command
from onrecord.rules.depth import ASKED, SCOPE_FROM, Depth, added_part, text_part, told_in_text
from onrecord.rules.detection.detectors import Detectors, masked
from onrecord.rules.detection.labels import cut
from onrecord.rules.digests import Digests
from onrecord.rules.disclosure import Disclosure, disclosed, names_places, places_withheld, without_values
from onrecord.rules.echo import Secrets, readable
from onrecord.rules.gathering import gathered
from onrecord.rules.inspection import MARGIN, NAME_WINDOW, UNPLACED, Inspection
from onrecord.rules.neutral import neutral
from onrecord.rules.pointer import Tokens
from onrecord.rules.policy import was_asked
from onrecord.rules.principal import IDENTITY, PLACE, PROVEN
from onrecord.rules.seal import NAMES, sealed, withheld
from onrecord.rules.summary import summaries, summary, summary_of_all, text_at
from onrecord.rules.tool_schema import (
    PROTOCOL,
    UNKNOWN,
    ToolSchema,
    has_output_marks,
    input_parts,
    output_marks,
    tool_schema,
)

__all__ = ["Redactor", "Secrets"]

NAME = "onrecord-default@2"  # of the redaction policy; the version goes up with what may be written

ARGUMENTS_ROOM = 262_144  # characters of a request that are looked at
OUTPUT_ROOM = 65_536  # characters of a response that are looked at
LONGEST_NAME = 256  # characters of a name from outside that are kept
LONGEST_WORD = 512  # characters of a word of a command line, or of another fact, that are kept
LONGEST_ASKED = 20_000  # characters of what somebody asks of the record: the whole of it, or else it could be hidden
MOST_KEYS = 200
MOST_TAGS = 32
REMEMBERED = 4_096  # tool definitions, and ways to handle values
DEADLINE_NS = 500_000_000  # that one event may take; what was not looked at by then is withheld

_Fields: TypeAlias = dict[str, Any]
_Part: TypeAlias = tuple[str, Json, list[Tokens]]  # under which root, what, and where it is marked

# What of an attempt stands on each event of its call.
_PLACE = ("session_id", "server_id", "transport", "client_ip")
_SHARED = (
    *(name for name in NAMES if name != "error_type"),
    *(*IDENTITY, *_PLACE),
    *("trace_id", "span_id", "direction", "tool_definition_hash"),
    *("risk_tier", "data_classification", "redaction_policy", "retention_class", "scope_required", *ASKED),
)
_shared: Callable[[Event], tuple[Any, ...]] = attrgetter(*_SHARED)


class Redactor:
    """Makes events of calls, results and facts. Threads may share it."""

    def __init__(
        self,
        *,
        digest_key: bytes,
        detectors: Detectors,
        cut: int = 100,
        actions: Table | None = None,
        tenant: str = "",
        clock: Callable[[], int] | None = None,
        deadline_ns: int = DEADLINE_NS,
    ) -> None:
        """`digest_key` keys the digests of values; `cut` is how many characters of a text stay.

        `actions` are those of the settings, checked. `tenant` is whose record it is where an event does not
        say. `clock` gives nanoseconds and never goes back; without one, no event has a deadline. Raises ConfigError
        where `cut` is out of range.
        """
        check_cut(cut, "redaction.cut")
        self._digest_key = digest_key
        self._detectors = detectors
        self._cut = cut
        self._actions: Table = actions or {}
        self._tenant = tenant
        self._clock = clock
        self._deadline_ns = deadline_ns
        self._schemas: dict[str, ToolSchema] = {}
        self._handlings: dict[tuple[str, str, Own], Handling] = {}
        self._digests: dict[str, Digests] = {}
        self._plain: set[str] = set()  # names in which nothing was found
        self._rules = f"{detectors.digest}:{cut}:{_json(self._actions, order='sorted').decode()}"
        self._policy = _policy(self._rules)
        self.counts: Counter[str] = Counter()  # events: whose redaction `failed`, `leaked` until the last look, was cut

    @property
    def policy(self) -> str:
        """Name and version of the redaction, and a digest of its rules."""
        return self._policy

    def attempt(
        self, call: Call, treatment: Treatment, base: Event, lent: Iterable[Secrets] = ()
    ) -> tuple[Redacted, Secrets]:
        """Return the event of an attempt, made from `base`, and what must not come back in its result.

        `lent` is what must not come back in this call because it stands in others of which it is part.
        """
        secrets = Secrets(self._detectors.labels)
        for other in lent:
            other.lend(secrets)
        base = self._placed(call, treatment, base)
        try:
            return self._sealed(self._attempt(call, treatment, base, secrets), secrets), secrets
        except Exception:  # noqa: BLE001  # whatever went wrong, values are withheld and the call is recorded
            secrets.complete = False
            return self._failed(base, lambda: names_of(call, treatment)), secrets

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
        base = replace(base, **dict(zip(_SHARED, _shared(attempt_event), strict=True)))
        try:
            return self._sealed(self._result(call, treatment, result, base, secrets), secrets)
        except Exception:  # noqa: BLE001  # as in attempt
            return self._failed(base, lambda: {"error_type": base.error_type})

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
            return self._sealed(self._fact(base, outside), Secrets())
        except Exception:  # noqa: BLE001  # as in attempt
            return self._failed(base, dict)

    def digest(self, call: Call) -> str:
        """Return the keyed digest of the arguments of `call`, as its attempt has it."""
        return self._digests_of(self._tenant).arguments(call.arguments.open())

    def binding(self, call: Call) -> str:
        """Return the keyed digest of all of `call` that an approval is for; "" where there is none."""
        return "" if call.rounded else self._digests_of(self._tenant).exact(bound(call))

    def text(self, text: str, limit: int = 200) -> str:
        """Return `text` as it may be shown to a person: masked, cut, and unable to act on a terminal."""
        return neutral(self._masked(text, limit, self._handling("", self._tenant)))

    def _sealed(self, event: Event, secrets: Secrets) -> Redacted:
        event, body = sealed(event, secrets, self._detectors)
        if event.redaction_error:
            self.counts["leaked"] += 1
        return Redacted(event, body)

    def _failed(self, base: Event, names: Callable[[], Mapping[str, str]]) -> Redacted:
        """Return the event of a redaction that failed: no value, and of the names what can be masked by itself."""
        self.counts["failed"] += 1
        try:
            handling = self._handling(base.data_classification, base.tenant_id)
            shown = {field: self._masked(text, LONGEST_NAME, handling) for field, text in names().items()}
            return Redacted(*sealed(replace(base, **shown, redaction_error=True), Secrets(), self._detectors))
        except Exception:  # noqa: BLE001  # then nothing but what is our own
            return Redacted(*withheld(base))

    def _handling(self, classification: str, tenant: str, own: Own = ()) -> Handling:
        about = (classification, tenant or self._tenant, own)
        handling = self._handlings.get(about)
        if handling is None:
            if len(self._handlings) >= REMEMBERED:
                self._handlings.clear()
            handling = Handling(self._digests_of(about[1]), self._actions, classification, own)
            self._handlings[about] = handling
        return handling

    def _digests_of(self, tenant: str) -> Digests:
        if tenant not in self._digests:
            self._digests[tenant] = Digests(self._digest_key, tenant)  # tenants are few, and named by us
        return self._digests[tenant]

    def _inspection(self, treatment: Treatment, base: Event, secrets: Secrets, room: int, **how: bool) -> Inspection:
        late: Callable[[], bool] | None = None
        if (clock := self._clock) is not None:
            ends = clock() + self._deadline_ns
            late = lambda: clock() > ends  # noqa: E731
        handling = self._handling(treatment.classification, base.tenant_id, treatment.actions)
        low = treatment.classification == "low"
        return Inspection(self._detectors, secrets, handling, low=low, room=room, late=late, **how)

    # attempts

    def _placed(self, call: Call, treatment: Treatment, base: Event) -> Event:
        """Return `base` with what is known of the call from our own side."""
        at, actor = call.connection, call.connection.actor
        return replace(
            base,
            **{name: getattr(base, name) or getattr(actor, name) for name in (*IDENTITY, *PROVEN)},
            forwarded_without=(PLACE, *call.without) if call.identity else call.without,
            **{name: getattr(base, name) or getattr(at, name) for name in _PLACE},
            direction=call.direction,
            arguments_unfit=base.arguments_unfit if names_places(treatment) else (),
            risk_tier=treatment.tier,
            data_classification=treatment.classification,
            redaction_policy=_policy(self._rules, treatment.actions) if treatment.actions else self._policy,
            retention_class=treatment.retention_class,
            scope_required=treatment.scope if treatment.tier >= SCOPE_FROM or was_asked(base) else (),
        )

    def _attempt(self, call: Call, treatment: Treatment, base: Event, secrets: Secrets) -> Event:
        arguments = call.arguments.open()
        schema = self._schema(call)
        given = names_of(call, treatment)
        inspection = self._inspection(treatment, base, secrets, ARGUMENTS_ROOM)
        self._inspect(inspection, given.values(), input_parts(call, treatment, schema, secrets))
        shown = disclosed(treatment, schema_known=schema.known)
        fields: _Fields = {field: inspection.name(text, LONGEST_NAME) for field, text in given.items()}
        if call.event_type != "request":
            fields["method"] = call.method  # one of those that MCP defines
        if shown.keys and secrets.complete and isinstance(arguments, dict) and ("arguments",) not in inspection.held:
            fields["arg_keys"] = tuple(inspection.key(key) for key in list(arguments)[:MOST_KEYS])
        if (brought := call.brought.open()) is not None:
            fields["answers_hash"] = self._digests_of(self._tenant).arguments(brought)
        if secrets.complete and not secrets.shut:  # else something that was not noted might be among the values
            fields |= summaries(shown, call, treatment.summary, inspection, self._cut)
        return replace(
            base,
            **fields,
            **self._noted(inspection, shown),
            **self._depth(treatment, shown, inspection, schema, base).of_arguments(arguments, call.meta.open()),
            input_hash=base.input_hash or self.digest(call),
            input_size=call.size_bytes,
            tool_definition_hash=call.definition.digest if call.definition else "",
            trace_id=base.trace_id or inspection.code(call.trace.trace_id, 32),
            span_id=base.span_id or inspection.code(call.trace.span_id, 16),
        )

    def _depth(
        self, treatment: Treatment, shown: Disclosure, inspection: Inspection, schema: ToolSchema, base: Event
    ) -> Depth:
        digests = self._digests_of(base.tenant_id or self._tenant)
        return Depth(
            treatment=treatment, shown=shown, inspection=inspection, digests=digests, schema_known=schema.known
        )

    def _noted(self, inspection: Inspection, shown: Disclosure) -> _Fields:
        """Return what an event says of what was withheld, whatever its class: labels, tags and, as allowed, places."""
        if inspection.spent:
            self.counts["cut"] += 1
        return {
            "sensitive_fields": places_withheld(inspection, shown),
            "data_kinds": tuple(inspection.kinds),
            "value_tags": tuple(inspection.tags)[:MOST_TAGS],
        }

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
        return schema if call.definition.standing == "accepted" else schema._replace(known=False)

    def _inspect(self, inspection: Inspection, names: Iterable[str], parts: Sequence[_Part]) -> None:
        """Look at `names` and `parts`: all at once, and one by one only where there is something."""
        named = [text[:NAME_WINDOW] for text in names]
        secrets = inspection.secrets
        texts: list[str] = []
        plain = True
        for _, value, marks in parts:
            plain = plain and not marks
            plain = plain and gathered(
                value, texts, room=inspection.room, binary=inspection.binary, numbers=bool(secrets)
            )
        plain = plain and self._are_plain(inspection, [name for name in named if name not in self._plain], texts)
        if plain and not (secrets and secrets.occur("\n".join([*named, *texts]))):
            return
        inspection.inspect_names(named)
        for root, value, marks in parts:
            inspection.inspect(root, value, marks)

    def _are_plain(self, inspection: Inspection, names: list[str], texts: list[str]) -> bool:
        """Say whether nothing may be found in `names` and `texts`; the same few names come with each call."""
        plain = not inspection.suspects([*names, *texts])
        if len(self._plain) >= REMEMBERED:
            self._plain.clear()
        self._plain.update(name for name in names if plain or not self._detectors.find(name))
        return plain

    # results

    def _result(self, call: Call, treatment: Treatment, result: Result, base: Event, secrets: Secrets) -> Event:
        body = result.body.open()
        schema = self._schema(call)
        root = "error" if outcome.is_error(body) else "result"
        failed = root == "error" or result.status == "failed"
        kind = result.error_type or ("tool_error" if failed else "")
        keys = () if root == "error" else (list(result.fields) or outcome.field_names(body))[:MOST_KEYS]
        marks = output_marks(call, treatment, schema, body, secrets)
        inspection = self._inspection(treatment, base, secrets, OUTPUT_ROOM, binary=True)
        told = None if failed else told_in_text(treatment, body)
        parts = [(root, body, marks), *text_part(call, treatment, schema, told, secrets), *added_part(result)]
        self._inspect(inspection, [kind, *keys], parts)
        unread = root == "result" and outcome.structured(body) is None
        if (marks and inspection.unplaced) or (unread and has_output_marks(treatment, schema)):
            # the text repeats values too short to be told apart, or stands in for what the marks are about
            inspection.held[root, "content"] = UNPLACED
        shown = disclosed(treatment, schema_known=schema.known)
        depth = self._depth(treatment, shown, inspection, schema, base)
        known = {} if failed else depth.of_result(body, told, done=result.status == "succeeded")
        if not secrets.complete or secrets.shut:
            shown = without_values(shown, keys=secrets.complete)
        if not shown.keys or (root, "structuredContent") in inspection.held or (root,) in inspection.held:
            keys = ()
        return replace(
            base,
            error_type=inspection.name(kind, LONGEST_NAME),
            output_size=result.size_bytes,
            output_type=() if root == "error" else outcome.content_types(body),
            fields_returned=tuple(inspection.key(key) for key in keys),
            **self._noted(inspection, shown),
            **depth.annotated(known, result.told.open()),
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
        declared = treatment.output_summary
        return summary(shown, inner, ("result", "structuredContent"), declared, inspection, self._cut)

    # facts

    def _fact(self, base: Event, outside: Mapping[str, str | list[str]]) -> Event:
        fields: _Fields = {}
        detail: _Fields = dict(base.detail)
        handling = self._handling(base.data_classification, base.tenant_id)
        longest = LONGEST_ASKED if base.event_type == "access" else LONGEST_WORD
        for key, given in outside.items():
            if isinstance(given, list):
                detail[key] = shown_command(
                    given, self._detectors, handling, lambda text: self._masked(text, LONGEST_WORD, handling)
                )
            elif key in NAMES:
                fields[key] = self._masked(given, LONGEST_NAME, handling)
            else:
                detail[key] = self._masked(given, longest, handling)
        return replace(base, **fields, detail=detail)

    def _masked(self, text: str, limit: int, handling: Handling) -> str:
        window = text if len(text) <= max(NAME_WINDOW, limit) else text[: NAME_WINDOW - MARGIN]
        return cut(readable(handling.finished(masked(self._detectors, window, stand_in=handling.stand_in))), limit)


def _policy(rules: str, own: Own = ()) -> str:
    said = f"{rules}:{sorted(own)}" if own else rules
    return f"{NAME}+{hashlib.sha256(said.encode()).hexdigest()[:8]}"
