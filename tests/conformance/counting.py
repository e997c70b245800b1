# SPDX-License-Identifier: Apache-2.0
"""Stands before a server on HTTP, hands all bytes on, and notes each request in them that passes; for tests.

    python -m tests.conformance.counting PORT TALLY

It prints its port. Each request of JSON-RPC is a line in the file TALLY, as `server.py` writes it: one `in` a POST, or
one `out` in an event of an answer. What a server refuses before its own middleware sees it is there, too.
"""

import asyncio
import json
import sys
from typing import Any

import h11

PIECE = 1 << 16  # bytes


class Watched:
    """One connection: what is said on it, read from a copy of its bytes."""

    def __init__(self, tally: str) -> None:
        self._tally = tally
        self._as_server = h11.Connection(h11.SERVER)
        self._as_client = h11.Connection(h11.CLIENT)
        self._body = bytearray()

    def asked(self, data: bytes) -> None:
        """Read what goes to the server."""
        self._as_server.receive_data(data)
        while (event := self._as_server.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            assert not isinstance(event, type)
            self._as_client.send(event)
            if isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._note("in", self._taken())

    def answered(self, data: bytes) -> None:
        """Read what comes back."""
        self._as_client.receive_data(data)
        while (event := self._as_client.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            assert not isinstance(event, type)
            self._as_server.send(event)
            if isinstance(event, h11.Data):
                self._body += event.data
                *lines, self._body = self._body.split(b"\n")
                for line in lines:
                    self._note("out", line.removeprefix(b"data:"))
            elif isinstance(event, h11.EndOfMessage):
                self._taken()
                if self._as_server.our_state is self._as_client.our_state is h11.DONE:
                    self._as_server.start_next_cycle()
                    self._as_client.start_next_cycle()

    def _taken(self) -> bytes:
        body, self._body = bytes(self._body), bytearray()
        return body

    def _note(self, way: str, text: bytes | bytearray) -> None:
        try:
            message: Any = json.loads(text)
        except ValueError:
            return
        if not isinstance(message, dict) or not {"id", "method"} <= message.keys():
            return
        about = message.get("params") or {}
        line = {"way": way, "method": message["method"], "name": about.get("name", about.get("uri", ""))}
        with open(self._tally, "a") as file:
            file.write(json.dumps(line) + "\n")


async def hand_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, watch: Any) -> None:
    """Hand on what comes, once it was read, to its end."""
    try:
        while piece := await source.read(PIECE):
            watch(piece)
            sink.write(piece)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        sink.close()


async def serve(port: int, tally: str) -> None:
    """Listen until somebody ends it."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        watched = Watched(tally)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        there = hand_on(reader, server_writer, watched.asked)
        await asyncio.gather(there, hand_on(server_reader, writer, watched.answered))

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
