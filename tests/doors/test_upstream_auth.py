# SPDX-License-Identifier: Apache-2.0
"""With what the gateway goes on to a server: its own credentials, or the caller's in exchange; never the caller's."""

import asyncio
import json
import logging
import socket

import pytest
from tests.identity.issuing import claims, shown, signed
from tests.identity.token_endpoint import EXCHANGE, TokenEndpoint
from tests.ledger.logs import wait_for

from onrecord.doors.upstream_auth import PAUSE_S, Client, Fixed, Granted
from onrecord.errors import NoCredentials
from onrecord.event.call import Actor, Raw, Sender
from onrecord.identity.keys import IssuerKeys
from onrecord.identity.token import opened

pytestmark = pytest.mark.requirement("C3")

REFUSED = "not run: the gateway has no credentials for this server"


@pytest.fixture
def endpoint():
    with TokenEndpoint() as one:
        yield one


def client(endpoint, **more):
    return Client(**{"token_url": endpoint.url, "client_id": endpoint.client, "secret": endpoint.secret, **more})


def sender(subject="ada", **more):
    token = signed(claims(sub=subject, aud="http://127.0.0.1:8300/files", **more), typ="at+jwt")
    return Sender(actor=Actor(user_id=subject), bearer=Raw(token), audience="http://127.0.0.1:8300/files")


def token_of(one) -> str:
    return one.bearer.open()


def read(headers):
    """Return the claims of the token in `headers`, which are all that go on."""
    ((name, value),) = headers.items()
    scheme, token = value.split(" ")
    assert (name, scheme) == ("Authorization", "Bearer")
    keys = IssuerKeys(shown, max_age_s=1e9, pause_s=1e9)
    return opened(token, keys, ("ES256",), types=("at+jwt",)).claims


class Clock:
    """A clock that a test sets forward."""

    def __init__(self):
        self.ahead_s = 0.0

    def __call__(self):
        return 1000.0 + self.ahead_s


async def test_a_client_asks_for_a_token_once_and_for_another_before_that_one_ends(endpoint):
    clock = Clock()
    auth = Granted(
        client(endpoint, scope=("a", "b"), resource="https://files.example/mcp"), exchange=False, clock=clock
    )
    first = await auth.headers_for(sender())
    assert read(first)["sub"] == "gateway"
    assert await auth.headers_for(sender("bob")) == first  # it is the gateway's own, whoever calls
    assert await auth.headers_for(None) == first
    ((form, _),) = endpoint.asked
    assert form == {"grant_type": "client_credentials", "scope": "a b", "resource": "https://files.example/mcp"}
    clock.ahead_s = 600 - 31
    assert await auth.headers_for(sender()) == first
    clock.ahead_s = 600 - 29
    assert await auth.headers_for(sender()) != first
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize("in_form", [False, True])
async def test_the_secret_goes_to_the_endpoint_in_one_of_two_ways(endpoint, in_form):
    await Granted(client(endpoint, in_form=in_form), exchange=False).headers_for(None)
    ((form, fields),) = endpoint.asked
    assert ("client_secret" in form, fields["Authorization"] is None) == (in_form, in_form)


