# SPDX-License-Identifier: Apache-2.0
"""A relay between two pipes: a client and a server that are there only as what they send, and what reaches them."""

import json
import os

from onrecord.doors.conversation import Conversation
from onrecord.doors.definitions import Definitions
from onrecord.doors.outbox import Outbox
from onrecord.doors.relay import Relay
from onrecord.doors.rounds import SECRET, Rounds
from onrecord.doors.ways import Route


class Piped:
    """A relay over the guard of `recorder`, for a client whose person is `actor`."""

    def __init__(self, recorder, actor, *, call_timeout_s=60):
        heard, to_client = os.pipe()
        reached, to_server = os.pipe()
        self._ends = reached, heard
        self._to_client, self._to_server = Outbox(to_client, "to-client"), Outbox(to_server, "to-server")
        self.rounds = Rounds(os.urandom(SECRET))
        self.defects: list[Exception] = []
        about = Definitions(recorder.pins, "scripted")
        self.relay = Relay(
            recorder,
            Conversation(actor, "scripted", "stdio", recorder.guard.new_id, about),
            self.rounds,
            call_timeout_s=call_timeout_s,
            say=lambda text: None,
            failed=self.defects.append,
        )

    def client(self, **message):
        """Send a message of the client."""
        self.relay.from_client(_line(message), Route(self._to_client, self._to_server))

    def server(self, **message):
        """Send a message of the server."""
        self.relay.from_server(_line(message), Route(self._to_server, self._to_client))

    def end(self):
        """Let both sides go; return what reached the server, and what the client heard."""
        self.relay.finish("the server is gone")
        self.relay.close()
        self._to_server.close()
        self._to_client.close()
        reached, heard = (_drained(fd) for fd in self._ends)
        assert self.defects == []
        return reached, heard


def _line(message):
    return json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"


def _drained(fd):
    lines = b""
    while part := os.read(fd, 1 << 16):
        lines += part
    os.close(fd)
    return [json.loads(line) for line in lines.splitlines()]
