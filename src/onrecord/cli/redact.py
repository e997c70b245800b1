# SPDX-License-Identifier: Apache-2.0
"""`onrecord redact`: a filter that masks what the record would mask, for people and for tests.

Text goes through line by line and keeps its lines: what was one line stays one, and the lines of a
private key become a label and empty lines. A secret that was found once is masked in all lines that
follow, also where nothing gives it away. With `--json` each line is judged alone, and what was found
is said beside it; with `--fields` each line is a JSON value, whose names tell what its values are.

Nothing that came in is ever part of an error.
"""

import sys
from argparse import Namespace
from pathlib import Path

from onrecord import compiled
from onrecord.cli.explain import explain, list_rules
from onrecord.cli.fields import Fields
from onrecord.cli.inputs import LONGEST, opened
from onrecord.cli.lines import Lines
from onrecord.cli.schemas import schemas
from onrecord.cli.terminal import put
from onrecord.cli.values import BadLine, each_value
from onrecord.cli.withheld import Withheld
from onrecord.compiled import RuleText
from onrecord.errors import ConfigError, OnRecordError
from onrecord.event.call import Json
from onrecord.rules.detection.detectors import Detectors
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.flagging import flags
from onrecord.rules.detection.masking import masked_whole
from onrecord.rules.detection.rule import read_rules


def redact(options: Namespace) -> int:
    """Filter standard input, or the files that are named."""
    _refuse_what_does_not_go_together(options)
    texts = [_rule_text(path) for path in options.rules]
    searching = compiled.ready(texts)
    detectors, low = searching.detectors, options.classification == "low"
    if options.check:
        _say_checked(texts)
    elif options.list_rules:
        list_rules(detectors, as_json=options.json)
    elif options.explain is not None:
        text = options.explain[0] or sys.stdin.buffer.read(LONGEST).decode("utf-8", "surrogateescape")
        own = {rule.id: where for where, rules in texts for rule in read_rules(rules, where)}
        explain(detectors, text.removesuffix("\n"), low=low, own=own)
    else:
        _filter(options, detectors, low=low)
    return 0


def _refuse_what_does_not_go_together(options: Namespace) -> None:
    """Raise OnRecordError rather than leave out of account what was asked for."""
    if options.json and (options.fields or options.schema or options.check or options.explain is not None):
        raise OnRecordError("--json goes with --list-rules, or alone")
    doing = "--explain" if options.explain is not None else "--list-rules" if options.list_rules else ""
    doing = "--check" if options.check else doing
    if doing and options.schema:
        raise OnRecordError(f"{doing} and --schema don't go together")
    if doing and options.files:
        more = "; give a text as its argument, or on standard input" if doing == "--explain" else ""
        raise OnRecordError(f"{doing} reads no file{more}")
    if doing in ("--list-rules", "--check") and options.classification:
        raise OnRecordError(f"{doing} and --class don't go together")
    if options.explain is not None and len(options.explain) > 1:
        raise OnRecordError("--explain explains one text; run it once for each")
    if options.check and not options.rules:
        raise OnRecordError("--check needs --rules FILE, whose rules it checks")


def _say_checked(texts: list[RuleText]) -> None:
    """Say how many rules each file has, all of which were proven."""
    for where, text in texts:
        count = len(read_rules(text, where))
        put(f"{where}: {count} {'rule is' if count == 1 else 'rules are'} fine")


def _filter(options: Namespace, detectors: Detectors, *, low: bool) -> None:
    withheld = Withheld()
    try:
        if options.schema or options.fields:
            fields = Fields(detectors, withheld, schemas=schemas(options.schema), low=low)
            each_value(options.files, fields.redacted)
        elif options.json:
            each_value(options.files, _Rows(detectors, withheld, low=low).answered)
        else:
            Lines(detectors, withheld, low=low).filter(options.files)
    finally:
        withheld.say()


# one line, one value


class _Rows:
    """Answers lines of `--json`, each alone."""

    def __init__(self, detectors: Detectors, withheld: Withheld, *, low: bool) -> None:
        self._detectors = detectors
        self._withheld = withheld
        self._low = low

    def answered(self, value: Json) -> Json:
        """Return what is found in a line. Raises BadLine where it is none."""
        text = value.get("text") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(text, str):
            raise BadLine('is not an object with a "text"')
        shown, findings = masked_whole(self._detectors, text, low=self._low)
        self._withheld.compare(text, shown)
        return {
            "id": value.get("id"),
            "redacted": shown,
            "findings": [_said(finding) for finding in findings],
            "flags": [
                {"start": one.start, "end": one.end, "flag": one.flag, "rule": one.rule_id} for one in flags(text)
            ],
        }


def _said(finding: Finding) -> Json:
    return {
        "start": finding.start,
        "end": finding.end,
        "label": finding.label,
        "class": finding.kind,
        "rule": finding.rule_id,
    }


# files


def _rule_text(path: Path) -> RuleText:
    with opened(path) as file:
        try:
            return RuleText(str(path), file.read(LONGEST).decode())
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: is not UTF-8") from None
