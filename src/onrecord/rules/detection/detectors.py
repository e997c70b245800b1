# SPDX-License-Identifier: Apache-2.0
"""Finds secrets and personal data in text, by rules that are data.

One pass with a gate goes first: it says which rules could find something, and most text ends there
after a microsecond. What passes is put to each rule in turn, and each match to its tests. What was
found once is then found wherever else it stands in the text: a secret often repeats, and only one
place gives it away.

A label that stands in for a value is never found again, so masking twice changes nothing.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from importlib.resources import files
from typing import TypeAlias

from onrecord.rules import names
from onrecord.rules.detection import assignment, columns, randomness, services, views
from onrecord.rules.detection.figures import Searched
from onrecord.rules.detection.finding import Finding, Recogniser
from onrecord.rules.detection.gate import Expression, Gate, KeywordGate
from onrecord.rules.detection.labels import BUDGET, OVERFLOW, SENSITIVE, StandIn, label_only, masks, placeholders
from onrecord.rules.detection.rule import Ready, Rule, expression_of, prove, read_rules
from onrecord.rules.detection.tails import whole
from onrecord.rules.pattern import Offsets, utf8

MOST_MATCHES = 2_000  # in one slice, and as many in all and one for each `DENSEST` characters; else withheld whole
DENSEST = 8  # a match takes up to some 15 µs, so a million characters that are full of them up to two seconds
COSTLY = 8  # matches that a password counts for, or a number of a person: what stands around them is looked at
ROUNDS = 3  # what masking brings together may look like a secret; after this the text is withheld
SLICE = 4_096  # characters that are searched at once
LONG_SLICE = 32_768  # characters that are searched for signs of encoding at once
OVERLAP = 768  # characters that two slices share, so that a token lies whole in one of them
LONGEST = 65_536  # characters of a token that begins in one slice and goes on past its end
REPEATED = 8  # least characters of a value that is looked for elsewhere in its text
MOST_REPEATED = 64  # values of one text that are

# What finds things beside the rules.
ASSIGNMENT = "assignment"
COLUMNS = "columns"
RANDOMNESS = "randomness"
UNANNOUNCED = "unannounced"
WITHOUT_RULE = (ASSIGNMENT, COLUMNS, RANDOMNESS, UNANNOUNCED)
_TELLING = f"(?i:{names.ANCHORS})|(?im:{names.SHORT_ANCHORS})"  # what every telling name contains

BUILTIN = ("secrets.toml", "vendors.toml", "documented.toml", "places.toml", "personal.toml")


class Detectors:
    """A set of rules, ready to search."""

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        digest: str = "",
        gate: Gate | None = None,
        recognisers: Sequence[Recogniser] = (),
        off: Collection[str] = (),
    ) -> None:
        """`gate` is made from `expressions` of the same rules; without one, a `KeywordGate` is.

        What `recognisers` find the class low keeps. `off` names rules, or things of `WITHOUT_RULE`, that
        are not applied.
        """
        self._recognisers = tuple(recognisers)
        self._off = frozenset(off)
        self.digest = digest
        self.rules = tuple(rules)
        given = (rule.label for rule in rules)
        of_recognisers = (label for each in recognisers for label in each.labels)
        self.labels = frozenset((SENSITIVE, *names.LABELS, *randomness.LABELS, *given, *of_recognisers))
        self._rules = [Ready(rule) for rule in rules]
        self._costly = {ASSIGNMENT, *(rule.id for rule in rules if rule.kind == "pii" and not rule.spare_low)}
        self._gate = gate or KeywordGate(expressions(rules))
        self._sought: list[list[int]] = _by_expression(rules, self._off)

    @classmethod
    def read(cls, text: str) -> "Detectors":
        """Return the detectors that a TOML text describes. Raises ConfigError where a rule fails its own texts."""
        rules = read_rules(text)
        prove(rules)
        return cls(rules, digest=hashlib.sha256(text.encode()).hexdigest())

    def suspect(self, text: str, *, late: "Late | None" = None) -> bool:
        """Say whether anything is to be found in `text`, which may be many texts with `APART` between them.

        Where a telling name stands, there is: its value may be another of the texts.
        """
        return bool(self._recognisers) or self._found(text, telling=True, late=late) != []

    def find(self, text: str, *, low: bool = False, encoded: bool = False, late: "Late | None" = None) -> list[Finding]:
        """Return what is to be masked in `text`, in order, without overlaps.

        With `low`, what class low spares is left out. With `encoded`, `text` is JSON whose names and
        values were judged one by one, and what a name announces is not asked again: between two values
        of JSON nearly anything looks like an assignment. Once `late` says so, all of `text` is to be
        withheld, under the label `budget`.
        """
        return self._found(text, low=low, encoded=encoded, late=late)

    def _found(
        self, text: str, *, late: "Late | None", low: bool = False, encoded: bool = False, telling: bool = False
    ) -> list[Finding]:
        """See `find`; with `telling`, a telling name is found to be too much."""
        try:
            found = self._everywhere(text, low=low, encoded=encoded, telling=telling, late=late)
        except _TooLate:
            return [Finding(0, len(text), BUDGET, BUDGET, "secret")]
        except (ValueError, LookupError, ArithmeticError, RecursionError):  # a check or a decoder that fails
            found = None
        if found is None:
            return [Finding(0, len(text), OVERFLOW, OVERFLOW, "secret")]
        for recogniser in () if low else self._recognisers:
            if late is not None and late():
                return [Finding(0, len(text), BUDGET, BUDGET, "secret")]
            try:
                found.extend(recogniser.recognised(text))
            except Exception:  # noqa: BLE001  # a model, of whose errors nothing is known
                return [Finding(0, len(text), OVERFLOW, OVERFLOW, "secret")]
        return _repeated(text, whole(text, _settled(text, found, self.labels)), self.labels) if found else found

    def _everywhere(
        self, text: str, *, low: bool, encoded: bool, telling: bool, late: "Late | None"
    ) -> list[Finding] | None:
        """Return what is found in `text` and in what decodes from it; None where that is too much."""

        seen = self._searched(text, low=low, encoded=encoded, telling=telling, late=late)
        if seen is None or not seen[1]:
            return None if seen is None else seen[0]

        def search(view: str) -> "tuple[list[Finding], views.Signs] | None":
            if late is not None and late():
                raise _TooLate
            return self._searched(view, low=low, encoded=False, telling=telling, late=late)

        return views.searched(text, *seen, search)

    def _searched(
        self, text: str, *, low: bool, encoded: bool, telling: bool, late: "Late | None"
    ) -> "tuple[list[Finding], views.Signs] | None":
        """Return what is found in `text` as it is, and the signs that it is encoded; None where that is too much."""
        found: list[Finding] = []
        room = MOST_MATCHES + len(text) // DENSEST
        announced = False
        for base, piece in _slices(text, SLICE):
            if base and late is not None and late():
                raise _TooLate
            data = utf8(piece)
            hits = self._gate.hits(data)
            if telling and len(self._sought) in hits:
                return None
            if hits:
                announced = announced or len(self._sought) in hits
                matches = self._matches(data, hits, low=low, encoded=encoded)
                room -= sum(2 if match[0] == ASSIGNMENT else 1 for match in matches or ())
                if matches is None or room < 0:
                    return None
                if not isinstance(text, Searched):
                    text = Searched(text)
                confirmed = list(_confirmed(text, data, base, matches))
                room -= COSTLY * sum(finding.rule_id in self._costly for finding in confirmed)
                found.extend(confirmed)
        if announced and not encoded and COLUMNS not in self._off:
            found.extend(_in_columns(text))
        return found, {} if encoded else _signs(text)

    def _matches(self, data: bytes, hits: Sequence[int], *, low: bool, encoded: bool) -> "list[_Match] | None":
        """Return the byte spans that rules match, a rule's or of what is no rule; None where they are too many."""
        matches: list[_Match] = []
        lowered = data.lower()
        known = len(self._sought)
        for i in sorted(rule for hit in hits if hit < known for rule in self._sought[hit]):
            ready = self._rules[i]
            if (low and ready.rule.spare_low) or not ready.called(lowered):
                continue
            for start, end in ready.spans(data):
                matches.append((ready, start, end))
                if len(matches) > MOST_MATCHES:
                    return None
        if known in hits and not encoded:
            matches.extend((ASSIGNMENT, *span) for span in assignment.anchors(data))
        if known + 1 in hits and not encoded:
            matches.extend((RANDOMNESS, *span) for span in randomness.values(data))
        if (known + 2 in hits or (known + 3 in hits and services.named(lowered))) and not encoded:
            matches.extend((UNANNOUNCED, *span) for span in randomness.assigned(data))
        if self._off:
            matches = [match for match in matches if match[0] not in self._off]
        return matches if len(matches) <= MOST_MATCHES else None


