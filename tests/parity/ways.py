# SPDX-License-Identifier: Apache-2.0
"""The doors that all record alike. A door is a row of `DOORS`: how the official client gets in, and what is its own.

A door that is no process of ours on standard input and output gives another target: a URL, or a server object.
"""

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import Implementation
from tests.conformance.suite import ROOT
from tests.doors.session import ONRECORD, record
from tests.parity.scenarios import Event, who_is_there

SERVER = [sys.executable, "-m", "tests.parity.scripted"]
ME = Implementation(name="parity-client", version="1.0.0")


@dataclass(frozen=True)
class Door:
    """`reach` gives, for a home, what the client connects to; `own` are fields in which this door may differ."""

    name: str
    reach: Callable[[Path], AbstractAsyncContextManager[Any]]
    own: frozenset[str] = frozenset()

    @asynccontextmanager
    async def connect(self, home: Path, era: Any) -> AsyncIterator[Client]:
        """Connect through this door, in that era."""
        async with (
            self.reach(home) as target,
            Client(target, mode=era, elicitation_callback=who_is_there, client_info=ME) as client,
        ):
            yield client

    def record(self, home: Path) -> list[Event]:
        """Return all events, without what is this door's own."""
        return [{key: value for key, value in event.items() if key not in self.own} for event in record(home)]


@asynccontextmanager
async def by_stdio(home: Path) -> AsyncIterator[StdioServerParameters]:
    command = [*ONRECORD, "run", "--server-id", "parity", "--", *SERVER]
    env = {**os.environ, "ONRECORD_HOME": str(home), "PYTHONPATH": str(ROOT)}
    yield StdioServerParameters(command=command[0], args=command[1:], env=env)


DOORS = (Door("stdio", by_stdio),)
