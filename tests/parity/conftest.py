# SPDX-License-Identifier: Apache-2.0
"""A home that those of these tests are copies of, so that their records can be compared."""

from pathlib import Path

import pytest
from tests.parity.doors import make_likeness


@pytest.fixture(scope="session")
def likeness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with keys, in which a recorder ran."""
    home = tmp_path_factory.mktemp("likeness")
    make_likeness(home)
    return home
