# SPDX-License-Identifier: Apache-2.0
"""The spans that the SDK opens say which events are those of a call, what was decided, and nothing of its values."""

import pytest
from mcp.server import MCPServer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.sdk.world import MODES, calls, configured, recorded

import onrecord

SECRET = "ghp_" + "dUmmY0dUmmY1" * 3
POLICY = """
permit(principal, action, resource);
forbid(principal, action, resource == MCP::Tool::"forbidden");
"""


@pytest.fixture(scope="module")
def exporter():
    """Keep all spans of this process; a provider can be set once."""
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(provider)
    yield kept
    provider.shutdown()


def built(home, *, by_hand: bool) -> MCPServer:
    server = MCPServer("planned", middleware=[onrecord.middleware(home=home, server_id="planned")] if by_hand else None)

    @server.tool()
    def allowed(text: str) -> str:
        return text

    @server.tool()
    def forbidden(text: str) -> str:
        raise AssertionError("it must not run")

    return server


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize(("tool", "decision"), [("allowed", "allow"), ("forbidden", "deny")])
async def test_the_span_of_a_call_leads_to_its_record_and_shows_no_value(
    tmp_path, exporter, mode, by_hand, tool, decision
):
    configured(tmp_path, f'[policy]\nengine = "cedar"\n[[tool]]\ntool = "{tool}"\ntier = 3\n', POLICY)
    exporter.clear()
    async with recorded(tmp_path, mode, built(tmp_path, by_hand=by_hand)) as client:
        answer = await client.call_tool(tool, {"text": SECRET})
        assert answer.is_error == (decision == "deny")

    (attempt, _) = calls(tmp_path, tool)
    (span,) = [
        one for one in exporter.get_finished_spans() if one.name == f"tools/call {tool}" and one.kind.name == "SERVER"
    ]
    assert {key: value for key, value in (span.attributes or {}).items() if key.startswith("onrecord.")} == {
        "onrecord.call_id": attempt["call_id"],
        "onrecord.event_id": attempt["event_id"],
        "onrecord.decision": decision,
        "onrecord.tier": 3,
    }
    assert attempt["policy_decision"] == decision
    assert SECRET not in "".join(one.to_json() for one in exporter.get_finished_spans())
