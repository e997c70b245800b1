# SPDX-License-Identifier: Apache-2.0
"""What a request says of the trace that it is part of: W3C trace context and baggage, and the step of the model.

MCP carries `traceparent`, `tracestate` and `baggage` in `_meta`, in the formats of W3C Trace Context and W3C
Baggage; over HTTP they may come as headers, and are read by the same functions. All of it is the client's claim,
and none of it is needed: what is malformed or too long is as if it had not come, and its name is noted, never its
text. Lengths are looked at first, so a large value costs nothing.

Of baggage, only the members named `audit.…` mean anything here. `io.modelcontextprotocol/aiInvocation` is of
SEP-2817, a proposal; what it says is no evidence of anything, and is not treated as such. Nothing here is logged.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeGuard, TypeVar
from urllib.parse import unquote

from onrecord.event.call import Call, Trace

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
BAGGAGE: Final = "baggage"
INVOCATION: Final = "io.modelcontextprotocol/aiInvocation"
META: Final = "_meta"

BAGGAGE_BYTES = 8_192  # W3C Baggage, 3.3.2: what must be carried; peers that read more log it whole
TRACESTATE_BYTES = 8_192
MOST_STATES = 32  # W3C Trace Context, 3.3.1.3
MOST_ENTRIES = 180  # members of baggage: the limit of its first revision, which peers still apply
TRACEPARENT_BYTES = 512  # of a version to come; the current one has 55
LONGEST_CLAIM = 256  # characters of a name or id that a client gives

_Object: TypeAlias = Mapping[str, Any]
_T = TypeVar("_T")

_HEX = frozenset("0123456789abcdef")
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
_STATE_KEY = _LOWER | frozenset("0123456789_-*/@")
# RFC 9110, 5.6.2: the characters of a token.
_TOKEN = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~")
# W3C Baggage, 3.2.1.3: printable ASCII without blank, quote, comma, semicolon and backslash.
_OCTET = frozenset(map(chr, range(0x21, 0x7F))) - frozenset('",;\\')
_STATE_VALUE = frozenset(map(chr, range(0x20, 0x7F))) - frozenset(",=")
_BLANK = " \t"


def read(meta: object) -> Trace:
    """Return what `_meta` says of its trace; `faults` names what was there and could not be used.

    `meta` is a JSON value, and an empty object where the request has none.
    """
    if not _is_object(meta):
        return Trace(faults=(META,))
    if not meta:
        return Trace()
    faults: list[str] = []
    parent = _taken(meta, TRACEPARENT, traceparent, faults)
    _taken(meta, TRACESTATE, tracestate, faults)
    entries = _taken(meta, BAGGAGE, baggage, faults) or {}
    invocation = _invocation(meta, faults)
    trace_id, span_id = parent or ("", "")
    return Trace(
        trace_id=trace_id,
        span_id=span_id,
        request=_claim(entries, "audit.corr_id"),
        turn=invocation.get("turnId", ""),
        model=invocation.get("model") or _claim(entries, "audit.model"),
        model_step_id=invocation.get("turnId") or _claim(entries, "audit.step_id") or _claim(entries, "audit.event_id"),
        agent=_claim(entries, "audit.agent_id"),
        faults=tuple(faults),
    )


def _taken(meta: _Object, name: str, parse: Callable[[str], _T | None], faults: list[str]) -> _T | None:
    """Return the parsed text of `name`; None where it is absent or, as `faults` then says, of no use."""
    if name not in meta:
        return None
    value = meta[name]
    parsed = parse(value) if isinstance(value, str) else None
    if parsed is None:
        faults.append(name)
    return parsed


def _claim(entries: Mapping[str, str], name: str) -> str:
    value = entries.get(name, "")
    return value if len(value) <= LONGEST_CLAIM else ""


def _invocation(meta: _Object, faults: list[str]) -> dict[str, str]:
    """Return which model says that it asks, and in which turn."""
    if INVOCATION not in meta:
        return {}
    about = meta[INVOCATION]
    said = {name: about[name] for name in ("model", "turnId") if name in about} if _is_object(about) else None
    if said is None or not all(isinstance(value, str) and len(value) <= LONGEST_CLAIM for value in said.values()):
        faults.append("aiInvocation")
        return {}
    return said


def traceparent(text: str) -> tuple[str, str] | None:
    """Return trace id and span id, in hex; None where `text` is no traceparent.

    W3C Trace Context, 3.2.2: version, trace id, parent id and flags in small hex digits; ids of zeros and version ff
    are invalid; a version to come may append to it.
    """
    if not 55 <= len(text) <= TRACEPARENT_BYTES or (len(text) > 55 and (text[:2] == "00" or text[55] != "-")):
        return None
    version, *rest = text[:55].split("-")
    if [len(version), *map(len, rest)] != [2, 32, 16, 2] or version == "ff":
        return None
    trace_id, span_id, flags = rest
    if not _HEX.issuperset(version + trace_id + span_id + flags) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return trace_id, span_id


def tracestate(text: str) -> tuple[tuple[str, str], ...] | None:
    """Return the members of a tracestate, in order; None where `text` is none.

    W3C Trace Context Level 2, 3.3.1: up to 32 members `key=value`, no key twice; empty members are allowed.
    """
    if len(text) > TRACESTATE_BYTES:
        return None
    members = [member.strip(_BLANK) for member in text.split(",")]
    pairs = [tuple(member.partition("=")[::2]) for member in members if member]
    keys = {key for key, _ in pairs}
    if len(keys) != len(pairs) or len(pairs) > MOST_STATES or not all(_is_state(*pair) for pair in pairs):
        return None
    return tuple((key, value) for key, value in pairs)


def _is_state(key: str, value: str) -> bool:
    named = 0 < len(key) <= 256 and _STATE_KEY.issuperset(key) and (key[0] in _LOWER or key[0].isdigit())
    return named and 0 < len(value) <= 256 and value[-1] != " " and _STATE_VALUE.issuperset(value)


def baggage(text: str) -> dict[str, str] | None:
    """Return the entries of a baggage by name, decoded; None where `text` is none, or longer than may be carried.

    W3C Baggage, 3.2: members `key=value;properties`, percent-encoded. Properties are checked and left out, and so is
    a key that stands twice: readers differ in which they take.
    """
    if len(text) > BAGGAGE_BYTES or not text.isascii():
        return None
    members = text.split(",")
    if len(members) > MOST_ENTRIES:
        return None
    entries: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for member in members:
        entry, *properties = member.split(";")
        key, equals, value = (part.strip(_BLANK) for part in entry.partition("="))
        if not equals or not _is_entry(key, value) or not all(map(_is_property, properties)):
            return None
        counts[key] += 1
        entries[key] = unquote(value, errors="replace")
    return {key: value for key, value in entries.items() if counts[key] == 1}


def _is_property(text: str) -> bool:
    key, _, value = (part.strip(_BLANK) for part in text.partition("="))
    return _is_entry(key, value)


def _is_entry(key: str, value: str) -> bool:
    return bool(key) and _TOKEN.issuperset(key) and _OCTET.issuperset(value)


def _is_object(value: object) -> TypeGuard[_Object]:
    return isinstance(value, dict)


# where no trace came


def begun(correlation_id: str, event_id: str) -> tuple[str, str]:
    """Return trace id and span id of a trace that begins with the attempt `event_id`; both are UUIDv7.

    The calls of one request are one trace. The last seven bytes of either id are random, as W3C Trace Context Level 2
    asks for, and neither is zero.
    """
    return correlation_id.replace("-", ""), event_id.replace("-", "")[-16:]


def traced(call: Call, correlation_id: str, event_id: str, *, propagates: bool) -> dict[str, Any]:
    """Return what the event of an attempt says of its trace, by field, before redaction adds the client's own ids.

    With `propagates`, a trace that begins here goes on to the server, where there is a `_meta` to put it into.
    """
    faults = call.trace.faults
    if call.trace.trace_id:
        return {"trace_source": "client", "trace_faults": faults}
    trace_id, span_id = begun(correlation_id, event_id)
    return {
        "trace_source": "onrecord",
        "trace_faults": faults,
        "trace_id": trace_id,
        "span_id": span_id,
        "trace_propagated": propagates and call.direction == "client_to_server" and META not in faults,
    }


def written(trace_id: str, span_id: str) -> str:
    """Return the traceparent of a trace that begins here. It is sampled: whether to is the receiver's choice."""
    return f"00-{trace_id}-{span_id}-01"


def unusable(faults: tuple[str, ...]) -> frozenset[str]:
    """Return which members of `_meta` don't go on where a trace begins here: what is malformed, and any state.

    W3C Trace Context, 3.3.1: a tracestate is nothing without its traceparent.
    """
    return frozenset({TRACEPARENT, TRACESTATE, *(name for name in faults if name == BAGGAGE)})
