# SPDX-License-Identifier: Apache-2.0
"""What an event says of a call beside its values, deeper with each tier: what it acts on, who gets it, how to undo it.

    tier    where the manifest says where it stands
    1       the scopes that the tool asks for
    2       the resource, the id of the result, before and after, how to undo it, the idempotency key
    3       the recipient

The classification says in which form: as it is for the classes that show declared values, masked and
cut like any of them; for the others a label with the keyed tag of the value, `[WITHHELD:class#7f3a91c2]`,
so that one can still ask where else. A value in which something was found, or that a schema marks,
has no such tag here: whether that kind may have one is for `actions.py` to say.

A place that is named and isn't there says nothing; of a call that ended well, `not_told` then names what isn't known.
Results are read in `structuredContent`; where there is none, in the text, if that is all of the content and one JSON
text with a single reading (see `outcome.structured_in_text`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from onrecord.event.call import UNTAKEN, Call, Json, Result
from onrecord.rules import outcome, pointer, template
from onrecord.rules.arguments import exceeded
from onrecord.rules.classify import Treatment
from onrecord.rules.detection.labels import BUDGET, CLASS, cut, label_only
from onrecord.rules.digests import Digests
from onrecord.rules.disclosure import Disclosure
from onrecord.rules.echo import Secrets
from onrecord.rules.inspection import Inspection
from onrecord.rules.pointer import Tokens
from onrecord.rules.policy_input import given, written
from onrecord.rules.summary import plain_at, shown_at
from onrecord.rules.tool_schema import ToolSchema, has_output_marks, output_marks

SCOPE_FROM = 1
RESOURCE_FROM = 2
RECIPIENT_FROM = 3
LONGEST = 256  # characters of one reference
ASKED = ("limits_exceeded", "downstream_resource", "recipient", "idempotency_key", "rollback_reference")
ADDED = "annotations"  # under which what a handler has added is inspected
MOST = 16  # places that one pointer with `*` shows

_STATES = ("before_summary", "after_summary")
_ANNOTATED = {
    "resource": "downstream_resource",
    "before": "before_summary",
    "after": "after_summary",
    "rollback": "rollback_reference",
    "content": "content_reference",
}

_Said: TypeAlias = tuple[str, str] | None  # a value as it is, and as it may be shown; None where there is none


def told_in_text(treatment: Treatment, body: Json) -> Json:
    """Return what the text of a result tells, where the manifest names a place in it and nothing better is there."""
    if treatment.tier < RESOURCE_FROM or outcome.structured(body) is not None or not _wanted(treatment):
        return None
    return outcome.structured_in_text(body)


def text_part(
    call: Call, treatment: Treatment, schema: ToolSchema, told: Json, secrets: Secrets
) -> list[tuple[str, Json, list[Tokens]]]:
    """Return what the text of a result told, as a part to inspect: marked as structured content would be.

    Where something may be marked and nothing is, it is of another shape than the schema's, and marked as a whole.
    """
    if told is None:
        return []
    found = output_marks(call, treatment, schema, {"structuredContent": told}, secrets)
    marks = [place[1:] for place in found if place[:1] == ("structuredContent",)]
    return [(outcome.TEXT, told, marks or ([()] if has_output_marks(treatment, schema) else []))]


def added_part(result: Result) -> list[tuple[str, Json, list[Tokens]]]:
    """Return what the handler of a call has added, as a part to inspect."""
    added = result.told.open()
    return [] if added is None else [(ADDED, added, [])]


def _wanted(treatment: Treatment) -> dict[str, Sequence[str]]:
    """Return the pointers into a result that the manifest names, by field of the event."""
    undo = treatment.rollback if treatment.rollback.startswith("/") else ""
    pointers: dict[str, Sequence[str]] = {
        "result_id": [treatment.result_id] if treatment.result_id else [],
        "before_summary": treatment.before,
        "after_summary": treatment.after,
        "rollback_reference": [undo] if undo else [],
    }
    return {field: named for field, named in pointers.items() if named}


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """Says how deep the events of one call go. `schema_known` is whether anything could be marked in it."""

    treatment: Treatment
    shown: Disclosure
    inspection: Inspection
    digests: Digests
    schema_known: bool

    def of_arguments(self, arguments: Json, meta: Json) -> dict[str, Any]:
        """Return the fields of an attempt that the arguments fill, and `_meta` where the manifest says so."""
        treatment, root = self.treatment, ("arguments",)
        fields: dict[str, Any] = {"limits_exceeded": exceeded(treatment.limits, arguments)}
        if treatment.tier >= RESOURCE_FROM:
            fields["downstream_resource"] = self._as_allowed(self._filled(treatment.resource, arguments, root))
            key, in_meta = treatment.idempotency_key, treatment.idempotency_key.startswith("/_meta/")
            there = self._all(key.removeprefix("/_meta"), meta, ("_meta",)) if in_meta else None
            fields["idempotency_key"] = self._as_allowed(there if in_meta else self._all(key, arguments, root))
            fields["rollback_reference"] = "" if treatment.rollback.startswith("/") else treatment.rollback
        if treatment.tier >= RECIPIENT_FROM:
            fields["recipient"] = self._as_allowed(self._all(treatment.recipient, arguments, root))
        if treatment.policy_input:
            fields["policy_input"] = self._policy_input(arguments, root)
        return {field: said for field, said in fields.items() if said}

    def _policy_input(self, arguments: Json, root: Tokens) -> str:
        """Return what a policy is asked about: each value as it is, or else something in its place."""
        declared = self.treatment.policy_input

        def withheld(text: str) -> str:
            raw, shown = self._one(arguments, root, pointer.parse(text))
            said = self._as_allowed((raw, shown))
            return "" if said == raw else said or label_only(CLASS)

        return written(given(declared, arguments), (text for text, _ in declared), withheld)

    def of_result(self, body: Json, told: Json, *, done: bool) -> dict[str, Any]:
        """Return the fields of a result that its structured content fills, or what its text `told`.

        `done` says that the call ended well: then what the manifest names a place of and is not there is named.
        """
        treatment, inner, root = self.treatment, outcome.structured(body), ("result", "structuredContent")
        if treatment.tier < RESOURCE_FROM:
            return {}
        if inner is None:
            inner, root = told, (outcome.TEXT,)
        fields = {
            field: self._as_allowed(self._several(pointers, inner, root))
            if field in _STATES
            else self._as_allowed(self._all(pointers[0], inner, root))
            for field, pointers in _wanted(treatment).items()
        }
        said: dict[str, Any] = {field: text for field, text in fields.items() if text}
        missing = tuple(field for field, text in fields.items() if not text)
        return {**said, "not_told": missing} if done and missing else said

    def annotated(self, said: dict[str, Any], added: Json) -> dict[str, Any]:
        """Return the fields of a result with those that its handler has filled, which knows better; of each tier.

        `not_told` names `annotations` where something of them could not be taken.
        """
        own = self._of_annotations(added)
        missing = tuple(field for field in said.get("not_told", ()) if field not in own)
        missing += (ADDED,) if isinstance(added, dict) and UNTAKEN in added else ()
        both = {field: text for field, text in {**said, **own}.items() if field != "not_told"}
        return {**both, "not_told": missing} if missing else both

    def _of_annotations(self, added: Json) -> dict[str, Any]:
        given: dict[str, Json] = added if isinstance(added, dict) else {}
        fields = {
            field: self._as_allowed(self._one(given, (ADDED,), (key,)))
            for key, field in _ANNOTATED.items()
            if key in given
        }
        own = given.get("ext")
        ext = {
            self.inspection.key(key): self._as_allowed(self._one(given, (ADDED,), ("ext", key)))
            for key in (own if isinstance(own, dict) else ())
        }
        return {**{field: said for field, said in fields.items() if said}, **({"ext": ext} if ext else {})}

    def _all(self, text: str, value: Json, root: Tokens) -> _Said:
        """Return what lies at the places that one pointer names, with commas between them."""
        tokens = pointer.parse(text)
        places = pointer.places(tokens, value, in_texts=False)[:MOST] if tokens else []
        said = [self._one(value, root, place) for place in places if place]
        return (", ".join(raw for raw, _ in said), ", ".join(shown for _, shown in said)) if said else None

    def _several(self, pointers: Sequence[str], value: Json, root: Tokens) -> _Said:
        """Return what lies at several pointers, each said by its last word where there is more than one."""
        parts = [(pointer.parse(text)[-1], self._all(text, value, root)) for text in pointers]
        there = [(name, said) for name, said in parts if said is not None]
        if len(there) == 1:
            return there[0][1]
        raw = "; ".join(f"{name}: {said[0]}" for name, said in there)
        return (raw, "; ".join(f"{name}: {said[1]}" for name, said in there)) if there else None

    def _filled(self, text: str, value: Json, root: Tokens) -> _Said:
        """Return a template filled from `value`; nothing where one of its places isn't there."""
        raw, shown = "", ""
        for piece in template.parse(text):
            if piece.place is None:
                raw, shown = raw + piece.text, shown + piece.text
                continue
            places = pointer.places(piece.place, value, in_texts=False)
            if not places or not places[0]:
                return None
            one = self._one(value, root, places[0])
            raw, shown = raw + one[0], shown + one[1]
        return (raw, shown) if raw else None

    def _one(self, value: Json, root: Tokens, place: Tokens) -> tuple[str, str]:
        return plain_at(value, place), shown_at(value, root, place, self.inspection)

    def _as_allowed(self, said: _Said) -> str:
        if said is None:
            return ""
        raw, shown = said
        secrets = self.inspection.secrets
        if not secrets.complete or secrets.shut:
            return label_only(BUDGET)
        if self.shown.values != "none":
            return cut(shown, LONGEST)
        if shown != raw or not self.schema_known:
            return label_only(CLASS)
        return f"[WITHHELD:{CLASS}#{self.digests.tag(raw)}]"
