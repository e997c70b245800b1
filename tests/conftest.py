# SPDX-License-Identifier: Apache-2.0
"""Settings that hold for every test: no timing limits on properties, one async backend, a cache of our own."""

import os

import pytest
from hypothesis import settings

# A property's time says more about the machine than about the code. The rest is hypothesis's own choice,
# which under CI is repeatable.
settings.register_profile("onrecord", deadline=None)
settings.load_profile("onrecord")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, as the SDK's servers are run."""
    return "asyncio"


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled rules from one run to the next, and out of the user's own cache."""
    assert config.cache is not None
    folder = config.cache.mkdir("onrecord")
    folder.chmod(0o700)
    os.environ["ONRECORD_CACHE"] = str(folder)
