# SPDX-License-Identifier: Apache-2.0
"""A recorded server over HTTP: both eras, what is turned away before a handler, who calls, and streams that close."""

import json
from typing import Any, get_args

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context
from mcp_types import ElicitResult
from pydantic import AnyHttpUrl
from tests.doors.session import record
from tests.identity.issuing import AUDIENCE, ISSUER, id_token, shown
from tests.sdk.serving import served
from tests.sdk.world import MODES, built, calls, configured, ends, given_up, said, until

from onrecord import asgi
from onrecord.doors.http_kinds import Kind
from onrecord.errors import ConfigError

MODERN = {"MCP-Protocol-Version": "2026-07-28", "Accept": "application/json, text/event-stream"}
ASK = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"}}}


@pytest.mark.requirement("F2", "F4")
@pytest.mark.parametrize("mode", MODES)
async def test_calls_over_http_are_on_the_record_and_the_recorder_ends_with_the_server(tmp_path, mode):
    server, _ = built()
    with served(server, tmp_path) as url:
        async with Client(url, mode=mode) as client:
            assert said(await client.call_tool("echo", {"text": "hi"})) == "hi"
            await client.call_tool("figures")

    events = record(tmp_path)
    assert ends(tmp_path, "echo") == ends(tmp_path, "figures") == [("succeeded", "")]
    assert {e["identity_source"] for e in calls(tmp_path)} == {"none"}  # an address is nobody
    assert [e["arguments_valid"] for e in calls(tmp_path, "echo") if e["phase"] == "attempt"] == ["valid"]
    assert events[-1]["event_type"] == "recorder_stop"
    assert len({e["session_id"] for e in calls(tmp_path)}) == 1
    assert {e["client_ip"] for e in calls(tmp_path)} == {"127.0.0.1"}


async def test_a_person_is_asked_within_a_call_over_http(tmp_path):
    async def answer(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"name": "Ada"})

    server, _ = built()
    with served(server, tmp_path) as url:
        async with Client(url, mode="legacy", elicitation_callback=answer) as client:
            assert said(await client.call_tool("greets")) == "accept: Ada"

    assert [e["phase"] for e in record(tmp_path) if e["event_type"] == "elicitation"] == ["attempt", "result"]


@pytest.mark.requirement("A3")
@pytest.mark.parametrize(
    ("method", "body", "headers", "status", "kind"),
    [
        ("POST", "{", {}, 400, "http_400"),
        ("POST", "[]", {}, 400, "http_400"),
        ("POST", json.dumps(ASK), {}, 400, "http_400"),  # without what each request of this era must say
        ("GET", "", {}, 405, "wrong_method"),
        ("DELETE", "", {}, 405, "wrong_method"),
        ("POST", "{}", {"Accept": "text/plain"}, 406, "nothing_acceptable"),
        ("POST", "{}", {"Origin": "https://evil.example"}, 403, "wrong_origin"),
        ("POST", "{}", {"Host": "evil.example"}, 421, "wrong_host"),
        ("POST", "{}", {"MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": "stolen"}, 404, "no_session"),
    ],
)
async def test_what_never_reaches_a_handler_is_on_the_record_once(tmp_path, method, body, headers, status, kind):
    server, done = built()
    with served(server, tmp_path) as url:
        async with httpx2.AsyncClient() as client:
            sent = {"Content-Type": "application/json", **MODERN, **headers}
            answer = await client.request(method, url, content=body, headers=sent)

    assert answer.status_code == status
    assert done == []
    (event,) = [e for e in record(tmp_path) if e["event_type"] in ("security", "authentication")]
    assert (event["event_type"], event["action"], event["error_type"]) == ("security", "refuse", kind)
    assert event["client_ip"] == "127.0.0.1"
    assert event["detail"]["request"] == f"{method} /mcp"
    assert get_args(Kind).count(kind) == (kind != "http_400")  # what the gateway calls it too


async def test_a_flood_of_what_is_turned_away_is_summed_up(tmp_path):
    server, _ = built()
    with served(server, tmp_path) as url:
        async with httpx2.AsyncClient() as client:
            for _ in range(12):
                await client.get(url, headers=MODERN)

    events = [e for e in record(tmp_path) if e["event_type"] == "security"]
    assert [e["action"] for e in events] == ["refuse"] * 5 + ["refusals_summed"]
    assert events[-1]["detail"]["kinds"] == {"wrong_method": 7}


async def test_what_is_no_business_of_the_protocol_is_not_recorded(tmp_path):
    server, _ = built()
    with served(server, tmp_path) as url:
        async with httpx2.AsyncClient() as client:
            assert (await client.get(url.replace("/mcp", "/favicon.ico"))).status_code == 404

    assert not (tmp_path / "ledger").exists()


@pytest.mark.parametrize("mode", MODES)
async def test_progress_is_streamed_while_the_call_runs(tmp_path, mode):
    server, heard = MCPServer("planned"), []

    @server.tool()
    async def steps(ctx: Context[Any]) -> str:
        await ctx.report_progress(1, 2)
        with anyio.fail_after(60):
            while not heard:  # noqa: ASYNC110  # the client runs in another loop
                await anyio.sleep(0.01)
        return "heard"

    async def hear(progress, total, message):
        heard.append(progress)

    with served(server, tmp_path) as url:
        async with Client(url, mode=mode) as client:
            assert said(await client.call_tool("steps", progress_callback=hear)) == "heard"


