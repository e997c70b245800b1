# SPDX-License-Identifier: Apache-2.0
"""A server at a URL is asked for its tools: in either era, real ones and ill-mannered ones, and within limits."""

import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.doors.listing_http import TOKEN, Listing
from tests.doors.self_signed import self_signed

from onrecord.doors.listed import Listed
from onrecord.doors.probe_http import Token, ask_url
from onrecord.errors import CommandError, ConfigError

SDK_SERVER = str(Path(__file__).with_name("sdk_server.py"))
OLDER_SDK = Path(__file__).parents[2] / ".demo/v1/bin/python"


@contextmanager
def sdk_server(python, mode):
    """Run a server of the SDK that `python` has, and yield its URL."""
    with subprocess.Popen([python, SDK_SERVER, mode], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            assert child.stdout is not None
            yield f"http://127.0.0.1:{int(child.stdout.readline())}/mcp"
        finally:
            child.kill()


def ask(mode, *, timeout_s=20.0, **options) -> Listed:
    with Listing(mode) as server:
        return ask_url(server.url, timeout_s=timeout_s, **options)


def failure(mode, **options) -> str:
    with pytest.raises(CommandError) as caught:
        ask(mode, **options)
    assert caught.value.exit_code == 2
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.requirement("E4", "F4")
@pytest.mark.parametrize(("mode", "version"), [("present", "2026-07-28"), ("old", "2025-11-25")])
def test_a_real_server_lists_its_tools_in_either_era(mode, version) -> None:
    with sdk_server(sys.executable, mode) as url:
        listed = ask_url(url, timeout_s=60)

    assert (listed.name, listed.protocol_version) == ("listing", version)
    assert [tool.name for tool in listed.tools] == ["hello"]
    assert listed.odd == ()


@pytest.mark.skipif(not OLDER_SDK.exists(), reason="the older SDK is not at hand: make .demo/v1/.ready")
def test_a_real_server_of_the_older_sdk_lists_its_tools() -> None:
    with sdk_server(str(OLDER_SDK), "present") as url:
        listed = ask_url(url, timeout_s=60)

    assert (listed.name, listed.protocol_version) == ("listing", "2025-11-25")
    assert [tool.name for tool in listed.tools] == ["hello"]


@pytest.mark.parametrize("mode", ["present", "sse", "sse-stays"])
def test_a_server_of_the_present_era_is_asked_two_questions_and_begins_no_session(mode) -> None:
    with Listing(mode) as server:
        listed = ask_url(server.url, timeout_s=20)

        assert (listed.protocol_version, [tool.name for tool in listed.tools]) == ("2026-07-28", ["one"])
        assert server.methods() == ["server/discover", "tools/list"]


@pytest.mark.parametrize("mode", ["legacy", "legacy-sse", "legacy-sse-asks", "legacy-sse-stays"])
def test_a_server_that_knows_only_the_handshake_is_asked_so_and_its_session_is_ended(mode) -> None:
    with Listing(mode) as server:
        listed = ask_url(server.url, timeout_s=20)

        assert (listed.protocol_version, [tool.name for tool in listed.tools]) == ("2025-06-18", ["one"])
        answers = ["an answer"] * 2 if "asks" in mode else []
        shaken = ["server/discover", "initialize", "notifications/initialized"]
        assert server.methods() == [*shaken, "tools/list", *answers, "DELETE"]
        for _, _, headers, _ in server.asked[2:]:
            assert (headers["Mcp-Session-Id"], headers["MCP-Protocol-Version"]) == ("s-1", "2025-06-18")
            assert "Mcp-Method" not in headers
        said = [message for _, _, _, message in server.asked if message and "method" not in message]
        assert [(one["id"], "result" in one) for one in said] == ([(0, True), (1, False)] if answers else [])


@pytest.mark.parametrize("mode", ["pages", "legacy-pages", "legacy-sse-pages"])
def test_all_pages_are_read(mode) -> None:
    assert [tool.name for tool in ask(mode).tools] == ["t0", "t1", "t2"]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("401", "asks for a token (401): put one into an environment variable or a file of your own, and name it: "),
        ("403", "refuses (403): it wants a token, or does not let this host in"),
        ("404", "there is no MCP server at this path of"),
        ("405", "there is no MCP server at this path of"),
        ("429", "answers with status 429"),
        ("500", "answers with status 500"),
        ("redirects", "redirects (307) to https://elsewhere.example:8443/a"),
        ("html", "does not speak MCP at this path"),
        ("packed", "packs its answer"),
        ("too-long", "answers with more than"),
        ("too-long-event", "answers at too great a length"),
        ("hangs-up", "ended the connection without an answer"),
        ("no-http", "does not answer in HTTP"),
        ("endless", "does not end within 200 pages"),
        ("lists-nothing", "the server lists no tools: JSON-RPC error -32601"),
        ("legacy-refuses", "refuses: status 400, JSON-RPC error -32600"),
        ("legacy-versionless", "does not speak MCP: it names no version of it"),
        ("legacy-forgets", "ended the session before it listed its tools (404)"),
        ("legacy-sse-asks-a-lot", "asks more than 100 questions before it answers one"),
    ],
)
def test_a_server_that_does_not_list_its_tools_is_one_clear_error(mode, said) -> None:
    told = failure(mode)

    assert said in told
    for outside in ("secret", "word", "\x1b", "no "):
        assert outside not in told.replace("no tools", "").replace("no MCP", "").replace("no version", "")


