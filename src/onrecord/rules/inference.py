# SPDX-License-Identifier: Apache-2.0
"""What a tool's definition suggests for its rule in the manifest: guesses from names and schemas, never proof.

A schema's marks are facts and are said as such. All else is a proposal for a person to read: which
argument looks like a recipient, an id, a key that makes a retry harmless; which fields of the result
look like an id, a state before and after, a way back. Only properties of the outermost object are
proposed, and only under names that a person can read at a glance.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onrecord.event.call import NOTHING, Actor, Call, Connection, Definition, Json
from onrecord.rules import names
from onrecord.rules.classify import DESTROYS, IRREVERSIBLE, PAYS, PERMITS, RUNS, SENDS, Treatment
from onrecord.rules.marks import has_marks, is_marked
from onrecord.rules.pattern import Pattern, utf8
from onrecord.rules.pointer import ANY, written
from onrecord.rules.words import LONGEST, listed, words

MOST = 8  # proposals of one kind
DEEPEST = 6  # levels of a schema in which marks are looked for
_PLACES = 2_000  # properties of one schema that are looked at
_IN_SCOPE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_READABLE = Pattern(r"[A-Za-z0-9_.$-]{1,64}\z")

_GOES_OUT = SENDS | PAYS | listed("email mail post reply notify invite share forward upload submit")
_VERSIONED = listed("git svn hg branch commit ref repo repository revision worktree")  # there, nobody pays
_RECIPIENTS = listed("recipient recipients to cc email mail address phone channel chat payee beneficiary destination")
_RESOURCES = listed(
    "id ids path file filename repo repository project owner org bucket table database collection key name url uri "
    "branch ref revision issue ticket account order document page node host zone"
)
_RESULT_IDS = listed("id uid uuid guid uri url sha number hash ref")
_BEFORE, _AFTER = listed("before previous old original prior"), listed("after current new updated")
_ROLLBACK = listed("rollback undo restore revert snapshot backup revision version")
_KEYS = frozenset({("request", "id"), ("client", "token"), ("operation", "id"), ("transaction", "id")})
_AMOUNTS = listed("amount total price sum value quantity")
_SCALAR = frozenset({"integer", "number", "boolean"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Guessed:
    """What the definition of one tool suggests. All but `scope` and `resource` are JSON Pointers, or lists of them."""

    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    schema_known: bool
    goes_out: bool  # whether its name says that something leaves
    sensitive: tuple[str, ...]  # marked by the schema
    sensitive_output: tuple[str, ...]
    marked_deeper: bool  # the schema marks something that no pointer here names
    told: tuple[str, ...]  # withheld for their names
    scope: str
    resource: str
    recipient: str
    summary: tuple[str, ...]
    result_id: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    rollback: str
    idempotency_key: str
    amount: str


def call_of(server: str, definition: Definition) -> Call:
    """Return a call of the tool that `classify` can judge; it has no arguments."""
    nobody = Connection(session_id="", server_id=server, transport="stdio", actor=Actor())
    return Call(
        event_type="tool_call",
        method="tools/call",
        name=definition.name,
        arguments=NOTHING,
        meta=NOTHING,
        request_id=0,
        connection=nobody,
        size_bytes=0,
        definition=definition,
    )


def why(definition: Definition, treatment: Treatment) -> str:
    """Return why a tool has its tier, where no rule says it."""
    if treatment.source == "annotations":
        return f"annotations: {'destructiveHint' if treatment.tier == 3 else 'readOnlyHint'}"
    if treatment.source == "name":
        found = [word for word in words(definition.name) if word in IRREVERSIBLE]
        return f"name: {found[0]!r} can't be taken back" if found else "name: too long to read"
    return "nothing says more: neither annotations nor name"


def guessed(server: str, definition: Definition, tier: int) -> Guessed:
    """Return what `definition` suggests, for a rule about it with this tier."""
    given, came = definition.input_schema.open(), definition.output_schema.open()
    arguments, outputs = _properties(given), _properties(came)
    marked_in, marked_out = _marked(given), _marked(came)
    told = [name for name in arguments if names.label_of(name) and written([name]) not in marked_in]
    plain = [name for name in arguments if written([name]) not in marked_in and name not in told]
    recipient = _first(plain, _RECIPIENTS)
    key = next((name for name in plain if _is_key(name)), "")
    resources = [name for name in plain if name not in (recipient, key) and set(words(name)[-1:]) & _RESOURCES]
    goes_out = not _GOES_OUT.isdisjoint(_said(server, definition.name)) or len(definition.name) > LONGEST
    return Guessed(
        arguments=tuple(arguments),
        outputs=tuple(outputs),
        schema_known=isinstance(given, dict | bool),
        goes_out=goes_out,
        sensitive=marked_in,
        sensitive_output=marked_out,
        marked_deeper=_hides_marks(given, marked_in) or _hides_marks(came, marked_out),
        told=tuple(written([name]) for name in told[:MOST]),
        scope=_scope(server, definition.name, tier),
        resource=_template(server, _required_first(given, resources)[:3]),
        recipient=written([recipient]) if recipient else "",
        summary=tuple(written([name]) for name in plain if _is_short(given, name) or name in resources)[:MOST],
        result_id=_pointer(_first(outputs, _RESULT_IDS)),
        before=tuple(written([name]) for name in outputs if set(words(name)) & _BEFORE)[:MOST],
        after=tuple(written([name]) for name in outputs if set(words(name)) & _AFTER)[:MOST],
        rollback=_pointer(_first(outputs, _ROLLBACK)),
        idempotency_key=_pointer(key),
        amount=_pointer(_first([name for name in plain if _kind(given, name) in ("number", "integer")], _AMOUNTS)),
    )


def _pointer(name: str) -> str:
    return written([name]) if name else ""


def _first(given: Iterable[str], wanted: frozenset[str]) -> str:
    return next((name for name in given if set(words(name)) & wanted), "")


def _is_key(name: str) -> bool:
    said = words(name)
    return "idempotency" in said or "dedupe" in said or tuple(said[-2:]) in _KEYS


def _said(server: str, tool: str) -> set[str]:
    """Return the words of a tool's name, without `checkout` where that is of versions and not of a shop."""
    said = set(words(tool))
    return said if _VERSIONED.isdisjoint(said | set(words(server))) else said - {"checkout"}


