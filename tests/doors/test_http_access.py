# SPDX-License-Identifier: Apache-2.0
"""Who may come in by HTTP, over real connections: by whose token, under which name, from which page."""

import json
import os
import re
import socket
import time

import pytest
from joserfc.jwk import RSAKey
from tests.doors.letting_in import FILES, opened
from tests.identity.issuing import ISSUER, KeyServer, claims, confused, shown, signed, unsigned
from tests.identity.test_confusion import by_hmac, part, public_forms

from onrecord.doors.http_telling import EACH, EACH_OF_ONE

pytestmark = pytest.mark.requirement("C3")

OFF = '[gateway]\ntokens = "off"'
OPTIONAL = '[gateway]\ntokens = "optional"'
SCOPED = FILES + 'scopes = ["mcp", "files:read"]\n'


@pytest.fixture
def keys(tmp_path):
    file = tmp_path / "keys.json"
    file.write_bytes(shown())
    return file


@pytest.fixture
def door(tmp_path, keys):
    with opened(tmp_path / "home", keys) as one:
        yield one


@pytest.fixture(scope="module")
def one_for_all(tmp_path_factory):
    home = tmp_path_factory.mktemp("standing")
    (home / "keys.json").write_bytes(shown())
    named = 'allowed_origins = ["https://app.example"]\nallowed_hosts = ["gw.example"]'
    with opened(home / "home", home / "keys.json", f"[gateway]\n{named}") as door:
        yield door


@pytest.fixture
def standing(one_for_all):
    """A door that other tests use too, for what leaves nothing behind but refusals."""
    one_for_all.inside.clear()
    return one_for_all


def challenge(fields):
    """Return what a refusal tells its client to do, read as RFC 9110, 11.6.1 has it."""
    scheme, _, rest = fields["WWW-Authenticate"].partition(" ")
    assert scheme == "Bearer"
    found = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:, |$)', rest)
    assert ", ".join(f'{name}="{text}"' for name, text in found) == rest
    return dict(found)


def whole(home):
    """Return all that lies in a home, keys aside, as text."""
    files = [file for file in home.rglob("*") if file.is_file() and "keys" not in file.parts]
    return b"".join(file.read_bytes() for file in files).decode(errors="replace")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"])
def test_a_token_for_this_very_server_says_who_comes_in(door, algorithm):
    status, _, said = door.ask(token=door.token(algorithm=algorithm))
    assert (status, said["in"], said["source"]) == (200, "files", "oauth")
    (sender,) = door.inside
    assert said["user"] == sender.actor.user_id != ""
    assert sender.audience == f"{door.base}/files"
    assert sender.actor.scopes == ("mcp",)


def test_the_chain_of_those_that_act_for_a_person_comes_in_with_the_token(door):
    door.ask(token=door.token(act={"sub": "agent-1", "act": {"sub": "agent-0"}}))
    (sender,) = door.inside
    assert len(sender.actor.act_chain) == 2
    assert sender.actor.agent_id == sender.actor.act_chain[0] != sender.actor.user_id


def test_without_a_token_a_client_learns_where_to_get_one(tmp_path, keys):
    with opened(tmp_path / "home", keys, upstream=SCOPED) as door:
        status, fields, said = door.ask()
        assert status == 401
        where = challenge(fields)["resource_metadata"]
        assert challenge(fields) == {"resource_metadata": where, "scope": "mcp files:read"}  # RFC 6750, 3.1: no error
        assert said == {"error": "unauthorized", "error_description": "a token is required"}
        status, fields, document = door.ask("GET", where.removeprefix(door.base))
        assert (status, fields["Content-Type"]) == (200, "application/json")
        assert document == {
            "resource": f"{door.base}/files",
            "authorization_servers": [ISSUER],
            "scopes_supported": ["mcp", "files:read"],
            "bearer_methods_supported": ["header"],
            "resource_name": "files",
        }
        assert door.ask("GET", "/.well-known/oauth-protected-resource")[2] == document
        assert door.ask("HEAD", "/.well-known/oauth-protected-resource/files")[0] == 200
        assert door.ask("POST", "/.well-known/oauth-protected-resource/files")[0] == 405
        assert not door.inside


