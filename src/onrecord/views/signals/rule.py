# SPDX-License-Identifier: Apache-2.0
"""One rule: which events are a signal, how many of them, and what they stand for.

Rules are data (`rules.toml` beside this file), and users add their own in the same form:

    [[signal]]
    id         unique; stays when the rule changes
    title      what a finding says, in one line
    severity   low, medium, high or critical
    log        calls or security: whose events are looked at (calls)
    kind       each      an event for which `when` holds is a finding
               burst     `count` of them within `window`; `distinct`: that say so many different things in a column
               sequence  one within `window` after an event for which `after` holds
               first     one that says something new in `by`, in `forget` (90d); the rule learns for `learn` (7d) first
               rate      more in an hour than `floor` and than `times` the median of the busiest hours of those of the
                         last `days` days that had any; it takes three such days to know that
               open      one that no event for which `until` holds, and that says the same in `by`, follows in `window`
               gap       an event before which lines of the same writer are missing
    when       conditions, see condition.py; after and until too
    by         columns: events are counted together, or belong together, that say the same there
    mute       after a finding the next ones like it are counted, not recorded, for so long; like it are those that say
               the same in the columns of `per` (those of `by`). For burst it is `window` unless said
    owasp, mcp, asi, atlas    ids in the OWASP logging vocabulary, its MCP and its agentic top 10, and MITRE ATLAS

Durations are a number and s, m, h or d. A rule that says what its kind has no use for, or not what that needs, is
refused, and so is an unknown key or column.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, TypeAlias, cast

import msgspec

from onrecord.errors import ConfigError
from onrecord.event.event import Event
from onrecord.views.columns import BY_NAME
from onrecord.views.signals.condition import Condition, check_column, nearest

Severity: TypeAlias = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
Kind: TypeAlias = Literal["each", "burst", "sequence", "first", "rate", "open", "gap"]

# What each kind needs, and what it may say besides.
_KEYS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "each": (frozenset({"when"}), frozenset()),
    "burst": (frozenset({"when", "count", "window"}), frozenset({"distinct"})),
    "sequence": (frozenset({"when", "after", "by", "window"}), frozenset()),
    "first": (frozenset({"when", "by"}), frozenset({"learn", "forget"})),
    "rate": (frozenset({"when", "by", "floor", "times", "days"}), frozenset()),
    "open": (frozenset({"when", "until", "by", "window"}), frozenset()),
    "gap": (frozenset(), frozenset()),
}
_OF_ALL = frozenset({"id", "title", "severity", "log", "kind", "by", "mute", "per", "owasp", "mcp", "asi", "atlas"})
# What the ledger or a finding itself says cannot be said of what a finding is about.
_NOT_SHARED = frozenset({"schema_version", "seq", "timestamp", "ts", "wid", "wseq", "event_id", "resource", "action"})
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_ID = 48
_TIME = re.compile(r"([0-9]{1,6})([smhd])")
_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_MOST = 1_000  # events that a burst counts; each of them is remembered


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[signal]]`; the docstring of this module says what each key means."""

    id: str
    title: str
    severity: Severity
    kind: Kind
    log: Literal["calls", "security"] = "calls"
    when: dict[str, Any] = {}
    after: dict[str, Any] = {}
    until: dict[str, Any] = {}
    by: tuple[str, ...] = ()
    distinct: str = ""
    count: int = 0
    window: str = ""
    learn: str = "7d"
    forget: str = "90d"
    floor: int = 0
    times: float = 0.0
    days: int = 0
    mute: str = ""
    per: tuple[str, ...] = ()
    owasp: str = ""
    mcp: tuple[str, ...] = ()
    asi: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()

    @property
    def window_us(self) -> int:
        return time_us(self.window)

    @property
    def mute_us(self) -> int:
        """For how long findings like one are only counted after it; 0 is not at all."""
        text = self.mute or (self.window if self.kind == "burst" else "")
        return time_us(text) if text else 0

    @property
    def tag(self) -> str:
        """What it remembers is kept under: a rule that finds something else remembers nothing."""
        quiet = msgspec.structs.replace(self, title="", severity="low", owasp="", mcp=(), asi=(), atlas=())
        return f"{self.id}:{sha256(msgspec.json.encode(quiet)).hexdigest()[:16]}"


class Tuning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What of a rule the settings say otherwise; its keys are the rule's."""

    severity: Severity | None = None
    count: int | None = None
    window: str | None = None
    mute: str | None = None
    floor: int | None = None
    times: float | None = None
    days: int | None = None
    learn: str | None = None
    forget: str | None = None


def time_us(text: str) -> int:
    """Return the microseconds that `text` spells. Raises ConfigError."""
    match = _TIME.fullmatch(text)
    if match is None or not int(match[1]):
        raise ConfigError(f"{text!r} is no duration; give a number above 0 and s, m, h or d, as in 10m")
    return int(match[1]) * _US[match[2]]


