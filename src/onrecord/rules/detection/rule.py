# SPDX-License-Identifier: Apache-2.0
"""One rule: what a kind of secret, of personal data or of suspicious text looks like.

Rules are data (`*.toml` beside this package), and users add their own in the same form:

    [[rule]]
    id         unique; stays when the rule changes
    label      what the record says was found
    class      secret, pii, or flag (see flags.toml)
    regex      RE2; `group` is the part that is masked (0: all of the match)
    keywords   lower case; the rule is tried only where one of them occurs
    gate       RE2; occurs wherever `regex` matches and costs less to look for, where that one costs much
    outline    literals, one of which stands in the outline of each match (outline.py says what that is):
               `0` for a digit, `a` for a letter, `-` for a blank or a dash, other signs as they are;
               with a gate too, either
    window     [left, right]: a keyword must stand within so many characters before or after the match;
               one of four letters or fewer as a word, or as a part of a name (`userTel`, `tax_sin`)
    entropy    least bits per character of what is masked
    allow      RE2 expressions; what is masked must not contain a match of any
    check      a further test, from checks.py or announced.py
    spare_low  the class "low" keeps what this rule finds
    source     where the facts come from, and `licence`, under which; both may be given once for a file
    positive   texts in which the rule must find something; negative: texts in which it must not.
               Each is cut into pieces that are joined when read, so that no file holds a token.

A rule is refused that RE2 can't read (and with it whatever can't be matched in linear time), that
has neither keyword nor check, or that fails its own texts.
"""

import tomllib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import cast

import msgspec

from onrecord.errors import ConfigError
from onrecord.rules.detection import checks
from onrecord.rules.detection.announced import ANNOUNCED
from onrecord.rules.detection.checks import Span, entropy
from onrecord.rules.detection.figures import Searched
from onrecord.rules.detection.finding import Kind
from onrecord.rules.detection.gate import Expression
from onrecord.rules.detection.labels import PLACEHOLDERS, REASONS
from onrecord.rules.detection.outline import is_outline, outline
from onrecord.rules.detection.surroundings import announcing, around, stands
from onrecord.rules.pattern import Offsets, Pattern, PatternError, utf8

CHECKS = {**checks.CHECKS, **ANNOUNCED}

