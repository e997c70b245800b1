# SPDX-License-Identifier: Apache-2.0
"""No path on which a denied or unapproved call reaches the server, whatever comes in between, in whichever order."""

import json
import threading
import time
from collections import Counter
from itertools import count

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.doors.piped import Piped
from tests.doors.test_approvals import POLICY, configured
from tests.ledger.logs import wait_for

from onrecord.approving import Approver
from onrecord.config import build_recorder
from onrecord.errors import LedgerError
from onrecord.event.call import Actor
from onrecord.ledger.clock import now_us
from onrecord.ledger.place import Home
from onrecord.rules.approval import VoteRefused
from onrecord.settings import load

HOUR_US = 3_600_000_000
DENIES = '@id("never") forbid (principal, action, resource == MCP::Tool::"erase");'
WHO = {"boss": "u_boss", "asker": "u_1", "agent": "u_agent", "nobody": ""}
kinds = st.integers(0, 2)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), kinds),
        st.tuples(st.just("call"), kinds),
        st.tuples(st.just("denied"), kinds),
        st.tuples(st.just("approve"), st.sampled_from(sorted(WHO))),
        st.tuples(st.just("approve"), st.just("boss")),
        st.tuples(st.sampled_from(["reject", "delete", "edit", "cancel", "answer"]), kinds),
        st.tuples(
            st.sampled_from(["save", "restore", "expire", "gone", "crash", "look", "over", "finish", "sweep"]),
            st.just(0),
        ),
    ),
    max_size=16,
)
examples = count()


