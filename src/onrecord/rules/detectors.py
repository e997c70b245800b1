# SPDX-License-Identifier: Apache-2.0
"""Finds secrets and personal data in text, by rules that are data.

One search with a combined expression goes first. It is made from the rules' keywords, so whatever
any rule can find it lets through, and most text ends there after a microsecond. What passes is put
to each rule in turn, and each match to its check.

A label that stands in for a value is never found again, so masking twice changes nothing. This file
reads plain text only: what is encoded or split across several texts is not found here.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, TypeAlias

import msgspec

from onrecord.errors import ConfigError
from onrecord.rules import assignment, names
from onrecord.rules.checks import CHECKS, Check
from onrecord.rules.pattern import Offsets, Pattern, PatternError, quoted, utf8

Kind: TypeAlias = Literal["secret", "pii"]

MOST_MATCHES = 2_000  # in one text; a text with more is withheld whole
ROUNDS = 3  # what masking brings together may look like a secret; after this the text is withheld

PLACEHOLDERS = Pattern(r"\[(?:REDACTED|WITHHELD):[a-z0-9-]{1,40}\]")
ASSIGNMENT = "assignment"
GROUP = 8  # rules that share a gate
_TELLING = f"(?i:{names.ANCHORS})|(?im:{names.SHORT_ANCHORS})"  # what every telling name contains
OVERFLOW = "overflow"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[rule]]`; detectors.toml says what each key means."""

    id: str
    label: str
    kind: Kind = msgspec.field(name="class")
    regex: str
    group: int = 0
    keywords: tuple[str, ...] = ()
    check: str = ""
    spare_low: bool = False
    positive: tuple[tuple[str, ...], ...]
    negative: tuple[tuple[str, ...], ...]


class RuleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of rules."""

    rule: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found where: `text[start:end]` is to be masked."""

    start: int
    end: int
    label: str
    rule_id: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Ready:
    """A rule, compiled."""

    rule: Rule
    pattern: Pattern
    keywords: tuple[str, ...]
    check: Check | None


_Match: TypeAlias = tuple[_Ready | None, int, int]


class _Group:
    """A few rules and the gate to them: a text seldom passes more than one."""

    __slots__ = ("gate", "rules")

    def __init__(self, rules: Sequence[_Ready]) -> None:
        self.rules = rules
        self.gate = Pattern(_gate([ready.rule for ready in rules]))


class Detectors:
    """A set of rules, ready to search."""

    def __init__(self, rules: Sequence[Rule], *, digest: str = "") -> None:
        """Raises ConfigError where a rule is wrong or fails its own test strings."""
        self.digest = digest
        self.rules = tuple(rules)
        self._rules = [_ready(rule) for rule in rules]
        self._gate = Pattern("|".join([*([_gate(rules)] if rules else []), _TELLING]))
        self._groups = [_Group(self._rules[i : i + GROUP]) for i in range(0, len(rules), GROUP)]
        if len({rule.id for rule in rules}) < len(rules):
            raise ConfigError("two detector rules have the same id")
        for ready in self._rules:
            _prove(ready)

    @classmethod
    def read(cls, text: str) -> "Detectors":
        """Return the detectors that a TOML text describes. Raises ConfigError."""
        try:
            parsed = msgspec.convert(tomllib.loads(text), RuleFile)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as e:
            raise ConfigError(f"detector rules: {e}") from e
        return cls(parsed.rule, digest=hashlib.sha256(text.encode()).hexdigest())

    def suspect(self, data: bytes) -> bool:
        """Say whether anything could be found in `data`, UTF-8 of one text or of many, one a line."""
        return self._gate.occurs(data)

    def find(self, text: str, *, low: bool = False, encoded: bool = False) -> list[Finding]:
        """Return what is to be masked in `text`, in order, without overlaps.

        With `low`, what class low spares is left out. With `encoded`, `text` is JSON whose names and
        values were judged one by one, and what a name announces is not asked again: between two values
        of JSON nearly anything looks like an assignment.
        """
        data = utf8(text)
        if not self._gate.occurs(data):
            return []
        matches, overflow = self._matches(text, data, low=low, encoded=encoded)
        if overflow:
            return [Finding(0, len(text), OVERFLOW, OVERFLOW, "secret")]
        offsets = Offsets(data, {offset for _, start, end in matches for offset in (start, end)})
        found = (_confirmed(text, ready, offsets[start], offsets[end]) for ready, start, end in matches)
        return _settled(text, [finding for finding in found if finding is not None])

    def _matches(self, text: str, data: bytes, *, low: bool, encoded: bool) -> tuple[list[_Match], bool]:
        """Return the byte spans that rules match, a rule of None for assignments, and whether they are too many."""
        matches: list[_Match] = []
        for ready in self._candidates(text, data):
            if low and ready.rule.spare_low:
                continue
            for start, end in ready.pattern.spans(data, ready.rule.group):
                matches.append((ready, start, end))
                if len(matches) > MOST_MATCHES:
                    return [], True
        if not encoded:
            matches.extend((None, start, end) for start, end in assignment.anchors(data))
        return matches, len(matches) > MOST_MATCHES

    def _candidates(self, text: str, data: bytes) -> Iterator[_Ready]:
        """Yield the rules that could find something in `text`, which is `data` in UTF-8, in their order."""
        lowered = text.lower()
        for group in self._groups:
            if group.gate.occurs(data):
                for ready in group.rules:
                    if not ready.keywords or any(keyword in lowered for keyword in ready.keywords):
                        yield ready


