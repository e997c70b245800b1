# SPDX-License-Identifier: Apache-2.0
"""What the redaction finds, what it finds wrongly, and how long it takes.

    python bench/redact.py [--data FILE] [--tuned FILE] [--flags FILE] [--beside FOLDER] [--quick]

Labelled rows are those of tests/vectors/redaction unless `--data` names others. `--tuned` names rows
that rules were tuned on: what is of another kind than those counts as unseen. `--flags` names texts
that try to mislead, and texts that only look alike. `--beside` asks other tools the same, in
environments made below FOLDER (about 600 MB). `make bench` runs the quick part.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # the files are one package, `bench`, wherever this was started

from bench.redaction import peer
from bench.redaction.encodings import FORMS
from bench.redaction.events import events, hostile, traffic
from bench.redaction.scoring import ENOUGH, Found, Labelled, Share, counted, covered, kinds_of, percentile, read, score
from bench.row import Row

from onrecord import compiled
from onrecord.event.call import Actor, Call, Connection, Definition, Raw
from onrecord.event.event import Event
from onrecord.rules.classify import ToolRule, classify
from onrecord.rules.detection.detectors import Detectors
from onrecord.rules.detection.flagging import flags
from onrecord.rules.detection.offsets import APART
from onrecord.rules.redact import Redactor

SAMPLE = Path(__file__).parents[1] / "tests" / "vectors" / "redaction" / "sample.jsonl"

EVENTS, ROUNDS = 240, 25
LARGE, LARGEST = 100_000, 1_000_000  # characters
PATIENCE_S = 3.0  # for one hostile text; a slower one is not tried at a greater size
FORMS_OF = 150  # secrets that are put into each form


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the table."""

    measure: str
    value: str
    wanted: str = ""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="what the redaction finds, and how long it takes")
    parser.add_argument("--data", type=Path, default=SAMPLE, metavar="FILE")
    parser.add_argument("--tuned", type=Path, metavar="FILE")
    parser.add_argument("--flags", type=Path, metavar="FILE")
    parser.add_argument("--beside", type=Path, metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    options = parser.parse_args()
    searching = ready()
    detectors, rows = searching.detectors, read(options.data)
    tuned = kinds_of(read(options.tuned)) if options.tuned else frozenset[str]()
    print(f"{options.data.name}: {counted(rows)}; {len(detectors.rules)} rules, {searching.gate} {searching.why}\n")
    lines = [*found_lines(rows, ours(detectors), tuned), *time_lines(detectors, rows)]
    lines += form_lines(detectors, rows)
    if options.flags:
        lines += flag_lines(options.flags)
    if not options.quick:
        lines += hostile_lines(detectors)
    say(lines)
    if options.beside:
        for name, package, script in peer.PEERS:
            print(f"\n{name}")
            try:
                say(peer_lines(rows, peer.installed(package, options.beside), script, tuned))
            except peer.NotThere as e:
                print(f"  left out: {e}")
    return 0


def say(lines: Sequence[Line]) -> None:
    """Print lines of the table for a person."""
    for line in lines:
        print(f"  {line.measure:<58}  {line.value:<34}  {line.wanted}".rstrip(), flush=True)


def ready() -> compiled.Ready:
    """Return the detectors, compiled: what is measured is not a first start."""
    found = compiled.ready()
    if found.gate == "keywords":
        compiled.main()
        found = compiled.ready()
    return found


def ours(detectors: Detectors) -> Callable[[Labelled], list[Found]]:
    """Return how we find."""

    def find(row: Labelled) -> list[Found]:
        return [Found(start=one.start, end=one.end, kind=one.kind) for one in detectors.find(row.text)]

    return find


# what is found


def found_lines(
    rows: Sequence[Labelled], find: Callable[[Labelled], Sequence[Found]], tuned: frozenset[str]
) -> list[Line]:
    """Return how much is found in `rows`, and how much wrongly."""
    result = score(rows, find, tuned)
    lines = [
        Line(measure="secrets fully masked", value=str(result.secrets), wanted="≥ 92 %"),
        Line(measure="  kinds of which nine tenths are", value=str(result.kinds_found)),
        Line(measure="texts of real traffic in which anything is found", value=str(result.corpus), wanted="≤ 0.4 %"),
        Line(measure="texts without a secret in which one is found (strict)", value=str(result.strict)),
        Line(measure="precision, strict", value=f"{result.precision:.1%}", wanted="≥ 98 %"),
        Line(measure="core personal data found", value=str(result.core), wanted="≥ 95 %"),
        Line(measure="  of all kinds", value=str(result.personal)),
        Line(measure="  found where there is none", value=str(result.personal_false), wanted="≤ 1.5 %"),
    ]
    if tuned:
        lines.insert(1, Line(measure="  of kinds that nothing was tuned on", value=str(result.unseen), wanted="≥ 90 %"))
    return lines


def form_lines(detectors: Detectors, rows: Sequence[Labelled]) -> Iterator[Line]:
    """Yield what is found in each form, of the secrets that are found as they are."""
    find = ours(detectors)
    found = [
        row
        for row in rows
        if row.category == "secret"
        and len(row.spans) == 1
        and row.spans[0][1] - row.spans[0][0] >= 12
        and covered(row.spans, find(row)) >= ENOUGH
    ]
    chosen = found[:: max(1, len(found) // FORMS_OF)][:FORMS_OF]
    for name, form in FORMS.items():
        share = Share()
        for row in chosen:
            text, span = form(row.text, *row.spans[0])
            kept = [Found(start=one.start, end=one.end, kind=one.kind) for one in detectors.find(text)]
            share.add(covered([span], kept) >= ENOUGH)
        wanted = "" if name == "plain" else "≥ 93 %" if name.startswith(("URL", "HTML")) else "≥ 95 %"
        yield Line(measure=f"found in the form: {name}", value=str(share), wanted=wanted)


def flag_lines(file: Path) -> Iterator[Line]:
    """Yield how many texts are flagged: those that try to mislead, and others."""
    shares = {name: Share() for name in ("tool output", "hidden text", "all", "benign")}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        flagged = bool(flags(row["text"]))
        if not row["label"]:
            shares["benign"].add(flagged)
            continue
        shares["all"].add(flagged)
        if row["kind"].startswith("hidden"):
            shares["hidden text"].add(flagged)
        elif row["carrier"] == "tool_output":
            shares["tool output"].add(flagged)
    for name, wanted in (("tool output", "≥ 55 %"), ("hidden text", "≥ 95 %"), ("all", ""), ("benign", "≤ 0.3 %")):
        yield Line(measure=f"texts that are flagged: {name}", value=str(shares[name]), wanted=wanted)


# how long it takes


def time_lines(detectors: Detectors, rows: Sequence[Labelled]) -> Iterator[Line]:
    """Yield how long events and long texts take."""
    made = events(EVENTS)
    size = sum(len(json.dumps(event)) for event in made) / len(made)
    for name, times in (
        ("search of its text", scanned_us(detectors, made)),
        ("whole event, as it is recorded", recorded_us(detectors, made)),
    ):
        value = f"p50 {percentile(times, 0.5):.1f} µs, p99 {percentile(times, 0.99):.1f} µs"
        yield Line(measure=f"call of {size:.0f} bytes: {name}", value=value, wanted="≤ 25 / 100 µs")
    for length in (LARGE, LARGEST):
        text = traffic(list(rows), length)
        took = min(_took_s(lambda text=text: detectors.find(text)) for _ in range(5))
        value = f"{length / 1e6 / took:.0f} MB/s ({took * 1000:.1f} ms)"
        yield Line(measure=f"real texts, {length // 1000} KB at once", value=value, wanted="≥ 50 MB/s")


def _took_s(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _best_us(works: Sequence[Callable[[], object]]) -> list[float]:
    """Return the best time of each of `works`; all are done once before any is done again."""
    best = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for i, work in enumerate(works):
            best[i] = min(best[i], _took_s(work) * 1e6)
    return best


def scanned_us(detectors: Detectors, made: list[dict[str, object]]) -> list[float]:
    """Return how long a search of each event's text takes, `key: value` a line."""
    texts = [APART.join(_leaves("", event)) for event in made]
    return _best_us([lambda text=text: detectors.find(text) for text in texts])


def _leaves(key: str, value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _leaves(str(name), child)
    elif isinstance(value, list):
        for child in value:
            yield from _leaves(key, child)
    else:
        yield f"{key}: {value}"


def recorded_us(detectors: Detectors, made: list[dict[str, object]]) -> list[float]:
    """Return how long it takes to make the event of each call: walk, search, digest, and the final look."""
    redactor = Redactor(digest_key=bytes(32), detectors=detectors)
    base = Event(event_id="event-1", event_type="tool_call", phase="attempt")
    return _best_us([_attempt(redactor, base, arguments) for arguments in made])


def _attempt(redactor: Redactor, base: Event, arguments: dict[str, object]) -> Callable[[], object]:
    call = Call(
        event_type="tool_call",
        method="tools/call",
        name="a_tool",
        arguments=Raw(arguments),  # type: ignore[arg-type]
        meta=Raw(None),
        request_id=1,
        connection=Connection(
            session_id="s",
            server_id="files",
            transport="stdio",
            actor=Actor(user_id="u", identity_source="os_account", identity_assurance="os_account"),
        ),
        size_bytes=len(json.dumps(arguments)),
        definition=Definition(name="a_tool", digest="d", input_schema=Raw({"type": "object"}), output_schema=Raw(None)),
    )
    treatment = classify(call, [ToolRule(tier=2)])
    return lambda: redactor.attempt(call, treatment, base)


def hostile_lines(detectors: Detectors) -> Iterator[Line]:
    """Yield how long texts take that are made to be slow, and how much longer twice as long ones take."""
    for name, _ in hostile(1):
        size, took, before = LARGEST // 16, 0.0, 0.0
        while size <= 2 * LARGEST and took < PATIENCE_S:
            text = dict(hostile(size))[name]
            before, took = took, min(_took_s(lambda text=text: detectors.find(text)) for _ in range(2))
            size *= 2
        size //= 2
        at_1_mb = before if size == 2 * LARGEST else took * LARGEST / size
        value = f"{at_1_mb:.3f} s, then × {took / max(before, 1e-9):.1f}"
        if size < 2 * LARGEST:
            value = f"given up after {took:.1f} s for {size / 1e6:.2f} MB"
        yield Line(measure=f"1 MB of {name}", value=value, wanted="≤ 0.50 s, × 2.3")


# beside others


def peer_lines(rows: Sequence[Labelled], python: Path, script: str, tuned: frozenset[str]) -> list[Line]:
    """Return what another tool makes of the same rows and events. Raises NotThere."""
    made = ["\n".join(_leaves("", event)) for event in events(EVENTS)]
    answers = peer.asked(python, script, [*(row.text for row in rows), *made, *made])
    found = {row.id: answer.found for row, answer in zip(rows, answers, strict=False)}
    lines = found_lines(rows, lambda row: found[row.id], tuned)
    times = [answer.took_us for answer in answers[-len(made) :]]
    value = f"p50 {percentile(times, 0.5):.1f} µs, p99 {percentile(times, 0.99):.1f} µs"
    return [*lines, Line(measure="call: search of its text", value=value)]


# for `make bench`


def measure() -> list[Row]:
    """Return what redaction costs: an event, beside encoding it as JSON; a long text, beside copying it."""
    detectors = ready().detectors
    made = events(EVENTS)
    encoded = _best_us([lambda event=event: json.dumps(event) for event in made])
    recorded = recorded_us(detectors, made)
    text = traffic(read(SAMPLE), LARGEST)
    searched = min(_took_s(lambda: detectors.find(text)) for _ in range(5))
    lowered = min(_took_s(text.lower) for _ in range(5))
    return [
        Row(
            name="redaction: event of a call of 500 bytes, p50",
            value=percentile(recorded, 0.5),
            unit="µs",
            budget=None,
            ratio=percentile(recorded, 0.5) / percentile(encoded, 0.5),
            against=f"its encoding as JSON ({percentile(encoded, 0.5):.1f} µs)",
        ),
        Row(
            name="redaction: search of 1 MB",
            value=searched * 1000,
            unit="ms",
            budget=None,
            ratio=searched / lowered,
            against=f"putting it into small letters ({lowered * 1000:.1f} ms)",
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
