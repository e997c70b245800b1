# SPDX-License-Identifier: Apache-2.0
"""Says what in a text looks as if it wanted to instruct the model that reads it, or hides from people.

The result is flags, never proof. A page about attacks quotes their phrases; an instruction in plain
words looks like any other sentence. So a flag is noted on the record, and only a policy acts on it.

Phrases are looked for in the text, in the text as it looks without tricks of Unicode, and in what
decodes from it.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from onrecord.rules.detection import views
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.gate import Expression, KeywordGate
from onrecord.rules.detection.hidden import UNCHECKED, hidden
from onrecord.rules.detection.markup import hidden_html
from onrecord.rules.detection.rule import Ready, read_rules
from onrecord.rules.pattern import Offsets, utf8

MOST = 200  # flags of one kind in one text
LONGEST = 1_048_576  # characters of one text that are looked at; the rest is flagged as `unchecked`


@dataclass(frozen=True, slots=True)
class Flag:
    """`text[start:end]`, in code points, looks like what `flag` says."""

    start: int
    end: int
    flag: str
    rule_id: str


class Flagger:
    """The phrases, ready to search. Threads may share it."""

    def __init__(self) -> None:
        text = files("onrecord.rules").joinpath("flags.toml").read_text(encoding="utf-8")
        rules = read_rules(text, "flags.toml")
        self.rules = rules
        self._rules = [Ready(rule) for rule in rules]
        self._gate = KeywordGate([Expression(rule.regex, rule.keywords) for rule in rules])

    def flags(self, text: str) -> list[Flag]:
        """Return the flags of `text`, in order, the first `MOST` of each.

        `unchecked` is one where `text` is too long, or encoded more often than may be decoded.
        """
        found: list[Flag] = []
        if len(text) > LONGEST:
            found.append(Flag(LONGEST, len(text), UNCHECKED, UNCHECKED))
            text = text[:LONGEST]
        found.extend(Flag(start, end, flag, flag) for start, end, flag in hidden(text))
        found.extend(Flag(start, end, flag, flag) for start, end, flag in hidden_html(text))
        found.extend(self._everywhere(text))
        if not found:
            return []
        unique = {(flag.start, flag.end, flag.flag): flag for flag in found}
        counts: Counter[str] = Counter()
        kept: list[Flag] = []
        for flag in sorted(unique.values(), key=lambda flag: (flag.start, flag.end, flag.flag)):
            counts[flag.flag] += 1
            if counts[flag.flag] <= MOST:  # many of one kind must not hide another
                kept.append(flag)
        return kept

    def names(self, text: str) -> tuple[str, ...]:
        """Return which flags `text` has, sorted."""
        return tuple(sorted({flag.flag for flag in self.flags(text)}))

    def _everywhere(self, text: str) -> list[Flag]:
        """Return the phrases in `text` and in what decodes from it."""
        signs = _signs(text)
        found = self._phrases(text)
        if signs:
            seen = views.searched(text, found, signs, self._in_view)
            if seen is None:  # too much to decode: only what it says as it stands was looked at
                return [Flag(0, len(text), UNCHECKED, UNCHECKED), *map(_flag, found)]
            found = seen
        return [_flag(finding) for finding in found]

    def _in_view(self, text: str) -> tuple[list[Finding], views.Signs]:
        signs = _signs(text)
        return self._phrases(text), signs

    def _phrases(self, text: str) -> list[Finding]:
        data = utf8(text)
        found: list[Finding] = []
        for i in self._gate.hits(data):  # of which each is called by a keyword of its own
            ready = self._rules[i]
            spans = list(ready.spans(data))
            if not spans:
                continue
            offsets = Offsets(data, {at for span in spans for at in span})
            confirmed = 0
            for start, end in spans:
                span = ready.confirmed(text, offsets[start], offsets[end])
                if span is not None:
                    found.append(Finding(*span, ready.rule.label, ready.rule.id, ready.rule.kind))
                    confirmed += 1
                    if confirmed == MOST:
                        break
        return found


def _signs(text: str) -> views.Signs:
    """Return the signs that `text` is encoded."""
    data = utf8(text)
    signs: views.Signs = {}
    views.note(signs, data, 0, len(text))
    return signs


def _flag(finding: Finding) -> Flag:
    return Flag(finding.start, finding.end, finding.label, finding.rule_id)


@lru_cache(maxsize=1)
def flagger() -> Flagger:
    """Return the flagger of the rules that ship with this package."""
    return Flagger()


def flags(text: str) -> list[Flag]:
    """Return the flags of `text` by the rules that ship with this package."""
    return flagger().flags(text)