async def test_a_callers_token_is_exchanged_for_one_of_the_same_caller(endpoint):
    auth = Granted(client(endpoint, resource="https://files.example/mcp", target="files"), exchange=True)
    ada, bob = sender("ada"), sender("bob")
    for one, subject in ((ada, "ada"), (bob, "bob"), (ada, "ada")):
        said = read(await auth.headers_for(one))
        assert (said["sub"], said["act"], said["aud"]) == (subject, {"sub": "gateway"}, "https://files.example/mcp")
    assert len(endpoint.asked) == 2
    form, fields = endpoint.asked[0]
    assert form["grant_type"] == EXCHANGE
    assert form["subject_token"] == token_of(ada)
    assert form["subject_token_type"] == form["requested_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert form["audience"] == "files"
    assert token_of(ada) not in str(fields)


async def test_a_callers_token_is_never_sent_on_itself(endpoint):
    auth = Granted(client(endpoint), exchange=True)
    endpoint.wrong = lambda form: (200, {"access_token": form["subject_token"], "token_type": "Bearer"})
    with pytest.raises(NoCredentials, match=REFUSED) as e:
        await auth.headers_for(sender())
    assert "hands the caller's own token back" in e.value.why


@pytest.mark.parametrize("one", [None, Sender(actor=Actor()), Sender(actor=Actor(), bearer=Raw(7))])
async def test_a_caller_without_a_token_has_none_to_exchange(endpoint, one):
    told = []
    auth = Granted(client(endpoint), exchange=True, failed=lambda *about: told.append(about))
    with pytest.raises(NoCredentials) as e:
        await auth.headers_for(one)
    assert e.value.why == "the caller brought no token that could be exchanged"
    assert told == [(e.value, one)]
    assert not endpoint.asked


async def test_many_calls_at_once_are_one_question_for_each_caller(endpoint):
    auth = Granted(client(endpoint), exchange=True)
    senders = [sender("ada"), sender("bob")]
    endpoint.held.clear()
    tasks = [asyncio.create_task(auth.headers_for(senders[number % 2])) for number in range(40)]
    await asyncio.to_thread(wait_for, lambda: len(endpoint.asked) == 2)
    endpoint.held.set()
    found = await asyncio.gather(*tasks)
    assert len(endpoint.asked) == 2
    assert [read(one)["sub"] for one in found] == ["ada", "bob"] * 20


async def test_a_caller_who_goes_away_does_not_take_the_others_along(endpoint):
    auth = Granted(client(endpoint), exchange=False)
    endpoint.held.clear()
    first, second = (asyncio.create_task(auth.headers_for(None)) for _ in range(2))
    await asyncio.to_thread(wait_for, lambda: endpoint.asked)
    first.cancel()
    endpoint.held.set()
    assert read(await second)["sub"] == "gateway"
    assert first.cancelled()


async def test_of_many_callers_the_last_are_remembered(endpoint):
    auth = Granted(client(endpoint), exchange=True, remembered=3)
    people = [sender(f"p{number}") for number in range(5)]
    for one in people:
        await auth.headers_for(one)
    assert len(auth._kept) == 3
    for one in people[2:]:
        await auth.headers_for(one)
    assert len(endpoint.asked) == 5
    await auth.headers_for(people[0])
    assert len(endpoint.asked) == 6


async def test_a_token_that_the_server_refuses_is_got_anew_and_not_again_and_again(endpoint):
    clock = Clock()
    auth = Granted(client(endpoint), exchange=False, clock=clock)
    first = await auth.headers_for(None)
    auth.forget(None)
    assert await auth.headers_for(None) == first  # it was got just now
    clock.ahead_s = PAUSE_S + 1
    auth.forget(None)
    assert await auth.headers_for(None) != first
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    ("life", "until"),
    [(600, 570), (100, 90), ("600", 570), (5, 4.5), (10**9, 3570), (10**400, 3570), (59.5, 53.5), (None, 54)],
)
async def test_a_token_is_used_for_as_long_as_it_holds_and_at_most_an_hour(endpoint, life, until):
    clock = Clock()
    endpoint.life_s = life
    auth = Granted(client(endpoint), exchange=False, clock=clock)
    first = await auth.headers_for(None)
    clock.ahead_s = until - 0.5
    assert await auth.headers_for(None) == first
    clock.ahead_s = until + 0.5
    assert await auth.headers_for(None) != first