def test_of_several_servers_each_has_a_document_and_tokens_of_its_own(tmp_path, keys):
    two = FILES + FILES.replace("files", "mail")
    with opened(tmp_path / "home", keys, upstream=two) as door:
        assert door.ask("GET", "/.well-known/oauth-protected-resource")[0] == 404
        for name in ("files", "mail"):
            document = door.ask("GET", f"/.well-known/oauth-protected-resource/{name}")[2]
            assert document["resource"] == f"{door.base}/{name}"
            assert "scopes_supported" not in document
            for path in ("/files", "/mail"):
                status, _, _ = door.ask(path=path, token=door.token(path=f"/{name}"))
                assert status == (200 if path == f"/{name}" else 401)


def test_an_audience_of_the_settings_counts_in_place_of_the_url(tmp_path, keys):
    with opened(tmp_path / "home", keys, upstream=FILES + 'audience = "api://files"\n') as door:
        assert door.ask(token=door.token(aud="api://files"))[0] == 200
        assert door.ask(token=door.token())[0] == 401


def test_a_token_that_lacks_a_scope_is_told_which_are_needed(tmp_path, keys):
    with opened(tmp_path / "home", keys, upstream=SCOPED) as door:
        status, fields, said = door.ask(token=door.token(scope="mcp"))
        assert (status, said["error"]) == (403, "insufficient_scope")
        asked = challenge(fields)
        assert (asked["error"], asked["scope"]) == ("insufficient_scope", "mcp files:read")
        assert asked["resource_metadata"].endswith("/.well-known/oauth-protected-resource/files")
        for scope in ("files:read mcp more", ["mcp", "files:read"]):
            assert door.ask(token=door.token(scope=scope))[0] == 200
        assert door.ask(token=door.token(scope="mcp files:readwrite"))[0] == 403
        (event, _) = door.events()
        assert (event["event_type"], event["error_type"]) == ("authentication", "insufficient_scope")
        assert (event["scope_required"], event["scope_present"]) == (["mcp", "files:read"], ["mcp"])
        assert event["user_id"] == door.inside[0].actor.user_id  # who it was is known


