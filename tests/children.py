# SPDX-License-Identifier: Apache-2.0
"""Processes that go on until they are told to end."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def started(command: list[str], **options: Any) -> Iterator[Any]:
    """Give a process, and end it the hard way where it still runs: a test that fails must not wait for it."""
    with subprocess.Popen(command, **options) as child:
        try:
            yield child
        finally:
            child.kill()
