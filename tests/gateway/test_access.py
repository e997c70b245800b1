# SPDX-License-Identifier: Apache-2.0
"""Who comes in to a running gateway and what of it reaches the server: a token of the gateway's, never the caller's."""

import pytest
from tests.gateway.running import Gateway, called, exchanged, modern
from tests.gateway.scripted import Scripted, Switch, answered, echoing
from tests.identity.issuing import ISSUER, claims, shown, signed
from tests.identity.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.requirement("C3")

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class World:
    """A gateway before one server, `files`, and the token endpoint that gives it credentials."""

    def __init__(self, home, endpoint, server, exchange):
        (home / "keys.json").write_bytes(shown())
        identity = f'[identity]\nissuer = "{ISSUER}"\njwks = "keys.json"\n'
        client = (
            f'client_id = "{endpoint.client}"\nclient_secret_env = "SECRET_OF_A_TEST"\ntoken_url = "{endpoint.url}"\n'
        )
        more = f'scopes = ["mcp"]\nheaders = ["X-Tenant"]\nexchange = {exchange}\n'
        self.endpoint, self.server, self.exchanges = endpoint, server, exchange == "true"
        environ = {"SECRET_OF_A_TEST": endpoint.secret}
        urls = {"files": server.url}
        self.gateway = Gateway(home, urls, settings=client + more + identity, env=environ, tokens="required")

    def token(self, **more):
        about = {"aud": self.gateway.url("files"), "scope": "mcp", **more}
        return signed(claims(**about), typ="at+jwt")

    def ask(self, token, number=1, **headers):
        sent = {"Authorization": f"Bearer {token}", "traceparent": TRACE, **headers}
        return exchanged(self.gateway, modern("/files", called(number=number, text="x"), **sent))

    def whole(self):
        """Return all that lies in the home, keys aside, and all that was said."""
        files = [one for one in self.gateway.home.rglob("*") if one.is_file() and "keys" not in one.parts]
        return b"".join(one.read_bytes() for one in files).decode(errors="replace") + self.gateway.said


@pytest.fixture(params=["false", "true"], ids=["client", "exchange"])
def world(request, tmp_path):
    with TokenEndpoint(secret="only-for-tests-1") as endpoint, Scripted(Switch()) as server:
        one = World(tmp_path, endpoint, server, request.param)
        with one.gateway:
            yield one


def test_the_server_gets_a_token_of_the_gateways_and_the_caller_is_on_the_record(world):
    token = world.token()
    heard = world.ask(token, Cookie="a=b", X_Tenant="acme", X_API_Key="of-the-caller", Forwarded="for=192.0.2.1")
    assert heard.status == 200, heard.text
    (reached,) = world.server.reached
    fields = dict(reached.headers)
    gave = fields["authorization"].removeprefix("Bearer ")
    assert gave != token
    assert (fields["x-tenant"], fields["traceparent"], fields["mcp-name"]) == ("acme", TRACE, "echo")
    assert not {"cookie", "x-api-key", "forwarded", "x-forwarded-for"} & fields.keys()
    assert token not in str(reached.headers) + reached.body.decode()
    form, _ = world.endpoint.asked[0]
    assert form.get("subject_token") == (token if world.exchanges else None)

    assert world.ask(token, 2).status == 200
    assert len(world.endpoint.asked) == 1
    assert world.gateway.end() == 0
    attempts = world.gateway.events(phase="attempt", tool_name="echo")
    assert {(e["identity_source"], e["identity_issuer"]) for e in attempts} == {("oauth", ISSUER)}
    assert len({e["user_id"] for e in attempts}) == 1
    for secret in (token, gave, world.endpoint.secret, "of-the-caller"):
        assert secret not in world.whole()


def test_without_credentials_no_call_reaches_the_server(world):
    world.endpoint.wrong = (400, {"error": "invalid_target", "error_description": "marked-0000"})
    heard = world.ask(world.token())
    assert b"not run: the gateway has no credentials for this server" in heard.text
    assert not world.server.reached
    assert world.gateway.end() == 0
    (why,) = world.gateway.events(error_type="no_credentials", event_type="authentication")
    assert why["policy_reason"] == "the token endpoint refuses: it gives no tokens for this server"
    (end,) = world.gateway.events(phase="result", tool_name="echo")
    assert (end["error_type"], end["result_status"]) == ("no_credentials", "failed")
    assert "marked-0000" not in world.whole() + heard.text.decode()


def test_a_server_that_refuses_the_gateways_token_does_not_send_the_caller_to_log_in(world):
    def refuse(connection, request):
        answered(
            connection, b"", status=401, kind="", WWW_Authenticate='Bearer resource_metadata="https://evil.example"'
        )

    world.server.script.to = refuse
    heard = world.ask(world.token())
    assert heard.status == 502
    assert "www-authenticate" not in heard.headers
    world.server.script.to = echoing
    assert world.ask(world.token(), 2).status == 200


def test_a_caller_without_a_token_reaches_nobody(world):
    tokens = {"abc.def.ghi": 401, world.token(aud=world.server.url): 401, world.token(scope="other"): 403}
    answers = [(exchanged(world.gateway, modern("/files", called())), 401)]
    answers += [(world.ask(token), status) for token, status in tokens.items()]
    for heard, status in answers:
        assert heard.status == status
        assert "/.well-known/oauth-protected-resource/files" in heard.headers["www-authenticate"]
    assert not world.server.reached
    assert not world.endpoint.asked
    assert world.gateway.end() == 0
    kinds = [e["error_type"] for e in world.gateway.events(event_type="authentication", action="refuse")]
    assert kinds == ["missing_token", "not_authenticated", "not_authenticated", "insufficient_scope"]
