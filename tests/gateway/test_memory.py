# SPDX-License-Identifier: Apache-2.0
"""What callers send is not kept in memory for good."""

from pathlib import Path

from tests.gateway.running import Gateway, called, exchanged, request
from tests.gateway.scripted import Scripted, echoing

LONG, CALLS = 1 << 20, 48


def held_mib(gateway):
    """Return how much memory the gateway has."""
    status = Path(f"/proc/{gateway.child.pid}/status").read_text()
    return next(int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmRSS"))


def test_long_names_are_not_remembered(tmp_path):
    def call(number):
        name = f"{number}" + "a" * LONG
        answer = exchanged(gateway, request("/s", called(name, number, meta=None, **{name: 1})))
        assert b"result" in answer.text
        server.reached.clear()

    with Scripted(echoing) as server, Gateway(tmp_path, {"s": server.url}) as gateway:
        for number in range(8):
            call(number)
        before = held_mib(gateway)
        for number in range(8, 8 + CALLS):
            call(number)
        assert held_mib(gateway) - before < CALLS * LONG >> 21
