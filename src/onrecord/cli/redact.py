# SPDX-License-Identifier: Apache-2.0
"""`onrecord redact`: a filter that masks what the record would mask, for people and for tests.

Text goes through line by line and keeps its lines: what was one line stays one, and the lines of a
private key become a label and empty lines. A secret that was found once is masked in all lines that
follow, also where nothing gives it away. With `--json` each line is judged alone, and what was found
is said beside it; with `--fields` each line is a JSON value, whose names tell what its values are.

Nothing that came in is ever part of an error.
"""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from onrecord import compiled
from onrecord.cli.explain import explain, list_rules
from onrecord.cli.fields import Fields
from onrecord.cli.masking import masked_whole
from onrecord.cli.terminal import say
from onrecord.compiled import RuleText
from onrecord.errors import ConfigError, OnRecordError
from onrecord.event.call import Json
from onrecord.rules.detection.detectors import Detectors
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.flagging import flags
from onrecord.rules.detection.labels import label_only
from onrecord.rules.echo import FOUND, Secrets
from onrecord.rules.marks import has_marks

LONGEST = 64 << 20  # bytes of a line; a longer one is withheld, as it can't be looked at whole
KEY_LINES = 2_000  # lines of one private key; those of the largest in use are some 400
_TOO_LONG = "[WITHHELD:budget]"

_BEGINS, _ENDS = b"PRIVATE KEY", b"-----END "
_KEY_BODY = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
_AROUND_KEY = b" \t\r\n\"',\\"  # of a line of a key that stands in source code


def redact(options: Namespace) -> int:
    """Filter standard input, or the files that are named."""
    if options.json and (options.fields or options.schema or options.explain is not None):
        raise OnRecordError("--json goes with --list-rules, or alone")
    searching = compiled.ready([_rule_text(path) for path in options.rules])
    detectors, low = searching.detectors, options.classification == "low"
    if options.list_rules:
        list_rules(detectors, as_json=options.json)
    elif options.explain is not None:
        text = options.explain or sys.stdin.buffer.read(LONGEST).decode("utf-8", "surrogateescape")
        explain(detectors, text.removesuffix("\n"), low=low)
    elif options.schema or options.fields:
        fields = Fields(detectors, schema=_schema(options.schema), low=low)
        _each_value(options.files, fields.redacted)
    elif options.json:
        _each_value(options.files, _Rows(detectors, low=low).answered)
    else:
        _Text(detectors, low=low).filter(options.files)
    return 0


# text


class _Text:
    """Masks lines of text, and remembers what it found for the lines that follow."""

    def __init__(self, detectors: Detectors, *, low: bool) -> None:
        self._detectors = detectors
        self._low = low
        self._secrets = Secrets(detectors.labels)

    def filter(self, files: list[str]) -> None:
        """Write what the files say to standard output, masked."""
        for _, lines in _inputs(files):
            for data in _passages(lines):
                sys.stdout.buffer.write(self._masked(data))
                sys.stdout.buffer.flush()

    def _masked(self, data: bytes | None) -> bytes:
        if data is None:
            return f"{_TOO_LONG}\n".encode()
        text = data.decode("utf-8", "surrogateescape")
        shown, findings = masked_whole(self._detectors, text, low=self._low)
        if not findings and not self._secrets:
            return data
        for finding in findings:
            if finding.kind == "secret":
                self._secrets.add(text[finding.start : finding.end], label_only(finding.label), FOUND)
        shown = self._secrets.masked(shown)
        lines = "\n" * (text.count("\n") - shown.count("\n"))
        return (shown + lines).encode("utf-8", "surrogateescape")


def _passages(lines: Iterator[bytes | None]) -> Iterator[bytes | None]:
    """Yield each line; those of a private key together."""
    held: list[bytes] = []
    for line in lines:
        if held:
            goes_on = line is not None and len(held) < KEY_LINES and _goes_on(line)
            if goes_on and line is not None:
                held.append(line)
                if _ENDS not in line:
                    continue
            yield b"".join(held)
            held = []
            if goes_on:
                continue
        if line is not None and _BEGINS in line and _ENDS not in line:
            held.append(line)
        else:
            yield line
    if held:
        yield b"".join(held)


def _goes_on(line: bytes) -> bool:
    """Say whether a line may be one of a private key: a header, what is encoded, or its end."""
    words = line.strip(_AROUND_KEY).split()
    return not words or _ENDS in line or words[0].endswith(b":") or _KEY_BODY.issuperset(words[-1].strip(_AROUND_KEY))


