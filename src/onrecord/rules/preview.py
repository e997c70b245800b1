# SPDX-License-Identifier: Apache-2.0
"""What an approver sees of a call: each argument by its name, with its value or with why it is not shown. Pure.

It is made of the event of the attempt and of nothing else, so nothing stands in it that redaction has not let
through for the class of the call, and the record has all of it. Of the call itself only the number of values in
each argument is taken, to tell whether the view is whole: what is masked, cut, or lost among names that look alike
is counted and said, never left out silently. Nothing in a view acts on whoever reads it.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import re2

from onrecord.event.call import Json
from onrecord.event.event import Event
from onrecord.rules.neutral import neutral

VERSION = "view@2"  # of the form below; a view of another version has another text

_MANY_BLANKS = re2.compile(r" {4,}")
_BLANK_PATTERN = 0x2800  # of Braille: a symbol that shows as nothing
# What changes the character before it, is a blank of another width, or is drawn as each font likes, if at all.
_UNCERTAIN = frozenset({"Mn", "Me", "Mc", "Zs", "Co", "Cn"})

_MASKED = ("[REDACTED:", "[WITHHELD:")
_MORE = "…"  # what stands where a value or a list goes on
_WHY: Mapping[str, str] = {
    "low": "withheld by redaction, too long, or the tool's schema is not known",
    "medium": "the class medium shows only values that the manifest declares",
    "high": "the class high shows no values",
    "critical": "the class critical shows nothing",
}
# What of an attempt is shown beside the arguments, where it says something.
_FACTS = (
    *("server_id", "method", "tool_name", "resource_uri", "prompt_name", "risk_tier", "data_classification"),
    *("user_id", "tenant_id", "identity_source", "identity_assurance", "agent_id", "act_chain", "client_name"),
    *("downstream_resource", "recipient", "limits_exceeded", "rollback_reference", "idempotency_key"),
    *("scope_required", "suspicious_signals", "suspicious_before", "repeats", "round"),
    *("tool_definition_hash", "policy_reason", "policy_version"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The lines that are shown, the fields in them by name, and how many values of the arguments are not."""

    lines: tuple[str, ...]
    fields: tuple[str, ...]
    hidden: int
    version: str = VERSION

    def hash(self) -> str:
        """Return the SHA-256 of the text that is shown, in hex."""
        return hashlib.sha256("\n".join((self.version, *self.lines)).encode()).hexdigest()


def view(attempt: Event, counts: Sequence[int], answers: int | None = None) -> View:
    """Return the view of the call whose attempt is `attempt`.

    `counts` are those of `count_values`, `answers` that of `count_answers`: a further round shows its answers after
    the arguments, and of these no less than the first.
    """
    facts = [(name, getattr(attempt, name)) for name in _FACTS]
    shown = [(name, value) for name, value in facts if value not in ("", (), None, 0) or name == "risk_tier"]
    arguments = [*_arguments(attempt, counts), *_answers(attempt, answers)]
    hidden = sum(missing for _, _, missing in arguments)
    lines = [f"{name}: {_plain(value)}" for name, value in shown]
    lines += [line for _, line, _ in arguments]
    lines.append(f"values of arguments that are not shown: {hidden} of {sum(counts) + (answers or 0)}")
    named = [name for name, _, missing in arguments if name and not missing]
    return View(
        lines=tuple(_safe(line) for line in lines), fields=(*(name for name, _ in shown), *named), hidden=hidden
    )


def count_values(arguments: Json) -> tuple[int, ...]:
    """Return how many values each of the arguments holds, in their order; an empty list or object is one."""
    if isinstance(arguments, dict):
        return tuple(_count(value)[0] for value in arguments.values())
    return () if arguments is None else (_count(arguments)[0],)


def count_answers(brought: Json) -> int | None:
    """Return how many values a further round brings as answers; None where it brings none."""
    return None if brought is None else sum(count_values(brought))


def _answers(attempt: Event, count: int | None) -> Iterator[tuple[str, str, int]]:
    """Yield the answers that a further round brings, as `_arguments` does."""
    what = "answers to the server's questions"
    if attempt.answers_summary:
        line, missing = _shown(what, msgspec.json.decode(attempt.answers_summary), count or 0)
        yield "answers", line, missing
    elif count is not None:
        yield "", f"{what} — not shown: {_why(attempt)}" if count else f"{what}: none", count


def _why(attempt: Event) -> str:
    return _WHY.get(attempt.data_classification, "withheld") if attempt.risk_tier else "tier 0 shows no values"


def _shown(what: str, value: Json, count: int) -> tuple[str, int]:
    """Return the line for a value of which there are `count`, and how many of them it does not show."""
    there, whole = _count(value)
    missing = 0 if there == whole == count else max(1, count - whole)
    told = f"   ({missing} of {count} values not shown, or not in full)" if missing else ""
    return f"{what} = {_json(value)}{told}", missing


def _arguments(attempt: Event, counts: Sequence[int]) -> Iterator[tuple[str, str, int]]:
    """Yield each argument: its field where it has a name, its line, and how many of its values are not shown."""
    names, why = attempt.arg_keys, _why(attempt)
    if len(names) > len(counts):
        names = ()  # whatever these are, they are not the arguments that were counted
    values = _values(attempt.input_summary)
    for name, count in zip(names, counts, strict=False):
        if names.count(name) > 1:
            yield f"arguments.{name}", f"argument {_name(name)} — not shown: another one looks like it", count
        elif name not in values:
            yield f"arguments.{name}", f"argument {_name(name)} — not shown: {why}", count
        else:
            line, missing = _shown(f"argument {_name(name)}", values[name], count)
            yield f"arguments.{name}", line, missing
    left = counts[len(names) :]
    if left:
        yield (
            "",
            f"{len(left)} {'more ' if names else ''}arguments — not shown: {why if not names else 'too many'}",
            sum(left),
        )


def _values(summary: str) -> Mapping[str, Json]:
    """Return the values that the event shows, by argument."""
    shown: object = msgspec.json.decode(summary) if summary else None
    return cast(dict[str, Json], shown) if isinstance(shown, dict) else {}


def _count(value: Json) -> tuple[int, int]:
    """Return how many values there are in `value`, and how many of them are whole as they stand."""
    there = whole = 0
    left: list[Json] = [value]
    while left:
        one = left.pop()
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else None
        if inner:
            left.extend(inner)
            if isinstance(one, dict) and any(_is_short(key) for key in one):
                there += 1  # a name in it is not whole, so neither is it
            continue
        there += 1
        whole += not (isinstance(one, str) and _is_short(one))
    return there, whole


def _is_short(text: str) -> bool:
    return text.endswith(_MORE) or any(mark in text for mark in _MASKED)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, cast(tuple[object, ...], value)))
    return str(value)


def _name(name: str) -> str:
    """Return a name as a JSON text in ASCII, which ends where its quotes do and looks like no other."""
    return json.dumps(name)


def _safe(line: str) -> str:
    """Return `line` with all that acts, hides, or could fill it until another seems to begin written out."""
    line = _MANY_BLANKS.sub(lambda found: "\\x20" * len(found[0]), neutral(line))
    return line if line.isascii() else "".join(map(_visible, line))


def _visible(char: str) -> str:
    code = ord(char)
    if char.isascii() or (code != _BLANK_PATTERN and unicodedata.category(char) not in _UNCERTAIN):
        return char
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
