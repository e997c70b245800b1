# SPDX-License-Identifier: Apache-2.0
"""The recorder service against clients that are not doors of ours, and doors against services that lie."""

import json
import os
import shutil
import socket
import threading
import time
from contextlib import ExitStack, suppress

import pytest
from tests.doors.session import onrecord, record
from tests.ledger.logs import check_chain, entry, wait_for
from tests.services import Running, Wire, appending, new_id, remote, short_folder

from onrecord.errors import LedgerError, LedgerRefused, RecorderAway
from onrecord.event.event import Event
from onrecord.event.event import encode as encode_event
from onrecord.event.redacted import DOOR_FACTS, OWN_FACTS, Redacted
from onrecord.ledger.keys import read_keys
from onrecord.ledger.listener import CONNECTIONS, OF_ONE_ACCOUNT
from onrecord.ledger.messages import MAX_MESSAGE, Append, Done, Failed, Hello, Welcome, encode, read_answer
from onrecord.ledger.note import SignerKey, open_checkpoint, sign_checkpoint
from onrecord.ledger.place import Home
from onrecord.ledger.receipts import read_receipts

pytestmark = pytest.mark.requirement("D3")


@pytest.fixture
def place():
    folder = short_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def service(place):
    with Running(place / "kept", place / "s") as running:
        yield running


@pytest.fixture
def door(place, service):
    writer = remote(place / "door", service.path)
    yield writer
    with suppress(LedgerError):
        writer.close()


def lines(home):
    files = sorted((home / "ledger" / "calls" / "log").glob("*.ndjson"))
    return [line for file in files for line in file.read_bytes().split(b"\n")[:-1]]


def serves(service):
    """Say whether a well-behaved client gets its answer."""
    with Wire(service.path) as wire:
        wire.send(appending() | {"durability": "signed"})
        return wire.receive()["op"] == "done"


# What comes back


def test_each_answer_says_where_the_entry_stands_and_a_signed_one_by_which_signature(place, service, door):
    tickets = [door.append(entry(number), durability) for number in range(9) for durability in ("written", "flushed")]
    signed = door.append(entry(9), "signed")
    for ticket in (*tickets, signed):
        ticket.wait()
    door.close()

    kept = lines(service.home)
    for ticket in (*tickets, signed):
        event = json.loads(kept[ticket.receipt.seq])
        assert event["event_id"] == ticket.entry.event.event_id
    checkpoint = open_checkpoint(signed.receipt.note, [read_keys(Home(service.home)).signer.vkey])
    assert checkpoint.size > signed.receipt.seq
    (receipt,) = read_receipts(Home(place / "door"))
    assert receipt.size == len(kept)
    check_chain(kept)


def test_threads_share_one_connection_and_every_entry_gets_its_own_answer(service, door):
    seen = []

    def work(number):
        for each in range(20):
            one = entry(number * 100 + each)
            ticket = door.append(one, "flushed")
            ticket.wait()
            seen.append((ticket.receipt.seq, one.event.event_id))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    door.close()
    kept = [json.loads(line)["event_id"] for line in lines(service.home)]
    assert len(seen) == 160
    assert all(kept[seq] == event_id for seq, event_id in seen)


# Clients that are not doors


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"garbage",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"op":"hello","version":1,"log":"calls"} ',
        b'{"op":"hello","version":1,"version":1,"log":"calls"}',
        b'{"op":"hello","version":1,"log":"calls","more":1}',
        b'{"version":1,"op":"hello","log":"calls"}',
        b'{"op":"hello","version":2,"log":"calls"}',
        b'{"op":"append","id":1,"durability":"written","event":{"event_id":"e","event_type":"tool_call"}}',
        b'{"op":"bye","id":1}',
        b"[" * 60_000,
        b"x" * (2 * MAX_MESSAGE),
    ],
)
def test_a_first_line_that_no_door_sends_ends_the_connection_and_nothing_else(service, line):
    before = len(record(service.home))
    with Wire(service.path, hello=False) as wire:
        with suppress(BrokenPipeError, ConnectionResetError):
            wire.send(line)
        answer = wire.receive()
        assert answer is None or (answer["op"] == "failed" and wire.receive() is None)
    assert serves(service)
    assert len(record(service.home)) == before + 1