REFUSED = {
    "of another issuer": (lambda door: door.token(iss="https://other.example"), "another issuer"),
    "for another audience": (lambda door: door.token(aud="https://files.example/mcp"), "another audience"),
    "for a path above": (lambda door: door.token(aud=door.base), "another audience"),
    "for the same with a slash": (lambda door: door.token(aud=f"{door.base}/files/"), "another audience"),
    "for the client, as an ID token": (lambda door: door.token(aud="onrecord-cli"), "another audience"),
    "expired": (lambda door: door.token(exp=int(time.time()) - 60), "has expired"),
    "not valid yet": (lambda door: door.token(nbf=int(time.time()) + 600), "not valid yet"),
    "without an end": (lambda door: door.token(exp=None), "when it was issued and when it expires"),
    "without a subject": (lambda door: door.token(sub=None), "'sub' is missing"),
    "with a malformed actor": (lambda door: door.token(act="agent"), "'act' is malformed"),
    "an ID token by its type": (lambda door: door.token(header={"typ": "id_token+jwt"}), "another type"),
    "a token for a call": (lambda door: door.token(header={"typ": "mcp-id+jwt"}), "another type"),
    "a proof of possession": (lambda door: door.token(header={"typ": "dpop+jwt"}), "another type"),
    "bound by DPoP": (lambda door: door.token(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), "is bound"),
    "bound by a certificate": (
        lambda door: door.token(cnf={"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
        "is bound",
    ),
    "bound to nothing": (lambda door: door.token(cnf={}), "is bound"),
    "unsigned": (lambda door: unsigned(claims(aud=f"{door.base}/files"), typ="at+jwt"), "not allowed"),
    "confused": (lambda door: confused(), "not allowed"),
    "with an extension": (lambda door: door.token(header={"crit": ["exp"], "exp": 1}), "extension"),
    "by a key of somebody else": (
        lambda door: door.token(algorithm="RS256", key=RSAKey.generate_key(2048)),
        "does not hold",
    ),
    "by a key that is not shown": (lambda door: door.token(header={"kid": "k-other"}), "does not show"),
    "cut": (lambda door: door.token()[:-4], "does not hold"),
    "opaque": (lambda door: "abcdef0123456789", "no signed token"),
    "of five parts": (lambda door: "a.b.c.d.e", "no signed token"),
    "too long": (lambda door: "a" * 17_000, "longer than"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_token_that_does_not_hold_lets_nobody_in(door, name):
    make, why = REFUSED[name]
    token, said = make(door), {}
    for _ in range(2):  # nothing is remembered of it
        status, fields, said = door.ask(token=token)
        asked = challenge(fields)
        assert (status, asked["error"], said["error"]) == (401, "invalid_token", "invalid_token")
        assert why in asked["error_description"] == said["error_description"]
    assert not door.inside
    first, second = door.events()
    assert (first["event_type"], first["error_type"]) == ("authentication", "not_authenticated")
    assert first["policy_reason"] == said["error_description"]
    assert first["client_ip"] == "127.0.0.1"
    assert first["server_id"] == "files"
    assert first["event_id"] != second["event_id"]
    assert token not in whole(door.home)


def test_what_is_public_of_the_issuer_is_no_secret(standing):
    for _, secret in public_forms():
        for algorithm in ("HS256", "HS512"):
            assert standing.ask(token=by_hmac(algorithm, secret))[0] == 401
    good = standing.token()
    for algorithm in ("none", "nOnE", "HS256", "RS1", "", None):
        head = part({"alg": algorithm, "kid": "k-ES256", "typ": "at+jwt"})
        assert standing.ask(token=f"{head}.{good.split('.', 1)[1]}")[0] == 401
    assert not standing.inside


def test_a_token_that_is_remembered_ends_all_the_same(door):
    token = door.token()
    assert door.ask(token=token)[0] == 200
    door.identity._clock = lambda: time.time() + 631
    status, fields, _ = door.ask(token=token)
    assert status == 401
    assert "has expired" in challenge(fields)["error_description"]
    assert door.ask(token=token, path="/mail")[0] == 404


def test_a_token_is_remembered_for_its_audience_alone(tmp_path, keys):
    with opened(tmp_path / "home", keys, upstream=FILES + FILES.replace("files", "mail")) as door:
        token = door.token()
        assert [door.ask(path=path, token=token)[0] for path in ("/files", "/mail", "/files", "/mail")] == [
            200,
            401,
        ] * 2
        both = door.token(aud=[f"{door.base}/files", f"{door.base}/mail"])
        assert [door.ask(path=path, token=both)[0] for path in ("/files", "/mail")] == [200, 200]


def test_once_the_issuer_has_withdrawn_a_key_its_tokens_end_with_what_keys_may_last(tmp_path):
    with KeyServer(shown()) as issuer, opened(tmp_path / "home", issuer.url) as door:
        token = door.token()
        assert door.ask(token=token)[0] == 200
        issuer.body = shown("RS256")
        assert door.ask(token=token)[0] == 200  # remembered, for as long as keys are
        identity = door.identity
        identity._clock = lambda: time.time() + 3601
        identity._issuer.keys._clock = lambda: time.monotonic() + 3601
        later = door.token(exp=int(time.time()) + 9000)
        for one in (token, later):
            status, fields, _ = door.ask(token=one)
            assert status == 401
        assert "does not show" in challenge(fields)["error_description"]


def test_where_the_issuers_keys_cannot_be_had_nobody_is_told_that_a_token_is_wrong(tmp_path):
    with KeyServer(status=500) as issuer, opened(tmp_path / "home", issuer.url) as door:
        status, fields, said = door.ask(token=door.token())
        assert (status, said["error"]) == (503, "temporarily_unavailable")
        assert fields["Retry-After"] == "30"
        assert fields["WWW-Authenticate"] is None
        assert door.ask()[0] == 401
        first, _ = door.events()
        assert (first["event_type"], first["error_type"]) == ("authentication", "issuer_away")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("Authorization", "Basic dXNlcjpwYXNz")], 401),
        ([("Authorization", "DPoP abc.def.ghi"), ("DPoP", "abc.def.ghi")], 401),
        ([("Authorization", "abc.def.ghi")], 401),
        ([("Authorization", "")], 401),
        ([("Authorization", "Bearer")], 400),
        ([("Authorization", "Bearer ")], 400),
        ([("Authorization", "Bearer a b")], 400),
        ([("Authorization", "Bearer a,b")], 400),
        ([("Authorization", "Bearer\ta")], 400),
        ([("Authorization", "Bearer a"), ("Authorization", "Bearer b")], 400),
        ([("Authorization", "Bearer a"), ("authorization", "Bearer a")], 400),
        ([("Host", "127.0.0.1")], 400),
        ([("Origin", "null")], 403),
        ([("Origin", "https://evil.example")], 403),
        ([("Origin", "http://localhost.evil.example")], 403),
        ([("Origin", "")], 403),
        ([("Origin", "http://localhost"), ("Origin", "http://localhost")], 400),
        ([("Mcp-Session-Id", "a"), ("mcp-session-id", "b")], 400),
        ([("Mcp-Method", "a"), ("Mcp-Method", "a")], 400),
        ([("Content-Type", "application/json"), ("Content-Type", "text/plain")], 400),
        ([("Upgrade", "websocket"), ("Connection", "upgrade")], 400),
    ],
)
def test_a_request_has_one_reading_or_is_refused(standing, fields, status):
    good = (
        []
        if any(name.lower() == "authorization" for name, _ in fields)
        else [("Authorization", f"Bearer {standing.token()}")]
    )
    assert standing.ask(fields=[*good, *fields])[0] == status
    assert not standing.inside


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:{}", 200),
        ("LocalHost:{}", 200),
        ("127.0.0.1:{}", 200),
        ("[::1]:{}", 200),
        ("", 400),
        ("evil.example", 421),
        ("evil.example:{}", 421),
        ("127.0.0.1", 421),
        ("127.0.0.1:1", 421),
        ("127.0.0.1:{}.evil.example", 421),
        ("localhost.:{}", 421),
        ("localhost:{}@evil.example", 421),
        ("gw.example", 200),
        ("gw.example:8443", 200),
        ("other.gw.example", 421),
        ("gw.example.evil.example", 421),
    ],
)
def test_a_name_that_was_made_to_point_here_is_not_ours(standing, host, status):
    host = host.format(standing.port)
    assert standing.ask(host=host, token=standing.token())[0] == status
    for field in (("X-Forwarded-Host", f"127.0.0.1:{standing.port}"), ("Forwarded", f"host=127.0.0.1:{standing.port}")):
        assert standing.ask(host=host, token=standing.token(), fields=[field])[0] == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:{}", 200),
        ("http://127.0.0.1:{}", 200),
        ("https://app.example", 200),
        ("https://gw.example", 200),
        ("http://app.example", 403),
        ("https://app.example:8443", 403),
        ("http://localhost:1", 403),
        ("https://app.example.evil.example", 403),
        ("HTTPS://app.example", 403),  # no browser writes it so
    ],
)
def test_pages_call_from_origins_that_are_allowed(standing, origin, status):
    assert standing.ask(token=standing.token(), fields=[("Origin", origin.format(standing.port))])[0] == status