@pytest.mark.parametrize("mode", ["silent", "drips"])
def test_a_server_that_takes_its_time_is_given_up_in_time(mode) -> None:
    assert "listed no tools within 0.6 s" in failure(mode, timeout_s=0.6)


def test_nobody_there_is_said_as_that() -> None:
    with Listing("present") as server:
        gone = server.url
    with pytest.raises(CommandError, match="cannot be reached: connection refused"):
        ask_url(gone, timeout_s=5)
    with pytest.raises(CommandError, match="nobody knows an address of that name"):
        ask_url("https://nowhere.invalid/mcp", timeout_s=5)


# tokens


def test_a_token_goes_with_each_question_and_stands_in_no_message() -> None:
    token = Token(TOKEN, "the environment variable MINE")
    with Listing("token") as server:
        assert [tool.name for tool in ask_url(server.url, timeout_s=20, token=token).tools] == ["one"]
        assert {headers["Authorization"] for _, _, headers, _ in server.asked} == {f"Bearer {TOKEN}"}
    told = failure("401", token=token)
    assert "does not take the token of the environment variable MINE (401)" in told
    assert TOKEN not in told + failure("403", token=token) + failure("500", token=token) + repr(token)


@pytest.mark.parametrize("text", ["", "two words", "Bearer x", "a\r\nX-Evil: 1", "é", "x" * 20_000, "=", "a=b"])
def test_what_is_no_token_is_not_sent(text) -> None:
    with pytest.raises(ConfigError, match="the file holds no bearer token"):
        Token(text, "the file")


def test_a_token_and_a_list_go_over_https_or_to_this_machine() -> None:
    with pytest.raises(ConfigError, match="must be https"):
        ask_url("http://elsewhere.invalid/mcp", timeout_s=5)
    with pytest.raises(CommandError, match="nobody knows an address"):
        ask_url("http://elsewhere.invalid/mcp", timeout_s=5, plain=True)
    with pytest.raises(ConfigError, match="a token is only sent over https"):
        ask_url("http://elsewhere.invalid/mcp", timeout_s=5, plain=True, token=Token(TOKEN, "a file"))
    with pytest.raises(ConfigError, match="must not hold a user name"):
        ask_url("https://user:word@elsewhere.invalid/mcp", timeout_s=5)


# TLS


@pytest.fixture
def certificate(tmp_path):
    return self_signed(tmp_path)


def test_a_certificate_that_does_not_hold_is_one_clear_error_that_says_what_to_do(certificate, monkeypatch) -> None:
    with Listing("present", certificate=certificate) as server:
        with pytest.raises(CommandError) as caught:
            ask_url(server.url, timeout_s=20)
        assert "shows a certificate that does not hold (self-signed certificate)" in str(caught.value)
        assert "SSL_CERT_FILE" in str(caught.value)
        assert server.asked == []

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert [tool.name for tool in ask_url(server.url, timeout_s=20).tools] == ["one"]


def test_https_to_a_server_of_http_is_said_as_that() -> None:
    with Listing("present") as server, pytest.raises(CommandError, match="is it http, not https"):
        ask_url(server.url.replace("http:", "https:"), timeout_s=20)


def test_nothing_is_left_running() -> None:
    before = {thread.name for thread in threading.enumerate()}
    ask("legacy-sse")
    assert {thread.name for thread in threading.enumerate() if thread.name.startswith("onrecord")} <= before
