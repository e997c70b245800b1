# SPDX-License-Identifier: Apache-2.0
"""However many calls wait for a person or for a policy elsewhere, few threads wait with them."""

import threading
from contextlib import ExitStack
from pathlib import Path

from tests.doors.test_deciding import Point
from tests.gateway import test_held
from tests.gateway.running import Gateway, Heard, called, modern
from tests.gateway.scripted import Scripted, echoing
from tests.identity.issuing import shown

from onrecord.doors.threads import OF_MANY

CALLS = OF_MANY + 8
HELD = 80  # more than there are threads for everything else


def threads(gateway):
    """Return how many threads the gateway has."""
    return len(list(Path(f"/proc/{gateway.child.pid}/task").iterdir()))


class Busy(Point):
    """A decision point that lets nobody go before as many have come as may, and a while after."""

    def __init__(self):
        super().__init__()
        self.counting, self.now, self.most = threading.Lock(), 0, 0

    def answer(self, question):
        with self.counting:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now >= OF_MANY:
                threading.Timer(0.5, self.go_on.set).start()
        try:
            return super().answer(question)
        finally:
            with self.counting:
                self.now -= 1


def test_one_thread_looks_at_all_calls_that_wait(tmp_path):
    (tmp_path / "keys.json").write_bytes(shown())
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "team.cedar").write_text(test_held.POLICY)
    with Scripted(echoing) as server, test_held.opened(tmp_path, server) as gateway, ExitStack() as stack:
        test_held.list_tools(gateway)
        waiting = [stack.enter_context(gateway.connect()) for _ in range(HELD)]
        for number, connection in enumerate(waiting, 1):
            connection.sendall(test_held.sent(called("store", number, text=f"{number}")))
        heard = [Heard(connection) for connection in waiting]
        for one in heard:
            stack.enter_context(one.file)  # which holds the connection, too
        pieces = [one.pieces() for one in heard]
        assert {next(one) for one in pieces} == {b": ping\n\n"}
        assert threads(gateway) < HELD
        first = {"call_id": gateway.events(phase="attempt", request_id="1")[0]["call_id"]}
        approvals = {e["approval_id"] for e in gateway.events(**first) if "approval_id" in e}
        test_held.approve(gateway, approvals.pop())
        assert b'"done"' in b"".join(pieces[0])
    assert len(server.reached) == 2


def test_a_policy_elsewhere_is_asked_so_many_questions_at_once_and_no_more(tmp_path):
    point = Busy()
    host, port = point.server_address[:2]
    policy = f'[policy]\nengine = "authzen"\nurl = "http://{host}:{port}"\ntimeout = "60s"\n'
    with (
        Scripted(echoing) as server,
        Gateway(tmp_path, {"s": server.url}, settings=policy) as gateway,
        ExitStack() as stack,
    ):
        asked = [stack.enter_context(gateway.connect()) for _ in range(CALLS)]
        for number, connection in enumerate(asked, 1):
            connection.sendall(modern("/s", called("erase", number)))
        bodies = [Heard(connection).body() for connection in asked]
        assert [body for body in bodies if b'"done"' not in body] == []
    assert point.most == OF_MANY
    point.shutdown()
    point.server_close()
