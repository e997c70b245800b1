# SPDX-License-Identifier: Apache-2.0
"""docs/threats.md promises nothing that no test carries."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")

ATTACKS = (
    "edit with the chain",
    "reordered",
    "deletion in the middle",
    "tail cut",
    "emptied",
    "checkpoint removed",
    "signature stripped",
    "another key",
    "whole log replaced",
    "fork",
    "rollback",
    "a key twice",
    "by a tombstone",
    "forged deletion entry",
    "before the last change of key",
    "since the last change of key",
    "back-dated",
    "never logged",
    "same account",
    "live log deleted",
    "service swapped",
    "disk full",
    "power cut",
    "kill -9",
    "torn tail",
    "forged token",
    "confusion of algorithms",
    "has expired",
    "another audience",
    "replayed",
    "stolen",
    "clock that is wrong",
    "changes after it was first used",
    "under a new name",
)


def rows() -> dict[str, list[str]]:
    """Return the tests of each attack."""
    table = re.findall(r"^\| (.+?) \| .* \| (`.+`) \|$", PAGE, re.MULTILINE)
    return {attack: re.findall(r"`([^`]+)`", tests) for attack, tests in table}


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def exists(test: str) -> bool:
    name, _, function = test.partition("::")
    path = ROOT / name
    return path.is_file() and function in functions(path)


def test_every_row_names_tests_that_exist() -> None:
    assert len(rows()) == len(re.findall(r"^\| (?!attack|-)", PAGE, re.MULTILINE))
    assert {attack: gone for attack, tests in rows().items() if (gone := [t for t in tests if not exists(t)])} == {}


def test_no_attack_is_left_out() -> None:
    assert [attack for attack in ATTACKS if not any(attack in row for row in rows())] == []
