# SPDX-License-Identifier: Apache-2.0
"""The doors of a service, as they lie on disk: what a service that starts knows of those of one that died."""

import pytest
from tests.ledger.logs import entry, log_in, new_id

from onrecord.errors import LedgerBusy
from onrecord.ledger.presence import dead_recorders
from onrecord.ledger.sessions import OPEN_CALLS, RECENT, Sessions

pytestmark = pytest.mark.requirement("A4")


def begun(log, ledger):
    sessions = Sessions(log.home)
    session, token = sessions.begin(uid=7, seq=ledger.size)
    return sessions, session, token


def write(ledger, session, **fields):
    one = entry(0, **fields)
    (receipt,) = ledger.append_all((one,), hand=session.hand)
    session.note(receipt.seq, one.event)
    return one.event


def die(sessions):
    """Let go of the locks, as the kernel does for a process that was killed."""
    for session in sessions:
        session.lock.close()


def taken_over(log):
    sessions = Sessions(log.home, return_s=0)
    sessions.take_over(log.folder)
    return sessions


def test_what_a_dead_service_knew_is_read_back_from_the_log(tmp_path):
    log = log_in(tmp_path)
    ledger = log.open()
    sessions, session, token = begun(log, ledger)
    first = write(ledger, session)
    second = write(ledger, session)
    write(ledger, session, phase="result", call_id=first.call_id)
    ledger.append(entry())  # somebody else's
    die(sessions)

    again = taken_over(log)
    (back,) = again
    assert (back.hand.wid, back.hand.wseq) == (session.hand.wid, 3)
    assert [attempt.call_id for _, attempt in back.open_calls.values()] == [second.call_id]
    assert list(back.recent) == list(session.recent)
    assert again.resume(back.hand.wid, token, uid=8) is None
    assert again.resume(back.hand.wid, "0" * 32, uid=7) is None
    assert again.resume(back.hand.wid, token, uid=7) is back
    assert again.gone() == []
    again.end(back)
    ledger.close()


@pytest.mark.parametrize("count", [999, 1_000, 2_500])
def test_a_long_session_is_read_back_from_where_it_was_saved_and_its_count_goes_on(tmp_path, count):
    log = log_in(tmp_path)
    ledger = log.open()
    sessions, session, _ = begun(log, ledger)
    open_call = write(ledger, session)
    for _ in range(count):
        write(ledger, session, event_type="connection", phase="")
        sessions.save_due(session, ledger.size)
    die(sessions)
    (back,) = taken_over(log)
    assert back.hand.wseq == count + 1
    assert [attempt.call_id for _, attempt in back.open_calls.values()] == [open_call.call_id]
    assert list(back.recent)[-5:] == list(session.recent)[-5:]
    assert len(session.recent) <= RECENT
    back.lock.close()
    ledger.close()


def test_a_session_that_nobody_takes_up_is_gone_after_its_time(tmp_path):
    log = log_in(tmp_path)
    ledger = log.open()
    sessions, session, _ = begun(log, ledger)
    assert sessions.gone() == []
    die(sessions)
    again = taken_over(log)
    (gone,) = again.gone()
    assert gone.hand.wid == session.hand.wid
    again.end(gone)
    assert list(again) == []
    assert list(log.home.running.iterdir()) == []
    ledger.close()


def test_a_living_service_keeps_its_sessions(tmp_path):
    log = log_in(tmp_path)
    ledger = log.open()
    sessions, session, _ = begun(log, ledger)
    assert list(taken_over(log)) == []
    sessions.end(session)
    ledger.close()


def test_a_closing_that_was_cut_off_is_not_done_twice(tmp_path):
    log = log_in(tmp_path)
    ledger = log.open()
    sessions, session, _ = begun(log, ledger)
    first, second = write(ledger, session), write(ledger, session)
    die(sessions)
    ledger.append(entry(phase="result", call_id=first.call_id))  # by the next service, which died too
    (back,) = taken_over(log)
    assert [attempt.call_id for _, attempt in back.open_calls.values()] == [second.call_id]
    back.lock.close()
    ledger.close()


def test_a_recorder_of_another_kind_finds_what_no_service_comes_back_for(tmp_path):
    log = log_in(tmp_path)
    ledger = log.open()
    sessions, session, _ = begun(log, ledger)
    die(sessions)
    with dead_recorders(log.home) as dead:
        assert dead == [(session.hand.wid, session.seq)]
    ledger.close()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"wid":"x","seq":0,"token":"t"}', b"\xd6aY\xaa" * 10])
def test_what_is_no_session_is_left_alone(tmp_path, data):
    log = log_in(tmp_path)
    log.home.running.mkdir(parents=True)
    (log.home.running / "strange").write_bytes(data)
    assert list(taken_over(log)) == []
    assert (log.home.running / "strange").exists()


def test_a_door_with_too_many_open_calls_gets_no_more(tmp_path):
    log = log_in(tmp_path)
    ledger = log.open()
    sessions, session, _ = begun(log, ledger)
    for number in range(OPEN_CALLS):
        one = entry(call_id=f"c{number}").event
        session.check_room(one)
        session.note(number, one)
    with pytest.raises(LedgerBusy):
        session.check_room(entry(call_id=new_id()).event)
    session.check_room(entry(phase="result", call_id="c0").event)
    sessions.end(session)
    ledger.close()