_Match = tuple[Ready | str, int, int]
Late: TypeAlias = Callable[[], bool]  # whether there is no more time


class _TooLate(Exception):
    """The time is over within a text."""


def expressions(rules: Sequence[Rule]) -> list[Expression]:
    """Return what a gate must look for: what the rules look for, each once, then what is no rule."""
    of_rules = dict.fromkeys(map(expression_of, rules))
    of_text = (_TELLING, randomness.NEAR, randomness.ASSIGNED, randomness.ASSIGNED_HEX)
    return [*of_rules, *map(Expression, of_text)]


def _by_expression(rules: Sequence[Rule], off: Collection[str]) -> list[list[int]]:
    """Return for each expression of rules the indexes of those that look for it and are not `off`."""
    sought: dict[Expression, list[int]] = {}
    for i, rule in enumerate(rules):
        indexes = sought.setdefault(expression_of(rule), [])
        if rule.id not in off:
            indexes.append(i)
    return list(sought.values())


def _slices(text: str, size: int) -> Iterable[tuple[int, str]]:
    """Return `text` in pieces of `size` characters that overlap, each with where it begins."""
    if len(text) <= size:
        return ((0, text),)
    return ((at, text[at : at + size]) for at in range(0, len(text) - OVERLAP, size - OVERLAP))


