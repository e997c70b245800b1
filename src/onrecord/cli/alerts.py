# SPDX-License-Identifier: Apache-2.0
"""`onrecord alerts`: what on the record somebody should look at, who does, and what became of it.

What is new is looked at first, unless another process is at that. What somebody says about a finding is an event of
the log `security`, and nothing else changes.
"""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from onrecord.alerting import evaluation_of, rules_of
from onrecord.cli.accessed import accessed
from onrecord.cli.findings import facts_of, said_of, summary_of
from onrecord.cli.read import log_of
from onrecord.cli.terminal import one_line, print_json, put, say
from onrecord.cli.times import instant_us
from onrecord.config import record_once
from onrecord.errors import CommandError, LedgerBusy, NotVerified, OnRecordError, plainly
from onrecord.event.schema import read_event
from onrecord.ledger.clock import now_us, parse_time
from onrecord.ledger.durable import FileLock
from onrecord.ledger.entries import entries_at
from onrecord.ledger.lines import segment_files
from onrecord.ledger.place import Home
from onrecord.settings import Loaded, home_folder, load
from onrecord.views.signals.condition import nearest
from onrecord.views.signals.queue import SHORTEST, Item, Said, at_least, can, items_in, named, saying
from onrecord.views.signals.rule import Rule
from onrecord.views.signals.state import folder_of

_WAIT_S = 2.0  # for another process that evaluates, or that says something about a finding
_FIRST_S = 2.0  # what takes less needs no word
_DONE: dict[Said, str] = {"acknowledged": "acknowledged", "closed": "closed", "reopened": "open again"}


def alerts(options: Namespace) -> int:
    """Show the findings that are asked for."""
    if options.limit < 1:
        raise OnRecordError(f"--limit {options.limit} asks for nothing; give a number of findings")
    since_us = 0 if options.since is None else instant_us(options.since, "--since")
    home, loaded = _opened(options)
    rules = rules_of(loaded)
    known = {rule.id for rule in rules} | set(loaded.settings.signals.off)
    _look(home, loaded, rules)
    items = items_in(home.log("security"))
    known |= {item.rule for item in items.values()}
    for name in options.rule:
        if name not in known:
            raise OnRecordError(f"--rule {name!r}: there is no such rule; {nearest(name, known)}")
    wanted = _wanted(options, since_us)
    found = [item for item in items.values() if wanted(item)]
    shown = found[-options.limit :]
    asked = {"state": options.state or "", "rule": ",".join(options.rule), "severity": options.severity or ""}
    accessed(home, "alerts", **asked, since=options.since or "", count=str(len(shown)))
    for item in shown:
        _print_row(item, as_json=options.json)
    if len(shown) < len(found):
        say(f"{len(found) - len(shown)} older ones are not shown; --limit changes that")
    elif not shown and not options.json:
        say("no finding is like that" if items else "nothing was found so far")
    return int(any(item.state == "open" for item in shown))


def show(options: Namespace) -> int:
    """Show one finding: what was found, why, the event that it is about, and what was said."""
    home, _ = _opened(options)
    item = _meant(home, options.id)
    accessed(home, "alerts", which=item.id)
    if options.json:
        print_json(facts_of(item))
        return 0
    facts = facts_of(item)
    width = max(map(len, facts))
    for name, value in facts.items():
        if name != "said" and value != []:
            put(f"{name:<{width}}  {', '.join(map(str, value)) if isinstance(value, list) else value}")  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    for each in item.said:
        put(f"{'said':<{width}}  {'  '.join(said_of(each).values())}")
    for line in _last_event(home, item):
        put(f"{'last event':<{width}}  {line}")
    return 0


def acknowledge(options: Namespace) -> int:
    """Say that somebody looks at a finding."""
    return _say(options, "acknowledged")


def close(options: Namespace) -> int:
    """Say that a finding is settled."""
    if not options.reason.strip():
        raise OnRecordError("--reason is empty; say why it is settled")
    return _say(options, "closed")


def reopen(options: Namespace) -> int:
    """Say that a finding is not settled after all."""
    return _say(options, "reopened")


