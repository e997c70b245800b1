# SPDX-License-Identifier: Apache-2.0
"""A service is asked with a signature that it can check, and what it answers is taken for no more than it is."""

import base64
import hashlib
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Checker
from standardwebhooks import WebhookVerificationError
from tests.ledger.logs import wait_for
from tests.proofs.service import SECRET, DecidingService, Reply
from tests.rules.test_approval import statement

from onrecord.errors import ConfigError
from onrecord.proofs.sender import Sender, backed_off
from onrecord.proofs.webhook import PAUSE_S, Heard, Webhook, message, secrets_in, signed_headers, tokens_in

pytestmark = pytest.mark.requirement("C5")

OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
TOKEN = "aaaa.bbbb.cccc"
REFUSED = "counts for nothing"


def webhook(url, secret=SECRET, timeout_s=60.0):
    return Webhook(url, secrets_in(secret), timeout_s=timeout_s, clock=time.time)


def answered(*answer, **more):
    with DecidingService(lambda _: Reply(*answer, **more)) as service:
        return webhook(service.url).ask("019a-id", b'{"type":"approval.requested"}')


def test_the_service_can_check_who_asks_with_a_library_that_we_did_not_write():
    with DecidingService(lambda _: Reply(202)) as service:
        for _ in range(2):
            webhook(service.url).ask("019a-id", '{"data":"é"}'.encode())
        webhook(service.url, OTHER).ask("019a-id", b"{}")
    assert [(headers["webhook-id"], message) for headers, message in service.asked] == [("019a-id", {"data": "é"})] * 2
    assert service.forged == 1


def test_the_service_gets_all_that_it_takes_to_show_a_request_and_to_check_it():
    of = statement(preview_hash=hashlib.sha256(b"view@1\ntool_name: refund\namount = 10").hexdigest())
    body = json.loads(message(of, ("tool_name: refund", "amount = 10")))
    data = body["data"]
    assert (body["type"], body["timestamp"], data["id"]) == ("approval.requested", "1970-01-01T00:00:01+00:00", of.id)
    fields = {"type": "onrecord approval statement", **data["statement"]}
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()  # as RFC 8785, of what is ASCII
    assert hashlib.sha256(canonical).hexdigest() == data["digest"] == of.digest()
    shown = "\n".join(["view@1", *data["view"]]).encode()
    assert hashlib.sha256(shown).hexdigest() == data["statement"]["preview_hash"]


def test_while_a_secret_changes_the_old_one_and_the_new_one_hold():
    with DecidingService(lambda _: Reply(202), secret=OTHER) as service:
        webhook(service.url, f"{SECRET} {OTHER}").ask("019a-id", b"{}")
    assert len(service.asked) == 1


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.integers(1, 2**31))
def test_what_is_signed_cannot_be_changed(text, moved_s):
    now = datetime.now(tz=UTC)
    body = text.encode()
    headers = signed_headers(secrets_in(SECRET), "id", int(now.timestamp()), body)
    assert Checker(SECRET).verify(body, headers, json_parse=False) is None
    stamp = {"webhook-timestamp": str(int((now - timedelta(seconds=moved_s)).timestamp()))}
    for changed, told in ((body + b"x", {}), (body, {"webhook-id": "other"}), (body, stamp)):
        with pytest.raises(WebhookVerificationError):
            Checker(SECRET).verify(changed, {**headers, **told}, json_parse=False)


def test_a_signed_decision_is_brought_back_as_it_is():
    heard = answered(200, f"{TOKEN}\n{TOKEN}2\n".encode())
    assert (heard.tokens, heard.again_s, heard.why) == ((TOKEN, f"{TOKEN}2"), PAUSE_S, "")


@pytest.mark.parametrize(
    ("answer", "more", "again_s", "why"),
    [
        ((202,), {}, PAUSE_S, ""),
        ((202,), {"Retry_After": "7"}, 7.0, ""),
        ((202,), {"Retry_After": "0"}, 1.0, ""),
        ((202,), {"Retry_After": "86400"}, 300.0, ""),
        ((202,), {"Retry_After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 1.0, ""),
        ((202,), {"Retry_After": "soon"}, PAUSE_S, ""),
        ((202,), {"Retry_After": "-1"}, PAUSE_S, ""),
        ((202,), {"Retry_After": "٣"}, PAUSE_S, ""),
        ((202, TOKEN.encode()), {}, PAUSE_S, ""),
        ((200,), {}, None, ""),
        ((204,), {}, None, ""),
        ((200, b'{"decision": "approved"}', "application/json"), {}, None, REFUSED),
        ((200, TOKEN.encode(), "text/html"), {}, None, REFUSED),
        ((200, b"approved"), {}, None, REFUSED),
        ((200, b"aaaa.bbbb."), {}, None, REFUSED),
        ((200, b"\xff.\xff.\xff"), {}, None, REFUSED),
        ((200, b"\n".join([TOKEN.encode()] * 17)), {}, None, REFUSED),
        ((500, TOKEN.encode()), {}, PAUSE_S, "status 500"),
        ((503,), {"Retry_After": "9"}, 9.0, "status 503"),
        ((429,), {}, PAUSE_S, "status 429"),
        ((302, TOKEN.encode()), {"Location": "http://127.0.0.1:1/"}, None, "status 302"),
        ((400, TOKEN.encode()), {}, None, "status 400"),
        ((410,), {}, None, "status 410"),
        ((200, b"a" * 70_000), {}, PAUSE_S, "more than 65536 bytes"),
    ],
)
def test_an_answer_is_taken_for_no_more_than_it_is(answer, more, again_s, why):
    if any(not value.isascii() for value in more.values()):
        more = {}  # a header that cannot be sent
    heard = answered(*answer, **more)
    assert (heard.tokens, heard.again_s) == ((), again_s)
    assert why in heard.why
    assert bool(why) == bool(heard.why)


def test_a_service_that_hangs_or_is_away_is_asked_again_and_holds_nobody_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        heard = webhook(url, timeout_s=0.2).ask("id", b"{}")
        assert (heard.again_s, "did not answer within 0.2 s" in heard.why) == (PAUSE_S, True)
    heard = webhook(url).ask("id", b"{}")
    assert (heard.again_s, "cannot be reached" in heard.why) == (PAUSE_S, True)


@pytest.mark.parametrize("url", ["http://approvals.example/", "ftp://x/", "https://u:p@x/", "https://x/#f", "", "x"])
def test_a_service_is_reached_in_private(url):
    with pytest.raises(ConfigError):
        webhook(url)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "hunter2",
        "whsec_",
        "whsec_!!!",
        "whsec_c2hvcnQ=",
        base64.b64encode(b"x" * 32).decode(),
        f"{OTHER} " * 4,
    ],
)
def test_a_secret_that_is_none_is_refused_without_telling_it(text):
    with pytest.raises(ConfigError) as caught:
        secrets_in(text)
    assert not text.strip() or text.strip() == "whsec_" or text.strip() not in str(caught.value)


