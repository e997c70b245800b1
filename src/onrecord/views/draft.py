# SPDX-License-Identifier: Apache-2.0
"""A manifest to be reviewed: one rule a tool, with what is inferred as values and what is proposed as comments.

The values are those by which calls are treated anyway, so that writing them down changes nothing until
somebody changes them. A comment does nothing until its `#` is taken away. Names come from a server:
they are written so that a rule matches that one tool, and so that no comment ends early.
"""

from collections.abc import Sequence
from typing import NamedTuple

from onrecord.event.call import Definition
from onrecord.rules.classify import Manifest, ToolRule, Treatment, classify
from onrecord.rules.inference import Guessed, call_of, guessed, why
from onrecord.rules.neutral import neutral

LONGEST = 256  # characters of a name for which a rule is written
_COLUMN = 40


class Draft(NamedTuple):
    """Rules as TOML, how many, and the names for which none could be written."""

    text: str
    rules: int
    left_out: tuple[str, ...]


def drafted(server: str, tools: Sequence[Definition], manifest: Manifest) -> Draft:
    """Return rules for what `manifest` leaves unsaid about `tools` of `server`; none where nothing is."""
    rules: list[str] = []
    left_out: list[str] = []
    for definition in tools:
        matching = [rule for rule in manifest if rule.matches(server, definition.name)]
        if not is_nameable(definition.name):
            left_out.append(definition.name)
            continue
        values = _values(server, definition, matching, classify(call_of(server, definition), manifest))
        if values:
            rules.append(_rule(server, definition, matching, values, manifest))
    return Draft("\n".join(rules), len(rules), tuple(left_out))


def is_nameable(name: str) -> bool:
    """Say whether a rule can name this tool and no other."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False  # half a surrogate pair, which TOML can't hold
    return 0 < len(name) <= LONGEST


def literal(name: str) -> str:
    """Return the pattern that matches `name` alone."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def quoted(text: str) -> str:
    """Return `text` as a string of TOML, in ASCII."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if " " <= char <= "~":
        return char
    return f"\\u{ord(char):04X}" if ord(char) < 0x10000 else f"\\U{ord(char):08X}"


def listed(texts: Sequence[str]) -> str:
    """Return `texts` as an array of TOML."""
    return f"[{', '.join(map(quoted, texts))}]"


def _values(
    server: str, definition: Definition, matching: Sequence[ToolRule], treatment: Treatment
) -> list[tuple[str, str, str]]:
    """Return key, value and reason of what is inferred and not said."""
    guess = guessed(server, definition, treatment.tier)
    found: list[tuple[str, str, str]] = []
    if all(rule.tier is None for rule in matching):
        found.append(("tier", str(treatment.tier), why(definition, treatment)))
    if all(rule.classification is None for rule in matching):
        found.append(("classification", quoted(treatment.classification), "nothing says more"))
    if not any(rule.retention_class for rule in matching):
        reason = "as for all that is critical" if treatment.classification == "critical" else "nothing says more"
        found.append(("retention_class", quoted(treatment.retention_class), reason))
    for key, pointers in (("sensitive", guess.sensitive), ("sensitive_output", guess.sensitive_output)):
        said = {text for rule in matching for text in getattr(rule, key)}
        if new := [text for text in pointers if text not in said]:
            found.append((key, listed(new), "schema: marked there, and withheld anyway"))
    return found


def _rule(
    server: str,
    definition: Definition,
    matching: Sequence[ToolRule],
    values: Sequence[tuple[str, str, str]],
    manifest: Manifest,
) -> str:
    treatment = classify(call_of(server, definition), manifest)
    guess = guessed(server, definition, treatment.tier)
    lines = [
        "[[tool]]",
        f"server = {quoted(literal(server))}",
        f"tool = {quoted(literal(definition.name))}",
        *(f"{f'{key} = {value}':<{_COLUMN}}  # {neutral(reason)}" for key, value, reason in values),
    ]
    for key, value, reason in proposals(guess, treatment):
        if not any(getattr(rule, key) for rule in matching):
            lines.append(f"{f'# {key} = {value}':<{_COLUMN}}  # {neutral(reason)}")
    lines += [f"# {neutral(text)}" for text in _remarks(guess)]
    return "\n".join(lines) + "\n"


def _remarks(guess: Guessed) -> list[str]:
    remarks: list[str] = []
    if guess.told:
        remarks.append(f"withheld for what they are called: {', '.join(guess.told)}")
    if guess.marked_deeper:
        remarks.append("the schema marks more than the rule names; that is withheld too")
    if not guess.schema_known:
        remarks.append("the server gives no schema of its arguments, so no value of them is recorded")
    return remarks


def proposals(guess: Guessed, treatment: Treatment) -> list[tuple[str, str, str]]:
    """Return key, TOML value and reason of what a rule about this tool may want to say, by its tier and class."""
    tier, found = treatment.tier, list[tuple[str, str, str]]()
    if tier >= 1:
        found.append(("scope", listed([guess.scope]), "what a caller must be allowed"))
    if tier >= 3:  # the tiers that wait for somebody's yes
        found.append(("approver_roles", '["owner"]', "who may say yes"))
    if tier >= 1 and treatment.classification == "medium" and guess.summary:
        found.append(("summary", listed(guess.summary), "arguments whose values may stand on the record"))
    if tier >= 2:
        if guess.resource:
            found.append(("resource", quoted(guess.resource), "what it acts on"))
        if guess.result_id:
            found.append(("result_id", quoted(guess.result_id), "id of what was made or changed"))
        found += [(key, listed(value), "state") for key, value in _states(guess) if value]
    if tier >= 3 and guess.recipient:
        found.append(("recipient", quoted(guess.recipient), "who receives what it sends"))
    if tier >= 3 and guess.amount:
        found.append(("limits", f"{{ {quoted(guess.amount)} = 100 }}", "largest number that should stand there"))
    if tier >= 2 and guess.idempotency_key:
        found.append(("idempotency_key", quoted(guess.idempotency_key), "the same when it is sent again"))
    if tier >= 3 and (guess.rollback or tier >= 4):
        found.append(("rollback", quoted(guess.rollback or "runbook …"), "how to undo it"))
    return found


def _states(guess: Guessed) -> tuple[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]]:
    return ("before", guess.before), ("after", guess.after)
