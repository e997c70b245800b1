# SPDX-License-Identifier: Apache-2.0
"""A server in the process that records: its recorder has stopped before anybody hears that the application has."""

import anyio
from mcp.server import MCPServer
from tests.doors.session import record

import onrecord


async def test_the_recorder_has_stopped_before_the_application_says_that_it_has(tmp_path):
    server = MCPServer("listing")
    onrecord.instrument(server, home=tmp_path / "home")
    app = server.streamable_http_app()
    told, ended = anyio.create_memory_object_stream(2)
    stopped: list[bool] = []

    async def say(message):
        if message["type"] == "lifespan.startup.complete":
            refused = {"type": "http", "method": "GET", "path": "/mcp", "query_string": b"", "headers": []}
            await app({**refused, "scheme": "http", "server": ("localhost", 80)}, empty, unheard)
            await told.send({"type": "lifespan.shutdown"})
        elif message["type"] == "lifespan.shutdown.complete":
            stopped.append("recorder_stop" in {event["event_type"] for event in record(tmp_path / "home")})

    async def empty():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def unheard(_message):
        pass

    await told.send({"type": "lifespan.startup"})
    with anyio.fail_after(60):
        await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, ended.receive, say)
    told.close()
    ended.close()

    assert stopped == [True]
    assert "refuse" in {event.get("action") for event in record(tmp_path / "home")}
