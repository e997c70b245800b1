# SPDX-License-Identifier: Apache-2.0
"""The shapes in which MCP servers answer: content blocks, resources, messages, structured content, errors.

Only the shape is read here: which kinds of content there are, which fields, where the text of an
error stands. Whatever does not have one of these shapes is walked like any other value.
"""

import json
import math
from collections.abc import Iterator
from typing import Any, TypeAlias

from onrecord.event.call import Json
from onrecord.rules.pointer import Tokens

Object: TypeAlias = dict[str, Json]

MOST_BLOCKS = 1_000  # content blocks whose kind is looked at
TEXT = "text"  # under which what `structured_in_text` returns is inspected
LONGEST_TEXT = 65_536  # characters of a text that is read as JSON
_KINDS = frozenset({"text", "image", "audio", "resource", "resource_link", "tool_use", "tool_result"})


def is_error(body: Json) -> bool:
    """Say whether `body` is a JSON-RPC error object rather than a result."""
    return isinstance(body, dict) and "message" in body and "code" in body and "content" not in body


def structured(body: Json) -> Json:
    """Return the structured content of a result, or None."""
    return body.get("structuredContent") if isinstance(body, dict) else None


def structured_in_text(body: Json) -> Json:
    """Return the object or array that the text of a result is, where that is all of its content; None for any other.

    Servers without structured content answer so. A text with more than one reading (a key that stands twice, a number
    without end) is none, and neither is a longer one than `LONGEST_TEXT`.
    """
    content = body.get("content") if isinstance(body, dict) else None
    block = content[0] if isinstance(content, list) and len(content) == 1 else None
    text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else None
    if not isinstance(text, str) or len(text) > LONGEST_TEXT or text.lstrip(_BLANKS)[:1] not in ("{", "["):
        return None
    try:
        return _STRICT.decode(text)
    except (ValueError, RecursionError):
        return None


def _single(pairs: list[tuple[str, Any]]) -> Object:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


_BLANKS = " \t\r\n"
_STRICT = json.JSONDecoder(object_pairs_hook=_single, parse_constant=_finite, parse_float=_finite)


def content_types(body: Json) -> tuple[str, ...]:
    """Return which kinds of content a result has, in the order in which they come."""
    if not isinstance(body, dict):
        return ()
    kinds: dict[str, None] = {}
    for block in _blocks(body):
        kind = block.get("type")
        kinds[kind if isinstance(kind, str) and kind in _KINDS else "other"] = None
    if body.get("contents"):
        kinds["resource"] = None
    if body.get("structuredContent") is not None:
        kinds["structured"] = None
    return tuple(kinds)


def _blocks(body: Object) -> Iterator[Object]:
    content, messages = body.get("content"), body.get("messages")
    if isinstance(content, dict):
        yield content  # a sampling result has one block
    for block in (content if isinstance(content, list) else [])[:MOST_BLOCKS]:
        if isinstance(block, dict):
            yield block
    for message in (messages if isinstance(messages, list) else [])[:MOST_BLOCKS]:
        block = message.get("content") if isinstance(message, dict) else None
        if isinstance(block, dict):
            yield block


def field_names(body: Json) -> list[str]:
    """Return the names of what was returned: the fields of the structured content, else of the result."""
    inner = structured(body)
    if isinstance(inner, dict):
        return list(inner)
    return list(body) if isinstance(body, dict) else []


def error_text(body: Json) -> Tokens | None:
    """Return where in `body` the text of the error stands."""
    if not isinstance(body, dict):
        return None
    if is_error(body):
        return ("message",) if isinstance(body.get("message"), str) else None
    content = body.get("content")
    for i, block in enumerate(content if isinstance(content, list) else []):
        if isinstance(block, dict) and isinstance(block.get("text"), str):
            return ("content", str(i), "text")
    return None


def is_binary(parent: Object, key: str) -> bool:
    """Say whether `parent[key]` holds encoded bytes: `data` of an image or a sound, `blob` of a resource."""
    return key == "blob" or (key == "data" and parent.get("type") in ("image", "audio"))