def _say(options: Namespace, said: Said) -> int:
    home, loaded = _opened(options)
    with _alone(home):
        item = _meant(home, options.id)
        if not can(item, said):
            raise CommandError(f"{item.id} is {item.state}, so it cannot be {said}; nothing was changed", 1)
        outside = {"reason": options.reason} if options.reason else {}
        record_once(home, loaded, "security", saying(item, said), outside)
        item = _meant(home, item.id)
    if options.json:
        print_json(facts_of(item))
    else:
        put(f"{item.id} is {_DONE[said]}: {item.text('title')}")
    return 0


def _opened(options: Namespace) -> tuple[Home, Loaded]:
    if options.home is not None:
        os.environ["ONRECORD_HOME"] = str(options.home.absolute())
    home = home_folder()
    if not segment_files(home.log("security")):
        log_of(home, "calls")
    return home, load(home, options.config)


def _look(home: Home, loaded: Loaded, rules: tuple[Rule, ...]) -> None:
    """Look at what is new, or say why that is not done; what was found before is there in any case."""
    tell = _telling()
    try:
        with evaluation_of(home, loaded, rules, deadline_s=_WAIT_S) as evaluation:
            for _ in evaluation.run(now_us()):
                tell(evaluation.seen)
    except LedgerBusy:
        say("another process looks at what is new; this is what was found so far")
    except (OnRecordError, PermissionError) as e:
        say(f"what is new was not looked at: {plainly(e)}; this is what was found before")


def _telling() -> Callable[[int], None]:
    """Return what tells a person that there is much to look at first."""
    next_at = time.monotonic() + _FIRST_S

    def tell(count: int) -> None:
        nonlocal next_at
        if sys.stderr.isatty() and time.monotonic() > next_at:
            say(f"what is new is looked at first: {count:,} events so far")
            next_at = time.monotonic() + _FIRST_S

    return tell


def _wanted(options: Namespace, since_us: int) -> Callable[[Item], bool]:
    severities = at_least(options.severity or "low")
    state = options.state or ""

    def wanted(item: Item) -> bool:
        if options.rule and item.rule not in options.rule:
            return False
        if item.severity not in severities or (since_us and _at_us(item) < since_us):
            return False
        return (
            item.state == state
            if state in ("open", "acknowledged", "closed")
            else bool(state) or item.state != "closed"
        )

    return wanted


def _at_us(item: Item) -> int:
    """Return when what was found happened, or, where that is withheld, when it was found."""
    try:
        return parse_time(item.text("at") or item.event.timestamp)
    except NotVerified:
        return parse_time(item.event.timestamp)


def _print_row(item: Item, *, as_json: bool) -> None:
    facts = facts_of(item)
    if as_json:
        print_json(facts)
    else:
        put(f"{summary_of(facts)}{'' if item.state == 'open' else f'  ({item.state})'}")
        put(f"    {item.text('title')}: {item.text('why')}")


def _meant(home: Home, begins: str) -> Item:
    """Return the one finding that is meant. Raises CommandError."""
    if len(begins) < SHORTEST:
        raise CommandError(f"give the first {SHORTEST} characters of the id, or more; see: onrecord alerts", 2)
    found = named(items_in(home.log("security")), begins)
    if len(found) != 1:
        many = f"{len(found)} findings begin so" if found else "there is no such finding"
        raise CommandError(f"{many}; see: onrecord alerts --state all", 2)
    return found[0]


@contextmanager
def _alone(home: Home) -> Generator[None]:
    """Keep others from saying something about a finding meanwhile. Raises LedgerBusy."""
    folder_of(home).mkdir(mode=0o700, exist_ok=True)
    lock = FileLock(folder_of(home) / "saying.lock")
    try:
        lock.acquire(time.monotonic() + _WAIT_S)
        yield
    finally:
        lock.close()


def _last_event(home: Home, item: Item) -> Iterator[str]:
    """Yield the last event that a finding is about, if it is still there."""
    log, seq = item.text("log"), item.event.detail.get("seq")
    if log not in ("calls", "security") or not isinstance(seq, int):
        return
    line = entries_at(home.log(log), [seq]).get(seq)
    try:
        event = None if line is None else read_event(line)
    except NotVerified:
        event = None
    if event is not None and event.event_id in item.event.detail.get("events", ()):
        yield one_line(event)
