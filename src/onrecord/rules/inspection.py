# SPDX-License-Identifier: Apache-2.0
"""One walk over the values of a call that finds what must be withheld, and remembers where it lies.

Withheld is what a schema or the manifest marks, what stands under a telling name, and what a
detector finds in any text, key or long number. Every limit fails closed: what lies too deep, comes
too late or was not looked at is withheld with `[WITHHELD:budget]`, and text that was looked at only
in part shows nothing from near where the looking ended.

Most calls hold nothing of the kind. `gathered` collects their texts so that one search can say so,
and no walk is needed. Nothing here is written down: `summary.py` shows what this file allows.
"""

import unicodedata
from collections.abc import Iterable, Sequence

from onrecord.event.call import Json
from onrecord.rules import echo, names, pointer
from onrecord.rules.argv import secret_words
from onrecord.rules.detection import checks
from onrecord.rules.detection.detectors import Detectors, masked
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.labels import OVERFLOW, masks
from onrecord.rules.echo import Secrets
from onrecord.rules.outcome import is_binary
from onrecord.rules.pattern import utf8
from onrecord.rules.pointer import Tokens

NODES = 50_000  # values of one event that are looked at
HOLD = 8  # what withholding one value counts, in values looked at
DEEPEST = 64  # levels
LEAF = 65_536  # characters of one text
MARGIN = 512  # characters of a token that may begin where the looking ends
LONG_NUMBER = 99_999_999  # past this a number may be one of a card or a person
KEY = 128  # characters of a key that are shown
NAME_WINDOW = 4_096  # characters of a name that are looked at; far fewer are shown

BUDGET = "[WITHHELD:budget]"
BINARY = "[WITHHELD:binary]"
UNPLACED = "[WITHHELD:marked]"
SENSITIVE = "sensitive"  # label of what is marked and whose name says nothing


def gathered(value: Json, texts: list[str], *, room: int, binary: bool = False) -> bool:
    """Append each key, text and long number in `value` to `texts`; return whether that was all of it.

    `room` is in characters. With `binary`, encoded bytes in MCP content are left out.
    """
    waiting: list[tuple[Json, int]] = [(value, 0)]
    for _ in range(NODES):
        if not waiting:
            return sum(map(len, texts)) <= room
        node, depth = waiting.pop()
        if depth > DEEPEST or len(texts) > NODES:
            return False
        children: Iterable[Json]
        if isinstance(node, dict):
            texts.extend(key if key.isascii() else _normal(key) for key in node)
            children = node.values()
            if binary and ("blob" in node or "data" in node):
                children = [child for key, child in node.items() if not is_binary(node, key)]
        else:
            children = node if isinstance(node, list) else (node,)
        for child in children:
            if isinstance(child, str):
                texts.append(child)
            elif isinstance(child, dict | list):
                waiting.append((child, depth + 1))
            elif isinstance(child, int) and not -LONG_NUMBER <= child <= LONG_NUMBER:
                texts.append(_digits(child))
    return False


def _normal(key: str) -> str:
    """Return a key as it is, and as `names` reads it."""
    return f"{key}\n{unicodedata.normalize('NFKC', key)}"


def _digits(number: float) -> str:
    """Return a number as text; of one that no card or person has, only that it is long."""
    return str(number) if -(10**40) < number < 10**40 else "0" * 41


def tidy(text: str) -> str:
    """Return `text` with lone surrogates, which no file can hold, as `?`."""
    return text if text.isascii() else utf8(text).decode()


