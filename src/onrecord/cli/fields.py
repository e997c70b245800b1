# SPDX-License-Identifier: Apache-2.0
"""A JSON value with everything masked that would not go on the record, whole otherwise.

The same walk that looks at the arguments of a call looks at the value: what a schema marks, what
stands under a telling name, and what a detector finds in a text, a key or a long number. The record
shows little of a call; this shows all that may be shown. Where not all of a value could be looked
at, or remembered, nothing of it is: what was missed might be repeated in what was not.
"""

import math
from collections.abc import Iterator

from onrecord.cli.lines import MOST
from onrecord.cli.withheld import NUMBER, Withheld
from onrecord.event.call import Json
from onrecord.rules.actions import Handling
from onrecord.rules.detection.detectors import Detectors, masked
from onrecord.rules.detection.labels import BUDGET, OVERFLOW, REASONS, label_only
from onrecord.rules.detection.masking import masked_whole
from onrecord.rules.echo import FOUND, Secrets
from onrecord.rules.inspection import LEAF, LONG_NUMBER, Inspection
from onrecord.rules.marks import marked
from onrecord.rules.pointer import Tokens

_ROOM = 1 << 40  # characters of one value: as many as there are
_OVERFLOWS = f"[WITHHELD:{OVERFLOW}]"
_NODES = 2_000_000  # values in it


class Fields:
    """Redacts JSON values, each alone."""

    def __init__(
        self, detectors: Detectors, withheld: Withheld, *, schemas: list[Json], low: bool, most: int = MOST
    ) -> None:
        """`schemas` say where the values are sensitive: what any of them marks is."""
        self._detectors = detectors
        self._withheld = withheld
        self._schemas = schemas
        self._low = low
        self._most = most
        self._labels: set[str] = set()  # why something of the value at hand is withheld

    def redacted(self, value: Json) -> Json:
        """Return `value` as it may be shown, of the same shape, or a text that says that nothing of it may be."""
        self._labels = set()
        secrets = Secrets(self._detectors.labels, self._most)
        for text in _long_texts(value):
            for finding in masked_whole(self._detectors, text, low=self._low)[1]:
                if finding.label in REASONS:
                    secrets.complete = False  # nobody knows what is in it
                else:
                    secrets.add(finding.value or text[finding.start : finding.end], label_only(finding.label), FOUND)
        handling = Handling(None, {})
        inspection = Inspection(self._detectors, secrets, handling, low=self._low, room=_ROOM, nodes=_NODES)
        inspection.inspect("", value, [place for schema in self._schemas for place in marked(schema, value)])
        shown = self._shown(value, ("",), inspection) if secrets.complete else self._instead(BUDGET)
        for label in self._labels:
            self._withheld.count(label)
        return shown

    def _instead(self, label: str) -> str:
        self._labels.add(label)
        return f"[WITHHELD:{label}]"

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
            return self._noted(text, inspection.text(text, path))
        return self._noted(text, inspection.secrets.masked(masked(self._detectors, text, low=self._low)))

    def _noted(self, text: str, shown: str) -> str:
        if _OVERFLOWS in shown and _OVERFLOWS not in text:
            self._labels.add(OVERFLOW)
        return shown

    def _scalar(self, value: float | None, path: Tokens, inspection: Inspection) -> Json:
        if value is None or isinstance(value, bool):
            return value
        if math.isinf(value):
            return self._instead(NUMBER)
        text = repr(value)
        shown = inspection.text(text, path) if abs(value) > LONG_NUMBER else inspection.secrets.masked(text)
        return value if shown == text else shown


def _long_texts(value: Json) -> Iterator[str]:
    """Yield the texts of which the walk sees the beginning alone."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str) and len(node) > LEAF:
            yield node
        elif isinstance(node, dict):
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _free(key: str, taken: dict[str, Json]) -> str:
    """Return `key`, or with a number where another key looks the same once it is masked."""
    number, free = 1, key
    while free in taken:
        number += 1
        free = f"{key} ({number})"
    return free
