# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC lines: bytes to one message, or to a refusal; and our own answers to bytes. Pure, for every door.

What is judged must be what is forwarded. A message is therefore decoded once and strictly, and one
that two readers could read differently is refused instead of forwarded:

* a key that stands twice, or twice but for its case (Go matches keys without case);
* a batch, or bytes that are not UTF-8, or a lone surrogate;
* a carriage return anywhere but before the line feed: readers with universal newlines would find
  another message inside this one;
* a number that is not finite, or an id that is fractional, null, or past 2**53;
* a message that is a request and a response at once, or a request that asks for no answer.

Depth and size are bounded. An unambiguous message is never re-encoded here: doors forward the bytes
that came. What a server sends is read with the same eyes, but a lone surrogate is forgiven there:
servers that cut text in the middle of a character send them. What a message means is in
`protocol.py`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias, TypeGuard

from onrecord.errors import MessageRefused
from onrecord.event.call import Json, RequestId
from onrecord.rules.pattern import Pattern

MAX_MESSAGE = 64 * 1024 * 1024  # bytes; six times the largest message that servers are known to send
MAX_DEPTH = 128  # levels; past this readers differ in whether they give up
MAX_SAFE_INTEGER = 2**53 - 1  # ids beyond it are rounded by JavaScript peers

# Error codes. JSON-RPC reserves -32768…-32000; a refusal of ours lies outside.
PARSE_ERROR: Final = -32700  # what any server says to bytes that are not JSON
INVALID_PARAMS: Final = -32602  # what any server says to params that its method cannot have
NO_RESOURCE: Final = -32002  # what servers up to 2025-11-25 say of a resource that they don't have
AMBIGUOUS: Final = -31000  # no single reading
NOT_RECORDED: Final = -31001  # not recorded, so not run
END_NOT_RECORDED: Final = -31002  # ran, but its end is not recorded: do not retry
TIMED_OUT: Final = -31003  # no answer in time; it may still run
SERVER_GONE: Final = -31004  # the server ended while the call was open; whether it took effect is unknown
UNREADABLE_RESULT: Final = -31005  # ran, but the answer has no single reading
NOT_AUTHENTICATED: Final = -31010  # who calls does not hold, so not run
OUTPUT_WITHHELD: Final = -31006  # ran, but a policy withholds what came back
DENIED: Final = -31007  # decided, and on the record: it must not run

Object: TypeAlias = dict[str, Any]


def _by_case(*names: str) -> tuple[frozenset[str], Mapping[str, str]]:
    return frozenset(names), {name.casefold(): name for name in names}


