# SPDX-License-Identifier: Apache-2.0
"""The official client, a server that we did not write, and a signed identity, in both eras of the protocol."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters
from tests.doors.session import ONRECORD, record
from tests.identity.issuing import AUDIENCE, ISSUER, call_token, shown

from onrecord.doors import wire


@pytest.mark.requirement("C3")
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_that_was_signed_runs_and_one_that_was_not_meant_does_not(tmp_path: Path, mode: Any) -> None:
    (tmp_path / "keys.json").write_bytes(shown())
    where = f'[identity]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "keys.json"\nrequired = true\n'
    (tmp_path / "onrecord.toml").write_text(where)
    command = [*ONRECORD, "run", "--server-id", "time", "--", sys.executable, "-m", "mcp_server_time"]
    env = {**os.environ, "ONRECORD_HOME": str(tmp_path)}
    arguments = {"timezone": "UTC"}

    def meta(said: dict[str, str]) -> Any:
        return {"io.onrecord/identity": call_token("get_current_time", said, aud="time")}

    async with Client(StdioServerParameters(command=command[0], args=command[1:], env=env), mode=mode) as client:
        await client.list_tools()
        done = await client.call_tool("get_current_time", arguments, meta=meta(arguments))
        assert not done.is_error
        for wrong in (meta({"timezone": "Europe/Berlin"}), None):
            with pytest.raises(MCPError) as refused:
                await client.call_tool("get_current_time", arguments, meta=wrong)
            assert refused.value.code == wire.NOT_AUTHENTICATED

    made = [e for e in record(tmp_path) if e["event_type"] == "tool_call"]
    assert [(e["phase"], e["identity_source"]) for e in made] == [
        ("attempt", "identity_jws"),
        ("result", "identity_jws"),
    ]
    refusals = [e["policy_reason"] for e in record(tmp_path) if e["event_type"] == "authentication"]
    assert len(refusals) == 2
    assert "another call" in refusals[0]
    assert "required" in refusals[1]