BEARER = {"access_token": "abc.def.ghi", "token_type": "Bearer", "expires_in": 60}
WRONG = {
    "a status of its own fault": ((500, BEARER), "answers with status 500"),
    "too many questions": ((429, BEARER), "answers with status 429"),
    "a redirection": ((302, BEARER, {"Location": "https://evil.example"}), "an error without a known name"),
    "a known error": ((400, {"error": "invalid_target"}), "it gives no tokens for this server"),
    "an unknown error": ((400, {"error": "marked-0000"}), "an error without a known name"),
    "an error that is none": ((400, {"error": ["invalid_target"]}), "an error without a known name"),
    "no JSON": ((200, b"<html>marked-0000"), "is not JSON"),
    "a key twice": ((200, b'{"access_token":"a","access_token":"b","token_type":"Bearer"}'), "has a key twice"),
    "a list": ((200, [BEARER]), "is no JSON object"),
    "nothing": ((200, {}), "holds no token"),
    "a token that is none": ((200, {**BEARER, "access_token": 7}), "holds no token"),
    "a token of two lines": ((200, {**BEARER, "access_token": "a\r\nHost: marked-0000"}), "holds no token"),
    "an empty token": ((200, {**BEARER, "access_token": ""}), "holds no token"),
    "a long token": ((200, {**BEARER, "access_token": "a" * 20_000}), "holds no token"),
    "another kind": ((200, {**BEARER, "token_type": "DPoP"}), "of a kind that cannot be used"),
    "no kind": ((200, {"access_token": "abc"}), "of a kind that cannot be used"),
    "a refresh token": (
        (200, {**BEARER, "issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}),
        "of a kind that cannot be used",
    ),
    "an end in the past": ((200, {**BEARER, "expires_in": -5}), "has expired"),
    "an end that is none": ((200, {**BEARER, "expires_in": "soon"}), "has expired"),
    "an end that is a truth": ((200, {**BEARER, "expires_in": True}), "has expired"),
    "an end of nothing": ((200, b'{"access_token":"a","token_type":"Bearer","expires_in":NaN}'), "that is none"),
    "a long answer": ((200, b" " * 70_000), "answered with more than 65536 bytes"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_whatever_the_endpoint_answers_the_call_is_refused_in_words_of_ours(endpoint, name, caplog):
    caplog.set_level(logging.DEBUG)
    endpoint.wrong, why = WRONG[name]
    one = sender()
    auth = Granted(client(endpoint), exchange=True)
    with pytest.raises(NoCredentials) as e:
        await auth.headers_for(one)
    assert str(e.value) == REFUSED
    assert why in e.value.why
    shown_of_it = f"{e.value!r} {e.value.why} {auth!r} {auth._client!r} {list(auth._kept.values())!r} {caplog.text}"
    for secret in (endpoint.secret, token_of(one), "marked-0000", "abc.def.ghi"):
        assert secret not in shown_of_it
    assert e.value.__cause__ is None
    assert e.value.__suppress_context__ or e.value.__context__ is None


async def test_an_endpoint_that_fails_is_left_alone_for_a_moment(endpoint):
    clock = Clock()
    auth = Granted(client(endpoint), exchange=False, clock=clock)
    endpoint.wrong = (500, {})
    for _ in range(3):
        with pytest.raises(NoCredentials, match=REFUSED) as e:
            await auth.headers_for(None)
        assert e.value.why == "the token endpoint answers with status 500"
    assert len(endpoint.asked) == 1
    endpoint.wrong = None
    clock.ahead_s = PAUSE_S + 0.1
    assert read(await auth.headers_for(None))["sub"] == "gateway"


async def test_a_wrong_secret_is_told_as_such(endpoint):
    with pytest.raises(NoCredentials) as e:
        await Granted(client(endpoint, secret="another"), exchange=False).headers_for(None)
    assert e.value.why == "the token endpoint refuses: it does not know our client, or its secret"


async def test_an_endpoint_that_hangs_drips_or_is_not_there_stops_nobody_for_long(endpoint):
    endpoint.held.clear()
    with pytest.raises(NoCredentials) as e:
        await Granted(client(endpoint), exchange=False, timeout_s=0.2).headers_for(None)
    assert e.value.why == "the token endpoint did not answer within 0.2 s"
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))  # so that nobody else listens there meanwhile
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/token"
        with pytest.raises(NoCredentials) as e:
            await Granted(client(endpoint, token_url=url), exchange=False).headers_for(None)
    assert e.value.why == "the token endpoint cannot be reached"


async def test_neither_proxies_nor_files_of_the_environment_come_in_between(endpoint, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert read(await Granted(client(endpoint), exchange=False).headers_for(None))["sub"] == "gateway"


async def test_no_cookie_of_the_endpoint_is_kept(endpoint):
    auth = Granted(client(endpoint), exchange=True)
    for one in (sender("ada"), sender("bob")):
        await auth.headers_for(one)
    assert [fields["Cookie"] for _, fields in endpoint.asked] == [None, None]


async def test_what_is_fixed_is_the_same_for_all():
    fixed = Fixed({"X-API-Key": "abc"})
    headers = await fixed.headers_for(None)
    headers["X-Other"] = "1"
    fixed.forget(None)
    assert await fixed.headers_for(sender()) == {"X-API-Key": "abc"}
    assert "abc" not in repr(fixed)
    assert json.dumps(await Fixed().headers_for(None)) == "{}"
