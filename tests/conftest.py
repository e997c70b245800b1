# SPDX-License-Identifier: Apache-2.0
"""Settings that hold for every test: no timing limits on properties, one async backend, a cache of our own.

With `ONRECORD_PEERS=all`, as CI sets it, a test whose peer was not fetched fails; else it skips.
"""

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

# A property's time says more about the machine than about the code. The rest is hypothesis's own choice,
# which where CI is set is repeatable.
settings.register_profile("onrecord", deadline=None)
settings.load_profile("onrecord")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, as the SDK's servers are run."""
    return "asyncio"


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled rules from one run to the next, and out of the user's own cache; and let Ctrl-C mean something.

    A shell starts what runs in the background with SIGINT ignored, and so would every process that a test starts.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert config.cache is not None
    folder = config.cache.mkdir("onrecord")
    folder.chmod(0o700)
    os.environ["ONRECORD_CACHE"] = str(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Let no peer be missed in silence where all are to be there."""
    report = yield
    if (
        report.skipped
        and os.environ.get("ONRECORD_PEERS") == "all"
        and " is not at hand: make " in str(report.longrepr)
    ):
        report.outcome, report.longrepr = "failed", report.longrepr[2]
    return report