@pytest.mark.parametrize(
    "path",
    [
        *("/file", "/files/", "/files/x", "//files", "/FILES", "/files%20", "/%66iles", "/files/../files", "/", "*"),
        *("/.well-known/oauth-protected-resource/", "/.well-known/oauth-protected-resource/mail", "/files;a=b"),
        "http://127.0.0.1/files",
    ],
)
def test_there_is_one_path_to_each_server(standing, path):
    assert standing.ask(path=path, token=standing.token())[0] == 404
    assert not standing.inside


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "HEAD", "TRACE", "post"])
def test_methods_that_mcp_does_not_use_are_refused(standing, method):
    status, fields, _ = standing.ask(method, token=standing.token())
    assert (status, fields["Allow"]) == (405, "POST, GET, DELETE")


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_and_those_that_it_uses_need_a_token_each(standing, method):
    assert standing.ask(method)[0] == 401
    assert standing.ask(method, token=standing.token())[0] == 200


@pytest.mark.parametrize(
    "name", ["access_token", "Access_Token", "access%5Ftoken", "%61ccess_token", "a=b&access_token", "+access_token"]
)
def test_a_token_in_the_url_is_refused_and_not_recorded(door, name):
    token = door.token()
    status, _, said = door.ask(path=f"/files?{name}={token}")
    assert status == 400
    assert "must not stand in the URL" in said["error_description"]
    assert door.ask(path=f"/files?{name}={token}", token=token)[0] == 400
    assert not door.inside
    assert {e["error_type"] for e in door.events()} == {"token_in_url"}
    assert token not in whole(door.home)