SET_BY_THE_LEDGER = {
    "schema_version": 1,
    "seq": 7,
    "prev_hash": "0" * 64,
    "timestamp": "2026-01-01T00:00:00.000000Z",
    "wid": "somebody",
    "wseq": 0,
    "peer_uid": 0,
    "peer_pid": 1,
}


def in_order(event):
    """Return an event with its keys in the order of the schema, as a door writes it."""
    order = {name: place for place, name in enumerate(Event.__struct_fields__)}
    return dict(sorted(event.items(), key=lambda item: order[item[0]]))


@pytest.mark.parametrize("name", sorted(SET_BY_THE_LEDGER))
def test_what_only_the_ledger_sets_is_refused_from_a_door(service, name):
    with Wire(service.path) as wire:
        message = appending()
        message["event"] = in_order(message["event"] | {name: SET_BY_THE_LEDGER[name]})
        wire.send(message)
        answer = wire.receive()
        assert (answer["op"], answer["error"]) == ("failed", "LedgerError")
        assert "not accepted" in answer["message"]
        wire.send(appending(2))
        assert wire.receive()["op"] == "done"


@pytest.mark.requirement("D2")
@pytest.mark.parametrize("event_type", [*sorted(OWN_FACTS - {"gap"}), "retention"])
def test_what_could_excuse_a_change_of_the_record_is_refused_from_a_door(service, door, event_type):
    event = Event(event_id=new_id(), event_type=event_type, action="rotate", detail={"ranges": [[0, 1]]})
    with pytest.raises(LedgerError, match="not a door's to state"):
        door.append(Redacted(event, encode_event(event)), "flushed").wait()
    door.append(entry(), "flushed").wait()
    assert [e["detail"]["entries_lost"] for e in record(service.home) if e["event_type"] == "gap"] == [1]
    assert event.event_id not in {e["event_id"] for e in record(service.home)}


@pytest.mark.parametrize(
    "event",
    [
        b'{"event_id":"e","event_id":"e","event_type":"connection"}',
        b'{"event_id":"e","event_type":"connection","unheard_of":1}',
        b'{"event_id":"e","event_type":"unheard_of"}',
        b'{"event_id":"e", "event_type":"connection"}',
        b'{"event_type":"connection","event_id":"e"}',
        b'{"event_id":"e","event_type":"connection","detail":{"a":1,"a":2}}',
        b'{"event_id":"e","event_type":"connection","risk_tier":9}',
        b'{"event_id":"\\u0065","event_type":"connection"}',
        b'{"event_id":"e","event_type":"connection","action":""}',
    ],
)
def test_an_event_that_has_more_than_one_spelling_is_refused(service, event):
    before = len(record(service.home))
    with Wire(service.path) as wire:
        wire.send(b'{"op":"append","id":1,"durability":"written","event":%s}' % event)
        assert wire.receive()["op"] == "failed"
        assert wire.receive() is None
    assert len(record(service.home)) == before


def test_an_event_without_an_id_is_refused(service):
    with Wire(service.path) as wire:
        wire.send(b'{"op":"append","id":1,"durability":"written","event":{"event_type":"connection"}}')
        assert wire.receive()["op"] == "failed"


def test_an_event_that_no_line_can_hold_is_refused_by_name(service):
    with Wire(service.path) as wire:
        wire.send(appending(1, action="x" * 40_000))
        answer = wire.receive()
        assert "longer than a line may be" in answer["message"]
        wire.send(appending(2))
        assert wire.receive()["op"] == "done"


def test_a_door_that_claims_to_have_seen_more_than_there_is_is_refused(service):
    with Wire(service.path) as wire:
        for size, root in ((10**6, "A" * 43 + "="), (1, "no hash")):
            message = appending()
            event = message.pop("event")
            wire.send(message | {"size": size, "root": root, "event": event})
            answer = wire.receive()
            assert answer["op"] == "failed"
            if size == 10**6:
                assert answer["error"] == "LedgerRefused"
        assert wire.receive() is None


