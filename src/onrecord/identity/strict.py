# SPDX-License-Identifier: Apache-2.0
"""JSON of a token, read strictly: one object in UTF-8, no key twice, no number that is none, not nested without end."""

import json
from typing import Any, NoReturn, cast


class NotStrict(ValueError):
    """A text has no single reading; the message says why, and holds nothing of it."""


def strict_object(text: bytes) -> dict[str, object]:
    """Return the object that `text` holds. Raises NotStrict."""
    try:
        value: object = _DECODER.decode(text.decode())
    except NotStrict:
        raise
    except (ValueError, RecursionError) as e:
        raise NotStrict("is not JSON in UTF-8, or nests without end") from e
    if not isinstance(value, dict):
        raise NotStrict("is no JSON object")
    return cast(dict[str, object], value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrict("has a key twice")
    return found


def _refuse_constant(_name: str) -> NoReturn:
    raise NotStrict("has a number that is none")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
