# SPDX-License-Identifier: Apache-2.0
"""How often an issuer is asked whether a code was confirmed: RFC 8628, 3.5. Time is what the test says."""

import pytest
from tests.identity.provider import CLIENT, OpenIdProvider

from onrecord.errors import IssuerAway, NotLoggedIn
from onrecord.identity.device import log_in
from onrecord.identity.provider import discovered

pytestmark = pytest.mark.requirement("C3")

PENDING, SLOWER = (400, {"error": "authorization_pending"}), (400, {"error": "slow_down"})
AWAY, BUSY, JUNK = (503, b"<html>"), (429, {}), (200, b"{")
GRANTED = (200, {"id_token": "a.b.c", "refresh_token": "r"})


class Waiting:
    """Somebody who waits for a code to be confirmed, and the pauses that were made."""

    def __init__(self, provider, answers):
        self.provider, self.pauses, self.shown = provider, [], []
        answers = iter(answers)
        provider.wrong["/token"] = lambda form: next(answers, PENDING)

    def log_in(self):
        ways = discovered(self.provider.url)
        return log_in(
            ways, CLIENT, ["openid"], show=self.shown.append, sleep=self.pauses.append, clock=lambda: sum(self.pauses)
        )


@pytest.mark.parametrize(
    ("interval", "answers", "pauses"),
    [
        (None, [PENDING, GRANTED], [5, 5]),
        (7, [PENDING, PENDING, GRANTED], [7, 7, 7]),
        (5, [SLOWER, PENDING, SLOWER, GRANTED], [5, 10, 10, 15]),
        (5, [AWAY, BUSY, JUNK, PENDING, GRANTED], [5, 10, 20, 40, 40]),
        (50, [AWAY, AWAY, GRANTED], [50, 60, 60]),
        (90, [AWAY, GRANTED], [90, 90]),
    ],
)
def test_the_issuer_sets_the_pace_and_one_that_is_away_is_asked_less_often(interval, answers, pauses):
    with OpenIdProvider(interval=interval, expires_in=600) as provider:
        waiting = Waiting(provider, answers)
        found = waiting.log_in()
    assert waiting.pauses == pauses
    assert (found.id_token, found.refresh_token) == ("a.b.c", "r")
    assert "a.b.c" not in repr(found)
    assert len(waiting.shown) == 1


@pytest.mark.parametrize(("expires_in", "longest"), [(60, 60), (10**8, 3600)])
def test_a_code_is_waited_for_until_it_expires_and_never_without_end(expires_in, longest):
    with OpenIdProvider(interval=5, expires_in=expires_in) as provider:
        waiting = Waiting(provider, [])
        with pytest.raises(NotLoggedIn, match="in time"):
            waiting.log_in()
        assert longest - 10 <= sum(waiting.pauses) <= longest
        assert sum(path == "/token" for path, _ in provider.asked) == len(waiting.pauses)


def test_who_has_the_code_but_not_the_proof_gets_no_token():
    with OpenIdProvider() as provider:
        waiting = Waiting(provider, [])
        ways = discovered(provider.url)
        del provider.wrong["/token"]

        def confirmed(shown):
            provider.confirm(shown.code)
            for code in provider.codes.values():
                code["challenge"] = "of-another"

        with pytest.raises(NotLoggedIn, match="not valid"):
            log_in(ways, CLIENT, ["openid"], show=confirmed, sleep=waiting.pauses.append, clock=lambda: 0.0)


def test_an_issuer_that_cannot_be_asked_for_a_code_is_away():
    with OpenIdProvider() as provider:
        provider.wrong["/device"] = AWAY
        with pytest.raises(IssuerAway, match="status 503"):
            Waiting(provider, []).log_in()