def test_half_a_line_and_silence_keep_nobody_waiting(service):
    with ExitStack() as stack:
        for half in (b"", b'{"op":"hel', b"x" * (MAX_MESSAGE - 1)):
            wire = stack.enter_context(Wire(service.path, hello=False))
            wire.socket.sendall(half)
        for _ in range(3):
            assert serves(service)


def test_two_hundred_connections_leave_room_for_the_next_door(service):
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(service.path)) for _ in range(200)]
        assert all(wire.welcome["op"] == "welcome" for wire in wires)
        for number, wire in enumerate(wires):
            wire.send(appending(number))
        assert all(wire.receive()["op"] == "done" for wire in wires)
        assert serves(service)
    check_chain(lines(service.home))


def test_one_account_cannot_take_every_connection(service):
    assert OF_ONE_ACCOUNT < CONNECTIONS
    with ExitStack() as stack:
        silent = [stack.enter_context(Wire(service.path, hello=False)) for _ in range(OF_ONE_ACCOUNT)]
        with Wire(service.path, hello=False) as refused, suppress(BrokenPipeError):
            refused.send({"op": "hello", "version": 1, "log": "calls"})
            assert refused.receive() is None
        silent[0].socket.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: can_connect(service))


def can_connect(service):
    try:
        with Wire(service.path) as wire:
            return wire.welcome is not None
    except (BrokenPipeError, ConnectionResetError):
        return False


def test_a_client_that_never_reads_its_answers_is_dropped_and_costs_the_others_nothing(service):
    with Wire(service.path) as wire, suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
        wire.socket.settimeout(5)
        for number in range(40_000):
            wire.send({"op": "append", "id": number, "durability": "written", "event": {"event_type": "connection"}})
    assert serves(service)


def test_an_attempt_too_many_is_refused_by_name_and_followed_ones_are_closed(service):
    from onrecord.ledger.sessions import OPEN_CALLS

    def attempt(number):
        event = {"event_id": new_id(), "event_type": "tool_call", "phase": "attempt", "call_id": f"c{number}"}
        return {"op": "append", "id": number, "durability": "written", "event": event}

    with Wire(service.path) as wire:
        for number in range(OPEN_CALLS):
            wire.send(attempt(number))
            assert wire.receive()["op"] == "done"
        wire.send(attempt(OPEN_CALLS))
        assert wire.receive()["error"] == "LedgerBusy"
        wire.send({"op": "bye", "id": 1})
        assert wire.receive()["op"] == "done"
    closed = [e for e in record(service.home) if e.get("phase") == "result"]
    assert len(closed) == OPEN_CALLS
    assert {(e["result_status"], e["error_type"]) for e in closed} == {("unknown", "recorder_left")}


def test_a_session_is_taken_up_by_whoever_shows_its_token_and_by_nobody_else(service):
    with Wire(service.path) as first:
        first.send(appending())
        seq = first.receive()["seq"]
        wid, token = first.welcome["wid"], first.welcome["token"]
        hello = {"op": "hello", "version": 1, "log": "calls", "wid": wid, "token": "0" * 32}
        with Wire(service.path, hello=False) as thief:
            thief.send(hello)
            assert thief.receive()["wid"] != wid
        with Wire(service.path, hello=False) as second:
            second.send(hello | {"token": token})
            welcome = second.receive()
            assert welcome["wid"] == wid
            assert welcome["recent"] == [json.loads(lines(service.home)[seq])["event_id"]]
            second.send(appending(2))
            seq = second.receive()["seq"]
            assert json.loads(lines(service.home)[seq])["wseq"] == 1
            assert first.receive()["op"] == "failed"  # it was given up


def test_a_door_that_was_held_up_for_seconds_is_told_what_is_there_already(service):
    with Wire(service.path) as first:
        first.send(appending())
        seq = first.receive()["seq"]
        hello = {"op": "hello", "version": 1, "log": "calls", **{k: first.welcome[k] for k in ("wid", "token")}}
    service.restart()
    time.sleep(7)
    with Wire(service.path, hello=False) as second:
        second.send(hello)
        assert second.receive()["recent"] == [json.loads(lines(service.home)[seq])["event_id"]]


