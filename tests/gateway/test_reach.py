# SPDX-License-Identifier: Apache-2.0
"""Whoever keeps the gateway is told that a server cannot be reached, whatever a client has asked for."""

import pytest
from tests.gateway.running import META, Gateway, exchanged, modern
from tests.gateway.scripted import Scripted, Switch, answered, echoing

LISTED = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}


def told(gateway):
    """Return what the record says of reaching servers."""
    actions = ("upstream_unreachable", "upstream_reachable")
    found = [e for e in gateway.events(event_type="connection") if e["action"] in actions]
    return [(e["action"], e["server_id"], e.get("error_type", ""), e["detail"]["url"]) for e in found]


def test_a_server_that_is_not_there_is_told_once_without_what_may_be_a_key(tmp_path):
    with Gateway(tmp_path, {"s": "http://127.0.0.1:1/mcp?key=k"}) as gateway:
        for _ in "ab":
            heard = exchanged(gateway, modern("/s", LISTED))
            assert heard.status == 502
            assert b"127.0.0.1" not in heard.text
        gateway.end()
        where = "http://127.0.0.1:1/mcp"
        assert told(gateway) == [("upstream_unreachable", "s", "upstream_unreachable", where)]
        assert gateway.said.count(f"onrecord: s: the server at {where} cannot be reached") == 1
        assert "(connection refused: does it run there?)" in gateway.said
        assert "key=k" not in gateway.said
        assert "Errno" not in gateway.said
        (lost,) = [e for e in gateway.events(event_type="connection") if e["action"] == "upstream_unreachable"]
        assert lost["detail"]["reason"] == "connection refused: does it run there?"


def test_a_server_whose_name_nobody_knows_is_told_so(tmp_path):
    with Gateway(tmp_path, {"s": "https://no-such-host.invalid/mcp"}) as gateway:
        assert exchanged(gateway, modern("/s", LISTED)).status == 502
        gateway.end()
        assert "cannot be reached (nobody knows an address of that name)" in gateway.said


def missing(connection, _):
    answered(connection, b"", status=404)


def elsewhere(connection, _):
    answered(connection, b"", status=307, location="http://127.0.0.1:1/")


@pytest.mark.parametrize(("kind", "script"), [("http_404", missing), ("redirected", elsewhere)])
def test_a_wrong_url_is_told_and_so_is_that_it_has_become_right(tmp_path, kind, script):
    switch = Switch()
    with Scripted(switch) as server, Gateway(tmp_path, {"s": server.url}) as gateway:
        for switch.to in (script, script, echoing, echoing):
            exchanged(gateway, modern("/s", LISTED))
        gateway.end()
        said = [line for line in gateway.said.splitlines() if f"s: the server at {server.url} " in line]
        assert [line.endswith("is its url right?") for line in said] == [True, False]
        assert said[1].endswith("can be reached again")
        lost, again = told(gateway)
        assert (lost, again) == (
            ("upstream_unreachable", "s", kind, server.url),
            ("upstream_reachable", "s", "", server.url),
        )
