# SPDX-License-Identifier: Apache-2.0
"""Tokens of a provider that we did not write, into the gateway and on to the server behind it.

`make openid` fetches oidc-provider, else these skip.
"""

import json
import time
from urllib.parse import urlencode

import httpx2
import pytest
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from tests.doors.letting_in import FILES, opened
from tests.doors.test_http_access import challenge, whole
from tests.peers.test_openid import NODE, PACKAGE, Person, provider

from onrecord.errors import NoCredentials
from onrecord.gateways import build_upstream_auth
from onrecord.identity.identity import ACCESS_TYPES
from onrecord.identity.token import opened as verified
from onrecord.ledger.post import get, post

SECRET = "only for " + "tests: 100%"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
UPSTREAM = "https://files.example/mcp"

pytestmark = [
    pytest.mark.requirement("C3"),
    pytest.mark.skipif(not NODE or not PACKAGE.exists(), reason="the provider is not at hand: make openid"),
]


@pytest.fixture(scope="module")
def issuer():
    with provider("gateway.mjs", SECRET) as url:
        yield url


def door(tmp_path, issuer, *more, resource=UPSTREAM):
    client = ['client_id = "gateway"', 'client_secret_env = "SECRET_OF_A_TEST"', f'token_url = "{issuer}/token"']
    lines = [*client, f'resource = "{resource}"', 'scope = ["mcp"]', *more]
    upstream = FILES + 'scopes = ["mcp"]\n' + "\n".join(lines) + "\n"
    return opened(tmp_path / "home", f"{issuer}/jwks", upstream=upstream, issuer=issuer)


def asked(issuer, path, **form):
    answer = post(f"{issuer}{path}", urlencode(form).encode(), "application/x-www-form-urlencoded")
    return json.loads(answer.body)


def robot(issuer, resource, scope="mcp"):
    """Return what a client gets for itself."""
    form = {"grant_type": "client_credentials", "client_id": "robot", "client_secret": SECRET}
    return asked(issuer, "/token", **form, resource=resource, scope=scope)["access_token"]


def person(issuer, resource, name="ada"):
    """Return what a client gets for a person, who confirms that in a browser."""
    verifier = "v" * 43
    challenged = {"code_challenge": verifier, "code_challenge_method": "plain"}
    begun = asked(
        issuer, "/device/auth", client_id="agent", scope="openid mcp", resource=resource, prompt="consent", **challenged
    )
    Person(issuer).confirm(begun["user_code"], name)
    form = {"grant_type": DEVICE, "device_code": begun["device_code"], "client_id": "agent", "resource": resource}
    deadline = time.monotonic() + 60
    while "access_token" not in (got := asked(issuer, "/token", **form, code_verifier=verifier)):
        assert time.monotonic() < deadline, got
    return got


def read(door, headers):
    """Return the claims of the token that goes on, and its issuer's word that it holds."""
    (token,) = [value.removeprefix("Bearer ") for value in headers.values()]
    issuer = door.identity._issuer
    return verified(token, issuer.keys, ("RS256",), types=ACCESS_TYPES).claims


def test_a_client_finds_its_way_from_a_refusal_to_a_token_that_lets_it_in(tmp_path, issuer):
    with door(tmp_path, issuer) as one:
        status, fields, _ = one.ask()
        assert status == 401
        asking = challenge(fields)
        document = json.loads(get(asking["resource_metadata"], "application/json").body)
        assert document["authorization_servers"] == [issuer]
        token = robot(issuer, document["resource"], asking["scope"])
        assert one.ask(token=token)[0] == 200
        assert one.inside[0].actor.principal_type == "workload"

        for wrong in (robot(issuer, UPSTREAM), robot(issuer, document["resource"] + "/more")):
            assert one.ask(token=wrong)[0] == 401
        status, fields, _ = one.ask(token=robot(issuer, document["resource"], "files:read"))
        assert (status, challenge(fields)["scope"]) == (403, "mcp")