_ENVELOPE = _by_case("jsonrpc", "id", "method", "params", "result", "error")
_PARAMS = _by_case("name", "arguments", "uri", "_meta", "inputResponses", "requestState", "requestId", "task", "ref")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A message that wants an answer. `rounded`: a number in it is another one than was written."""

    id: RequestId
    method: str
    params: Object
    rounded: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A message that wants none."""

    method: str
    params: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer. Exactly one of `result` and `error` is there; `id` is None where the peer could not tell."""

    id: RequestId | None
    result: Json = None
    error: Object | None = None


Message: TypeAlias = Request | Notification | Response


# reading


def decode(line: bytes, *, lone_surrogates: Literal["refuse", "forgive"] = "refuse") -> Message:
    """Return the one message that `line` holds, with or without its line end.

    Raises MessageRefused, with the id to answer where one can be read.
    """
    body = line.rstrip(b"\r\n") if line.endswith(b"\n") else line
    if b"\r" in body:
        raise MessageRefused("a carriage return inside a message splits it for some readers", AMBIGUOUS)
    value = _parse(body)
    if not is_object(value):
        what = "a batch" if isinstance(value, list) else "not an object"
        raise MessageRefused(f"a message must be one JSON object, this is {what}", AMBIGUOUS)
    try:
        _check_depth(body, value)
        if lone_surrogates == "refuse":
            _check_surrogates(body, value)
        message = _message(value)
    except MessageRefused as e:
        raise MessageRefused(e.reason, e.code, _lone_id(body)) from e
    return replace(message, rounded=True) if isinstance(message, Request) and _is_rounded(body) else message


def _is_rounded(body: bytes) -> bool:
    """Say whether `body`, which is JSON, has a fraction or power that no float keeps as it is written.

    Up to 15 digits are always kept, where the number is not too small; so most messages are not read twice.
    """
    if not _MANY_DIGITS.occurs(body):
        return False
    found: list[str] = []
    json.loads(body, parse_float=lambda text: found.append(text) if _differs(text) else None)
    return bool(found)


def _differs(text: str) -> bool:
    try:
        return Decimal(text) != Decimal(repr(float(text)))
    except ArithmeticError:
        return True  # a power that is out of all bounds


def _parse(body: bytes) -> Any:
    try:
        return _whole(body.decode().strip(_BLANKS))
    except UnicodeDecodeError as e:
        raise MessageRefused("a message must be UTF-8", PARSE_ERROR) from e
    except RecursionError as e:
        raise MessageRefused(f"a message nests deeper than {MAX_DEPTH} levels", AMBIGUOUS) from e
    except ValueError as e:
        raise MessageRefused("a message must be JSON", PARSE_ERROR) from e
    except MessageRefused as e:
        raise MessageRefused(e.reason, e.code, _lone_id(body)) from e


def _whole(text: str) -> Any:
    """Return the value that all of `text` is. Raises ValueError. As `decode`, without its own look for blanks."""
    value, end = _STRICT.raw_decode(text)
    if end != len(text):
        raise ValueError
    return value


def _object(pairs: list[tuple[str, Any]]) -> Object:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MessageRefused("a key stands twice in one object, and readers differ in which they take", AMBIGUOUS)
    return found


def _refuse_constant(name: str) -> float:
    raise MessageRefused(f"{name} is not JSON", PARSE_ERROR)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise MessageRefused("a number is larger than readers can keep", AMBIGUOUS)
    return value


_BLANKS = " \t\r\n"
_MANY_DIGITS = Pattern("[0-9.]{16}|[eE]-[0-9]{3}")
_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_float)


def _lone_id(body: bytes) -> RequestId | None:
    """Return the id of a refused message if it has exactly one, so that the refusal can be answered."""
    try:
        pairs: Any = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    ids = [value for key, value in pairs if key == "id"] if isinstance(pairs, _Pairs) else []
    return ids[0] if len(ids) == 1 and is_id(ids[0]) else None


def is_object(value: object) -> TypeGuard[Object]:
    """Say whether a JSON value is an object."""
    return isinstance(value, dict)


def id_in_head(head: bytes) -> RequestId | None:
    """Return the id that stands in the first bytes of a message too long to read, if it stands there plainly."""
    _, found, rest = head.partition(b'"id":')
    try:
        value, _ = json.JSONDecoder().raw_decode(rest.decode(errors="replace").lstrip())
    except (ValueError, RecursionError):
        return None
    return value if found and is_id(value) else None


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, doubled keys and all."""


def _check_depth(body: bytes, value: Any) -> None:
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return  # it cannot be deeper than it has brackets
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for outer in level:
            inner.extend(outer.values() if is_object(outer) else outer)
        level = [value for value in inner if isinstance(value, (dict, list))]
        if not level:
            return
    raise MessageRefused(f"a message nests deeper than {MAX_DEPTH} levels", AMBIGUOUS)


def _check_surrogates(body: bytes, value: Any) -> None:
    if b"\\ud" not in body.lower():
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as e:
        raise MessageRefused("half a surrogate pair stands for no character", AMBIGUOUS) from e


