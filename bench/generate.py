# SPDX-License-Identifier: Apache-2.0
"""A log of a year, of any number of events, as a company's agents would leave it: a generator with realistic skew.

Calls are of 3,000 people of 20 tenants, on 24 servers with some 340 tools and 200,000 resources, all by Zipf's law,
more by day than by night and fewer on weekends. Most have an attempt and a result; some are denied, fail, wait for an
approval, are flagged or come again. Texts are made of 6,000 words, most of which are rare. The lines are chained and
lie in sealed segments, one or more a day, as a recorder leaves them; they are not signed, which no question looks at.
The same seed gives the same log.

    python bench/generate.py HOME EVENTS [--days 365] [--seed 1]
"""

import argparse
import random
import time
from bisect import bisect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

import msgspec

from onrecord.event.event import GENESIS_PREV_HASH, SCHEMA_VERSION, Event, encode
from onrecord.event.ids import uuid7
from onrecord.ledger.clock import TimeText
from onrecord.ledger.durable import make_folder
from onrecord.ledger.frames import FRAME_LINES, compress
from onrecord.ledger.place import Home, segment_name
from onrecord.ledger.segment import SEGMENT

END = datetime(2026, 11, 21, 12, tzinfo=UTC)
PEOPLE, TENANTS, SERVERS, TOOLS, RESOURCES, WORDS = 3_000, 20, 24, 337, 200_000, 6_000
_VERBS = ("get", "list", "search", "read", "create", "update", "delete", "send", "refund", "export", "approve", "sync")
_NOUNS = (
    "invoice",
    "patient",
    "ticket",
    "order",
    "file",
    "branch",
    "contract",
    "message",
    "account",
    "report",
    "claim",
)
_SYLLABLES = ("ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "za", "gar", "len", "mis", "por", "tan", "der")
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class Skewed:
    """Choices among a number of things, of which the n-th is chosen n times more rarely than the first."""

    def __init__(self, count: int, chance: random.Random, power: float = 1.0) -> None:
        self._sums = list(accumulate(1 / (n + 1) ** power for n in range(count)))
        self._chance = chance

    def next(self) -> int:
        """Return one of them, by its number from 0."""
        return bisect(self._sums, self._chance.random() * self._sums[-1])


class Company:
    """Who calls what. Everything is chosen by one source of chance."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self._person, self._tool = Skewed(PEOPLE, chance, 0.8), Skewed(TOOLS, chance)
        self._resource, self._word = Skewed(RESOURCES, chance, 0.7), Skewed(WORDS, chance)
        self.words = [_word(number) for number in range(WORDS)]
        self._tools = [f"{_VERBS[n % 12]}_{_NOUNS[n // 12 % 11]}{n // 132 or ''}" for n in range(TOOLS)]

    def events(self, at_us: int, number: int) -> Iterator[tuple[int, Event]]:
        """Yield the events of one call that begins at `at_us`, each with its time."""
        chance = self.chance
        person, tool, resource = self._person.next(), self._tool.next(), self._resource.next()
        call = _id(at_us, number, 1)
        tier = (0, 1, 1, 2, 2, 2, 3, 4)[tool % 8]
        draw = chance.random()
        denied, asked, failed = draw < 0.02, tier >= 3 and draw < 0.3, 0.3 < draw < 0.34
        common = Event(
            event_type="tool_call",
            call_id=call,
            correlation_id=_id(at_us - number % 7 * 1_000_000, number - number % 7, 2),
            trace_id=f"{chance.getrandbits(128):032x}",
            span_id=f"{chance.getrandbits(64):016x}",
            trace_source="client",
            user_id=f"u_{person * 2654435761 % 2**80:020x}",
            tenant_id=f"tenant-{person % TENANTS}",
            identity_source="oauth",
            identity_assurance="token",
            client_name=("Claude", "Cursor", "agentd", "VS Code")[person % 4],
            client_version="1.4.2",
            session_id=_id(at_us // 3_600_000_000 * 3_600_000_000, person, 3),
            server_id=f"server-{tool % SERVERS}",
            transport="http",
            method="tools/call",
            direction="client_to_server",
            request_id=str(number % 1000),
            tool_name=self._tools[tool],
            downstream_resource=f"crm://{_NOUNS[resource % 11]}/{resource}",
            risk_tier=tier,
            data_classification="medium",
            policy_version=_DIGEST,
            redaction_policy="onrecord-default@2+16f08e61",
            retention_class="standard",
        )
        decision = "deny" if denied else "needs_approval" if asked else "allow"
        yield (
            at_us,
            msgspec.structs.replace(
                common,
                event_id=_id(at_us, number, 4),
                phase="attempt",
                input_summary='{"note":"' + self.text(6) + '"}',
                arg_keys=("id", "note"),
                arguments_valid="valid",
                input_hash=f"{number:064x}",
                input_size=200 + number % 999,
                policy_decision=decision,
                policy_id="tenants" if denied else "all",
                policy_reason="the person is of another tenant" if denied else "",
                approval_id=_id(at_us, number, 5) if asked else "",
                repeats=_id(at_us - 1000, number - 1, 1) if 0.5 < draw < 0.503 else "",
            ),
        )
        if asked:
            at_us += chance.randrange(2_000_000, 600_000_000)
            approval = msgspec.structs.replace(
                common,
                event_id=_id(at_us, number, 6),
                event_type="approval",
                action="approved",
                approval_id=_id(at_us, number, 5),
                approval_decision="approved",
                approval_approver=f"u_{person * 7919 % 2**80:020x}",
            )
            yield at_us, approval
        latency = int(chance.lognormvariate(10.5 + tool % 5 / 3, 0.9))
        yield (
            at_us + latency,
            msgspec.structs.replace(
                common,
                event_id=_id(at_us + latency, number, 7),
                phase="result",
                result_status="blocked" if denied else "failed" if failed else "succeeded",
                error_type="tool_error" if failed else "",
                error_summary=self.text(5) if failed else "",
                latency_us=latency,
                output_summary=self.text(7) if tier in (1, 2) and not denied else "",
                output_size=400 + number % 4096,
                output_type=("text",),
                output_source="server",
                suspicious_signals=("instructions",) if 0.6 < draw < 0.6005 else (),
            ),
        )

    def text(self, count: int) -> str:
        """Return some words."""
        return " ".join(self.words[self._word.next()] for _ in range(count))


def _word(number: int) -> str:
    first, second, third = number % 16, number // 16 % 16, number // 256
    return (
        _SYLLABLES[first] + _SYLLABLES[second] + (_SYLLABLES[third % 16] if third else "") + ("s" if third > 15 else "")
    )


def _id(at_us: int, number: int, salt: int) -> str:
    return uuid7(at_us // 1000, sha256(b"%d %d" % (number, salt)).digest()[:10])


def moments(calls: int, days: int, chance: random.Random) -> Iterator[int]:
    """Yield when calls begin, in microseconds since 1970, ascending: by day, in the week, more than otherwise."""
    begin = END - timedelta(days=days)
    hours = [begin + timedelta(hours=n) for n in range(days * 24)]
    weights = [(0.3 if when.weekday() > 4 else 1) * (1 if 7 <= when.hour < 19 else 0.25) for when in hours]
    share = calls / sum(weights)
    owed = 0.0
    for when, weight in zip(hours, weights, strict=True):
        owed += weight * share
        count, owed = int(owed), owed % 1
        start = int(when.timestamp()) * 1_000_000
        yield from sorted(start + chance.randrange(3_600_000_000) for _ in range(count))


class Chained:
    """Lines, each with the hash of the one before, in segments that are sealed by size and by day."""

    def __init__(self, home: Home) -> None:
        self._folder = home.log().segments
        make_folder(self._folder)
        self._times = TimeText()
        self._prev_hash = GENESIS_PREV_HASH
        self.seq = 0
        self._lines: list[bytes] = []
        self._bytes = 0
        self._day = 0

    def add(self, at_us: int, event: Event) -> None:
        """Append an event."""
        day = at_us // 86_400_000_000
        if self._lines and (day != self._day or self._bytes >= SEGMENT):
            self.seal()
        self._day = day
        line = encode(
            msgspec.structs.replace(
                event,
                schema_version=SCHEMA_VERSION,
                seq=self.seq,
                prev_hash=self._prev_hash,
                timestamp=self._times.of(at_us),
                wid="27e09360342921a4",
                wseq=self.seq,
            )
        )
        self._prev_hash = sha256(b"\x00" + line).hexdigest()
        self._lines.append(line + b"\n")
        self._bytes += len(line) + 1
        self.seq += 1

    def seal(self) -> None:
        """Write what there is as a sealed segment."""
        path = self._folder / (segment_name(self.seq - len(self._lines)) + ".zst")
        frames = (b"".join(self._lines[at : at + FRAME_LINES]) for at in range(0, len(self._lines), FRAME_LINES))
        path.write_bytes(b"".join(compress(frames)))
        self._lines, self._bytes = [], 0

    def leave_open(self) -> None:
        """Write what there is as the segment that is still written to."""
        path = self._folder / segment_name(self.seq - len(self._lines))
        path.write_bytes(b"".join(self._lines))


def generate(home: Home, count: int, *, days: int = 365, seed: int = 1) -> int:
    """Write a log of about `count` events into `home`, and return how many there are."""
    company, log = Company(seed), Chained(home)
    log.add(
        int((END - timedelta(days=days)).timestamp()) * 1_000_000,
        Event(event_id=_id(0, 0, 0), event_type="log_open", detail={"origin": "onrecord/0123456789ab/calls"}),
    )
    waiting: list[tuple[int, int, Event]] = []  # results of calls that began before the one that begins next
    for number, at_us in enumerate(moments(round(count / 2.07), days, company.chance)):
        waiting.sort(key=_when)
        while waiting and waiting[0][0] <= at_us:
            log.add(waiting[0][0], waiting.pop(0)[2])
        (_, attempt), *later = company.events(at_us, number)
        log.add(at_us, attempt)
        waiting += [(when, number, event) for when, event in later]
    for when, _, event in sorted(waiting, key=_when):
        log.add(when, event)
    log.leave_open()
    return log.seq


def _when(each: tuple[int, int, Event]) -> int:
    return each[0]


def main() -> None:
    """Generate a log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("events", type=int)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    made = generate(Home(options.home), options.events, days=options.days, seed=options.seed)
    print(f"{made} events in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