def _signs(text: str) -> views.Signs:
    """Return the signs that `text` is encoded."""
    signs: views.Signs = {}
    for base, piece in _slices(text, LONG_SLICE):
        views.note(signs, utf8(piece), base, base + len(piece))
    return signs


def _confirmed(text: str, data: bytes, base: int, matches: list[_Match]) -> Iterator[Finding]:
    """Yield the findings that matches in `data`, which is part of `text` from `base` on, turn out to be."""
    offsets = Offsets(data, {offset for _, start, end in matches for offset in (start, end)})
    reader = assignment.Reader(text)
    for ready, start, end in matches:
        first, last = base + offsets[start], base + offsets[end]
        if ready == ASSIGNMENT:
            value = reader.value_after(first, last)
            if value is not None:
                yield Finding(value.start, value.end, value.label, ASSIGNMENT, "secret")
            continue
        if isinstance(ready, str):
            if ready == RANDOMNESS:
                label = randomness.label_at(text, first, last)
            else:
                label = "secret" if randomness.is_assigned(text, first, last) else ""
            if label:
                yield Finding(first, last, label, ready, "secret")
            continue
        if end == len(data) and last < len(text):
            last = _uncut(text, ready, first, last)
        span = ready.confirmed(text, first, last)
        if span is not None:
            yield Finding(*span, ready.rule.label, ready.rule.id, ready.rule.kind)


def _in_columns(text: str) -> list[Finding]:
    """Return what stands in tables of `text`, as many as they hold."""
    data = utf8(text)
    spans = list(columns.cells(data))
    offsets = Offsets(data, {offset for span in spans for offset in span})
    return [Finding(offsets[start], offsets[end], "credential", COLUMNS, "secret") for start, end in spans]


def _uncut(text: str, ready: Ready, first: int, last: int) -> int:
    """Return where a match goes on to that the end of its slice cut off."""
    data = utf8(text[first : first + LONGEST])
    start, end = next(ready.spans(data), (-1, -1))
    return max(last, first + Offsets(data, {end})[end]) if start == 0 else last


def _settled(text: str, found: list[Finding], labels: frozenset[str]) -> list[Finding]:
    """Return `found` in order, overlaps joined under the name that came first, placeholders left out."""
    if not found:
        return []
    held = placeholders(text, labels)
    settled: list[Finding] = []
    for finding in sorted(found, key=lambda finding: finding.start):  # stable: of two that begin alike, rule order
        if held and _only_placeholders(text, finding, held):
            continue
        if settled and finding.start < settled[-1].end:
            last = settled[-1]
            end = max(last.end, finding.end)
            value = last.value or text[last.start : last.end]  # what was found first, not what hangs on to it
            settled[-1] = Finding(last.start, end, last.label, last.rule_id, last.kind, last.view, value)
        else:
            settled.append(finding)
    return settled


def _only_placeholders(text: str, finding: Finding, held: list[tuple[int, int]]) -> bool:
    """Say whether nothing but labels and punctuation would be masked."""
    rest: list[str] = []
    at = finding.start
    for start, end in held:
        if end > finding.start and start < finding.end:
            rest.append(text[at:start])
            at = max(at, end)
    rest.append(text[at : finding.end])
    return at > finding.start and not any(char.isalnum() for piece in rest for char in piece)


def _repeated(text: str, found: list[Finding], labels: frozenset[str]) -> list[Finding]:
    """Return `found` and each further place where a found value stands."""
    values: dict[str, Finding] = {}
    for finding in found:
        value = text[finding.start : finding.end]
        if len(value) >= REPEATED and len(values) < MOST_REPEATED:
            values.setdefault(value, finding)
    more: list[Finding] = []
    for value, finding in values.items():
        at = text.find(value)
        while at >= 0:
            more.append(Finding(at, at + len(value), finding.label, finding.rule_id, finding.kind))
            at = text.find(value, at + len(value))
    return _settled(text, [*found, *more], labels) if len(more) > len(values) else found


def masked(
    detectors: "Detectors", text: str, *, low: bool = False, stand_in: StandIn = label_only, late: Late | None = None
) -> str:
    """Return `text` with everything masked that can be found in it, and in what masking leaves."""
    for _ in range(ROUNDS):
        findings = detectors.find(text, low=low, late=late)
        if not findings:
            return text
        text = masks(text, findings, stand_in)
    return label_only(OVERFLOW)


def builtin_texts() -> dict[str, str]:
    """Return the files of rules that ship with this package, by name."""
    return {name: files("onrecord.rules").joinpath(name).read_text(encoding="utf-8") for name in BUILTIN}


def builtin_rules() -> tuple[tuple[Rule, ...], str]:
    """Return the rules that ship with this package, and a digest of them; tests prove them, not each start."""
    texts = builtin_texts()
    rules = tuple(rule for name, text in texts.items() for rule in read_rules(text, name))
    return rules, hashlib.sha256("".join(texts.values()).encode()).hexdigest()
