# SPDX-License-Identifier: Apache-2.0
"""A JSON value with everything masked that would not go on the record, whole otherwise.

The same walk that looks at the arguments of a call looks at the value: what a schema marks, what
stands under a telling name, and what a detector finds in a text, a key or a long number. The record
shows little of a call; this shows all that may be shown.
"""

import math

from onrecord.event.call import Json
from onrecord.rules.actions import Handling
from onrecord.rules.detection.detectors import Detectors, masked
from onrecord.rules.echo import Secrets
from onrecord.rules.inspection import LEAF, LONG_NUMBER, Inspection
from onrecord.rules.marks import marked
from onrecord.rules.pointer import Tokens

_NUMBER = "[WITHHELD:number]"  # one that has no end
_ROOM = 1_000_000  # characters, beside those of the value: names announce, and are looked at twice


class Fields:
    """Redacts JSON values, each alone."""

    def __init__(self, detectors: Detectors, *, schema: Json, low: bool) -> None:
        """`schema` says where the values are sensitive; True marks nothing."""
        self._detectors = detectors
        self._schema = schema
        self._low = low

    def redacted(self, value: Json) -> Json:
        """Return `value` as it may be shown, of the same shape."""
        inspection = Inspection(
            self._detectors, Secrets(self._detectors.labels), Handling(None, {}), low=self._low, room=1 << 40
        )
        inspection.inspect("", value, marked(self._schema, value))
        return self._shown(value, ("",), inspection)

    def _shown(self, value: Json, path: Tokens, inspection: Inspection) -> Json:
        held = inspection.held.get(path)
        if held is not None:
            return held
        if isinstance(value, str):
            return self._text(value, path, inspection)
        if isinstance(value, dict):
            shown: dict[str, Json] = {}
            for key, child in value.items():
                shown[_free(inspection.name(key, len(key) + 256), shown)] = self._shown(child, (*path, key), inspection)
            return shown
        if isinstance(value, list):
            return [self._shown(child, (*path, str(i)), inspection) for i, child in enumerate(value)]
        return self._scalar(value, path, inspection)

    def _text(self, text: str, path: Tokens, inspection: Inspection) -> str:
        if len(text) <= LEAF:
            return inspection.text(text, path)
        return inspection.secrets.masked(masked(self._detectors, text, low=self._low))  # the walk saw its beginning

    def _scalar(self, value: float | None, path: Tokens, inspection: Inspection) -> Json:
        if value is None or isinstance(value, bool):
            return value
        if math.isinf(value):
            return _NUMBER
        text = repr(value)
        shown = inspection.text(text, path) if abs(value) > LONG_NUMBER else inspection.secrets.masked(text)
        return value if shown == text else shown


def _free(key: str, taken: dict[str, Json]) -> str:
    """Return `key`, or with a number where another key looks the same once it is masked."""
    number, free = 1, key
    while free in taken:
        number += 1
        free = f"{key} ({number})"
    return free