async def test_a_closed_stream_ends_the_call_and_the_record_says_so(tmp_path):
    server, done = built()
    with served(server, tmp_path) as url:
        async with Client(url, mode="auto") as client:
            await given_up(client, "waits", lambda: "waits" in done)
            await until(lambda: "cancelled" in done)

    assert ends(tmp_path, "waits") == [("cancelled", "")]


class Verifier:
    """Takes what tests call good."""

    async def verify_token(self, token: str) -> AccessToken | None:
        if token == "bad":
            return None
        scopes = ["see"] if token == "less" else ["use"]
        about = {"iss": "https://as.example", "kind": "person"}
        return AccessToken(token=token, client_id="agent-7", scopes=scopes, subject="ada@people.example", claims=about)


def guarded() -> MCPServer:
    settings = AuthSettings(
        issuer_url=AnyHttpUrl("https://as.example"),
        resource_server_url=AnyHttpUrl("http://127.0.0.1/mcp"),
        required_scopes=["use"],
        validate_token_resource=False,
    )
    server = MCPServer("planned", auth=settings, token_verifier=Verifier())

    @server.tool()
    def echo(text: str) -> str:
        return text

    return server


async def asked(url: str, token: str, mode: str) -> str:
    """Return what a call with `token` is answered with."""
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        return said(await client.call_tool("echo", {"text": "x"}))


@pytest.mark.requirement("C3")
@pytest.mark.parametrize("mode", MODES)
async def test_whom_the_server_verified_is_who_calls_by_the_servers_word(tmp_path, mode):
    with served(guarded(), tmp_path) as url:
        assert await asked(url, "good-dummy", mode) == "x"

    attempt, _ = calls(tmp_path, "echo")
    assert (attempt["identity_source"], attempt["identity_assurance"]) == ("oauth", "asserted")
    assert attempt["user_id"].startswith("u_")
    assert attempt["client_id"] == "agent-7"
    everything = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"good-dummy" not in everything
    assert b"ada@people" not in everything


@pytest.mark.requirement("C3")
async def test_without_a_token_nothing_runs_and_the_record_says_so(tmp_path):
    with served(guarded(), tmp_path) as url:
        async with httpx2.AsyncClient() as client:
            none = await client.post(url, json=ASK, headers=MODERN)
            bad = await client.post(url, json=ASK, headers={**MODERN, "Authorization": "Bearer bad"})
            odd = await client.post(url, json=ASK, headers={**MODERN, "Authorization": "Basic YTpi"})
            less = await client.post(url, json=ASK, headers={**MODERN, "Authorization": "Bearer less"})

    assert [answer.status_code for answer in (none, bad, odd, less)] == [401, 401, 401, 403]
    events = [e for e in record(tmp_path) if e["event_type"] == "authentication"]
    assert {e["action"] for e in events} == {"refuse"}
    kinds = ["missing_token", "not_authenticated", "wrong_scheme", "insufficient_scope"]
    assert [e["error_type"] for e in events] == kinds
    assert calls(tmp_path) == []


@pytest.mark.requirement("C3")
@pytest.mark.parametrize("mode", MODES)
async def test_where_an_issuer_is_set_the_token_is_verified_here_too(tmp_path, mode):
    settings = f"[identity]\nissuer = '{ISSUER}'\naudience = '{AUDIENCE}'\njwks = 'keys.json'\nrequired = true\n"
    configured(tmp_path, settings)
    (tmp_path / "keys.json").write_bytes(shown())
    with served(guarded(), tmp_path) as url:
        assert await asked(url, id_token(header={"typ": "at+jwt"}), mode) == "x"
        with pytest.raises(Exception, match=r"not run|unhandled") as refused:
            await asked(url, id_token(aud="elsewhere", header={"typ": "at+jwt"}), mode)

    attempt, _ = calls(tmp_path, "echo")
    assert (attempt["identity_source"], attempt["identity_assurance"]) == ("oauth", "token")
    assert attempt["identity_issuer"] == ISSUER
    (event,) = [e for e in record(tmp_path) if e["event_type"] == "authentication"]
    assert event["policy_reason"] == "the token is for another audience"
    assert {event["client_ip"], attempt["client_ip"]} == {"127.0.0.1"}
    assert "another audience" in str(refused.value) or refused.value.args


async def test_an_application_that_was_made_before_is_wrapped_by_hand(tmp_path):
    server, _ = built()
    made = server.streamable_http_app()  # before it is instrumented
    with served(server, tmp_path, app=lambda server: asgi(made, server)) as url:
        async with httpx2.AsyncClient() as client:
            assert (await client.get(url, headers=MODERN)).status_code == 405

    assert [e["error_type"] for e in record(tmp_path) if e["event_type"] == "security"] == ["wrong_method"]
    with pytest.raises(ConfigError, match=r"call onrecord\.instrument"):
        asgi(made, built()[0])


async def test_two_requests_with_the_same_id_of_two_clients_are_two_calls(tmp_path):
    server, _ = built()
    with served(server, tmp_path) as url:
        async with anyio.create_task_group() as tasks:

            async def one() -> None:
                async with Client(url, mode="auto") as client:
                    assert said(await client.call_tool("waits", {"seconds": 0.5})) == "waited"

            for _ in range(3):
                tasks.start_soon(one)

    assert ends(tmp_path, "waits") == [("succeeded", "")] * 3