class World:
    """One client and one server, with a real relay, guard, store and ledger between them, and people who decide."""

    def __init__(self, recorder, home):
        self.recorder, self.home = recorder, home
        self.approving = recorder.guard.approving
        self.late_us = 0
        self.approving._clock = lambda: now_us() + self.late_us
        self.example = next(examples)
        self.ids = count(1)
        self.asked: list[tuple[int, str]] = []
        self.crashed: set[int] = set()
        self.expired: set[str] = set()
        self.granted = 0
        self.saved: dict[str, bytes] = {}
        self.pipes: list[Piped] = []
        self.connect()

    def connect(self):
        actor = Actor(
            user_id="u_1", act_chain=("u_agent",), identity_source="os_account", identity_assurance="os_account"
        )
        self.piped = Piped(self.recorder, actor)
        self.pipes.append(self.piped)

    @property
    def relay(self):
        return self.piped.relay

    def take(self, step):
        kind, which = step
        getattr(self, f"do_{kind}")(which)

    def do_call(self, which, name="store"):
        request_id = next(self.ids)
        self.asked.append((request_id, name))
        arguments = {"example": self.example, "which": which}
        params = {"name": name, "arguments": arguments}
        self.piped.client(id=request_id, method="tools/call", params=params)

    def do_denied(self, which):
        self.do_call(which, "erase")

    def do_approve(self, who):
        for path in self.files():
            by = Approver(actor=Actor(user_id=WHO[who], identity_source="os_account", identity_assurance="os_account"))
            try:
                self.approving.cast(path.stem, "approved", by, "cli")
                self.granted += 1
            except (VoteRefused, LedgerError):
                pass

    def do_reject(self, which):
        for path in self.files()[which : which + 1]:
            boss = Approver(
                actor=Actor(user_id="u_boss", identity_source="os_account", identity_assurance="os_account")
            )
            try:
                self.approving.cast(path.stem, "rejected", boss, "cli")
            except (VoteRefused, LedgerError):
                pass

    def files(self):
        return sorted((self.home / "approvals").glob("*.json"))

    def do_delete(self, which):
        for path in self.files()[which : which + 1]:
            path.unlink(missing_ok=True)

    def do_edit(self, which):
        for path in self.files()[which : which + 1]:
            try:
                path.write_bytes(path.read_bytes().replace(b'"redeemed":"', b'"redeemed":"0', 1).replace(b"1", b"2", 1))
            except FileNotFoundError:
                pass

    def do_save(self, _):
        self.saved = {path.name: path.read_bytes() for path in self.files() if path.exists()}

    def do_restore(self, _):
        for name, data in self.saved.items():
            (self.home / "approvals" / name).write_bytes(data)
            (self.home / "approvals" / name).chmod(0o600)
        (self.home / "keys" / "approvals-spent.json").unlink(missing_ok=True)

    def do_expire(self, _):
        with self.approving.store.locked():  # what was not used by now never is
            self.expired |= {kept.statement.id for kept in self.approving.store.all()[0] if not kept.redeemed}
            self.late_us += HOUR_US

    def do_cancel(self, which):
        for request_id, _ in self.asked[-1 - which :][:1]:
            told = {"requestId": request_id}
            self.piped.client(method="notifications/cancelled", params=told)

    def do_answer(self, which):
        for request_id, _ in self.asked[-1 - which :][:1]:
            self.piped.server(id=request_id, result={"content": []})

    def do_gone(self, _):
        self.relay.client_gone()

    def do_crash(self, _):
        """Let the process that waits be gone without a word, and another one come."""
        waiting = self.relay._holding._waiting
        with waiting._cond:
            waiting._closed = True
            waiting._waits.clear()
        self.crashed |= {request_id for request_id, _ in self.asked}
        self.connect()

    def do_look(self, _):
        self.relay._holding._waiting.look()

    def do_over(self, _):
        for wait in list(self.relay._holding._waiting._waits.values()):
            wait.until = 0

    def do_finish(self, _):
        self.relay.finish("the server is gone")

    def do_sweep(self, _):
        self.relay.sweep()

    def end(self):
        """End all of it, and return what reached the server, and what the client heard."""
        self.relay.finish("the end")
        reached, heard = [], []
        deadline = time.monotonic() + 30
        while self.relay._holding._waiting._watched and time.monotonic() < deadline:
            time.sleep(0.01)
        for piped in self.pipes:
            more_reached, more_heard = piped.end()
            reached += more_reached
            heard += more_heard
        return reached, heard


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    rules = '[[tool]]\ntool = "store"\ntier = 3\n[[tool]]\ntool = "erase"\ntier = 3\n'
    configured(home, approvals="four_eyes_from = 3", more=rules, policy=POLICY + DENIES)
    recorder, _ = build_recorder(Home(home), load(Home(home)), lambda text: None)
    yield recorder, home
    recorder.stop("the test ended", 0)


def log_of(home):
    return b"".join(file.read_bytes() for file in sorted((home / "ledger" / "calls" / "log").glob("*")))


@pytest.mark.requirement("C5", "C6")
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@example([("call", 0), ("save", 0), ("approve", "boss"), ("look", 0), ("restore", 0), ("approve", "boss")], False)
@example([("call", 0), ("approve", "boss"), ("save", 0), ("look", 0), ("restore", 0), ("call", 0), ("look", 0)], False)
@example([("call", 0), ("approve", "asker"), ("approve", "agent"), ("approve", "nobody"), ("look", 0)], False)
@example([("call", 0), ("approve", "boss"), ("cancel", 0), ("look", 0), ("call", 0), ("look", 0)], True)
@example([("call", 0), ("crash", 0), ("approve", "boss"), ("call", 0), ("call", 0), ("look", 0)], False)
@example([("call", 0), ("approve", "boss"), ("expire", 0), ("look", 0), ("call", 0), ("look", 0)], False)
@example([("call", 0), ("gone", 0), ("approve", "boss"), ("look", 0), ("call", 0)], False)
@given(steps, st.booleans())
def test_no_interleaving_brings_an_unapproved_call_to_the_server(recording, chosen, at_once):
    recorder, home = recording
    world = World(recorder, home)
    before = len(log_of(home))
    of_people = ("approve", "reject", "delete", "edit", "save", "restore", "expire")
    hands = [
        [s for s in chosen if s[0] in of_people],
        [s for s in chosen if s[0] in ("answer", "look", "over", "sweep")],
        [s for s in chosen if s[0] not in (*of_people, "answer", "look", "over", "sweep")],
    ]
    work = [lambda hand=hand: [world.take(step) for step in hand] for hand in (hands if at_once else [chosen])]
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    reached, heard = world.end()

    lines = log_of(home)[before:].splitlines()
    events = [json.loads(line) for line in lines]
    made = [m for m in reached if m.get("method") == "tools/call"]
    assert [m for m in made if m["params"]["name"] != "store"] == []
    check_uses(events, made, world)
    check_ends(events, heard, world)


