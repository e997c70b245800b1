# SPDX-License-Identifier: Apache-2.0
"""Files of Cedar policies, read and proven one policy at a time, so that what is wrong has a file, a line and a name.

Cedar's parser says neither line nor policy. So a file is cut into its statements first, and each is
parsed and validated by itself; that the pieces are the whole is checked.

Of a policy's annotations these mean something here: `@id`, its name in the file; `@reason`, for the
record; `@safe_reason`, for the caller; `@obligation("approval")` on a `forbid`, that an approval lifts
it; `@approvers`, the roles that may give one, by commas. Others are the operator's own, unless their names are so near
to one of these that it must have been meant.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from onrecord.errors import ConfigError
from onrecord.rules.policy import Context

if TYPE_CHECKING:
    from cedarpy import Schema

OBLIGATIONS = frozenset({"approval"})
ANNOTATIONS = ("id", "reason", "safe_reason", "obligation", "approvers")
NEAR = 0.85  # of 1; "season" is no "reason", and "obligations" is an "obligation"
TOLD = 2  # problems of one policy that are shown; the same one comes again for each action
MAX_FILE = 1 << 20  # bytes
MAX_POLICIES = 1_000  # past this a decision takes longer than a call of a fast tool (about 1 ms)

_NAME = re.compile(r"[A-Za-z0-9._:@/+ -]{1,100}")  # ids stand on the record as they are
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|;', re.DOTALL)
_CONTEXT = {"Var": "context"}
_FOR_ACTION = re.compile(r' for MCP::Action::"[^"]*"')
_MISSING = re.compile(r"attribute `([^`]+)` in context not found")
_BLANK = re.compile(r"(?:\s|//[^\n]*)*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """One file of policies. `name` is as people know it: its place under the folder that the settings name."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One policy. `id` is that of its file and its own; `body` is Cedar's JSON of it."""

    id: str
    body: dict[str, Any]
    reason: str
    safe: str
    obligation: str
    approvers: tuple[str, ...]


def read_policies(folder: Path) -> list[PolicyFile]:
    """Return the `.cedar` files in `folder` and below it, by name. Raises ConfigError, also where there is none."""
    if not folder.is_dir():
        raise ConfigError(f"policy.folder: {folder} is no folder")
    found: list[PolicyFile] = []
    for path in sorted(folder.rglob("*.cedar")):
        name = path.relative_to(folder).as_posix()
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{path}: rename it; letters, digits, blanks and ._:@/+- , at most 100 characters")
        try:
            data = path.read_bytes()
            if len(data) > MAX_FILE:
                raise ConfigError(f"{path}: is larger than {MAX_FILE} bytes")
            found.append(PolicyFile(name=name, text=data.decode()))
        except OSError as e:
            raise ConfigError(f"{path}: cannot be read: {os.strerror(e.errno or 0).lower()}") from e
        except UnicodeDecodeError as e:
            raise ConfigError(f"{path}: is not UTF-8") from e
    if not found:
        raise ConfigError(f"policy.folder: {folder} has no .cedar file; an empty policy would deny every call")
    return found


def rules_in(file: PolicyFile, schema: "Schema") -> list[Rule]:
    """Return the policies in `file`, each validated against `schema`. Raises ConfigError."""
    rules: list[Rule] = []
    for number, (line, statement) in enumerate(_statements(file.text), 1):
        rule = _rule(file.name, number, line, statement, schema)
        if any(other.id == rule.id for other in rules):
            raise ConfigError(f"{rule.id}: this id stands twice, the second time in line {line}")
        rules.append(rule)
    if len(rules) != len(_parsed(file.text, file.name)):
        raise ConfigError(f"{file.name}: it is not clear where one policy ends and the next begins")
    return rules


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement with the line on which it begins; a semicolon in a string or comment ends none."""
    start = 0
    for token in _TOKEN.finditer(text):
        if token[0] == ";":
            yield _line_of(text, start), text[start : token.end()]
            start = token.end()
    if not _BLANK.match(text, start):
        yield _line_of(text, start), text[start:]


def _line_of(text: str, start: int) -> int:
    blank = re.compile(r"(?:\s|//[^\n]*)*").match(text, start)
    return text.count("\n", 0, blank.end() if blank else start) + 1


def _parsed(text: str, where: str) -> dict[str, Any]:
    """Return the policies in `text` as Cedar's JSON. Raises ConfigError."""
    from cedarpy import policies_to_json_str

    try:
        found = json.loads(policies_to_json_str(text))
    except ValueError as e:
        raise ConfigError(f"{where}: is not Cedar: {e}") from e
    if found["templates"]:
        raise ConfigError(f"{where}: is a template, and nothing fills in its slots")
    return found["staticPolicies"]