# one line, one value


class _BadLine(ValueError):
    """A line is not what it should be; the message says in what, and nothing of what is there."""


class _Rows:
    """Answers lines of `--json`, each alone."""

    def __init__(self, detectors: Detectors, *, low: bool) -> None:
        self._detectors = detectors
        self._low = low

    def answered(self, value: Json) -> Json:
        """Return what is found in a line. Raises _BadLine where it is none."""
        text = value.get("text") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(text, str):
            raise _BadLine('is not an object with a "text"')
        shown, findings = masked_whole(self._detectors, text, low=self._low)
        return {
            "id": value.get("id"),
            "redacted": shown,
            "findings": [_said(finding) for finding in findings],
            "flags": output_flags(text),
        }


def _said(finding: Finding) -> Json:
    return {
        "start": finding.start,
        "end": finding.end,
        "label": finding.label,
        "class": finding.kind,
        "rule": finding.rule_id,
    }


def output_flags(text: str) -> list[Json]:
    """Return what in `text` looks like an attempt to mislead its reader: signs, never proof."""
    return [{"start": one.start, "end": one.end, "flag": one.flag, "rule": one.rule_id} for one in flags(text)]


def _each_value(files: list[str], answer: Callable[[Json], Json]) -> None:
    """Write what `answer` makes of the value in each line, a line each. Raises OnRecordError at the first bad line."""
    out = sys.stdout.buffer
    for where, lines in _inputs(files):
        for number, line in enumerate(lines, 1):
            if line is not None and line.isspace():
                continue
            try:
                answered = json.dumps(answer(_value(line)), separators=(",", ":"), allow_nan=False)
            except _BadLine as e:
                raise OnRecordError(f"{where}line {number} {e}") from None
            except (ValueError, RecursionError) as e:
                raise OnRecordError(f"{where}line {number} can't be redacted: {type(e).__name__}") from None
            out.write(answered.encode() + b"\n")
            out.flush()


def _value(line: bytes | None) -> Json:
    """Return the JSON value in `line`. Raises _BadLine."""
    if line is None:
        raise _BadLine(f"is longer than {LONGEST >> 20} MiB")
    try:
        return json.loads(line.decode(), parse_constant=_refused)
    except UnicodeDecodeError:
        raise _BadLine("is not UTF-8") from None
    except json.JSONDecodeError as e:
        raise _BadLine(f"is not JSON: {e.msg.lower()} at column {e.colno}") from None
    except RecursionError:
        raise _BadLine("is nested too deep") from None
    except ValueError:
        raise _BadLine("holds a number that is too long, or none that JSON knows") from None


def _refused(_constant: str) -> Json:
    raise ValueError


# files


def _inputs(files: list[str]) -> Iterator[tuple[str, Iterator[bytes | None]]]:
    """Yield each file: what to call it in an error, and its lines."""
    for name in files or ["-"]:
        if name == "-":
            yield "", _lines(sys.stdin.buffer)
            continue
        with _opened(Path(name)) as file:
            yield f"{name}: ", _lines(file)


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Yield each line with its end, as soon as it is there; None for one that is too long."""
    while line := file.readline(LONGEST + 1):
        if len(line) <= LONGEST or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST)
        yield None


@contextmanager
def _opened(path: Path) -> Generator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as e:
        raise OnRecordError(f"{path}: cannot be read: {os.strerror(e.errno or 0).lower()}") from e
    with file:
        yield file


def _rule_text(path: Path) -> RuleText:
    with _opened(path) as file:
        try:
            return RuleText(str(path), file.read(LONGEST).decode())
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: is not UTF-8") from None


def _schema(path: Path | None) -> Json:
    """Return the schema in a file; without one, a schema that marks nothing. Raises ConfigError."""
    if path is None:
        return True
    with _opened(path) as file:
        try:
            schema = _value(file.read(LONGEST))
        except _BadLine as e:
            raise ConfigError(f"{path} {e}") from None
    if not isinstance(schema, dict | bool):
        raise ConfigError(f"{path} is not a JSON Schema, which is an object")
    if not has_marks(schema):
        say(f"{path} marks nothing as sensitive: no sensitive, x-sensitive, writeOnly, or format password")
    return schema
