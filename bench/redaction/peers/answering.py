# SPDX-License-Identifier: Apache-2.0
"""What the scripts beside this one share: lines of {"text"} in, lines of {"spans", "us"} out.

Nothing but the standard library: they run in environments that hold another tool and not this one.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator


def answer(find: Callable[[str], list[tuple[int, int, str]]]) -> None:
    """Answer each line of standard input with what `find` finds, and the microseconds that this took."""
    for line in sys.stdin:
        text = json.loads(line)["text"]
        began = time.perf_counter_ns()
        spans = find(text)
        took_us = (time.perf_counter_ns() - began) / 1000
        sys.stdout.write(json.dumps({"spans": spans, "us": took_us}) + "\n")


def everywhere(text: str, value: str) -> Iterator[tuple[int, int]]:
    """Yield each place where `value` stands in `text`."""
    at = text.find(value)
    while at >= 0:
        yield at, at + len(value)
        at = text.find(value, at + len(value))
