# SPDX-License-Identifier: Apache-2.0
"""Calls that a policy denies, and calls that wait for a person, through the gateway."""

import json
import time

import pytest
from tests.doors.session import onrecord
from tests.gateway import running
from tests.gateway.running import CAPABILITIES, META, Gateway, Heard, called, exchanged
from tests.gateway.scripted import Scripted, echoing
from tests.identity.issuing import AUDIENCE, ISSUER, claims, shown, signed

POLICY = """
@id("all") permit (principal, action, resource);
@id("never") forbid (principal, action, resource == MCP::Tool::"never");
@id("approval") @obligation("approval") forbid (principal, action == MCP::Action::"tools/call", resource)
when { context.tier >= 3 };
"""
IN_CLIENT = '[approvals]\nchannels = ["cli", "elicitation"]\n'
SETTINGS = f"""
[identity]
issuer = "{ISSUER}"
jwks = "keys.json"
[policy]
engine = "cedar"
[[tool]]
tool = "store"
tier = 3
classification = "low"
"""


def sent(message, **headers):
    """Return a POST of somebody who is known: of nobody else is an approval asked."""
    make = running.modern if "_meta" in message["params"] else running.request
    token = signed(claims(scope="mcp"), typ="at+jwt")  # made when it is needed: a token lives ten minutes
    return make("/s", message, Authorization=f"Bearer {token}", **headers)


def opened(home, server, more=""):
    known = {"tokens": "required", "upstream": f'audience = "{AUDIENCE}"'}
    return Gateway(home, {"s": server.url}, settings=SETTINGS + more, **known)


@pytest.fixture
def gateway(tmp_path):
    (tmp_path / "keys.json").write_bytes(shown())
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "team.cedar").write_text(POLICY)
    with Scripted(echoing) as server, opened(tmp_path, server) as gateway:
        gateway.server = server  # pyright: ignore[reportAttributeAccessIssue]
        list_tools(gateway)
        server.reached.clear()
        yield gateway


def list_tools(gateway):
    """Have the gateway hear of the server's tools: without their definitions nobody could say what is approved."""
    assert exchanged(gateway, sent({**called(number=0), "method": "tools/list"}, Mcp_Name=None)).status == 200


def asked_for(gateway):
    """Wait until there is a request for an approval, and return its id."""
    ends = time.monotonic() + 60
    while not (found := sorted((gateway.home / "approvals").glob("*.json"))):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return found[0].stem


def approve(gateway, approval):
    ended = onrecord(gateway.home, "approvals", "approve", approval, "--yes")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("meta", [META, None], ids=["2026", "before"])
def test_a_denied_call_is_answered_and_never_reaches_the_server(gateway, meta):
    message = called("never", meta=meta)
    heard = exchanged(gateway, sent(message))
    assert heard.status == 200
    assert json.loads(heard.text)["result"]["isError"] is True
    assert gateway.server.reached == []
    assert [e["result_status"] for e in gateway.events(phase="result")] == ["blocked"]


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("meta", [META, None], ids=["2026", "before"])
def test_a_call_that_waits_streams_pings_and_runs_once_approved(gateway, meta):
    message = called("store", meta=meta)
    with gateway.connect() as connection:
        connection.sendall(sent(message))
        pieces = (heard := Heard(connection)).pieces()
        assert (heard.headers["content-type"], next(pieces)) == ("text/event-stream", b": ping\n\n")
        assert gateway.server.reached == []
        approve(gateway, asked_for(gateway))
        answer = b"".join(pieces)
    assert json.loads(answer.partition(b"data: ")[2])["result"]["content"][0]["text"] == "done"
    assert len(gateway.server.reached) == 1
    assert [e["result_status"] for e in gateway.events(phase="result")] == ["succeeded"]


@pytest.mark.parametrize("meta", [META, None], ids=["2026", "before"])
def test_a_call_whose_client_goes_away_while_it_waits_does_not_run(gateway, meta):
    message = called("store", meta=meta)
    with gateway.connect() as connection:
        connection.sendall(sent(message))
        next(Heard(connection).pieces())
    (end,) = gateway.await_events(phase="result")
    assert (end["result_status"], end["error_type"]) == ("cancelled", "approval_pending")
    approve(gateway, asked_for(gateway))
    assert gateway.server.reached == []


def test_a_client_that_shows_forms_is_asked_and_its_answer_counts_after_a_restart_too(gateway):
    meta = {**META, CAPABILITIES: {"elicitation": {"form": {}}}}
    assert gateway.end() == 0
    with opened(gateway.home, gateway.server, IN_CLIENT) as first:
        list_tools(first)
        question = json.loads(exchanged(first, sent(called("store", meta=meta))).text)["result"]
    assert question["resultType"] == "input_required"
    (name,) = question["inputRequests"]
    yes = {"inputResponses": {name: {"action": "accept", "content": {"approve": True}}}}
    again = called("store", 2, meta=meta)
    again["params"] |= yes | {"requestState": question["requestState"]}
    with opened(gateway.home, gateway.server, IN_CLIENT) as second:
        list_tools(second)
        heard = exchanged(second, sent(again))
        assert "requestState" not in gateway.server.reached[-1].message["params"]
    text = heard.text.partition(b"data: ")[2] if b"data: " in heard.text else heard.text
    assert json.loads(text)["result"]["content"][0]["text"] == "done"
