# SPDX-License-Identifier: Apache-2.0
"""What one question takes each engine, wall: Cedar in this process, and SpiceDB on this machine, over gRPC.

Cedar is asked another question each time, so that it remembers none. SpiceDB is its real library behind a small server
in Python (`make spicedb`), which takes a part of the time; without it there is no row. The median of `ASKED` counts.
"""

from bench.row import Row, cpu_us, median, wall_us
from tests.engines.questions import cedar, question
from tests.engines.relations import LIBRARY, SCHEMA, TOKEN, spicedb

from onrecord.engines.spicedb import SpiceDb
from onrecord.rules.policy import Engine, Question
from onrecord.rules.relations import Relations

ASKED = 500
USERS = 1_000  # with a relationship each


def measure() -> list[Row]:
    """Return what a question takes, beside the same to Cedar."""
    if not LIBRARY.exists():
        return []
    with spicedb() as server:
        server.define(SCHEMA)
        for number in range(USERS):
            server.relate("tool:git/status", "caller", f"user:u{number}")
        engine = SpiceDb(server.url, Relations(), b"", token=TOKEN, timeout_s=5)
        asked = [question(called=f"u{number}", id=f"u_{number}") for number in range(ASKED)]
        own = _median_us(cedar(), asked)
        _median_us(engine, asked)  # a connection, and the schema
        took = _median_us(engine, asked)
        cpu, own_cpu = (_cpu_us(one, asked) for one in (engine, cedar()))
        engine.close()
    return [
        Row(
            name=f"a question to SpiceDB, {what}",
            value=value,
            unit="µs",
            budget=None,
            ratio=value / beside,
            against=f"one to Cedar in this process ({beside:.0f} µs)",
        )
        for what, value, beside in (("wall, median", took, own), ("CPU of this process", cpu, own_cpu))
    ]


def _median_us(engine: Engine, asked: list[Question]) -> float:
    return median([wall_us(lambda one=one: engine.evaluate(one)) for one in asked])


def _cpu_us(engine: Engine, asked: list[Question]) -> float:
    return cpu_us(lambda: [engine.evaluate(one) for one in asked], len(asked))