def test_where_tokens_are_optional_one_that_is_there_must_hold(tmp_path, keys):
    two = FILES + FILES.replace("files", "mail") + 'scopes = ["mcp"]\n'
    with opened(tmp_path / "home", keys, OPTIONAL, upstream=two) as door:
        assert door.ask()[2] == {"in": "files", "source": "none", "user": ""}
        assert door.ask(token="abc.def.ghi")[0] == 401
        assert door.ask(fields=[("Authorization", "Basic dXNlcjpwYXNz")])[0] == 401
        assert door.ask(token=door.token())[2]["source"] == "oauth"
        assert door.ask(path="/mail")[0] == 401  # who must have a scope must be somebody
        assert door.ask(path="/mail", token=door.token(path="/mail"))[0] == 200


def test_where_tokens_are_off_none_is_looked_at_and_none_is_kept(tmp_path):
    with opened(tmp_path / "home", "", OFF) as door:
        token = door.token()
        assert door.ask(token=token)[2] == {"in": "files", "source": "none", "user": ""}
        assert door.inside[0].bearer is None
        assert door.ask("GET", "/.well-known/oauth-protected-resource/files")[0] == 404
        assert door.ask(host="evil.example")[0] == 421


RAW = [
    b"POST /files HTTP/1.1\r\nHost: H\r\nAuthorization: A\r\n continued\r\n\r\n",
    b"POST /files HTTP/1.1\r\nHost: H\r\nAuthorization : A\r\n\r\n",
    b"POST /files HTTP/1.1\r\nHost: H\r\n Authorization: A\r\n\r\n",
    b"POST /files HTTP/1.1\r\nHost: evil.example\r\nHost: H\r\nAuthorization: A\r\n\r\n",
    b"POST /files HTTP/1.1\r\nHost: H\r\nAuthorization: A\x00\r\n\r\n",
    b"POST /files HTTP/1.1\r\nHost: H\r\nAuthorization: A\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /files HTTP/1.1\r\nHost: H\r\nAuthorization: A\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
    b"POST http://evil.example/files HTTP/1.1\r\nHost: H\r\nAuthorization: A\r\n\r\n",
    b"POST /files HTTP/1.0\r\nAuthorization: A\r\n\r\n",
    b"POST /files HTTP/1.1\r\nHost: H, evil.example\r\nAuthorization: A\r\n\r\n",
]