def check_uses(events, made, world):
    """Each call that reached the server has a decision, each decision an approval of its own, given before it."""
    decisions = [e for e in events if e.get("phase") == "decision"]
    by_request = {int(e["request_id"]): e for e in decisions}
    assert len(by_request) == len(decisions) <= world.granted
    assert max(Counter(e["approval_id"] for e in decisions).values(), default=1) == 1
    assert {e["approval_id"] for e in decisions} & world.expired == set()
    assert max(Counter(m["id"] for m in made).values(), default=1) == 1
    for message in made:
        decision = by_request[message["id"]]
        of = [e for e in events if e.get("approval_id") == decision["approval_id"] and e["seq"] < decision["seq"]]
        said = [e["action"] for e in of if e["event_type"] == "approval"]
        assert said.count("requested") == 1
        assert "approved" in said
        assert {"rejected", "withdrawn", "expired"} & set(said) == set()
        (yes,) = [e for e in of if e.get("action") == "approved"]
        assert yes["approval_approver"] == decision["approval_approver"] == "u_boss"
        (asked,) = [e for e in of if e.get("action") == "requested"]
        attempts = [e for e in events if e.get("phase") == "attempt"]
        hashes = {e["call_id"]: e["input_hash"] for e in attempts}
        assert hashes[asked["call_id"]] == hashes[decision["call_id"]]


def check_ends(events, heard, world):
    """Each call has one attempt and one end, and its client one answer at most."""
    ends = Counter(int(e["request_id"]) for e in events if e.get("phase") == "result" and not e.get("late"))
    attempts = Counter(int(e["request_id"]) for e in events if e.get("phase") == "attempt")
    assert attempts == Counter(request_id for request_id, _ in world.asked)
    assert max(ends.values(), default=1) == 1
    assert {request_id for request_id, _ in world.asked} - set(ends) <= world.crashed
    assert max(Counter(m["id"] for m in heard if "id" in m and "method" not in m).values(), default=1) == 1


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("how", ["cancel", "gone", "finish"])
def test_what_comes_while_an_approved_call_is_decided_on_again_wins(recording, how):
    recorder, home = recording
    world = World(recorder, home)
    before = len(log_of(home))
    waiting = world.relay._holding._waiting
    deciding, go_on = threading.Event(), threading.Event()
    clock = world.approving._clock

    def slow():
        if any(wait.deciding for wait in list(waiting._waits.values())):
            deciding.set()
            assert go_on.wait(30)
        return clock()

    world.approving._clock = slow
    world.take(("call", 0))
    world.take(("approve", "boss"))
    assert deciding.wait(30)
    coming = threading.Thread(target=world.take, args=((how, 0),))
    coming.start()
    (wait,) = waiting._waits.values()
    wait_for(lambda: wait.ended_as)
    go_on.set()
    coming.join(30)
    reached, heard = world.end()

    assert [m for m in reached if m.get("method") == "tools/call"] == []
    events = [json.loads(line) for line in log_of(home)[before:].splitlines()]
    (end,) = [e for e in events if e.get("phase") == "result"]
    assert (end["result_status"], end["error_type"]) == ("cancelled", "approval_unused")
    assert [e["action"] for e in events if e.get("phase") == "decision"] == ["redeemed"]
    assert [m for m in heard if "result" in m] == []