async def test_a_person_comes_in_and_goes_on_as_themselves_with_another_token(tmp_path, issuer):
    with door(tmp_path, issuer, "exchange = true") as one:
        got = person(issuer, f"{one.base}/files")
        assert one.ask(token=got["access_token"])[0] == 200
        assert one.ask(token=got["id_token"])[0] == 401  # an ID token is for the client
        (sender,) = one.inside
        assert (sender.actor.client_id, sender.actor.identity_issuer) == ("agent", issuer)

        auth = build_upstream_auth(one.loaded, {"SECRET_OF_A_TEST": SECRET})["files"]
        headers = await auth.headers_for(sender)
        assert got["access_token"] not in str(headers)
        said = read(one, headers)
        assert (said["sub"], said["aud"], said["act"]) == ("ada", UPSTREAM, {"sub": "gateway"})
        assert one.ask(token=headers["Authorization"].removeprefix("Bearer "))[0] == 401  # and does not come in with it
        assert SECRET not in whole(one.home)
        assert got["access_token"] not in whole(one.home)


async def test_the_gateway_goes_on_as_itself(tmp_path, issuer):
    with door(tmp_path, issuer) as one:
        auth = build_upstream_auth(one.loaded, {"SECRET_OF_A_TEST": SECRET})["files"]
        headers = await auth.headers_for(None)
        said = read(one, headers)
        assert (said["client_id"], said["aud"], said["scope"]) == ("gateway", UPSTREAM, "mcp")
        assert await auth.headers_for(None) == headers


@pytest.mark.parametrize("how", ["basic", "post"])
async def test_the_secret_is_taken_in_either_way_and_a_wrong_one_is_told(tmp_path, issuer, how):
    with door(tmp_path, issuer, f'client_auth = "{how}"', "exchange = true") as one:
        one.ask(token=robot(issuer, f"{one.base}/files"))
        auth = build_upstream_auth(one.loaded, {"SECRET_OF_A_TEST": SECRET})["files"]
        assert read(one, await auth.headers_for(one.inside[0]))["sub"] == "robot"
        auth = build_upstream_auth(one.loaded, {"SECRET_OF_A_TEST": "another"}, one.refusals)["files"]
        why = "the token endpoint refuses: it does not know our client, or its secret"
        for _ in range(3):
            with pytest.raises(NoCredentials) as refused:
                await auth.headers_for(one.inside[0])
            assert refused.value.why == why
        (event,) = one.events()  # the endpoint was asked once
        assert (event["event_type"], event["error_type"]) == ("authentication", "no_credentials")
        assert (event["server_id"], event["policy_reason"]) == ("files", why)
        assert event["agent_id"] == one.inside[0].actor.agent_id != ""


@pytest.mark.parametrize("exchange", ["true", "false"])
async def test_for_a_server_that_the_provider_knows_nothing_of_there_is_no_token(tmp_path, issuer, exchange):
    with door(tmp_path, issuer, f"exchange = {exchange}", resource="https://forbidden.example/mcp") as one:
        one.ask(token=robot(issuer, f"{one.base}/files"))
        auth = build_upstream_auth(one.loaded, {"SECRET_OF_A_TEST": SECRET})["files"]
        with pytest.raises(NoCredentials) as refused:
            await auth.headers_for(one.inside[0])
        assert refused.value.why == "the token endpoint refuses: it gives no tokens for this server"


async def test_a_client_that_we_did_not_write_finds_its_way_in(tmp_path, issuer):
    class Store:
        tokens = registered = None

        async def get_tokens(self):
            return self.tokens

        async def set_tokens(self, tokens):
            self.tokens = tokens

        async def get_client_info(self):
            return self.registered

        async def set_client_info(self, client_info):
            self.registered = client_info

    with door(tmp_path, issuer) as one:
        url = f"{one.base}/files"
        known = ClientCredentialsOAuthProvider(url, Store(), "robot", SECRET, "client_secret_post", issuer=issuer)
        async with httpx2.AsyncClient(auth=known, trust_env=False) as client:
            answer = await client.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert (answer.status_code, answer.json()["in"]) == (200, "files")
        assert one.inside[0].actor.scopes == ("mcp",)  # exactly what it was told to ask for