def _scope(server: str, tool: str, tier: int) -> str:
    said = _said(server, tool)
    kinds = (("pay", PAYS), ("send", SENDS), ("delete", DESTROYS), ("admin", PERMITS), ("run", RUNS))
    verb = next((verb for verb, known in kinds if said & known), "read" if tier <= 1 else "write")
    named = "".join(one if one in _IN_SCOPE else "-" for one in server[:64])
    return f"{named or 'server'}:{verb}"


def _template(server: str, resources: Sequence[str]) -> str:
    named = server.replace("{", "{{").replace("}", "}}")
    usable = named.isprintable() and len(named) <= 64  # as of a name in the manifest
    return f"{named if usable else 'server'}:{'/'.join(f'{{{name}}}' for name in resources)}" if resources else ""


def _properties(schema: Json) -> list[str]:
    """Return the names of the outermost properties, those that a person can read."""
    inner = schema.get("properties") if isinstance(schema, dict) else None
    listed_names = list(inner)[:_PLACES] if isinstance(inner, dict) else []
    return [name for name in listed_names if _READABLE.fits(utf8(name))]


def _required_first(schema: Json, given: list[str]) -> list[str]:
    required = schema.get("required") if isinstance(schema, dict) else None
    wanted: list[Json] = required if isinstance(required, list) else []
    return sorted(given, key=lambda name: name not in wanted)


def _is_short(schema: Json, name: str) -> bool:
    """Say whether a property holds a number, a yes or no, or one of a few words."""
    return "enum" in _about(schema, name) or _kind(schema, name) in _SCALAR


def _kind(schema: Json, name: str) -> str:
    kind = _about(schema, name).get("type")
    return kind if isinstance(kind, str) else ""


def _about(schema: Json, name: str) -> dict[str, Json]:
    inner = schema.get("properties") if isinstance(schema, dict) else None
    about = inner.get(name) if isinstance(inner, dict) else None
    return about if isinstance(about, dict) else {}


def _marked(schema: Json) -> tuple[str, ...]:
    """Return pointers to the properties that a schema marks where it describes them, as far as it is looked at."""
    found: list[str] = []
    waiting: list[tuple[tuple[str, ...], Json]] = [((), schema)]
    for _ in range(_PLACES):
        if not waiting:
            break
        path, node = waiting.pop(0)
        if not isinstance(node, dict):
            continue
        if path and is_marked(node):
            found.append(written(path))
        elif len(path) < DEEPEST:
            inner = node.get("properties")
            for name, child in inner.items() if isinstance(inner, dict) else ():
                if _READABLE.fits(utf8(name)):
                    waiting.append(((*path, name), child))
            if isinstance(node.get("items"), dict):
                waiting.append(((*path, ANY), node["items"]))
    return tuple(found[:MOST])


def _hides_marks(schema: Json, found: Sequence[str]) -> bool:
    return not found and isinstance(schema, dict) and has_marks(schema)