def read_rules(text: str, where: str) -> tuple[Rule, ...]:
    """Return the rules that a TOML text describes. Raises ConfigError, which says `where`, and names the rule."""
    try:
        held = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{where}: is not TOML: {e}") from e
    if strange := sorted(held.keys() - {"signal"}):
        raise ConfigError(f"{where}: unknown key {strange[0]}; a file of rules holds [[signal]]")
    entries = held.get("signal")
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{where}: holds no [[signal]]")
    rules: dict[str, Rule] = {}
    for number, entry in enumerate(cast(list[object], entries), 1):
        fields = cast(dict[str, Any], entry) if isinstance(entry, dict) else {}
        named = f"signal {number}" + (f" ({fields['id']})" if isinstance(fields.get("id"), str) else "")
        try:
            rule = _rule(fields)
            if rule.id in rules:
                raise ConfigError("another rule has this id")
        except ConfigError as e:
            raise ConfigError(f"{where}: {named}: {e}") from e
        rules[rule.id] = rule
    return tuple(rules.values())


def tunings(said: Mapping[str, Mapping[str, Any]]) -> dict[str, Tuning]:
    """Return what the settings say of rules, by their ids. Raises ConfigError for an unknown key, or what is unfit."""
    made: dict[str, Tuning] = {}
    known = Tuning.__struct_fields__
    for name, fields in said.items():
        for key in fields:
            if key not in known:
                raise ConfigError(f"unknown key signals.tune.{name}.{key}; {nearest(key, known)}")
        try:
            made[name] = msgspec.convert(fields, Tuning)
        except msgspec.ValidationError as e:
            raise ConfigError(f"signals.tune.{name}: {str(e)[:1].lower()}{str(e)[1:]}") from e
    return made


def in_force(rules: Iterable[Rule], off: Sequence[str], tune: Mapping[str, Tuning]) -> tuple[Rule, ...]:
    """Return `rules` without those that are off, tuned. Raises ConfigError for an unknown id, and what is unfit."""
    known = {rule.id: rule for rule in rules}
    for key, ids in (("off", off), ("tune", tune)):
        for name in ids:
            if name not in known:
                raise ConfigError(f"signals.{key}: no rule {name}; {nearest(name, known)}")
    for name, tuning in tune.items():
        fields = {key: value for key, value in msgspec.structs.asdict(tuning).items() if value is not None}
        needed, allowed = _KEYS[known[name].kind]
        if unused := sorted(fields.keys() - needed - allowed - _OF_ALL):
            raise ConfigError(f"signals.tune.{name}: a rule of kind {known[name].kind} has no {unused[0]}")
        try:
            known[name] = _checked(msgspec.structs.replace(known[name], **fields))
        except ConfigError as e:
            raise ConfigError(f"signals.tune.{name}: {e}") from e
    return tuple(rule for rule in known.values() if rule.id not in off)


def _rule(fields: dict[str, Any]) -> Rule:
    known = {field.name for field in msgspec.structs.fields(Rule)}
    for key in fields:
        if key not in known:
            raise ConfigError(f"unknown key {key}; {nearest(key, known)}")
    try:
        rule = msgspec.convert(fields, Rule)
    except msgspec.ValidationError as e:
        raise ConfigError(str(e).replace(" - at `$.", " - at `")) from e
    needed, allowed = _KEYS[rule.kind]
    if missing := sorted(needed - fields.keys()):
        raise ConfigError(f"a rule of kind {rule.kind} needs {missing[0]}")
    if unused := sorted(fields.keys() - needed - allowed - _OF_ALL):
        raise ConfigError(f"a rule of kind {rule.kind} has no {unused[0]}")
    return _checked(rule)


def _checked(rule: Rule) -> Rule:
    """Return `rule`. Raises ConfigError for what can't work."""
    if not _ID.fullmatch(rule.id) or len(rule.id) > _LONGEST_ID:
        raise ConfigError(f"id: use up to {_LONGEST_ID} small letters and digits, with dashes between")
    if not rule.title:
        raise ConfigError("title is empty")
    for key in ("when", "after", "until"):
        try:
            Condition(getattr(rule, key))
        except ConfigError as e:
            raise ConfigError(f"{key}: {e}") from e
    for key in ("window", "mute", "learn", "forget"):
        try:
            _ = time_us(getattr(rule, key)) if getattr(rule, key) else 0
        except ConfigError as e:
            raise ConfigError(f"{key}: {e}") from e
    for key, names in (("by", rule.by), ("per", rule.per), ("distinct", (rule.distinct,) if rule.distinct else ())):
        for name in names:
            _check_shared(key, name)
    if rule.kind == "burst" and not 2 <= rule.count <= _MOST:
        raise ConfigError(f"count: give a number from 2 to {_MOST}")
    if rule.kind == "rate" and (rule.floor < 1 or rule.times < 1 or not 1 <= rule.days <= 366):
        raise ConfigError("floor and times are 1 or more, and days from 1 to 366")
    if rule.kind in ("sequence", "first", "rate", "open") and not rule.by:
        raise ConfigError("by names no column")
    return rule


def _check_shared(key: str, name: str) -> None:
    """Raise ConfigError unless events can say the same in a column, and a finding that they do."""
    check_column(name)
    if name not in BY_NAME or name in _NOT_SHARED or BY_NAME[name].kind not in ("text", "integer"):
        raise ConfigError(f"{key}: {name} is no column by which events belong together")
    assert name in Event.__struct_fields__, "a column that is one of an event's own fields"