def _message(value: Object) -> Message:
    _check_case(value, _ENVELOPE)
    if value.get("jsonrpc") != "2.0":
        raise MessageRefused('a message must say "jsonrpc": "2.0"', AMBIGUOUS)
    if "method" in value:
        return _asking(value)
    return _answering(value)


def _check_case(value: Object, known: tuple[frozenset[str], Mapping[str, str]]) -> None:
    exact, names = known
    for key in () if exact.issuperset(value) else value:
        if names.get(key.casefold(), key) != key:
            raise MessageRefused(f"a key is spelled almost like {names[key.casefold()]!r}", AMBIGUOUS)


def _asking(value: Object) -> Request | Notification:
    method, params = value["method"], value.get("params", {})
    if not isinstance(method, str):
        raise MessageRefused("a method must be a string", AMBIGUOUS)
    if "result" in value or "error" in value:
        raise MessageRefused("a message is a request and a response at once", AMBIGUOUS)
    if not is_object(params):
        raise MessageRefused("params must be an object", AMBIGUOUS)
    _check_case(params, _PARAMS)
    if "id" in value:
        if not is_id(value["id"]):
            raise MessageRefused("an id must be a string, or an integer that every reader can keep", AMBIGUOUS)
        return Request(id=value["id"], method=method, params=params)
    if not method.startswith("notifications/"):
        raise MessageRefused("a request must have an id", AMBIGUOUS)
    return Notification(method=method, params=params)


def _answering(value: Object) -> Response:
    if ("result" in value) == ("error" in value):
        raise MessageRefused("a message must have a method, a result or an error, and only one of them", AMBIGUOUS)
    if "params" in value:
        raise MessageRefused("a message is a request and a response at once", AMBIGUOUS)
    if "id" not in value or not (is_id(value["id"]) or (value["id"] is None and "error" in value)):
        raise MessageRefused("a response must have the id of its request", AMBIGUOUS)
    error = value.get("error")
    if "error" in value and not is_object(error):
        raise MessageRefused("an error must be an object", AMBIGUOUS)
    return Response(id=value["id"], result=value.get("result"), error=error)


def is_id(value: object) -> TypeGuard[RequestId]:
    """Say whether a JSON value can be the id of a request. True is none, though Python has it equal 1."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= MAX_SAFE_INTEGER
    return isinstance(value, str)


# answers of our own


def error_line(request_id: RequestId | None, code: int, message: str, **data: str | int) -> bytes:
    """Return a JSON-RPC error as a line. `message` and `data` must hold no value from outside."""
    error: Object = {"code": code, "message": message}
    if data:
        error["data"] = data
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error}, separators=(",", ":")).encode() + b"\n"


def withheld_line(request_id: RequestId, reason: str, *, tool: bool, modern: bool) -> bytes:
    """Return the answer that stands for a withheld one: of a tool, an error that the model can read.

    `modern` is for revisions in which a result says its type. `reason` must hold no value from outside.
    """
    text = f"it ran, do not retry; {reason}"
    return _told(request_id, OUTPUT_WITHHELD, text, tool=tool, modern=modern)


def denied_line(request_id: RequestId, reason: str, *, tool: bool, modern: bool) -> bytes:
    """Return the answer to a call that must not run: to one of a tool, an error that the model can read.

    As in `withheld_line`.
    """
    return _told(request_id, DENIED, f"not run: {reason}", tool=tool, modern=modern)


def _told(request_id: RequestId, code: int, text: str, *, tool: bool, modern: bool) -> bytes:
    if not tool:
        return error_line(request_id, code, text)
    result: Object = {"content": [{"type": "text", "text": text}], "isError": True}
    if modern:
        result["resultType"] = "complete"
    return _line({"jsonrpc": "2.0", "id": request_id, "result": result})


def answer_line(request_id: RequestId, body: Json, *, error: bool = False) -> bytes:
    """Return an answer with this body: one that a policy changed, or one of our own."""
    return _line({"jsonrpc": "2.0", "id": request_id, "error" if error else "result": body})


def _line(message: Object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