class Inspection:
    """What is to be withheld in the values of one event."""

    def __init__(self, detectors: Detectors, secrets: Secrets, *, low: bool, room: int, binary: bool = False) -> None:
        """`room` is in characters of all texts together; `low` spares what class low spares.

        With `binary`, encoded bytes in MCP content are withheld without a look.
        """
        self._detectors = detectors
        self._low = low
        self.room = room
        self._nodes = NODES
        self.binary = binary
        self.secrets = secrets
        self.held: dict[Tokens, str] = {}
        self.found: dict[Tokens, list[Finding]] = {}
        self.seen: dict[Tokens, int] = {}  # characters looked at, of texts that were not looked at whole
        self.kinds: dict[str, None] = {}
        self.fields: dict[Tokens, None] = {}
        self.unplaced = False  # a marked value is too short to be looked for elsewhere
        self.whole = True  # every text was plain: nothing to withhold anywhere
        self._clean: set[str] = set()  # names and keys in which nothing was found

    def inspect(self, root: str, value: Json, marks: Iterable[Tokens] = ()) -> None:
        """Look at all of `value`, which lies under `root`; `marks` are places in it, without `root`."""
        self.whole = False
        for place in marks:  # first, so that their echoes are known wherever they come
            self._hold((root, *place), _at(value, place), names.label_of(place[-1]) if place else "", marked=True)
        self._visit(value, (root,))

    def inspect_names(self, texts: Iterable[str]) -> None:
        """Look at names that a client or server gave; `name` shows them."""
        self.whole = False
        listed = list(texts)
        if not self._detectors.suspect(utf8("\n".join(listed))):
            self._clean.update(text for text in listed if len(text) <= NAME_WINDOW)
        for text in listed:
            self._scan_name(text)

    def _visit(self, value: Json, path: Tokens) -> None:
        if path in self.held:
            return
        self._nodes -= 1
        if self._nodes < 0 or len(path) > DEEPEST:
            self.held[path] = BUDGET
            self.secrets.complete = False
        elif isinstance(value, str):
            self._scan(value, path)
        elif isinstance(value, dict):
            self._visit_object(value, path)
        elif isinstance(value, list):
            self._visit_array(value, path)
        elif isinstance(value, int) and not -LONG_NUMBER <= value <= LONG_NUMBER:
            self._scan(_digits(value), path)

    def _visit_object(self, value: dict[str, Json], path: Tokens) -> None:
        name = value.get("name", value.get("key"))
        told = names.label_of(name) if isinstance(name, str) else ""  # {"name": "API_KEY", "value": …}
        for key, child in value.items():
            place = (*path, key)
            if self._nodes < 0:
                self.held[path] = BUDGET
                return
            if self.binary and isinstance(child, str) and is_binary(value, key):
                self.held[place] = BINARY
                continue
            if self._scan_name(key):
                self.fields[place] = None
            label = names.label_of(key) or (told if key == "value" else "")
            if key in names.KEY_PARTS and "kty" in value:
                label = "private-key"
            if label and _holds(child):
                self._hold(place, child, label, marked=False)
            else:
                self._visit(child, place)

    def _visit_array(self, value: list[Json], path: Tokens) -> None:
        words = [item for item in value if isinstance(item, str)]
        secret: dict[int, tuple[int, str]] = {}
        if len(words) == len(value) <= KEY:
            secret = secret_words(words)
            if len(words) == 2 and names.label_of(words[0]):
                secret[1] = (0, names.label_of(words[0]))  # ["Authorization", "…"]
        for i, child in enumerate(value):
            if self._nodes < 0:
                self.held[path] = BUDGET
                return
            place = (*path, str(i))
            self._visit(child, place)
            if i in secret and isinstance(child, str):
                self._note(place, child, Finding(secret[i][0], len(child), secret[i][1], "argv", "secret"))

    def _note(self, place: Tokens, text: str, finding: Finding) -> None:
        """Add a finding that runs to the end of `text`."""
        kept = [other for other in self.found.get(place, []) if other.end <= finding.start]
        self.found[place] = [*kept, finding]
        self._remember(text[finding.start : finding.end], finding.label, echo.MARKED)
        self.fields[place] = None

    def _scan(self, text: str, path: Tokens) -> None:
        size = min(len(text), LEAF, self.room)
        self.room -= size
        if size < len(text):
            self.seen[path] = size
            text = text[:size]
        findings = self._detectors.find(text, low=self._low)
        if findings:
            self.found[path] = findings
            self.fields[path] = None
            for finding in findings:
                self._remember(text[finding.start : finding.end], finding.label, echo.FOUND)
        elif self.secrets and self.secrets.occur(text):
            self.fields[path] = None

    def _scan_name(self, text: str) -> bool:
        """Look at a name or key; return whether there is anything in it."""
        if text in self._clean:
            return False
        findings = self._detectors.find(text[:NAME_WINDOW], low=self._low)
        for finding in findings:
            self._remember(text[finding.start : finding.end], finding.label, echo.FOUND)
        if not findings and len(text) <= NAME_WINDOW:
            self._clean.add(text)
        return bool(findings)

    def _remember(self, value: str, label: str, least: int) -> None:
        if label != OVERFLOW:
            self.kinds[label] = None
            self.secrets.add(value, label, least)

    def _hold(self, path: Tokens, value: Json, label: str, *, marked: bool) -> None:
        """Withhold all of `value`, and remember what is in it.

        Of what only its name announces, words like `none` are not remembered: `{"auth": {"type": "none"}}`
        must not withhold each `none` of an answer.
        """
        self._nodes -= HOLD
        self.held[path] = f"[REDACTED:{label or SENSITIVE}]"
        self.fields[path] = None
        if label:
            self.kinds[label] = None
        for text in self._texts(value):
            if marked or text.lower() not in checks.STANDS_IN:
                self.secrets.add(text, label or SENSITIVE, echo.MARKED)
            self.unplaced |= 0 < len(text.strip()) < echo.MARKED
            if label in ("authorization", "cookie"):
                for word in text.replace(";", " ").split():
                    self.secrets.add(word.rpartition("=")[2] or word, label, echo.FOUND)
            size = min(len(text), LEAF, self.room)
            self.room -= size
            for finding in self._detectors.find(text[:size]):
                self._remember(text[finding.start : finding.end], finding.label, echo.FOUND)

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
                texts.append(_digits(node) if isinstance(node, int) else repr(node))
        return texts

    # showing

    def text(self, text: str, path: Tokens) -> str:
        """Return what may be shown of the text at `path`, which is not held; not yet cut."""
        if self.whole and not self.secrets:
            return tidy(text[:LEAF])
        size = self.seen.get(path, min(len(text), LEAF))
        findings = self.found.get(path, [])
        if size < len(text):
            size -= self._margin()
            if size <= 0:
                return BUDGET
            text = text[:size]
            findings = [_clipped(finding, len(text)) for finding in findings if finding.start < len(text)]
        elif not findings and not self.whole and not (self.secrets and self.secrets.occur(text)):
            return tidy(text)  # looked at whole, and nothing was found
        return self._twice(masks(text, findings))

    def name(self, text: str, limit: int) -> str:
        """Return what may be shown of a name that a client or server gave: masked, then cut."""
        if len(text) > NAME_WINDOW:
            text = text[: max(0, NAME_WINDOW - self._margin())]
        if not self.whole and text not in self._clean:
            text = masked(self._detectors, text, low=self._low)
        if self.secrets:
            text = self.secrets.masked(text, echo.FOUND)
        return cut(tidy(text), limit)

    def key(self, text: str) -> str:
        """Return what may be shown of a key."""
        return self.name(text, KEY)

    def _margin(self) -> int:
        """Return how much to leave out before the end of what was looked at: a secret may begin there."""
        return max(MARGIN, self.secrets.longest)

    def _twice(self, text: str) -> str:
        """Mask what came together by masking, and what was found elsewhere."""
        if self.secrets:
            text = self.secrets.masked(text)
        return tidy(masked(self._detectors, text, low=self._low))

    def pointers(self, most: int) -> list[str]:
        """Return the first places where something is withheld, as JSON Pointers whose keys are masked too."""
        return [pointer.written([self.key(token) for token in path]) for path in list(self.fields)[:most]]


def _clipped(finding: Finding, end: int) -> Finding:
    if finding.end <= end:
        return finding
    return Finding(finding.start, end, finding.label, finding.rule_id, finding.kind)


def _holds(value: Json) -> bool:
    """Say whether there is anything to withhold: a flag called `password` is none."""
    return not isinstance(value, bool) and value not in (None, "", [], {})


def _at(value: Json, place: Sequence[str]) -> Json:
    for token in place:
        if isinstance(value, dict):
            value = value.get(token)
        else:
            value = value[int(token)] if isinstance(value, list) else None
    return value


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`; a label that stands for a value is never cut in two."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    opened = kept.rfind("[")
    if opened > kept.rfind("]") and text.startswith(("[REDACTED:", "[WITHHELD:"), opened):
        kept = kept[:opened]
    return f"{kept}…"