def test_a_second_service_of_the_same_home_does_not_start(service, place):
    again = onrecord(service.home, "recorder", "run", "--socket", str(place / "t"))
    assert again.returncode == 2
    assert "another recorder service" in again.stderr


def test_a_second_service_at_the_same_socket_does_not_start(service, place):
    again = onrecord(place / "other", "recorder", "run", "--socket", str(service.path))
    assert again.returncode == 2
    assert "another service does" in again.stderr
    assert serves(service)


def test_the_socket_is_closed_to_other_accounts_unless_it_is_shared(service, place):
    assert service.path.stat().st_mode & 0o777 == 0o600
    with Running(place / "other", place / "t", options=["--shared"]) as shared:
        assert shared.path.stat().st_mode & 0o777 == 0o660


def test_a_service_that_is_stopped_leaves_no_socket_and_answers_what_it_has_received(service):
    with Wire(service.path) as wire:
        for number in range(50):
            wire.send(appending(number))
        assert [wire.receive()["op"] for _ in range(50)] == ["done"] * 50
        assert service.stop() == 0
        assert wire.receive() is None
    assert not service.path.exists()
    assert onrecord(service.home, "verify", "--allow-unanchored").returncode == 0


# Doors


def test_a_door_without_a_service_says_how_to_start_one(place):
    writer = remote(place / "door", place / "nobody")
    with pytest.raises(RecorderAway, match="start it with"):
        writer.append(entry())
    writer.spool(entry())
    assert writer.unwritten == 1
    with pytest.raises(RecorderAway):
        writer.close()


def test_a_service_that_stands_still_is_given_up_in_bounded_time(place, service):
    import signal

    writer = remote(place / "door", service.path)
    writer.append(entry(), "flushed").wait()
    writer.deadline_s = 0.3
    os.kill(service.child.pid, signal.SIGSTOP)
    try:
        ticket = writer.append(entry(1), "flushed")
        with pytest.raises(LedgerError, match="did not answer within"):
            ticket.wait()
    finally:
        os.kill(service.child.pid, signal.SIGCONT)
    writer.deadline_s = 30.0
    wait_for(lambda: ticket.settled)
    assert ticket.receipt.seq > 0
    writer.close()
    assert writer.unwritten == 0


