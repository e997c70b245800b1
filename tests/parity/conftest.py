# SPDX-License-Identifier: Apache-2.0
"""A home that those of these tests are copies of, so that their records can be compared."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.doors.session import ONRECORD


@pytest.fixture(scope="session")
def likeness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with keys, in which a recorder ran."""
    home = tmp_path_factory.mktemp("likeness")
    subprocess.run(
        [*ONRECORD, "run", "--", "true"], env={**os.environ, "ONRECORD_HOME": str(home)}, check=True, stdin=-3
    )
    return home
