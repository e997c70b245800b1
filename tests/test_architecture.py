# SPDX-License-Identifier: Apache-2.0
"""The shape of the source: short files, short functions, each file introduced.

Who may import whom is for `make floors`.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# What may be longer, as "onrecord/guard.py" or "onrecord/guard.py:begin", with the reason. Best left empty.
EXCEPTIONS: dict[str, str] = {}


def modules() -> Iterator[tuple[str, str]]:
    """Yield the name and text of each source file."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8")


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Yield the name and number of lines of each function, decorators left out."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def too_long() -> dict[str, int]:
    """Return what is longer than it may be, and how long that is."""
    found: dict[str, int] = {}
    for name, text in modules():
        lines = len(text.splitlines())
        if lines > MAX_FILE_LINES:
            found[name] = lines
        found.update({f"{name}:{f}": n for f, n in functions(text) if n > MAX_FUNCTION_LINES})
    return found


def test_no_file_and_no_function_is_too_long() -> None:
    assert {name: n for name, n in too_long().items() if name not in EXCEPTIONS} == {}


def test_each_exception_is_still_needed() -> None:
    assert EXCEPTIONS.keys() - too_long().keys() == set()


def test_every_module_says_what_it_is() -> None:
    assert [name for name, text in modules() if not ast.get_docstring(ast.parse(text))] == []


def test_every_module_names_its_licence() -> None:
    spdx = "# SPDX-License-Identifier: Apache-2.0\n"
    assert [name for name, text in modules() if not text.startswith(spdx)] == []


def contract(name: str) -> dict[str, list[str]]:
    """Return a contract of `make floors`, by its id."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {c["id"]: c for c in settings["tool"]["importlinter"]["contracts"]}[name]


def test_every_module_that_is_promised_to_be_pure_exists() -> None:
    promised = [name.replace(".", "/") for name in contract("pure")["source_modules"]]
    found = {name for name in promised if any(SOURCE.glob(f"{name}.py")) or any(SOURCE.glob(name))}
    assert set(promised) - found == set()


def test_the_floors_and_the_pure_modules_of_the_contributing_page_are_those_that_are_checked() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Floors")[2].partition("\n## ")[0]
    shown = page.split("```")[1].strip().splitlines()
    assert [line.split(" · ") for line in shown] == [floor.split(" | ") for floor in contract("floors")["layers"]]
    pure = page.split("```")[2].partition(" are pure")[0]
    assert set(re.findall(r"`(\w+)`", pure)) == {name.split(".")[-1] for name in contract("pure")["source_modules"]}


def test_the_modules_that_the_contributing_page_names_exist() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)`", page)
    assert [name for name in named if not ((SOURCE / "onrecord" / name).exists() or (ROOT / name).exists())] == []
