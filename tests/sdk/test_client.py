# SPDX-License-Identifier: Apache-2.0
"""A client that proves who makes each of its calls, and says which request they belong to."""

import pytest
from mcp.shared.exceptions import MCPError
from tests.doors.session import record
from tests.identity.issuing import ISSUER, KEYS, shown
from tests.sdk.world import MODES, built, calls, configured, recorded, said

from onrecord.client import Caller, signing
from onrecord.errors import ConfigError

SETTINGS = f"[identity]\nissuer = '{ISSUER}'\naudience = 'here'\njwks = 'keys.json'\n"


def caller(client, **more):
    about = {"issuer": ISSUER, "subject": "ada@people.example", "server": "planned", **more}
    return Caller(client, sign=signing(KEYS["ES256"], key_id="k-ES256"), **about)


@pytest.mark.requirement("C3", "A5")
@pytest.mark.parametrize("mode", MODES)
async def test_each_call_is_signed_for_itself_and_all_belong_to_one_trace(tmp_path, mode):
    configured(tmp_path, SETTINGS)
    (tmp_path / "keys.json").write_bytes(shown())
    server, _ = built()
    async with recorded(tmp_path, mode, server) as client:
        ada = caller(client)
        assert said(await ada.call_tool("echo", {"text": "hi"})) == "hi"
        assert said(await ada.read_resource("res://note")) == "noted"
        assert said(await ada.get_prompt("plan", {"topic": "x"})) == "plan x"

    attempts = [e for e in calls(tmp_path) if e["phase"] == "attempt"]
    assert [e["identity_source"] for e in attempts] == ["identity_jws"] * 3
    assert len({e["user_id"] for e in attempts}) == 1
    assert {e["trace_id"] for e in attempts} == {ada.trace_id}
    assert {tuple(e["forwarded_without"]) for e in attempts} == {("/params/_meta/io.onrecord~1identity",)}


@pytest.mark.requirement("C3")
async def test_a_token_for_another_server_or_call_makes_none(tmp_path):
    configured(tmp_path, SETTINGS)
    (tmp_path / "keys.json").write_bytes(shown())
    server, done = built()
    async with recorded(tmp_path, "auto", server) as client:
        with pytest.raises(MCPError, match="for another audience"):
            await caller(client, server="elsewhere").call_tool("echo", {"text": "hi"})
        meta = caller(client)._meta("tools/call", "echo", {"text": "hi"}, None)
        with pytest.raises(MCPError, match="for another call"):
            await client.call_tool("echo", {"text": "other"}, meta=meta)  # pyright: ignore[reportArgumentType]

    assert done == []
    assert [e["action"] for e in record(tmp_path) if e["event_type"] == "authentication"] == ["refuse"] * 2


def test_who_signs_for_whom_must_be_said():
    with pytest.raises(ConfigError, match="takes an issuer"):
        caller(None, subject="")