@pytest.mark.parametrize("number", range(len(RAW)))
def test_whatever_bytes_come_nobody_gets_in_by_a_second_reading(standing, number):
    head = (
        RAW[number]
        .replace(b" H\r\n", f" 127.0.0.1:{standing.port}\r\n".encode())
        .replace(b" H,", f" 127.0.0.1:{standing.port},".encode())
    )
    with socket.create_connection(("127.0.0.1", standing.port), timeout=20) as connection:
        connection.sendall(head.replace(b" A", f" Bearer {standing.token()}".encode()))
        answer = connection.recv(4096)
    assert answer[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 404", b"HTTP/1.1 421"}
    assert not standing.inside


def test_a_flood_of_tokens_that_do_not_hold_is_summed_up(door):
    for number in range(60):
        assert door.ask(token=f"wrong.{number}.token")[0] == 401
    for _ in range(40):
        assert door.ask(host="evil.example")[0] == 421
    events = door.events()
    alone = [e for e in events if e["action"] == "refuse"]
    (summed,) = [e for e in events if e["action"] == "refusals_summed"]
    assert len(alone) == EACH_OF_ONE
    assert summed["detail"]["count"] == 100 - EACH_OF_ONE
    assert summed["detail"]["kinds"] == {"not_authenticated": 60 - EACH_OF_ONE, "wrong_host": 40}
    assert summed["detail"]["addresses"] == 1
    assert summed["event_type"] == "security"


def test_nothing_of_a_request_that_was_turned_away_is_shown_or_kept(door, capfd):
    marks = {name: f"marked-{os.urandom(6).hex()}" for name in ("token", "host", "origin", "path", "query", "field")}
    answers = [
        door.ask(token=signed(claims(sub=marks["token"], aud="x"))),
        door.ask(token=marks["token"]),
        door.ask(host=marks["host"]),
        door.ask(fields=[("Origin", f"https://{marks['origin']}")]),
        door.ask(path=f"/{marks['path']}?{marks['query']}"),
        door.ask(fields=[(marks["field"], "x"), ("Authorization", f"Basic {marks['field']}")]),
    ]
    events = door.events()
    assert len(events) == len(answers) - 1 + 1  # the last one is in the sum
    seen = json.dumps(events) + repr([(s, str(f), b) for s, f, b in answers]) + whole(door.home)
    assert [name for name, mark in marks.items() if mark in seen or mark in "".join(capfd.readouterr())] == []


def test_addresses_have_shares_of_what_stands_by_itself(door):
    from onrecord.doors.http_access import TurnedAway

    away = TurnedAway(status=404, error_type="unknown_path", reason="nothing is at that path")
    for number in range(EACH * 3):
        door.refusals.turned_away(away, f"192.0.2.{number % 6}")
    events = door.events()
    alone = [e["client_ip"] for e in events if e["action"] == "refuse"]
    assert len(alone) == EACH
    assert {alone.count(ip) for ip in alone} <= set(range(1, EACH_OF_ONE + 1))
    assert len(set(alone)) == 6
    assert sum(e["detail"]["count"] for e in events if e["action"] == "refusals_summed") == EACH * 2


def test_a_sum_is_on_the_record_without_another_request(door):
    from onrecord.doors.http_access import TurnedAway
    from onrecord.doors.http_telling import WINDOW_S, Refusals

    now, due = [100.0], []
    refusals = Refusals(
        door.recorder,
        clock=lambda: now[0],
        later=lambda seconds, what: (due.append((seconds, what)), lambda: None)[1],
    )
    away = TurnedAway(status=404, error_type="unknown_path", reason="nothing is at that path")
    for _ in range(EACH):
        refusals.turned_away(away, "192.0.2.1")
    ((seconds, what),) = due
    assert seconds == WINDOW_S
    now[0] += seconds
    what()
    refusals.turned_away(away, "192.0.2.1")  # a new minute
    events = door.events()
    assert [e["detail"]["count"] for e in events if e["action"] == "refusals_summed"] == [EACH - EACH_OF_ONE]
    assert len([e for e in events if e["action"] == "refuse"]) == EACH_OF_ONE + 1
