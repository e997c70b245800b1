# SPDX-License-Identifier: Apache-2.0
"""What one caller may take of the gateway, so that others still come in."""

import threading
from contextlib import ExitStack, contextmanager

from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.running import Gateway, Heard, called, exchanged, modern, request
from tests.gateway.scripted import Scripted, answered, echoing, result
from tests.identity.issuing import AUDIENCE, ISSUER, claims, shown, signed

from onrecord.doors.gateway.room import Most, Room

OTHER = "127.0.5.1"


@contextmanager
def holding(home, **more):
    """Yield a gateway before a server that answers once it is told to, and what tells it."""
    go_on = threading.Event()

    def script(connection, asked):
        assert go_on.wait(60)
        answered(connection, result(asked))

    with Scripted(script) as server, Gateway(home, {"s": server.url}, **more) as gateway:
        yield gateway, go_on


def test_one_address_leaves_room_for_others(tmp_path):
    with holding(tmp_path, gateway="max_open = 10\n") as (gateway, go_on), ExitStack() as stack:
        open_ones = [stack.enter_context(gateway.connect()) for _ in range(5)]
        other = stack.enter_context(gateway.connect(OTHER))
        for connection in open_ones:
            connection.sendall(modern("/s", called()))
        gateway.await_events(5, phase="attempt")
        heard = exchanged(gateway, modern("/s", called()))
        assert (heard.status, heard.headers["retry-after"]) == (429, "1")
        other.sendall(modern("/s", called()))
        gateway.await_events(6, phase="attempt")
        go_on.set()
        assert [Heard(one).status for one in (*open_ones, other)] == [200] * 6
        assert exchanged(gateway, modern("/s", called())).status == 200
        (event,) = gateway.await_events(error_type="busy")
        assert (event["client_ip"], event["server_id"]) == ("127.0.0.1", "s")


def test_one_person_leaves_room_for_others_wherever_they_call_from(tmp_path):
    (tmp_path / "keys.json").write_bytes(shown())
    identity = f'[identity]\nissuer = "{ISSUER}"\njwks = "keys.json"\n'
    known = {"tokens": "required", "upstream": f'audience = "{AUDIENCE}"', "settings": identity}

    def asked(who):
        token = signed(claims(sub=who), typ="at+jwt")
        return modern("/s", called(), Authorization=f"Bearer {token}")

    with holding(tmp_path, gateway="max_open_of_one = 1\n", **known) as (gateway, go_on), gateway.connect() as first:
        first.sendall(asked("ann"))
        gateway.await_events(phase="attempt")
        assert exchanged(gateway, asked("ann"), OTHER).status == 429
        with gateway.connect() as second:
            second.sendall(asked("bob"))
            gateway.await_events(2, phase="attempt")
            go_on.set()
            assert [Heard(one).status for one in (first, second)] == [200, 200]
        (refused,) = gateway.await_events(error_type="busy")
        (attempt, _) = gateway.events(phase="attempt")
        assert refused["user_id"] == attempt["user_id"]


def test_bodies_that_are_held_have_room_together(tmp_path):
    sizes = 'max_body = "1MiB"\nmax_bodies = "1MiB"\n'
    long = modern("/s", called(text="a" * 800_000))
    with holding(tmp_path, gateway=sizes) as (gateway, go_on), gateway.connect() as first:
        first.sendall(long)
        gateway.await_events(phase="attempt")
        heard = exchanged(gateway, long, OTHER)
        assert (heard.status, heard.headers["retry-after"]) == (503, "1")
        go_on.set()
        assert Heard(first).status == 200
        assert exchanged(gateway, long, OTHER).status == 200
        (event,) = gateway.await_events(error_type="busy")
        assert event["client_ip"] == OTHER


def test_connections_of_one_address_leave_room_for_others(tmp_path):
    with Scripted(echoing) as server, Gateway(tmp_path, {"s": server.url}, gateway="max_open = 1\n") as gateway:
        with ExitStack() as stack:
            many = [stack.enter_context(gateway.connect()) for _ in range(502)]
            assert many[-1].recv(1) == b""
            gateway.await_events(error_type="busy")
            assert exchanged(gateway, modern("/s", called()), OTHER).status == 200
        assert exchanged(gateway, request("/s", called(meta=None))).status == 200


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60), st.booleans())))
def test_no_caller_and_not_all_together_hold_more_than_they_may(steps):
    most = Most(requests=9, requests_of_one=3, body_bytes=100, body_bytes_of_one=50)
    room, guests = Room(most), []
    for who, size, leaves in steps:
        if leaves and guests:
            guests.pop(0)[2].__exit__(None, None, None)
        elif (guest := room.enter((who,))) is not None:
            guests.append((who, size if guest.hold(size) else 0, guest))
        of_one = [sum(held for name, held, _ in guests if name == one) for one in "abc"]
        assert max(of_one) <= 50
        assert sum(of_one) <= 100
        assert all(sum(name == one for name, _, _ in guests) <= 3 for one in "abc")
    for _, _, guest in guests:
        guest.__exit__(None, None, None)
    first, second = room.enter(("a",)), room.enter(("b",))
    assert first is not None
    assert second is not None
    assert first.hold(50)
    assert second.hold(50)
