# SPDX-License-Identifier: Apache-2.0
"""What may be set of the gateway and of what is behind it; anything else is one clear error."""

import os
import sys

import pytest

from onrecord.doors.upstream_auth import Fixed, Granted
from onrecord.errors import ConfigError
from onrecord.gateways import base_of, build_upstream_auth, forget_secrets, gateway_url_for, is_own, names_of, place_of
from onrecord.ledger.place import Home
from onrecord.settings import load

pytestmark = pytest.mark.requirement("C3")

IDENTITY = '[identity]\nissuer = "https://issuer.example"\njwks = "keys.json"\n'
FILES = '[[upstream]]\nname = "files"\nurl = "https://files.example/mcp"\n'
CLIENT = 'client_id = "gateway"\nclient_secret_env = "SECRET_OF_A_TEST"\ntoken_url = "https://issuer.example/token"\n'
SECRET = "only-for-" + "tests-0"


def loaded(tmp_path, *parts):
    file = tmp_path / "onrecord.toml"
    file.write_text("\n".join(parts))
    return load(Home(tmp_path), file)


def refused(tmp_path, *parts):
    with pytest.raises(ConfigError) as e:
        loaded(tmp_path, *parts)
    assert str(tmp_path / "onrecord.toml") in str(e.value)
    assert "\n" not in str(e.value)
    return str(e.value)


