# SPDX-License-Identifier: Apache-2.0
"""The verifier over Go's sumdb, built once."""

from pathlib import Path

import pytest
from tests.peers.peer import build_sumdb


@pytest.fixture(scope="session")
def sumdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program; see sumdb/main.go."""
    return build_sumdb(tmp_path_factory.mktemp("sumdb"))
