# SPDX-License-Identifier: Apache-2.0
"""What is done with a value that was found: which of it, if anything, stays on the record.

    mask       a label stands in its place; for a secret that nobody could guess, with a tag
    token      a label with a tag, whatever the value: also for card numbers and short passwords
    partial    a label and the last four characters, of card, account and phone numbers alone; else as mask
    truncate   as mask, and the text ends there
    drop       as mask, and nothing of the text around it is shown
    keys_only  as mask, and of the arguments or the result that hold it, no value is shown

The settings name an action for a class (`secret`, `pii`) or for a label, in general or for data of
one classification; a tool may have its own. The narrowest word counts: a tool's before a
classification's before the general one, and in each a label's before its class's.

A tag of what few values could be, a card number or a short password, tells somebody who can make
calls which of the few it was. So such values have one only where the settings ask for it.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Literal, TypeAlias, get_args

from onrecord.errors import ConfigError
from onrecord.rules.detection.checks import entropy
from onrecord.rules.detection.finding import Kind
from onrecord.rules.detection.labels import PARTIAL, REASONS, Mask, label_in, label_only, placeholders
from onrecord.rules.digests import Digests

Action: TypeAlias = Literal["mask", "token", "partial", "truncate", "drop", "keys_only"]
Table: TypeAlias = Mapping[str, "str | Mapping[str, str]"]  # as in the settings
Own: TypeAlias = tuple[tuple[str, str], ...]  # the actions of one tool

ACTIONS: tuple[str, ...] = get_args(Action)
KINDS = ("secret", "pii")
CLASSES = ("low", "medium", "high", "critical")
PERSONAL = frozenset({"ssn"})  # what a name announces is a secret, but for this

MOST_CUT = 65_024  # characters; of a longer text the end is not looked at

# From this on nobody can try all values: 16 characters, and together so many bits.
_LONG, _BITS = 16, 50.0


def check_cut(cut: int, where: str) -> None:
    """Raise ConfigError where `cut` is not how many characters of a text can stay."""
    if not 1 <= cut <= MOST_CUT:
        raise ConfigError(f"{where} is {cut}; give a number from 1 to {MOST_CUT}")


def check_actions(table: Table, where: str, labels: Iterable[str] | None = None) -> None:
    """Raise ConfigError, which names the place and what is allowed there, where `table` is none of actions.

    Without `labels`, any label passes.
    """
    for key, action in table.items():
        if isinstance(action, Mapping):
            if key not in CLASSES:
                raise ConfigError(f"{where}.{key} is a table; there are tables for {', '.join(CLASSES)}")
            check_actions(action, f"{where}.{key}", labels)
        else:
            _check_action(key, action, f"{where}.{key}", labels)


def _check_action(key: str, action: str, where: str, labels: Iterable[str] | None) -> None:
    if action not in ACTIONS:
        raise ConfigError(f"{where} is {action!r}; use {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}")
    if key in CLASSES:
        raise ConfigError(f"{where} is {action!r}; give a table, as in {where} = {{ pii = {action!r} }}")
    known = None if labels is None else {*KINDS, *labels}
    if known is not None and key not in known:
        near = get_close_matches(key, known, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "use secret or pii, or a label"
        raise ConfigError(f"{where}: no rule has the label '{key}'; {hint} (onrecord redact --list-rules prints all)")
    if action == "partial" and key not in {"pii", *PARTIAL}:
        raise ConfigError(f"{where} is 'partial'; only {', '.join(sorted(PARTIAL))} may be shown in part")


class Handling:
    """What is done with the values of the calls of one classification, tenant and tool. Threads may share it."""

    __slots__ = ("_cutting", "_digests", "_known", "_tables")

    def __init__(self, digests: Digests | None, table: Table, classification: str = "", own: Own = ()) -> None:
        """Without `digests` no label has a tag."""
        narrow = table.get(classification, {})
        self._tables = [dict(own), narrow if isinstance(narrow, Mapping) else {}, table]
        self._digests = digests
        self._known: dict[tuple[str, Kind], str] = {}
        self._cutting: dict[str, str] = {}  # labels beside which nothing, or nothing more, is shown

    def action(self, label: str, kind: Kind) -> str:
        """Return what is done with what has this label and is of this kind."""
        action = self._known.get((label, kind))
        if action is None:
            words = (table.get(key) for table in self._tables for key in (label, kind))
            action = next((word for word in words if isinstance(word, str)), "mask")
            if action in ("truncate", "drop"):
                self._cutting[label] = action
            self._known[label, kind] = action
        return action

    def stand_in(self, label: str, kind: Kind, value: str) -> Mask:
        """Return what stands where `value` stood."""
        if label in REASONS:
            return label_only(label)
        action = self.action(label, kind)
        if self._digests is not None and (action == "token" or (kind == "secret" and _unguessable(value))):
            return Mask(f"[REDACTED:{label}#{self._digests.tag(value)}]")
        if action == "partial" and kind == "pii" and label in PARTIAL:
            end = "".join(filter(str.isalnum, value))[-4:]
            if len(end) == 4 and end.isascii():
                return Mask(f"[REDACTED:{label}*{end}]")
        return label_only(label)

    def finished(self, text: str) -> str:
        """Return `text`, which is masked, without what may not stand beside some of its labels."""
        if not self._cutting:
            return text
        labels = [(end, text[start:end]) for start, end in placeholders(text, self._cutting)]
        actions = [self._cutting.get(label_in(label), "") for _, label in labels]
        if "drop" in actions:
            return labels[actions.index("drop")][1]
        if "truncate" in actions:
            end = labels[actions.index("truncate")][0]
            return f"{text[:end]}…" if end < len(text) else text
        return text


def tag_of(stand_in: Mask) -> str:
    """Return the `label#tag` of what stands in for a value, or "" where it has no tag."""
    label, sign, tag = stand_in[len("[REDACTED:") : -1].partition("#")
    return f"{label}#{tag}" if sign else ""


def kind_of(label: str) -> Kind:
    """Return which kind of thing a name with this label announces."""
    return "pii" if label in PERSONAL else "secret"


def _unguessable(value: str) -> bool:
    value = value.strip()
    return len(value) >= _LONG and len(value) * entropy(value[:256]) >= _BITS
