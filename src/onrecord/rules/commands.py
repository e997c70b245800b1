# SPDX-License-Identifier: Apache-2.0
"""A command line as it may stand on the record: what its words announce, and what is in them, is masked.

A word that is JSON is read as JSON, and one that a shell is to read as a command line of its own.
Nothing here runs a command or knows what one does.
"""

import json
from collections.abc import Callable, Sequence

from onrecord.event.call import Json
from onrecord.rules.actions import Handling
from onrecord.rules.argv import secret_words
from onrecord.rules.detection.checks import STANDS_IN
from onrecord.rules.detection.detectors import Detectors
from onrecord.rules.detection.labels import label_only
from onrecord.rules.echo import MARKED, Secrets
from onrecord.rules.inspection import BUDGET, LEAF, Inspection
from onrecord.rules.summary import summary_of_all

MOST = 40  # words that are shown
MORE = "…"

_SHELL = frozenset({"-c", "-lc", "-ic", "-ec", "/c", "/C", "-Command"})  # what comes next is a command line
_CUT = 100  # characters of a text in JSON


def shown_command(
    words: Sequence[str], detectors: Detectors, handling: Handling, mask: Callable[[str], str]
) -> list[str]:
    """Return what may be shown of `words`, of which the first is a program; `mask` masks and cuts one text."""
    secret = secret_words(words, ours=True)
    secrets = Secrets(detectors.labels)
    for i, (start, label) in secret.items():
        if words[i][start:].lower() not in STANDS_IN:
            secrets.add(words[i][start:], label_only(label), MARKED)
    shown: list[str] = []
    for i, word in enumerate(words[:MOST]):
        start, label = secret.get(i, (len(word), ""))
        if label:
            shown.append(mask(word[:start]) + handling.stand_in(label, "secret", word[start:]))
        elif i and " " in word and words[i - 1] in _SHELL:
            inner = shown_command(word.split(" "), detectors, handling, mask)
            shown.append(mask(" ".join(inner)))
        elif (at := _document_at(word)) >= 0 and (value := _read(word[at:])):
            shown.append(mask(word[:at] + _shown_document(value, detectors, handling)))
        else:
            shown.append(mask(secrets.masked(word)))
    return [*shown, MORE] if len(words) > MOST else shown


def _document_at(word: str) -> int:
    """Return where in a word JSON may begin: at its start, or after `--config=`; -1 where nowhere."""
    at = word.find("=") + 1 if word[:1] == "-" else 0
    return at if word[at : at + 1] in ("{", "[") and len(word) - at <= LEAF else -1


def _read(text: str) -> Json:
    """Return what JSON says; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _shown_document(value: Json, detectors: Detectors, handling: Handling) -> str:
    secrets = Secrets(detectors.labels)
    inspection = Inspection(detectors, secrets, handling, low=False, room=LEAF)
    inspection.inspect("detail", value)
    if not secrets.complete or secrets.shut:
        return BUDGET
    return summary_of_all(value, ("detail",), inspection, _CUT)