def _rule(file: str, number: int, line: int, statement: str, schema: "Schema") -> Rule:
    from cedarpy import validate_policies

    where = f"{file}: policy {number} (line {line})"
    parsed = list(_parsed(statement, where).values())
    if len(parsed) != 1:
        raise ConfigError(f"{where}: is not one policy")
    (body,) = parsed
    said: dict[str, str] = {key: text or "" for key, text in body.get("annotations", {}).items()}
    name = said.get("id") or str(number)
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: the id may hold letters, digits, blanks and ._:@/+- , at most 100 characters")
    where = f"{file}: policy {number} ('{name}', line {line})" if "id" in said else where
    errors = [error.error.partition("`, ")[2] or error.error for error in validate_policies(statement, schema).errors]
    if problems := {_told(error) for error in errors}:
        more = f"; and {len(problems) - TOLD} more" if len(problems) > TOLD else ""
        raise ConfigError(f"{where}: {'; '.join(sorted(problems)[:TOLD])}{more}")
    obligation = _obligation(said, body["effect"], where)
    approvers = tuple(role.strip() for role in said.get("approvers", "").split(",") if role.strip())
    return Rule(
        id=f"{file}#{name}",
        body=body,
        reason=said.get("reason", ""),
        safe=said.get("safe_reason", ""),
        obligation=obligation,
        approvers=approvers,
    )


def _told(error: str) -> str:
    """Return what Cedar finds wrong, without the action for which, and with what to do about it."""
    text = _FOR_ACTION.sub("", error)
    missing = _MISSING.match(text)
    if missing is None:
        return text
    if missing[1].startswith("input."):
        return f"{text}; what policies read of the arguments is declared as policy_input of a [[tool]]"
    near = get_close_matches(missing[1], Context.__slots__, n=1)
    return f"{text}; did you mean `{near[0]}`?" if near else text


def _obligation(said: Mapping[str, str], effect: str, where: str) -> str:
    """Return what lifts a policy that says this of itself, "" where nothing does. Raises ConfigError."""
    for name in said.keys() - set(ANNOTATIONS):
        if near := get_close_matches(name.lower(), ANNOTATIONS, n=1, cutoff=NEAR):
            raise ConfigError(f"{where}: @{name} means nothing; did you mean @{near[0]}?")
    obligation = said.get("obligation", "")
    if "obligation" in said and (obligation not in OBLIGATIONS or effect != "forbid"):
        raise ConfigError(f"{where}: @obligation stands on a forbid, and is one of {', '.join(sorted(OBLIGATIONS))}")
    if "approvers" in said and not obligation:
        raise ConfigError(f'{where}: @approvers stands beside @obligation("approval"); alone it asks for nothing')
    return obligation


def set_of(rules: Sequence[Rule]) -> str:
    """Return `rules` as Cedar's JSON of a policy set, each under its id."""
    found = {rule.id: rule.body for rule in rules}
    return json.dumps({"staticPolicies": found, "templates": {}, "templateLinks": []}, sort_keys=True)


def context_read(rules: Sequence[Rule]) -> set[str] | None:
    """Return which attributes of the context `rules` can read; None where that can't be told from their form."""
    found: set[str] = set()
    return found if all(_reads(rule.body["conditions"], found) for rule in rules) else None


def may_speak_of(rule: Rule, tool: str) -> bool:
    """Say whether `rule` may be about `tool`: its head names no other one."""
    head = rule.body["resource"]
    return head["op"] != "==" or head["entity"] == {"type": "MCP::Tool", "id": tool}


def _reads(node: object, found: set[str]) -> bool:
    """Add what a part of a condition reads; False where it takes the context as a whole."""
    if isinstance(node, list):
        return all(_reads(child, found) for child in cast(list[object], node))
    if not isinstance(node, dict):
        return True
    fields = cast(dict[str, Any], node)
    if fields == _CONTEXT:
        return False
    for operator in (".", "has"):
        inner = fields.get(operator)
        if len(fields) == 1 and isinstance(inner, dict):
            access = cast(dict[str, Any], inner)
            if access.get("left") == _CONTEXT and set(access) == {"left", "attr"}:
                found.add(str(access["attr"]))
                return True
    return all(_reads(child, found) for child in fields.values())
