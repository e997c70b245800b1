# SPDX-License-Identifier: Apache-2.0
"""What a storm left, as the table that docs/benchmarks.md shows."""

from collections.abc import Mapping, Sequence


def print_table(title: str, rows: Mapping[str, str], problems: Sequence[str]) -> None:
    """Print a row for each name, and then each problem."""
    print(f"| {title} | |\n|---|---|")
    for name, text in rows.items():
        print(f"| {name} | {text} |")
    for problem in problems:
        print(f"PROBLEM: {problem}")