def _confirmed(text: str, ready: _Ready | None, start: int, end: int) -> Finding | None:
    """Return the finding that a match is, or None where its check says that it is none."""
    if ready is None:
        found = assignment.value_after(text, start, end)
        return found and Finding(found.start, found.end, found.label, ASSIGNMENT, "secret")
    rule = ready.rule
    if ready.check is not None:
        span = ready.check(text, start, end)
        if span is None:
            return None
        start, end = span
    return Finding(start, end, rule.label, rule.id, rule.kind) if end > start else None


def _settled(text: str, found: list[Finding]) -> list[Finding]:
    """Return `found` in order, overlaps joined under the name that came first, placeholders left out."""
    if not found:
        return []
    held = placeholders(text)
    settled: list[Finding] = []
    for finding in sorted(found, key=lambda finding: finding.start):  # stable: of two that begin alike, rule order
        if held and _only_placeholders(text, finding, held):
            continue
        if settled and finding.start < settled[-1].end:
            last = settled[-1]
            end = max(last.end, finding.end)
            settled[-1] = Finding(last.start, end, last.label, last.rule_id, last.kind)
        else:
            settled.append(finding)
    return settled


def placeholders(text: str) -> list[tuple[int, int]]:
    """Return where the labels that stand for values lie in `text`."""
    if "[REDACTED:" not in text and "[WITHHELD:" not in text:
        return []
    data = utf8(text)
    spans = list(PLACEHOLDERS.spans(data))
    offsets = Offsets(data, {offset for span in spans for offset in span})
    return [(offsets[start], offsets[end]) for start, end in spans]


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


def masks(text: str, findings: Iterable[Finding]) -> str:
    """Return `text` with each finding replaced by `[REDACTED:<label>]`."""
    pieces: list[str] = []
    at = 0
    for finding in findings:
        pieces.append(text[at : finding.start])
        pieces.append(f"[{'WITHHELD' if finding.label == OVERFLOW else 'REDACTED'}:{finding.label}]")
        at = finding.end
    pieces.append(text[at:])
    return "".join(pieces)


def masked(detectors: "Detectors", text: str, *, low: bool = False) -> str:
    """Return `text` with everything masked that can be found in it, and in what masking leaves."""
    for _ in range(ROUNDS):
        findings = detectors.find(text, low=low)
        if not findings:
            return text
        text = masks(text, findings)
    return f"[WITHHELD:{OVERFLOW}]"


def builtin_detectors() -> Detectors:
    """Return the detectors that ship with this package."""
    return Detectors.read(files("onrecord.rules").joinpath("detectors.toml").read_text(encoding="utf-8"))


# reading rules


def _ready(rule: Rule) -> _Ready:
    where = f"detector rule '{rule.id}'"
    try:
        pattern = Pattern(rule.regex)
    except PatternError as e:
        raise ConfigError(f"{where}: {e}") from e
    if not 0 <= rule.group <= pattern.groups:
        raise ConfigError(f"{where}: group is {rule.group}, and the expression has {pattern.groups}")
    if rule.check and rule.check not in CHECKS:
        raise ConfigError(f"{where}: check is '{rule.check}'; use one of {', '.join(CHECKS)}")
    if not PLACEHOLDERS.fits(f"[REDACTED:{rule.label}]".encode()):
        raise ConfigError(f"{where}: label is '{rule.label}'; use small letters, digits and hyphens, at most 40")
    if any(not keyword or keyword != keyword.lower() for keyword in rule.keywords):
        raise ConfigError(f"{where}: keywords must be in lower case and not empty")
    if not rule.keywords and any(anchor in rule.regex for anchor in (r"\A", r"\z", "(?s)", "(?m)")):
        raise ConfigError(f"{where}: a rule without keywords must not use anchors or flags")
    if pattern.occurs(b""):
        raise ConfigError(f"{where}: the expression matches nothing at all")
    return _Ready(rule, pattern, rule.keywords, CHECKS.get(rule.check))


def _gate(rules: Sequence[Rule]) -> str:
    """Return one expression that occurs wherever any of the rules could find something."""
    keywords = sorted({keyword for rule in rules for keyword in rule.keywords})
    literal = [f"(?i:{'|'.join(map(quoted, keywords))})"] if keywords else []
    return "|".join([*literal, *(f"(?:{rule.regex})" for rule in rules if not rule.keywords)])


def _prove(ready: _Ready) -> None:
    """Raise ConfigError unless a rule finds its positive test strings and leaves its negative ones."""
    where = f"detector rule '{ready.rule.id}'"
    if not ready.rule.positive or not ready.rule.negative:
        raise ConfigError(f"{where}: needs at least one positive and one negative test string")
    for i, pieces in enumerate(ready.rule.positive, 1):
        if not _finds(ready, "".join(pieces)):
            raise ConfigError(f"{where}: finds nothing in its positive test string {i}")
    for i, pieces in enumerate(ready.rule.negative, 1):
        if _finds(ready, "".join(pieces)):
            raise ConfigError(f"{where}: finds something in its negative test string {i}")


def _finds(ready: _Ready, text: str) -> bool:
    data = utf8(text)
    if ready.keywords and not any(keyword in text.lower() for keyword in ready.keywords):
        return False
    spans = list(ready.pattern.spans(data, ready.rule.group))
    offsets = Offsets(data, {offset for span in spans for offset in span})
    return any(_confirmed(text, ready, offsets[start], offsets[end]) is not None for start, end in spans)
