# SPDX-License-Identifier: Apache-2.0
"""Whatever somebody puts where an identity belongs: one answer, one event, and the server hears nothing of it."""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doors.session import SERVER, Session, record
from tests.doors.test_identity import settings as written
from tests.identity.issuing import call_token, claims, signed

from onrecord.doors import wire

pytestmark = pytest.mark.requirement("C3")

KEY = "io.onrecord/identity"
REFUSALS = {wire.NOT_AUTHENTICATED, wire.AMBIGUOUS}
LIGHT = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
NAMES = ["iss", "aud", "sub", "exp", "iat", "nbf", "jti", "req", "act", "acr", "amr", "auth_time", "scope", "client_id"]
CLAIMS = st.dictionaries(st.sampled_from(NAMES), JSON, min_size=1)


class Listening:
    """A server that keeps what it hears, behind a door that requires an identity."""

    def __init__(self, home, *more, required=True):
        written(home, *(["required = true"] if required else []), *more)
        self.home, self.heard = home, home / "heard"
        self.heard.touch()
        script = f"import sys\nfor line in sys.stdin:\n    open({str(self.heard)!r}, 'a').write(line)"
        self.session = Session(home, command=[SERVER[0], "-c", script], listed=False)
        self.asked = 0

    def refused(self, params):
        """Ask for a call; it must be refused, in one message."""
        self.asked += 1
        self.session.send({"jsonrpc": "2.0", "id": self.asked, "method": "tools/call", "params": params})
        answer = self.session.receive()
        assert (answer["id"], answer["error"]["code"] in REFUSALS) == (self.asked, True)
        assert answer["error"]["message"].isascii()
        assert len(answer["error"]["message"]) < 200

    def end(self, *, unasked=0):
        """Check that each refusal is one event, that nothing was heard, and that what holds would have been."""
        assert self.heard.read_text() == ""
        arguments = {"text": "x"}
        good = {"name": "store", "arguments": arguments, "_meta": {KEY: call_token("store", arguments)}}
        self.session.send({"jsonrpc": "2.0", "id": "good", "method": "tools/call", "params": good})
        self.session.end()
        assert b"Traceback" not in self.session.errors
        assert len(self.heard.read_text().splitlines()) == 1
        events = record(self.home)
        refusals = [
            e for e in events if (e["event_type"], e.get("action")) == ("authentication", "refuse") and "method" in e
        ]
        unread = [e for e in events if e.get("action") == "message_refused"]
        assert len(refusals) + len(unread) == self.asked
        assert all(e["policy_reason"] and e["policy_decision"] == "deny" for e in [*refusals, *unread])
        assert {e["tool_name"] for e in events if e["event_type"] == "tool_call"} == {"store"}
        assert sum(e["event_type"] == "tool_call" for e in events) == 2

    def __enter__(self):
        return self

    def __exit__(self, *about):
        self.session.__exit__(*about)


def test_any_meta(tmp_path):
    with Listening(tmp_path) as door:

        @LIGHT
        @given(JSON | st.dictionaries(st.sampled_from([KEY, "progressToken", "a"]), JSON))
        def holds(meta):
            door.refused({"name": "store", "arguments": {"text": "x"}, "_meta": meta})

        holds()
        door.end()


def test_any_value_as_the_token_of_a_call(tmp_path):
    good = call_token("store", {"text": "x"})
    parts = st.sampled_from([*good.split("."), "", "e30", "bnVsbA"]) | st.text(max_size=20)

    with Listening(tmp_path) as door:

        @LIGHT
        @given(JSON | st.tuples(parts, parts, parts).map(".".join).filter(lambda one: one != good))
        def holds(token):
            door.refused({"name": "store", "arguments": {"text": "x"}, "_meta": {KEY: token}})

        holds()
        door.end()


def test_any_claims_of_a_token_that_is_signed(tmp_path):
    with Listening(tmp_path) as door:

        @LIGHT
        @given(CLAIMS, st.booleans())
        def holds(found, whole):
            about = {"aud": "scripted", "req": "?", "jti": os.urandom(8).hex()}
            body = {**(claims(**about) if whole else {}), **found}
            token = signed(json.dumps(body).encode(), typ="mcp-id+jwt")
            door.refused({"name": "store", "arguments": {"text": "x"}, "_meta": {KEY: token}})

        holds()
        door.end()


def test_any_bytes_in_the_file_of_the_id_token(tmp_path):
    with Listening(tmp_path, 'token_file = "token"', required=False) as door:
        count = iter(range(10_000))

        @LIGHT
        @given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
        def holds(data):
            new = tmp_path / f"token-{next(count)}"
            new.touch(0o600)
            new.write_bytes(data)
            new.replace(tmp_path / "token")
            door.refused({"name": "store", "arguments": {"text": "x"}})

        holds()
        door.end()