@pytest.mark.parametrize(
    ("gateway", "why"),
    [
        ('listen = "8300"', "gateway.listen: give an address and a port"),
        ('listen = "127.0.0.1:70000"', "gateway.listen: give an address and a port"),
        ('listen = ":8300"', "gateway.listen: give an address and a port"),
        ('listen = "0.0.0.0:8300"', "gateway.public_url is empty"),
        ('listen = "0.0.0.0:8300"\ntokens = "off"\npublic_url = "https://gw.example"', "anybody who reaches it could"),
        (
            'listen = "[::]:8300"\ntokens = "optional"\npublic_url = "https://gw.example"',
            "anybody who reaches it could",
        ),
        ("anonymous = true", "only one of them can hold"),
        ('public_url = "http://gw.example"', "gateway.public_url: the URL must be https"),
        ('public_url = "https://gw.example/base"', "nothing behind"),
        ('public_url = "https://gw.example/"', "nothing behind"),
        ('public_url = "https://user@gw.example"', "must not hold a user name"),
        ('public_url = "https://gw.example:443"', "nothing behind"),
        ('public_url = "https://GW.example"', "lower case"),
        ('allowed_hosts = ["https://gw.example"]', "gateway.allowed_hosts 1: give a host"),
        ('allowed_hosts = ["gw.example", "gw.example:0"]', "gateway.allowed_hosts 2: give a host"),
        ('allowed_hosts = ["*"]', "gateway.allowed_hosts 1: give a host"),
        ('allowed_origins = ["gw.example"]', "gateway.allowed_origins 1: an origin is"),
        ('allowed_origins = ["null"]', "gateway.allowed_origins 1: an origin is"),
        ('max_body = "0MiB"', "gateway.max_body"),
        ('max_body = "lots"', "gateway.max_body"),
        ("max_open = 0", "gateway.max_open: give a number"),
        ("max_open = 10\nmax_open_of_one = 11", "gateway.max_open_of_one: give a number up to"),
        ("max_open_of_one = -1", "gateway.max_open_of_one: give a number up to"),
        ('max_bodies = "lots"', "gateway.max_bodies"),
        ('max_bodies = "8MiB"', "gateway.max_bodies is less than gateway.max_body"),
        ('read_timeout = "30"', "gateway.read_timeout"),
        ('write_timeout = "0s"', "gateway.write_timeout"),
        ('drain = "forever"', "gateway.drain"),
        ('tokens = "maybe"', "gateway.tokens: use one of required, optional, off"),
        ("token = 1", "did you mean gateway.tokens?"),
    ],
)
def test_a_gateway_that_cannot_work_is_refused(tmp_path, gateway, why):
    assert why in refused(tmp_path, IDENTITY, "[gateway]", gateway, FILES)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('path = "files"', "path: give one such as /files"),
        ('path = "/"', "path: give one such as /files"),
        ('path = "/files/"', "path: give one such as /files"),
        ('path = "/a/../b"', "path: give one such as /files"),
        ('path = "/a//b"', "path: give one such as /files"),
        ('path = "/a%2Fb"', "path: give one such as /files"),
        ('path = "/a?b"', "path: give one such as /files"),
        ('path = "/healthz"', "the gateway's own"),
        ('path = "/.well-known/x"', "path: give one such as /files"),
        ('scopes = ["two words"]', "a scope is one word"),
        ("scopes = ['quo\"te']", "a scope is one word"),
        ('headers = ["Authorization"]', "some never go on"),
        ('headers = ["X-Forwarded-For"]', "some never go on"),
        ('headers = ["two words"]', "some never go on"),
        ('token_env = "A"\ntoken_file = "b"', "in token_env or token_file, one of them"),
        ('header = "X-API-Key"', "in token_env or token_file, one of them"),
        ('token_env = "Bearer abc"', "no name of a variable"),
        ('token_env = "A"\nheader = "Host"', "no credential can stand in a field of that name"),
        ('token_env = "A"\nheader = "Mcp-Name"', "no credential can stand in a field of that name"),
        ('token_env = "A"\nheader = "x y"', "no credential can stand in a field of that name"),
        ('credentials = "none"\ntoken_env = "A"', 'credentials = "none", but token_env is set'),
        ('credentials = "none"\n' + CLIENT, 'credentials = "none", but client_id is set'),
        ('token_env = "A"\n' + CLIENT, "are two ways to go on"),
        ('client_id = "gateway"', "go together"),
        ('client_secret_env = "A"', "go together"),
        ("exchange = true", "go together"),
        ('scope = ["a"]', "go together"),
        (CLIENT + 'client_secret_file = "b"', "go together"),
        (CLIENT.replace("https://issuer", "http://issuer"), "token_url: the URL must be https"),
        (CLIENT.replace("https://issuer.example/token", "ftp://issuer"), "token_url: the URL must be https"),
        (CLIENT + "resource = 'a b'", "resource holds characters"),
        ('allow_http = true\ntoken_env = "A"\nurl = "http://files.example"', "credentials are only sent over https://"),
        ('url = "http://files.example/mcp"', "url: the URL must be https"),
        ('url = "files.example"', "url: the URL must be https"),
        ('name = "a/b"', "name: use up to 64 letters"),
        ('name = ""', "name: use up to 64 letters"),
        ('name = "files\\u0000"', "name: use up to 64 letters"),
        ('tokens_env = "A"', "did you mean upstream 1: token_env?"),
    ],
)
def test_what_is_behind_it_is_whole_or_refused(tmp_path, more, why):
    base = {"name": '"files"', "url": '"https://files.example/mcp"'}
    for line in more.splitlines():
        key, _, value = line.partition(" = ")
        base[key] = value
    lines = [f"{key} = {value}" for key, value in base.items()]
    assert why in refused(tmp_path, IDENTITY, "[[upstream]]", *lines)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([FILES], "identity.issuer is empty"),
        (['[gateway]\ntokens = "optional"', FILES], "identity.issuer is empty"),
        (['[gateway]\ntokens = "off"', FILES, 'scopes = ["a"]'], "scopes and audience are those of tokens"),
        (['[gateway]\ntokens = "off"', FILES, CLIENT, "exchange = true"], "exchange needs callers' tokens"),
        ([IDENTITY, FILES, FILES], "two of [[upstream]] have the same name"),
        ([IDENTITY, FILES, FILES.replace("files", "b", 1), 'path = "/files"'], "have the same path"),
        ([IDENTITY, "[gateway]\nmax_open = 5"], "no [[upstream]] says what is behind it"),
        ([IDENTITY, '[[upstream]]\nname = "files"'], "upstream 1: url is missing"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, parts, why):
    assert why in refused(tmp_path, *parts)


