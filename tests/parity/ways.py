# SPDX-License-Identifier: Apache-2.0
"""The doors that all record alike. A door is a row of `DOORS`: how the official client gets in, and what is its own.

A door that is no process of ours on standard input and output gives another target: a URL, or a server object.
"""

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from tests.conformance.suite import ROOT, started
from tests.doors.session import ONRECORD, record
from tests.gateway.running import Gateway
from tests.identity.issuing import id_token
from tests.parity.scenarios import ERAS, SOON_S, Event, who_is_there

SERVER = [sys.executable, "-m", "tests.parity.scripted"]
ME = Implementation(name="parity-client", version="1.0.0")


@dataclass(frozen=True)
class Instead:
    """What a door records `here` of a scenario, where the door on standard input and output records `pinned`."""

    field: str
    pinned: Any
    here: Any
    scenarios: tuple[str, ...]
    eras: tuple[str, ...] = ERAS

    def put(self, event: Event) -> Event:
        """Return an event with it; what lies within a field has a name with a dot."""
        outer, _, inner = self.field.partition(".")
        if inner:
            within = replace(self, field=inner).put(event.get(outer, {}))
            return {**event, outer: within} if within else event
        return {**event, outer: self.here} if event.get(outer) == self.pinned else event


@dataclass(frozen=True)
class Door:
    """`reach` gives, for a home, what the client connects to; `own` are fields in which this door may differ."""

    name: str
    reach: Callable[[Path], AbstractAsyncContextManager[Any]]
    own: frozenset[str] = frozenset()
    instead: tuple[Instead, ...] = ()

    @asynccontextmanager
    async def connect(self, home: Path, era: Any) -> AsyncIterator[Client]:
        """Connect through this door, in that era."""
        async with (
            self.reach(home) as target,
            Client(target, mode=era, elicitation_callback=who_is_there, client_info=ME) as client,
        ):
            yield client

    def expected(self, era: str, pinned: dict[str, list[Event]]) -> dict[str, list[Event]]:
        """Return what this door must record of each scenario."""
        return {name: [self._expected(era, name, event) for event in events] for name, events in pinned.items()}

    def _expected(self, era: str, scenario: str, event: Event) -> Event:
        event = {key: value for key, value in event.items() if key not in self.own}
        for one in self.instead:
            if scenario in one.scenarios and era in one.eras:
                event = one.put(event)
        return event

    def record(self, home: Path) -> list[Event]:
        """Return all events, without what is this door's own."""
        return [{key: value for key, value in event.items() if key not in self.own} for event in record(home)]


@asynccontextmanager
async def by_stdio(home: Path) -> AsyncIterator[StdioServerParameters]:
    command = [*ONRECORD, "run", "--server-id", "parity", "--", *SERVER]
    env = {**os.environ, "ONRECORD_HOME": str(home), "PYTHONPATH": str(ROOT)}
    yield StdioServerParameters(command=command[0], args=command[1:], env=env)


@asynccontextmanager
async def by_gateway(home: Path, token: str = "") -> AsyncIterator[Any]:
    """Come in with a token, by default one that holds."""
    settings = (home / "onrecord.toml").read_text()
    with (
        started((*SERVER, "http"), home, {}) as port,
        Gateway(home, {"parity": f"http://127.0.0.1:{port}/mcp"}, settings=settings, tokens="required") as gateway,
    ):
        url = gateway.url("parity")
        headers = {"Authorization": f"Bearer {token or id_token(aud=url)}"}
        async with httpx2.AsyncClient(headers=headers, timeout=SOON_S) as client:
            yield streamable_http_client(url, http_client=client)


DECIDED = ("approved, with a structured result", "rejected")
GATEWAY = Door(
    "gateway",
    by_gateway,
    # a token says who calls
    own=frozenset({"identity_issuer", "identity_key_id", "principal_type", "token_hash"}),
    instead=(
        # so who decides at this machine is somebody else
        Instead("detail.independent", False, True, DECIDED),
        Instead("action", "withdrawn", "rejected", ("rejected",)),
        # a client that closes its stream does not say why
        Instead("result_status", "timed_out", "cancelled", ("timed out",), ERAS[1:]),
    ),
)
DOORS = (Door("stdio", by_stdio), GATEWAY)