@given(st.text(max_size=80))
def test_tokens_are_read_or_refused(text):
    try:
        tokens = tokens_in(text)
    except ValueError:
        return
    assert all(token in text and token.count(".") == 2 and token.isascii() for token in tokens)


class Store:
    """What a sender is told of requests, and tells."""

    def __init__(self, *heard):
        self.heard, self.open = list(heard), {"a", "b"}
        self.asked: list[str] = []
        self.taken: list[tuple[str, str]] = []
        self.failed: list[tuple[str, str]] = []
        self.unsettled: set[str] = set()
        self.held = threading.Event()
        self.held.set()
        self.sender = Sender(
            self.ask,
            is_open=lambda approval_id: approval_id in self.open,
            take=self.take,
            fail=lambda *failed: self.failed.append(failed),
        )

    def take(self, approval_id, token):
        self.taken.append((approval_id, token))
        return token not in self.unsettled

    def ask(self, approval_id, _body):
        self.asked.append(approval_id)
        self.held.wait(60)
        return self.heard.pop(0) if self.heard else Heard()

    def run(self, *names):
        for name in names:
            self.sender.put(name, b"{}")
        self.ended()

    def ended(self):
        self.held.set()
        wait_for(lambda: all(thread.name != "onrecord-webhook" for thread in threading.enumerate()))


def test_a_service_is_asked_until_it_has_decided():
    store = Store(Heard(again_s=0.01), Heard(again_s=0.01), Heard(tokens=(TOKEN,)))
    store.run("a")
    assert (store.taken, store.asked) == ([("a", TOKEN)], ["a"] * 3)


def test_what_a_service_says_again_is_taken_once():
    store = Store(Heard(tokens=(TOKEN,), again_s=0.01), Heard(tokens=(TOKEN, f"{TOKEN}2"), again_s=0.01))
    store.run("a")
    assert store.taken == [("a", TOKEN), ("a", f"{TOKEN}2")]


def test_what_could_not_be_taken_is_brought_again():
    store = Store(*[Heard(tokens=(TOKEN,), again_s=0.01)] * 3)
    store.unsettled = {TOKEN}
    store.run("a")
    assert store.taken == [("a", TOKEN)] * 3


def test_a_service_that_sends_decisions_without_end_is_asked_no_more():
    store = Store(
        *[Heard(tokens=tuple(f"{TOKEN}{n}" for n in range(m, m + 16)), again_s=0.0) for m in range(0, 99, 16)]
    )
    store.run("a")
    assert (len(store.asked), len(store.taken)) == (4, 64)


def test_a_request_that_is_asked_about_is_not_asked_about_twice():
    store = Store(Heard(again_s=0.01), Heard())
    store.held.clear()
    store.run("a", "a", "a")
    assert store.asked == ["a", "a"]
    store.run("a")
    assert store.asked == ["a"] * 3


def test_what_is_decided_elsewhere_is_not_asked_about_any_more():
    store = Store(Heard(again_s=0.01))
    store.open = set()
    store.run("a")
    assert store.asked == []


def test_that_a_service_is_away_is_told_once_for_each_request():
    away = Heard(again_s=0.01, why="it is away")
    store = Store(away, away, away)
    store.run("a")
    assert (store.failed, len(store.asked)) == ([("a", "it is away")], 4)


def test_a_service_that_is_away_is_asked_less_and_less_often():
    assert [backed_off(5.0, failed) for failed in range(7)] == [5.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert backed_off(300.0, 9) == 300.0
    assert backed_off(1.0, 10**9) == 60.0


def test_whoever_puts_a_request_does_not_wait_for_the_service():
    store = Store()
    store.held.clear()
    store.sender.put("a", b"{}")
    store.sender.put("b", b"{}")
    assert store.asked in ([], ["a"])  # the first of them has no answer yet
    store.ended()
    assert store.asked == ["a", "b"]


def test_a_sender_that_is_closed_asks_no_more():
    store = Store(Heard(again_s=60.0))
    store.sender.put("a", b"{}")
    wait_for(lambda: store.asked)
    store.sender.close()
    store.ended()
    store.sender.put("b", b"{}")
    assert store.asked == ["a"]