def test_what_can_work_is_taken(tmp_path):
    off = '[gateway]\ntokens = "off"'
    loaded(tmp_path, off, FILES, 'token_env = "A"')
    loaded(tmp_path, off, '[[upstream]]\nname = "b"\nurl = "http://b.internal:80/mcp"\nallow_http = true')
    loaded(
        tmp_path, '[gateway]\nlisten = "0.0.0.0:80"\ntokens = "off"\nanonymous = true\npublic_url = "http://gw"', FILES
    )
    one = loaded(tmp_path, IDENTITY, FILES, CLIENT, "exchange = true", 'resource = "https://files.example/mcp"')
    assert [upstream.kind for upstream in one.settings.upstream] == ["exchange"]
    assert base_of(one.settings) == "http://127.0.0.1:8300"
    assert one.settings.upstream[0].place == "/files"
    named = loaded(tmp_path, IDENTITY, FILES, 'headers = ["X-Tenant"]').settings.upstream[0]
    assert place_of(named, "https://gw.example").further == {b"x-tenant"}


def auths(tmp_path, *more, **environ):
    return build_upstream_auth(loaded(tmp_path, IDENTITY, FILES, *more), environ)


async def test_a_token_comes_from_a_variable_or_from_a_file_of_its_owner_alone(tmp_path):
    fixed = auths(tmp_path, 'token_env = "SECRET_OF_A_TEST"', SECRET_OF_A_TEST=SECRET)["files"]
    assert await fixed.headers_for(None) == {"Authorization": f"Bearer {SECRET}"}
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    named = auths(tmp_path, 'token_file = "token"\nheader = "X-API-Key"')["files"]
    assert await named.headers_for(None) == {"X-API-Key": SECRET}
    basic = auths(tmp_path, 'token_env = "A"\nheader = "Authorization"', A=f"Basic {SECRET}")["files"]
    assert await basic.headers_for(None) == {"Authorization": f"Basic {SECRET}"}
    assert await auths(tmp_path)["files"].headers_for(None) == {}
    for mode in (0o640, 0o604, 0o666):
        file.chmod(mode)
        with pytest.raises(ConfigError, match=r"token_file can be read by others; chmod 600 mends that"):
            auths(tmp_path, 'token_file = "token"')


@pytest.mark.parametrize(
    ("more", "environ", "why"),
    [
        ('token_env = "A"', {}, "token_env: A holds nothing"),
        ('token_env = "A"', {"A": " \n"}, "token_env: A holds nothing"),
        ('token_env = "A"', {"A": f"{SECRET}\r\nHost: x"}, "holds characters that cannot be sent"),
        ('token_env = "A"', {"A": f"{SECRET} {SECRET}"}, "it is no bearer token"),
        ('token_env = "A"', {"A": f"{SECRET}\t{SECRET}"}, "holds characters that cannot be sent"),
        ('token_env = "A"', {"A": f"{SECRET}é"}, "holds characters that cannot be sent"),
        ('token_env = "A"', {"A": f"{SECRET},x"}, "it is no bearer token"),
        ('token_env = "A"', {"A": SECRET * 2000}, "or too many"),
        ('token_file = "none"', {}, "token_file cannot be read: no such file"),
        ('token_file = "."', {}, "token_file"),
        (CLIENT, {}, "client_secret_env: SECRET_OF_A_TEST holds nothing"),
    ],
)
def test_a_secret_that_is_none_is_refused_and_not_told(tmp_path, more, environ, why):
    with pytest.raises(ConfigError) as e:
        auths(tmp_path, more, **environ)
    assert why in str(e.value)
    assert SECRET not in str(e.value)
    assert "upstream files" in str(e.value)


def test_each_kind_of_credential_is_built(tmp_path):
    parts = [IDENTITY]
    for name, more in (("a", ""), ("b", 'token_env = "T"'), ("c", CLIENT), ("d", CLIENT + "exchange = true\n")):
        parts.append(f'[[upstream]]\nname = "{name}"\nurl = "https://{name}.example"\n{more}')
    built = build_upstream_auth(loaded(tmp_path, *parts), {"T": SECRET, "SECRET_OF_A_TEST": SECRET})
    assert [type(one) for one in built.values()] == [Fixed, Fixed, Granted, Granted]
    assert SECRET not in repr(built)