def test_nothing_that_was_acknowledged_is_lost_when_the_service_is_killed_again_and_again(place, service):
    writer = remote(place / "door", service.path)
    acknowledged, given, stop = [], [], threading.Event()

    def work():
        while not stop.is_set():
            one = entry(len(given))
            try:
                ticket = writer.append(one, "flushed")
            except LedgerError:
                continue
            given.append(one.event.event_id)
            with suppress(LedgerError):
                ticket.wait()
                acknowledged.append(one.event.event_id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        before = len(acknowledged)
        wait_for(lambda before=before: len(acknowledged) > before + 30)
        service.restart()
    wait_for(lambda: len(acknowledged) > len(given) // 2)
    stop.set()
    for thread in threads:
        thread.join()
    writer.close()
    assert writer.unwritten == 0
    service.stop()

    kept = lines(service.home)
    check_chain(kept)
    ids = [json.loads(line)["event_id"] for line in kept]
    assert len(ids) == len(set(ids))  # what was sent twice is there once
    assert set(given) <= set(ids)
    assert onrecord(service.home, "verify", "--allow-unanchored").returncode == 0


# Services that lie


class Liar:
    """A service that says what a test gives it, whatever it is asked."""

    def __init__(self, path, *answers):
        self.answers = answers
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(8)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines, suppress(OSError):
                for answer in self.answers:
                    if not lines.readline():
                        break
                    connection.sendall(answer if isinstance(answer, bytes) else encode(answer))
                lines.read(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


@pytest.fixture
def honest(place, service):
    """A door that knows a log, and what an honest service would say to it now."""
    writer = remote(place / "door", service.path)
    writer.append(entry(), "signed").wait()
    writer.close()
    service.stop()
    signer = read_keys(Home(service.home)).signer
    (kept,) = read_receipts(Home(place / "door"))

    def welcome(checkpoint=None, key: SignerKey | None = None, **fields):
        note = kept.note if checkpoint is None else sign_checkpoint(checkpoint, key or signer).decode()
        plain = {
            "version": 1,
            "log": "calls",
            "vkeys": (str((key or signer).vkey),),
            "wid": "w",
            "token": "t",
            "ledger": "/nowhere",
            "keys": "/nowhere",
            "note": note,
        }
        return Welcome(**plain | fields)

    return kept, welcome


@pytest.mark.requirement("D2")
@pytest.mark.parametrize("size", [-3, -1, 0, 1, 250])
def test_a_tree_that_does_not_extend_what_the_door_has_seen_is_refused_whoever_signed_it(place, service, honest, size):
    from onrecord.ledger.note import Checkpoint

    kept, welcome = honest
    other = Checkpoint(origin=kept.origin, size=kept.size + size, root=os.urandom(32))
    with Liar(service.path, welcome(other)):
        writer = remote(place / "door", service.path)
        with pytest.raises(LedgerRefused, match="rolled back" if size < 0 else "forked"):
            writer.append(entry())
        with pytest.raises(LedgerRefused):
            writer.close()
    assert read_receipts(Home(place / "door")) == [kept]


@pytest.mark.requirement("D2")
def test_a_signature_by_another_key_is_refused(place, service, honest):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    kept, welcome = honest
    other = SignerKey(name=kept.origin, private=Ed25519PrivateKey.generate())
    shown = kept.vkey  # it claims our key, and signs with its own
    for lie in (welcome(kept.seen, other), welcome(kept.seen, other, vkeys=(shown,))):
        with Liar(service.path, lie):
            writer = remote(place / "door", service.path)
            with pytest.raises(LedgerRefused, match=r"another key|does not hold"):
                writer.append(entry())
            with pytest.raises(LedgerRefused):
                writer.close()
        service.path.unlink()


@pytest.mark.requirement("D2")
@pytest.mark.parametrize(
    "answer",
    [
        Done(id=1, seq=10**6, leaf="00" * 32),  # signed, it says, and shows no signature
        Done(id=2, seq=1, leaf="00" * 32),  # to nothing that was asked
        Done(id=1, seq=1, leaf="no hex"),
        b'{"op":"done","id":1,"id":1}\n',
        b"garbage\n",
        Append(id=1, durability="written", event=Event(event_id="e")),
        Hello(version=1, log="calls"),
    ],
)
def test_an_answer_that_no_service_gives_is_never_an_acknowledgement(place, service, honest, answer):
    _, welcome = honest
    with Liar(service.path, welcome(), answer):
        writer = remote(place / "door", service.path, deadline_s=1.0)
        with pytest.raises(LedgerError):
            writer.append(entry(), "signed").wait()
        with pytest.raises(LedgerError):
            writer.close()
        assert writer.unwritten >= 1


def test_errors_of_the_service_arrive_by_their_names_and_cannot_act_on_a_terminal(place, service, honest):
    _, welcome = honest
    with Liar(service.path, welcome(), Failed(id=1, error="LedgerFull", message="no room \x1b[2J\u202e")):
        writer = remote(place / "door", service.path)
        with pytest.raises(LedgerError) as refused:
            writer.append(entry(), "flushed").wait()
        assert type(refused.value).__name__ == "LedgerFull"
        assert str(refused.value) == "no room ?[2J?"
        with suppress(LedgerError):
            writer.close()


def test_a_door_fact_is_never_one_that_the_ledger_states_of_itself():
    from typing import get_args

    from onrecord.event.event import EventType

    assert {"gap"} == DOOR_FACTS & OWN_FACTS
    assert set(get_args(EventType)) == DOOR_FACTS | OWN_FACTS | {"retention"}
    assert read_answer(encode(Done(id=1))[:-1]) == Done(id=1)
