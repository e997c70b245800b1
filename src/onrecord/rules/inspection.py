# SPDX-License-Identifier: Apache-2.0
"""One walk over the values of a call that finds what must be withheld, and remembers where it lies.

Withheld is what a schema or the manifest marks, what stands under a telling name, and what a
detector finds in any text, key or long number, or in texts that follow each other. Every limit fails
closed: what lies too deep, comes too late or was not looked at is withheld with `[WITHHELD:budget]`,
and text that was looked at only in part shows nothing from near where the looking ended.

Nothing here is written down: `summary.py` shows what this file allows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from onrecord.event.call import Json
from onrecord.rules import echo, names, pointer
from onrecord.rules.actions import Handling, kind_of, tag_of
from onrecord.rules.argv import secret_words, words_of
from onrecord.rules.beside import cells, holds, told
from onrecord.rules.called import hexadecimal
from onrecord.rules.detection import checks
from onrecord.rules.detection.detectors import UNANNOUNCED, Detectors, Late, masked
from onrecord.rules.detection.finding import Finding, Kind
from onrecord.rules.detection.labels import REASONS, SENSITIVE, cut, label_only
from onrecord.rules.detection.offsets import APART
from onrecord.rules.echo import Place, Secrets, readable, replaced
from onrecord.rules.gathering import (
    DEEPEST,
    LONG_NUMBER,
    NODES,
    Keys,
    block_runs,
    context,
    digits,
    keys_in,
    say_more,
    under,
)
from onrecord.rules.outcome import is_binary
from onrecord.rules.pointer import Tokens
from onrecord.rules.splits import Part, joints

HOLD = 8  # what withholding one value counts, in values looked at
LEAF = 65_536  # characters of one text
MARGIN = 512  # characters of a token that may begin where the looking ends
KEY = 128  # characters of a key that are shown
NAME_WINDOW = 4_096  # characters of a name that are looked at; far fewer are shown

BUDGET = "[WITHHELD:budget]"
BINARY = "[WITHHELD:binary]"
UNPLACED = "[WITHHELD:marked]"


class Inspection:
    """What is to be withheld in the values of one event."""

    def __init__(
        self,
        detectors: Detectors,
        secrets: Secrets,
        handling: Handling,
        *,
        low: bool,
        room: int,
        nodes: int = NODES,
        binary: bool = False,
        late: Late | None = None,
    ) -> None:
        """`room` is in characters of all texts together, `nodes` in values; `low` spares what class low spares.

        With `binary`, encoded bytes in MCP content are withheld without a look. Once `late` says so, what
        was not looked at yet is withheld.
        """
        self._detectors = detectors
        self.handling = handling
        self._low = low
        self.room = room
        self._limit = late
        self._late = late or (lambda: False)
        self._nodes = nodes
        self.binary = binary
        self.secrets = secrets
        self.held: dict[Tokens, str] = {}
        self.found: dict[Tokens, list[Place]] = {}
        self.seen: dict[Tokens, int] = {}  # characters looked at, of texts that were not looked at whole
        self.kinds: dict[str, None] = {}
        self.tags: dict[str, None] = {}
        self.fields: dict[Tokens, None] = {}
        self.unplaced = False  # a marked value is too short to be looked for elsewhere
        self.whole = True  # every text was plain: nothing to withhold anywhere
        self.spent = False  # a limit was reached
        self._clean: set[str] = set()  # names and keys in which nothing was found
        self._splits: list[tuple[list[Part], str]] = []  # texts that follow each other, and what is between them

    def inspect(self, root: str, value: Json, marks: Iterable[Tokens] = ()) -> None:
        """Look at all of `value`, which lies under `root`; `marks` are places in it, without `root`."""
        self.whole = False
        for place in marks:  # first, so that their echoes are known wherever they come
            label = names.label_of(place[-1]) if place else ""
            self._hold((root, *place), pointer.value_at(value, place), label, marked=True)
        self._clear(keys_in(value))
        self._visit(value, (root,), ())
        for parts, glue in self._splits:  # last, so that every value is known
            for run in joints(parts):
                self._scan_run(run, glue)
        self._splits = []

    def inspect_names(self, texts: Iterable[str]) -> None:
        """Look at names that a client or server gave; `name` shows them."""
        self.whole = False
        listed = list(texts)
        self._clear(listed)
        for text in listed:
            self._scan_name(text)

    def _clear(self, texts: Iterable[str]) -> None:
        """Look at many names or keys at once: hardly any holds anything."""
        listed = {text for text in texts if len(text) <= NAME_WINDOW} - self._clean
        if listed and not self._find(APART.join(sorted(listed)), low=self._low):
            self._clean |= listed

    def suspects(self, texts: Iterable[str]) -> bool:
        """Say whether anything may be found in `texts`, or no time is left to look."""
        return self._detectors.suspect(APART.join(texts), late=self._limit)

    def _find(self, text: str, *, low: bool) -> list[Finding]:
        return self._detectors.find(text, low=low, late=self._limit)

    def _visit(self, value: Json, path: Tokens, keys: Keys) -> None:
        if path in self.held:
            return
        self._nodes -= 1
        if self._nodes < 0 or len(path) > DEEPEST or self._late():
            self._refuse(path)
        elif isinstance(value, str):
            self._scan(value, path, keys)
        elif isinstance(value, dict | list):
            for place, cell, label in cells(value):
                self._hold((*path, *place), cell, label, marked=False)
            if isinstance(value, dict):
                self._visit_object(value, path, keys)
            else:
                self._visit_array(value, path, keys)
        elif isinstance(value, int | float):
            if abs(value) > LONG_NUMBER:
                self._scan(digits(value), path, keys)
            elif self.secrets and self.secrets.occur(digits(value)):
                self.fields[path] = None

    def _visit_object(self, value: dict[str, Json], path: Tokens, keys: Keys) -> None:
        of, name = told(value)  # {"name": "API_KEY", "value": …}
        announced = names.label_of(name) if name else ""
        for key, child in value.items():
            place = (*path, key)
            if self._nodes < 0 or self._late():
                self._refuse(path)
                return
            if self.binary and isinstance(child, str) and is_binary(value, key):
                self.held[place] = BINARY
                continue
            if self._scan_name(key):
                self.fields[place] = None
            label = names.label_of(key) or (announced if key == of else "")
            if key in names.KEY_PARTS and "kty" in value:
                label = "private-key"
            if label and holds(child):
                self._hold(place, child, label, marked=False)
            else:
                self._visit(child, place, under(keys, name if name and key == of else key))

    def _visit_array(self, value: list[Json], path: Tokens, keys: Keys) -> None:
        words = words_of(value)
        secret = secret_words(words)
        for i, child in enumerate(value):
            if self._nodes < 0 or self._late():
                self._refuse(path)
                return
            place = (*path, str(i))
            self._visit(child, place, keys)
            if i in secret and isinstance(child, str):
                self._note(place, child, *secret[i])
            elif i in secret and words[i - 1][:1] == "-":
                self._hold(place, child, secret[i][1], marked=False)
        lines = [Part((*path, str(i)), 0, text) for i, text in enumerate(value) if isinstance(text, str)]
        if len(lines) == len(value) and say_more([line.text for line in lines]):
            self._splits.append((lines, "\n"))
        for run in block_runs(value):
            self._splits.append(([Part((*path, *at), 0, text) for at, text in run], ""))

    def _note(self, place: Tokens, text: str, start: int, label: str) -> None:
        """Add a finding that runs from `start` to the end of `text`."""
        value = text[start:]
        kept = [other for other in self.found.get(place, []) if other.end <= start]
        self.found[place] = [*kept, Place(start, len(text), self.handling.stand_in(label, "secret", value))]
        if value.lower() not in checks.STANDS_IN:
            self._remember(value, label, "secret", echo.MARKED)
        self.kinds[label] = None
        self.fields[place] = None

    # texts

    def _scan(self, text: str, path: Tokens, keys: Keys) -> None:
        size = min(len(text), LEAF, self.room)
        self.room -= size
        if size < len(text):
            self.seen[path] = size
            self.spent = True
            text = text[:size]
        places = self._places(self._found(text, context(keys)), text)
        if places:
            self.found[path] = places
            self.fields[path] = None
        elif self.secrets and self.secrets.occur(text):
            self.fields[path] = None

    def _found(self, text: str, before: str) -> list[Finding]:
        """Return what is found in `text` where `before` stands before it."""
        findings = self._find(before + text, low=self._low)
        by = len(before)
        return [replace(each, start=max(0, each.start - by), end=each.end - by) for each in findings if each.end > by]

    def _places(self, findings: Sequence[Finding], text: str) -> list[Place]:
        """Return where what `findings` name is to be replaced in `text`, and remember all of it."""
        places: list[Place] = []
        for finding in findings:
            written = text[finding.start : finding.end]
            value = finding.value or written
            stand_in = self.handling.stand_in(finding.label, finding.kind, value)
            places.append(Place(finding.start, finding.end, stand_in))
            self._remember(value, finding.label, finding.kind, echo.FOUND)
            if finding.value and finding.label not in REASONS:
                self.secrets.add(written, stand_in, echo.FOUND)
            if finding.label not in REASONS:
                self.kinds[finding.label] = None
        return places

    def _scan_run(self, parts: list[Part], glue: str) -> None:
        """Look at texts that follow each other as one text; of what is split over them each part is replaced."""
        if self._late():
            for part in parts:
                self._refuse(part.path)
            return
        text = glue.join(part.text for part in parts)
        if len(text) > min(LEAF, self.room):
            for part in parts:  # that many pieces: nobody can say what they make together
                self._refuse(part.path)
            return
        self.room -= len(text)
        findings = self._find(text, low=self._low)
        if glue:  # lines, each of which was looked at; only what begins in one and ends in another is new
            findings = [each for each in findings if glue in text[each.start : each.end] and _whole(each)]
        places = [*self._places(findings, text), *self.secrets.places(text)]
        at = 0
        for part in parts:
            if mine := part.share(places, at, ends=len(text)):
                self.found[part.path] = echo.apart([*self.found.get(part.path, []), *mine])
                self.fields[part.path] = None
            at += len(part.text) + len(glue)

    def _scan_name(self, text: str) -> bool:
        """Look at a name or key; return whether there is anything in it."""
        if text in self._clean:
            return False
        window = text[:NAME_WINDOW]
        findings = self._find(window, low=self._low)
        self._places(findings, window)
        if not findings and len(text) <= NAME_WINDOW:
            self._clean.add(text)
        return bool(findings)

    def _remember(self, value: str, label: str, kind: Kind, least: int, *, marked: bool = False) -> None:
        if label in REASONS:
            self.spent, self.secrets.complete = True, False  # nobody knows what is in it
            return
        stand_in = self.handling.stand_in(label, kind, value)
        tag = tag_of(stand_in)
        if tag:
            self.tags[tag] = None
        if self.handling.action(label, kind) == "keys_only":
            self.secrets.shut = True
        if marked:
            self.secrets.mark(value, stand_in)
        else:
            self.secrets.add(value, stand_in, least)

    # withholding whole values

    def _refuse(self, path: Tokens) -> None:
        """Withhold what was not looked at."""
        self.held[path] = BUDGET
        self.spent = True
        self.secrets.complete = False

    def _hold(self, path: Tokens, value: Json, label: str, *, marked: bool) -> None:
        """Withhold all of `value`, and remember what is in it.

        Of what only its name announces, words like `none` are not remembered: `{"auth": {"type": "none"}}`
        must not withhold each `none` of an answer.
        """
        self._nodes -= HOLD
        kind, named = kind_of(label), label or SENSITIVE
        texts = self._texts(value)
        single = not isinstance(value, dict | list) and texts
        self.held[path] = self.handling.stand_in(named, kind, texts[0]) if single else label_only(named)
        self.fields[path] = None
        if label:
            self.kinds[label] = None
        for text in texts:
            if marked or text.lower() not in checks.STANDS_IN:
                self._remember(text, named, kind, echo.MARKED, marked=marked)
            self.unplaced |= 0 < len(text.strip()) < echo.MARKED
            if label in ("authorization", "cookie"):
                for word in text.replace(";", " ").split():
                    self._remember(word.rpartition("=")[2] or word, label, kind, echo.FOUND)
            size = min(len(text), LEAF, self.room)
            self.room -= size
            self._places(self._find(text[:size], low=False), text)

    def _texts(self, value: Json) -> list[str]:
        """Return each text and number in `value`."""
        texts: list[str] = []
        waiting = [value]
        while waiting:
            node = waiting.pop()
            self._nodes -= 1
            if self._nodes < 0:
                self.secrets.complete = False
                break
            if isinstance(node, dict):
                waiting.extend(node.values())
            elif isinstance(node, list):
                waiting.extend(node)
            elif isinstance(node, str):
                texts.append(node)
            elif node is not None and not isinstance(node, bool):
                texts.append(digits(node))
        return texts

    # showing

    def text(self, text: str, path: Tokens) -> str:
        """Return what may be shown of the text at `path`, which is not held; not yet cut."""
        if self.whole:
            return readable(text[:LEAF])
        size = self.seen.get(path, min(len(text), LEAF))
        places = self.found.get(path, [])
        if size < len(text):
            size -= self._margin()
            if size <= 0:
                return BUDGET
            text = text[:size]
            places = [place._replace(end=min(place.end, size)) for place in places if place.start < size]
        elif not places and not (self.secrets and self.secrets.occur(text)):
            return readable(text)  # looked at whole, and nothing was found
        if self._late():
            self.spent = True
            return BUDGET
        shown = self.handling.finished(self._twice(replaced(text, places)))
        self.spent |= self._late()
        return shown

    def name(self, text: str, limit: int) -> str:
        """Return what may be shown of a name that a client or server gave: masked, then cut."""
        if len(text) > NAME_WINDOW:
            text = text[: max(0, NAME_WINDOW - self._margin())]
        if not self.whole and text not in self._clean:
            text = masked(self._detectors, text, low=self._low, stand_in=self.handling.stand_in, late=self._limit)
        if self.secrets:
            text = replaced(readable(text), self.secrets.in_name(text))
        return cut(readable(self.handling.finished(text)), limit)

    def key(self, text: str) -> str:
        """Return what may be shown of a key."""
        return self.name(text, KEY)

    def code(self, text: str, length: int) -> str:
        """Return an id of so many hex digits that a client or server gave; "" where it is none, or spells a secret."""
        if not text or not (text := hexadecimal(text, length)) or (self.whole and not self.secrets):
            return text
        return "" if self.secrets.in_name(text) or self._find(text, low=self._low) else text

    def _margin(self) -> int:
        """Return how much to leave out before the end of what was looked at: a secret may begin there."""
        return max(MARGIN, self.secrets.longest)

    def _twice(self, text: str) -> str:
        """Mask what came together by masking, and what was found elsewhere."""
        if self.secrets:
            text = self.secrets.masked(text)
        return readable(masked(self._detectors, text, low=self._low, stand_in=self.handling.stand_in, late=self._limit))

    def pointers(self, most: int) -> list[str]:
        """Return the first places where something is withheld, as JSON Pointers whose keys are masked too."""
        paths = list(self.fields)[:most]
        return [pointer.written([root, *map(self.key, place)]) for root, *place in paths]


def _whole(finding: Finding) -> bool:
    """Say whether items of a list make a secret together: one known by its form; numbers and words make anything."""
    return finding.kind == "secret" and finding.rule_id != UNANNOUNCED