_EXPANDED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_WIDEST = 4  # bytes of a character
_ASIDE = 192  # bytes on either side of a window in which what is matched may begin or end
WIDEST = 4096  # characters of a window, on either side
MOST_ENTROPY = 8
_ID = Pattern(r"\A[a-z0-9]+(?:-[a-z0-9]+)*\z")
_FARTHEST = 4096  # characters that a token may go on after what its rule matched


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[rule]]`; the docstring of this module says what each key means."""

    id: str
    label: str
    kind: Kind = msgspec.field(name="class")
    regex: str
    group: int = 0
    keywords: tuple[str, ...] = ()
    gate: str = ""
    outline: tuple[str, ...] = ()
    window: tuple[int, int] | None = None
    entropy: float = 0.0
    allow: tuple[str, ...] = ()
    check: str = ""
    spare_low: bool = False
    source: str = ""
    licence: str = ""
    positive: tuple[tuple[str, ...], ...]
    negative: tuple[tuple[str, ...], ...]


def read_rules(text: str, where: str = "detector rules") -> tuple[Rule, ...]:
    """Return the rules that a TOML text describes, not yet proven. Raises ConfigError, which names the rule."""
    try:
        held = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{where}: not TOML: {e}") from e
    if strange := sorted(held.keys() - {"rule", "source", "licence"}):
        raise ConfigError(f"{where}: unknown key '{strange[0]}'; a file of rules holds [[rule]] tables")
    entries = held.get("rule")
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{where}: holds no [[rule]]")
    return tuple(_rule(entry, number, where) for number, entry in enumerate(cast(list[object], entries), 1))


def _rule(entry: object, number: int, where: str) -> Rule:
    try:
        return msgspec.convert(entry, Rule)
    except msgspec.ValidationError as e:
        name = cast(dict[str, object], entry).get("id") if isinstance(entry, dict) else None
        hint = "; a class is secret or pii" if "enum" in str(e) else ""
        named = f"detector rule '{name}'" if name else f"detector rule {number}"
        raise ConfigError(f"{where}: {named}: {str(e).replace('$.', '')}{hint}") from e


class Ready:
    """A rule that can be applied. Its expression is compiled when it is first needed."""

    __slots__ = ("_allow", "_announcer", "_literal", "_pattern", "check", "keywords", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.keywords = rule.keywords
        self._literal = [keyword.encode() for keyword in cased(rule.keywords)]
        self.check = CHECKS.get(rule.check)
        self._pattern: Pattern | None = None
        self._allow: Pattern | None = None
        self._announcer: Pattern | None = None

    @property
    def pattern(self) -> Pattern:
        """The expression, compiled."""
        if self._pattern is None:
            self._pattern = Pattern(self.rule.regex)
        return self._pattern

    def called(self, lowered: bytes) -> bool:
        """Say whether a keyword occurs in `lowered`, the data in small letters; without keywords, yes."""
        for keyword in self._literal:  # a generator would cost more than what it spares
            if keyword in lowered:
                return True
        return not self._literal

    def spans(self, data: bytes) -> Iterator[Span]:
        """Yield where in `data`, UTF-8, the rule matches, before any further test."""
        if self.rule.window is None:
            return self.pattern.spans(data, self.rule.group)
        return self._near_keywords(data, *self.rule.window)

    def _near_keywords(self, data: bytes, left: int, right: int) -> Iterator[Span]:
        """Yield the matches in those parts of `data` that are near enough to a keyword."""
        if self._announcer is None:
            self._announcer = Pattern(announcing(self.keywords))
        before, after = _WIDEST * right + _ASIDE, _WIDEST * left + _ASIDE
        stop = 0
        for first, last in self._announcer.spans(data):
            start = max(stop, first - before)
            stop = min(len(data), last + after)
            for span in self.pattern.spans(data, self.rule.group, start, stop):
                yield span
                stop = max(stop, span[1])

    def confirmed(self, text: str, start: int, end: int) -> Span | None:
        """Return what of the match `text[start:end]` is to be masked, or None where a test says that it is nothing."""
        rule = self.rule
        if rule.window is not None and not self._announced(text, start, end, *rule.window):
            return None
        if self.check is not None:
            span = self.check(text, start, end)
            if span is None:
                return None
            start, end = span
        if end <= start or (rule.entropy and entropy(text[start:end]) < rule.entropy):
            return None
        if rule.allow and self._allowed(text[start:end]):
            return None
        return (start, _expanded(text, end)) if rule.kind == "secret" else (start, end)

    def _announced(self, text: str, start: int, end: int, left: int, right: int) -> bool:
        near = around(text, start, end, left, right)
        lowered = near.lower()
        return any(keyword in lowered and stands(keyword, lowered, near) for keyword in self.keywords)

    def _allowed(self, value: str) -> bool:
        if self._allow is None:
            self._allow = Pattern("|".join(f"(?:{expression})" for expression in self.rule.allow))
        return self._allow.occurs(utf8(value))


def _expanded(text: str, end: int) -> int:
    """Return where the token goes on to that ends at `end`: what hangs on to a secret is part of it."""
    if text[end - 1] not in _EXPANDED:
        return end
    stop = min(len(text), end + _FARTHEST)
    first, last = text.token if isinstance(text, Searched) else (end, end)
    if not first <= end <= last:
        first = last = end
    while last < stop and text[last] in _EXPANDED:
        last += 1
    if isinstance(text, Searched):
        text.token = first, last
    return min(last, stop)


# what a rule must be


def prove(rules: Sequence[Rule]) -> None:
    """Raise ConfigError where a rule is wrong or fails its own texts."""
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise ConfigError(f"two detector rules have the id '{rule.id}'")
        seen.add(rule.id)
        _prove(rule, f"detector rule '{rule.id}'")


def _prove(rule: Rule, where: str) -> None:
    ready = Ready(rule)
    for key, expression in (("regex", rule.regex), ("gate", rule.gate), *(("allow", one) for one in rule.allow)):
        try:
            empty = (expression != "" or key != "gate") and Pattern(expression).occurs(b"")
        except PatternError as e:
            raise ConfigError(f"{where}: {key} is {e}") from e
        if empty:
            raise ConfigError(f"{where}: {key} matches the empty text, and so any text")
    if not 0 <= rule.group <= ready.pattern.groups:
        raise ConfigError(f"{where}: group is {rule.group}, and the expression has {ready.pattern.groups}")
    if rule.check and rule.check not in CHECKS:
        near = get_close_matches(rule.check, CHECKS, 3, 0.4) or ["luhn", "mixed", "drawn"]
        raise ConfigError(f"{where}: there is no check '{rule.check}'; near it are {', '.join(near)}")
    if not PLACEHOLDERS.fits(f"[REDACTED:{rule.label}]".encode()):
        raise ConfigError(f"{where}: label is '{rule.label}'; use small letters, digits and hyphens, at most 40")
    if wrong := next((literal for literal in rule.outline if not is_outline(literal)), None):
        raise ConfigError(f"{where}: outline has '{wrong}'; write 0 for a digit, a for a letter, - between groups")
    if not _ID.fits(rule.id.encode()):
        raise ConfigError(f"{where}: an id is of small letters, digits and hyphens, at most 64")
    if not 0 <= rule.entropy <= MOST_ENTROPY:
        raise ConfigError(f"{where}: entropy is {rule.entropy}; give bits per character, from 0 to {MOST_ENTROPY}")
    if rule.window is not None and not all(0 <= side <= WIDEST for side in rule.window):
        raise ConfigError(f"{where}: window is {list(rule.window)}; give two numbers from 0 to {WIDEST}")
    if rule.label in REASONS:
        raise ConfigError(f"{where}: label is '{rule.label}', which says why something is withheld; use another")
    _prove_keywords(rule, where)
    _prove_texts(ready, where)


def _prove_keywords(rule: Rule, where: str) -> None:
    if not rule.keywords and not rule.check:
        raise ConfigError(f"{where}: needs keywords, or a check")
    if rule.window is not None and not rule.keywords:
        raise ConfigError(f"{where}: a window needs keywords")
    for keyword in rule.keywords:
        if not keyword or keyword != keyword.lower():
            raise ConfigError(f"{where}: keyword '{keyword}' must be in lower case and not empty")
    if not rule.keywords and any(anchor in rule.regex for anchor in (r"\A", r"\z", "(?s)", "(?m)")):
        raise ConfigError(f"{where}: a rule without keywords must not use anchors or flags")


def _prove_texts(ready: Ready, where: str) -> None:
    if not ready.rule.positive or not ready.rule.negative:
        raise ConfigError(f"{where}: needs at least one positive and one negative test string")
    for i, pieces in enumerate(ready.rule.positive, 1):
        if not finds(ready, "".join(pieces)):
            raise ConfigError(f"{where}: finds nothing in its positive test string {i}")
        if not _let_through(ready, "".join(pieces)):
            raise ConfigError(f"{where}: its gate keeps it from its positive test string {i}")
    for i, pieces in enumerate(ready.rule.negative, 1):
        if finds(ready, "".join(pieces)):
            raise ConfigError(f"{where}: finds something in its negative test string {i}")


def _let_through(ready: Ready, text: str) -> bool:
    """Say whether a gate lets through what the rule finds in `text`, by what stands there and not by the rest."""
    sought, data = expression_of(ready.rule), utf8(text)
    if not (ready.rule.gate or ready.rule.outline):
        return passes(sought, data)
    for first, last in ready.pattern.spans(data):
        inner = ready.pattern.here(data, first, last, ready.rule.group) or (first, last)
        offsets = Offsets(data, {first, last, *inner})
        found = ready.confirmed(text, offsets[inner[0]], offsets[inner[1]])
        if found is None:
            continue
        start, end = min(offsets[first], found[0]), max(offsets[last], found[1])
        if not passes(sought, utf8(text[max(0, start - 1) : end + 1])):
            return False
    return True


def passes(sought: Expression, data: bytes) -> bool:
    """Say whether a gate lets `data` through, whichever gate it is."""
    if sought.regex and Pattern(sought.regex).occurs(data):
        return True
    shape = outline(data)
    return any(literal.encode() in shape for literal in sought.outlines)


def cased(keywords: tuple[str, ...]) -> tuple[str, ...]:
    """Return `keywords` and how they read in capitals where only the letters of ASCII were made small: `ИНН`."""
    capitals = (form for word in keywords if not word.isascii() for form in (word.capitalize(), word.upper()))
    return tuple(dict.fromkeys((*keywords, *(form.encode().lower().decode() for form in capitals))))


def expression_of(rule: Rule) -> Expression:
    """Return what a gate must look for: what is rare, and occurs wherever the rule could find something."""
    keywords = cased(rule.keywords)
    if rule.outline:
        return Expression(rule.gate, made=True, outlines=rule.outline)
    if rule.gate:
        return Expression(rule.gate, keywords, made=True)
    if rule.window is not None:
        return Expression(announcing(rule.keywords), keywords, made=True)
    return Expression(rule.regex, keywords)


def finds(ready: Ready, text: str) -> bool:
    """Say whether a rule alone finds anything in `text`."""
    data = utf8(text)
    if not ready.called(data.lower()):
        return False
    spans = list(ready.spans(data))
    offsets = Offsets(data, {offset for span in spans for offset in span})
    return any(ready.confirmed(text, offsets[start], offsets[end]) is not None for start, end in spans)
