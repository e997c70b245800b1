# SPDX-License-Identifier: Apache-2.0
"""A relay whose messages come by many ways, as they do over HTTP."""

import json

import pytest
from tests.doors.piped import Piped
from tests.doors.session import record

from onrecord.config import build_recorder
from onrecord.doors.ways import Route
from onrecord.event.call import Actor
from onrecord.ledger.place import Home
from onrecord.settings import load

pytestmark = pytest.mark.requirement("A4", "F2")


class Way:
    """A way that keeps what is sent over it."""

    def __init__(self):
        self.lines = []

    def send(self, line, *, last=False):
        self.lines.append(line if isinstance(line, bytes) else line())


def test_a_way_that_is_lost_closes_its_own_request_and_not_a_later_one_with_the_same_id(tmp_path):
    recorder, _ = build_recorder(Home(tmp_path), load(Home(tmp_path)), lambda text: None)
    piped = Piped(recorder, Actor(user_id="u_1"))
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}}}
    answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}).encode()
    first, second, server = Way(), Way(), Way()
    piped.relay.from_client(json.dumps(call).encode(), Route(first, server))
    piped.relay.from_server(answer, Route(server, first))
    piped.relay.from_client(json.dumps(call).encode(), Route(second, server))
    piped.relay.lost(1, "unknown", "server_exited", first)
    piped.relay.from_server(answer, Route(server, second))
    piped.end()
    recorder.stop("the test ended", 0)

    assert (first.lines, second.lines) == ([answer], [answer])
    ends = [e["result_status"] for e in record(tmp_path) if e.get("phase") == "result"]
    assert ends == ["succeeded", "succeeded"]
