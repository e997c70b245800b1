# SPDX-License-Identifier: Apache-2.0
"""`onrecord redact --explain` and `--list-rules`: which rules there are, and what each makes of a text.

What a text says is shown masked and neutralised; of what was found, only where it stands and how
long it is.
"""

from collections.abc import Iterator, Mapping

from onrecord.cli.terminal import print_json, put
from onrecord.rules.detection.checks import entropy
from onrecord.rules.detection.detectors import Detectors, masked
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.rule import Ready, Rule
from onrecord.rules.neutral import neutral
from onrecord.rules.pattern import Offsets, utf8

_WIDTH = 400  # characters of the text that are shown
_MOST = 20  # matches that came to nothing, that are shown

# What finds things and is no rule.
WITHOUT = {
    "assignment": "the value of a name that announces a secret (password, apiKey, X-Auth-Token)",
    "randomness": "drawn at random by its looks, after a word that announces a key",
    "unannounced": "drawn at random by its looks, and assigned to something",
    "columns": "a cell of a table, in a column whose head announces a secret",
    "presidio": "a name or a place, by Presidio's model",
    "overflow": "more than can be looked at, or a test that failed; all of the text is withheld",
    "budget": "later than may be looked at; all of the text is withheld",
}


def list_rules(detectors: Detectors, *, as_json: bool) -> None:
    """Print each rule on a line: id, label, class, licence, source."""
    for rule in detectors.rules:
        about = (rule.id, rule.label, rule.kind, rule.licence, rule.source)
        if as_json:
            print_json(dict(zip(("id", "label", "class", "licence", "source"), about, strict=True)))
        else:
            put("{:<32}  {:<32}  {:<6}  {:<12}  {}".format(*about).rstrip())


def explain(detectors: Detectors, text: str, *, low: bool, own: Mapping[str, str]) -> None:
    """Print what is found in `text`, by which rule and why, and what was looked at and turned down.

    `own` says in which file a rule stands that somebody added, by its id.
    """
    findings = detectors.find(text, low=low)
    put(f"text      {neutral(masked(detectors, text, low=low), _WIDTH)}")
    if not findings:
        put("found     nothing")
    rules = {rule.id: rule for rule in detectors.rules}
    for finding in findings:
        put("")
        for key, said in _about(finding, rules.get(finding.rule_id), text, own):
            put(f"{key:<8}  {said}")
    turned_down = list(_turned_down(detectors, text, findings, low=low))
    if turned_down:
        put("")
    for line in turned_down[:_MOST]:
        put(f"not       {line}")
    if len(turned_down) > _MOST:
        put(f"not       {len(turned_down) - _MOST} more")


def _about(finding: Finding, rule: Rule | None, text: str, own: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    value = text[finding.start : finding.end]
    yield "found", f"{finding.label} ({finding.kind})"
    yield "where", f"characters {finding.start} to {finding.end}, {len(value)} of them"
    if finding.view:
        yield "view", f"seen once the text was decoded: {finding.view}"
    yield "rule", finding.rule_id
    if rule is None:
        yield "why", WITHOUT.get(finding.rule_id, "by its form, without a rule")
        return
    yield "why", "; ".join(_why(rule, text, value))
    where = own.get(rule.id, "")
    yield "source", " · ".join(part for part in (where, rule.source, rule.licence) if part) or "this package"


def _why(rule: Rule, text: str, value: str) -> Iterator[str]:
    lowered = text.lower()
    present = [keyword for keyword in rule.keywords if keyword in lowered]
    yield f"matches {_cut(rule.regex)}"
    if present:
        near = f" within {rule.window[0]} before or {rule.window[1]} after" if rule.window else ""
        yield f"keyword {', '.join(present[:5])}{near}"
    if rule.check:
        yield f"check {rule.check} holds"
    if rule.entropy:
        yield f"{entropy(value):.1f} bits per character, at least {rule.entropy:.1f}"


def _cut(expression: str) -> str:
    return expression if len(expression) <= 120 else f"{expression[:119]}…"


def _turned_down(detectors: Detectors, text: str, findings: list[Finding], *, low: bool) -> Iterator[str]:
    """Yield each match of a rule that a further test turned down, where nothing else was found."""
    data = utf8(text)
    lowered = data.lower()
    for rule in detectors.rules:
        ready = Ready(rule)
        if not ready.called(lowered):
            continue
        spans = list(ready.spans(data))
        offsets = Offsets(data, {offset for span in spans for offset in span})
        for span in spans:
            start, end = offsets[span[0]], offsets[span[1]]
            if any(one.start < end and one.end > start for one in findings):
                continue
            where = f"characters {start} to {end} match {rule.id}"
            if low and rule.spare_low:
                yield f"{where}, which the class low spares"
            elif ready.confirmed(text, start, end) is None:
                yield f"{where}, but not its {_tests(rule, text[start:end])}"


def _tests(rule: Rule, value: str) -> str:
    """Say what a match of `rule` has to pass."""
    tests: list[str] = []
    if rule.window:
        tests.append(f"window (a keyword within {rule.window[0]} before or {rule.window[1]} after)")
    if rule.check:
        tests.append(f"check ({rule.check})")
    if rule.entropy:
        tests.append(f"entropy ({entropy(value):.1f} bits per character of {rule.entropy:.1f})")
    if rule.allow:
        tests.append("list of what is allowed")
    return " or ".join(tests) or "further tests"
