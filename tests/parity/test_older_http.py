# SPDX-License-Identifier: Apache-2.0
"""A server on `mcp` 1.30 over SSE and Streamable HTTP, with the clients of that SDK: recorded, and approved."""

import json
import os
import subprocess
import time

import pytest
from tests.doors.session import onrecord, record
from tests.parity.doors import KINDS, configured, from_inside, listening
from tests.parity.scenes import UNISSUED
from tests.parity.test_inside_only import results

V1 = KINDS["v1"]
WITHIN_S = 60

CLIENT = """
import anyio, sys
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamablehttp_client

async def main(transport, url, calls):
    token = {"Authorization": "Bearer let-me-in"}
    way = sse_client(url, headers=token) if transport == "sse" else streamablehttp_client(url, headers=token)
    async with way as streams, ClientSession(streams[0], streams[1]) as session:
        await session.initialize()
        await session.list_tools()
        for call in calls:
            name, _, value = call.partition(" ")
            arguments = {"amount": int(value)} if name == "pay" else {"name": value} if name == "hello" else {}
            result = await session.call_tool(name, arguments)
            print(result.isError, result.content[0].text, flush=True)

anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3:])
"""


@pytest.fixture(params=["sse", "http"])
def transport(request):
    return request.param


def asked(transport, url, *calls):
    """Start a client that makes these calls, one after the other."""
    url = url.replace("/mcp", "/sse") if transport == "sse" else url
    command = [V1.python, "-c", CLIENT, transport, url, *calls]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.requirement("F2", "F4")
def test_what_is_called_is_on_the_record_with_the_address_that_it_came_from(tmp_path, likeness, transport):
    home = tmp_path / "home"
    configured(home, UNISSUED, likeness)
    with listening(from_inside(V1, "instrument", transport), home) as url:
        client = asked(transport, url, "hello ada", "boom")
        said, errors = client.communicate(timeout=WITHIN_S)

    assert said.splitlines() == ["False hello ada", "True Error executing tool boom: it broke"], errors
    ended = [(e["tool_name"], e["result_status"], e["client_ip"]) for e in results(home)]
    assert ended == [("hello", "succeeded", "127.0.0.1"), ("boom", "failed", "127.0.0.1")]
    phases = [e["phase"] for e in record(home) if e.get("phase")]
    assert phases == ["attempt", "result"] * 2
    assert len({e["session_id"] for e in results(home)}) == 1
    connections = [e["action"] for e in record(home) if e["event_type"] == "connection"]
    assert connections == ["open", "close"]
    assert "doors/streams.py" not in (tmp_path / "stderr").read_text()  # though its client has ended the session


@pytest.mark.requirement("C5", "F2")
def test_a_call_that_waits_goes_on_once_it_is_approved_on_the_command_line(tmp_path, likeness, transport):
    home = tmp_path / "home"
    configured(home, UNISSUED, likeness)
    settings = home / "onrecord.toml"
    settings.write_text(settings.read_text().replace('"cli", "elicitation"', '"cli"'))
    with listening(from_inside(V1, "instrument", transport), home, ONRECORD_PARITY_TOKEN="1") as url:
        client = asked(transport, url, "pay 5", "hello ada")
        try:
            assert results(home) == []
            done = onrecord(home, "approvals", "approve", waiting(home, client), "--yes")
            assert done.returncode == 0, done.stderr
            said, errors = client.communicate(timeout=WITHIN_S)
        finally:
            client.kill()

    assert said.splitlines() == ["False {", '  "paid": 5', "}", "False hello ada"], errors
    of_pay = [e for e in record(home) if e.get("tool_name") == "pay" and e.get("phase")]
    assert [e["phase"] for e in of_pay] == ["attempt", "approval", "approval", "decision", "result"]
    assert [e.get("policy_decision") for e in of_pay if e["phase"] == "decision"] == ["allow"]
    assert len({e["approval_id"] for e in of_pay}) == 1
    assert of_pay[-1]["result_status"] == "succeeded"


def waiting(home, client):
    """Return the id of the request that waits, once it does."""
    ends = time.monotonic() + WITHIN_S
    while time.monotonic() < ends:
        listed = onrecord(home, "approvals", "list", "--json", env=dict(os.environ)).stdout.splitlines()
        if listed:
            return json.loads(listed[0])["id"]
        assert client.poll() is None, client.communicate()
    raise AssertionError("nothing waits")