def test_secrets_leave_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_A_TEST", SECRET)
    one = loaded(tmp_path, IDENTITY, FILES, CLIENT)
    build_upstream_auth(one)
    forget_secrets(one.settings.upstream)
    assert "SECRET_OF_A_TEST" not in os.environ


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_and_what_the_system_shows_of_the_process(tmp_path):
    import subprocess

    file = tmp_path / "onrecord.toml"
    file.write_text(f"{IDENTITY}{FILES}{CLIENT}")
    script = (
        "import sys, pathlib; from onrecord.settings import load; from onrecord.ledger.place import Home;"
        "from onrecord.gateways import forget_secrets; shown = pathlib.Path('/proc/self/environ');"
        "before = shown.read_bytes();"
        f"forget_secrets(load(Home(pathlib.Path({str(tmp_path)!r}))).settings.upstream);"
        f"print({SECRET.encode()!r} in before, {SECRET.encode()!r} in shown.read_bytes())"
    )
    environ = {**os.environ, "SECRET_OF_A_TEST": SECRET}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "False"], done.stderr


@pytest.mark.parametrize(
    ("url", "more", "answer"),
    [
        ("https://files.example/mcp", 'token_env = "A"', "http://127.0.0.1:8300/files"),
        ("https://FILES.example:443/mcp/", 'token_env = "A"', "http://127.0.0.1:8300/files"),
        ("https://files.example/mcp", CLIENT, "http://127.0.0.1:8300/files"),
        ("https://files.example/mcp", 'credentials = "none"', "http://127.0.0.1:8300/files"),
        ("https://files.example/mcp", "", None),  # nobody said that it needs none
        ("https://files.example/other", 'token_env = "A"', None),
        ("https://files.example/mcp?key=1", 'token_env = "A"', None),
        ("http://files.example/mcp", 'token_env = "A"', None),
        ("https://files.example:8443/mcp", 'token_env = "A"', None),
        ("https://other.example/mcp", 'token_env = "A"', None),
        ("https://[broken", 'token_env = "A"', None),
        ("https://files.example:x/mcp", 'token_env = "A"', None),
        ("", 'token_env = "A"', None),
    ],
)
def test_a_client_is_pointed_at_the_gateway_where_that_can_go_on(tmp_path, url, more, answer):
    assert gateway_url_for(url, loaded(tmp_path, IDENTITY, FILES, more).settings) == answer


def test_the_gateways_own_urls_are_known(tmp_path):
    settings = loaded(tmp_path, IDENTITY, '[gateway]\npublic_url = "https://gw.example"', FILES).settings
    urls = (
        "https://gw.example/files",
        "https://GW.example:443/files/",
        "https://gw.example/mail",
        "https://gw.example",
    )
    assert [is_own(url, settings) for url in urls] == [True, True, False, False]
    assert gateway_url_for("https://gw.example/files", settings) is None


@pytest.mark.parametrize(
    ("gateway", "port", "base", "hosts", "origin"),
    [
        ("", None, "http://127.0.0.1:8300", ["127.0.0.1:8300", "localhost:8300"], "http://localhost:8300"),
        ('listen = "127.0.0.1:0"', 4711, "http://127.0.0.1:4711", ["[::1]:4711"], "http://[::1]:4711"),
        ('listen = "[::1]:80"', None, "http://[::1]", ["[::1]", "localhost"], "http://localhost"),
        ('listen = "localhost:81"', None, "http://localhost:81", ["localhost:81"], "http://localhost:81"),
        ('public_url = "https://gw.example"', 4711, "https://gw.example", ["gw.example"], "https://gw.example"),
        ('public_url = "https://gw.example:8443"', None, "https://gw.example:8443", ["gw.example:8443"], None),
        ('allowed_hosts = ["a.example"]', None, "http://127.0.0.1:8300", ["a.example"], "https://a.example"),
    ],
)
def test_what_the_gateway_is_called_is_what_clients_write(tmp_path, gateway, port, base, hosts, origin):
    settings = loaded(tmp_path, IDENTITY, "[gateway]", gateway, FILES).settings
    assert base_of(settings, port) == base
    names = names_of(settings, base, port)
    assert [host for host in hosts if not names.has_host(host)] == []
    assert names.has_origin(base)
    assert origin is None or names.has_origin(origin)
    assert not names.has_host("evil.example")
    assert place_of(settings.upstream[0], base).audience == f"{base}/files"
