# SPDX-License-Identifier: Apache-2.0
"""A signal may come at any moment, also at the one in which its flag is waited for."""

import subprocess
import sys
import time

from tests.children import started
from tests.ledger.logs import PATIENCE_S

from onrecord.cli.ending import Ending

STORM = """
import signal
from onrecord.cli.ending import Ending
flag = Ending()
signal.signal(signal.SIGALRM, lambda number, frame: flag.set())
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
for _ in range(20_000):
    before, flag = flag, Ending()
    flag.wait(0.00001)
    before.close()
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_a_signal_that_sets_it_never_waits_for_who_waits():
    with started([sys.executable, "-c", STORM], stderr=subprocess.PIPE) as child:
        _, errors = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, errors) == (0, b"")


def test_who_waits_goes_on_once_it_is_set_and_not_before():
    ending = Ending()
    began = time.monotonic()
    assert not ending.wait(0.2)
    assert time.monotonic() - began > 0.15
    ending.set()
    ending.set()
    assert ending.is_set()
    assert ending.wait(PATIENCE_S)
    assert ending.wait(PATIENCE_S)
    assert time.monotonic() - began < PATIENCE_S
    ending.close()
