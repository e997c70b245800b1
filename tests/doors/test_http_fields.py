# SPDX-License-Identifier: Apache-2.0
"""Which header fields have one reading, go on to a server and come back, whatever a caller sends."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doors.letting_in import opened
from tests.identity.issuing import shown

from onrecord.doors.http_access import Document, Entry, Head, HttpAccess, Names, Place, Tokens
from onrecord.doors.http_fields import ONCE, fault_in, is_host, is_kept_back, is_origin, passed_back, passed_on, values
from onrecord.event.call import Actor

pytestmark = pytest.mark.requirement("C3")

NAMES = [
    *(b"host", b"authorization", b"origin", b"cookie", b"proxy-authorization", b"proxy-connection", b"forwarded"),
    *(b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"connection", b"keep-alive", b"te", b"trailer"),
    *(b"transfer-encoding", b"content-length", b"content-type", b"upgrade", b"mcp-method", b"mcp-name", b"mcp-param-x"),
    *(b"mcp-session-id", b"mcp-protocol-version", b"traceparent", b"tracestate", b"baggage", b"accept", b"user-agent"),
    *(b"x-api-key", b"dpop", b"set-cookie", b"last-event-id", b"sec-fetch-site", b"expect", b"x-own"),
]
NEVER = {
    *(b"authorization", b"cookie", b"set-cookie", b"proxy-authorization", b"proxy-connection", b"forwarded", b"dpop"),
    *(b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"connection", b"keep-alive", b"te", b"trailer", b"host"),
    *(b"transfer-encoding", b"content-length", b"upgrade", b"expect", b"origin", b"sec-fetch-site"),
}
CASES = [bytes.lower, bytes.upper, bytes.title]
SECRET = "s3cr3t-" + "0" * 12

names = st.builds(lambda name, case: case(name), st.sampled_from(NAMES), st.sampled_from(CASES))
words = st.sampled_from(
    [
        *(b"127.0.0.1:8300", b"localhost:8300", b"evil.example", b"Bearer abc.def.ghi", b"Basic abc", b"", b" ", b"0"),
        *(b"close, x-own", b"TraceParent, mcp-name", b"chunked", b"http://localhost:8300", b"null", b"a\rb", b"a\nb"),
        *(b"a\x00b", b"Bearer  a", b"bearer a", b"Bearer a b", f"Bearer {SECRET}".encode(), SECRET.encode()),
    ]
)
fields = st.lists(st.tuples(names | st.binary(max_size=6), words | st.binary(max_size=12)), max_size=12)
good = st.lists(st.tuples(names, words), max_size=6).map(lambda some: [(b"host", b"127.0.0.1:8300"), *some])


@given(fields | good)
def test_what_counts_once_is_there_once_or_the_request_has_no_reading(found):
    once = [name.lower() for name, _ in found if name.lower() in ONCE]
    broken = any(c in value for _, value in found for c in b"\r\n\x00") or any(not name for name, _ in found)
    why = fault_in(found)
    named = {word.strip().lower() for value in values(found, b"connection") for word in value.split(b",")}
    if len(set(once)) != len(once) or broken or named & {b"traceparent", b"mcp-name"}:
        assert why
    assert why.isascii()
    assert SECRET not in why


@given(fields | good, st.sets(st.sampled_from(NAMES), max_size=4))
def test_nothing_goes_on_that_never_does_whatever_is_set(found, further):
    on = passed_on(found, further)
    kept = iter(found)
    assert all(one in kept for one in on)  # in their order, and as they came
    assert not {name.lower() for name, _ in on} & NEVER
    named = {word.strip().lower() for value in values(found, b"connection") for word in value.split(b",")}
    assert not {name.lower() for name, _ in on} & named
    known = {*further, b"accept", b"content-type", b"user-agent", b"last-event-id"}
    assert all(name.lower() in known or name.lower().startswith((b"mcp-", b"trace", b"baggage")) for name, _ in on)


@given(fields)
def test_no_credential_goes_on_by_another_spelling_of_its_name(found):
    secret = [(name, SECRET.encode()) for name, _ in found if is_kept_back(name.lower())]
    assert passed_on(secret, {name.lower() for name, _ in secret}) == []


def test_what_a_server_needs_goes_on_as_it_came():
    came = [
        *((b"Traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), (b"tracestate", b"a=b")),
        *((b"tracestate", b"c=d"), (b"Baggage", b"user=1"), (b"Mcp-Method", b"tools/call"), (b"MCP-Name", b"x")),
        *((b"Mcp-Param-Region", b"=?base64?ZQ==?="), (b"mcp-param-unknown", b"1"), (b"Last-Event-ID", b"7")),
        *((b"Accept", b"application/json, text/event-stream"), (b"Content-Type", b"application/json")),
    ]
    assert passed_on(came) == came
    other = [(b"X-API-Key", b"abc"), (b"X-Tenant", b"acme")]
    assert passed_on(other) == []
    assert passed_on(other, {b"x-tenant"}) == other[1:]


def test_what_concerns_us_alone_does_not_come_back():
    came = [
        *((b"content-type", b"text/event-stream"), (b"Mcp-Session-Id", b"1"), (b"Retry-After", b"5")),
        *((b"WWW-Authenticate", b"Bearer"), (b"Set-Cookie", b"a=b"), (b"Connection", b"close"), (b"Server", b"x")),
        *((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5"), (b"Content-Encoding", b"gzip")),
        *((b"Location", b"https://files.example"), (b"Access-Control-Allow-Origin", b"*")),
    ]
    assert passed_back(came) == came[:3]


@pytest.mark.parametrize(
    ("given", "back"),
    [
        (b"application/json", b"application/json"),
        (b"text/event-stream; charset=UTF-8", b"text/event-stream; charset=UTF-8"),
        (b"application/json; charset=utf-7", b"application/json"),
        (b"application/json; charset=utf-8; charset=utf-16", b"application/json"),
    ],
)
def test_an_answer_is_read_in_the_charset_that_it_was_judged_in(given, back):
    assert passed_back([(b"Content-Type", given)]) == [(b"Content-Type", back)]


TOKENS: tuple[Tokens, ...] = ("off", "optional", "required")
PLACE = Place(server_id="files", path="/files", resource="http://127.0.0.1:8300/files", audience="a")
HERE = Names(hosts=frozenset({"127.0.0.1:8300", "localhost:8300"}), origins=frozenset({"http://localhost:8300"}))


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    home = tmp_path_factory.mktemp("doors")
    (home / "keys.json").write_bytes(shown())
    with opened(home / "home", home / "keys.json") as door:
        more = {"anybody": Actor(), "base": "http://127.0.0.1:8300", "issuer": "https://i", "identity": door.identity}
        yield {tokens: HttpAccess([PLACE], HERE, tokens=tokens, **more) for tokens in TOKENS}


PATHS = [b"/files", b"/files", b"/files/", b"/", b"", b"/.well-known/oauth-protected-resource/files", b"\xff"]
QUERIES = [
    *(b"", b"", b"a=b", b"access_token=x", b"%61ccess_token", b"\xff=%ff", b"&&=", b"a;access_token=1", b"a&" * 200)
]
heads = st.builds(
    Head,
    method=st.sampled_from(["POST", "GET", "DELETE", "PUT", "post", ""]),
    path=st.sampled_from(PATHS),
    fields=fields | good,
    query=st.sampled_from(
        [b"", b"a=b", b"access_token=x", b"%61ccess_token", b"\xff=%ff", b"&&=", b"a;access_token=1"]
    ),
)


@given(head=heads, tokens=st.sampled_from(TOKENS))
@settings(max_examples=400)
def test_no_request_is_both_let_in_and_malformed_and_none_says_what_it_held(doors, head, tokens):
    found = doors[tokens].judge(head)
    hosts = [value.decode("latin-1").lower() for value in values(head.fields, b"host")]
    brought = values(head.fields, b"authorization")
    if isinstance(found, Entry):
        assert not fault_in(head.fields)
        assert hosts in (["127.0.0.1:8300"], ["localhost:8300"])
        assert values(head.fields, b"origin") in ([], [b"http://localhost:8300"])
        assert (head.path, head.method in ("POST", "GET", "DELETE")) == (b"/files", True)
        assert b"access_token" not in head.query
        assert tokens == "off" or (tokens == "optional" and not brought)
        assert found.sender.bearer is None
        return
    said = json.dumps([found.body.decode(), repr(found.fields), repr(found)])
    assert SECRET not in said
    assert not any(value.decode("latin-1") in said for value in brought if len(value) > 9)
    assert all(name.islower() and b"\n" not in value and value.isascii() for name, value in found.fields)
    assert isinstance(json.loads(found.body), dict)
    if not isinstance(found, Document):
        assert found.status in {400, 401, 403, 404, 405, 421}


@pytest.mark.parametrize(
    ("text", "host"),
    [
        *(("a", True), ("a.b", True), ("a:1", True), ("[::1]", True), ("[::1]:8300", True), ("127.0.0.1:65535", True)),
        *(("", False), ("a:", False), ("a:0", False), ("a:65536", False), (":1", False), ("A", False), ("a b", False)),
        *(
            ("[::1", False),
            ("a/b", False),
            ("a@b", False),
            ("a:1:2", False),
            ("*", False),
            (".a", False),
            ("a.", False),
        ),
    ],
)
def test_a_host_is_a_name_or_an_address_and_perhaps_a_port(text, host):
    assert is_host(text) == host
    assert is_origin(f"https://{text}") == host
    assert not is_origin(text)


def test_the_default_port_of_an_origin_is_not_written():
    assert [is_origin(one) for one in ("http://a:80", "https://a:443", "http://a:443", "ftp://a")] == [
        *(False, False, True, False)
    ]
