# SPDX-License-Identifier: Apache-2.0
"""Runs every file beside this one that has a `measure()`, and prints what came of it.

    python bench/run.py [--json] [NAME…]

`measure() -> list[Row]`; see `row.py`. Exit code 1 says that a budget was not kept.
"""

import argparse
import ast
import json
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.row import Row

HERE = Path(__file__).parent


def measuring() -> list[str]:
    """Return the names of the files that measure. Nothing is imported for that: one of them is a server."""
    return [path.stem for path in sorted(HERE.glob("*.py")) if _has_measure(path)]


def _has_measure(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "measure" for node in tree.body)


def main() -> int:
    """Measure, print, and return 1 where a budget was not kept."""
    names = measuring()
    parser = argparse.ArgumentParser(description="what being on the record costs")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(names)}")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"nothing measures {', '.join(sorted(unknown))}")
    sys.path[0] = str(HERE.parent)  # the files are one package, `bench`, wherever this was started
    rows: list[Row] = []
    for name in options.names or names:
        made = import_module(f"bench.{name}").measure()
        rows.extend(made)
        if not options.json:
            for row in made:
                say(row)
    if options.json:
        print(json.dumps([{**asdict(row), "kept": row.kept} for row in rows], ensure_ascii=False, indent=2))
    return 0 if all(row.kept for row in rows) else 1


def say(row: "Row") -> None:
    """Print a row for a person."""
    budget = "" if row.budget is None else f" (at most {row.budget:g} {row.unit})"
    ratio = f" (at most {row.at_most:g})" if row.at_most else f" (at least {row.at_least:g})" if row.at_least else ""
    print(f"{row.name}: {row.value:.1f} {row.unit}{budget}{'' if row.kept else ', NOT KEPT'}")
    print(f"    {row.ratio:.2g} ×{ratio} {row.against}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
