# SPDX-License-Identifier: Apache-2.0
"""Lines that are JSON values, each read, answered and written by itself; an error repeats nothing of them."""

import json
import sys
from collections.abc import Callable

from onrecord.cli.inputs import LONGEST, inputs
from onrecord.errors import OnRecordError
from onrecord.event.call import Json


class BadLine(ValueError):
    """A line is not what it should be; the message says in what, and nothing of what is there."""


def each_value(files: list[str], answer: Callable[[Json], Json]) -> None:
    """Write what `answer` makes of the value in each line, a line each. Raises OnRecordError at the first bad line."""
    out = sys.stdout.buffer
    for where, lines in inputs(files):
        for number, line in enumerate(lines, 1):
            if line is not None and line.isspace():
                continue
            try:
                answered = json.dumps(answer(value_of(line)), separators=(",", ":"), allow_nan=False)
            except BadLine as e:
                raise OnRecordError(f"{where}line {number} {e}") from None
            except (ValueError, RecursionError) as e:
                raise OnRecordError(f"{where}line {number} can't be redacted: {type(e).__name__}") from None
            out.write(answered.encode() + b"\n")
            out.flush()


def value_of(line: bytes | None) -> Json:
    """Return the JSON value in `line`. Raises BadLine."""
    if line is None:
        raise BadLine(f"is longer than {LONGEST >> 20} MiB")
    try:
        return json.loads(line.decode(), parse_constant=_refused)
    except UnicodeDecodeError:
        raise BadLine("is not UTF-8") from None
    except json.JSONDecodeError as e:
        raise BadLine(f"is not JSON: {e.msg.lower()} at column {e.colno}") from None
    except RecursionError:
        raise BadLine("is nested too deep") from None
    except ValueError:
        raise BadLine("holds a number that is too long, or none that JSON knows") from None


def _refused(_constant: str) -> Json:
    raise ValueError
