# SPDX-License-Identifier: Apache-2.0
"""Stores that we did not write: ClickHouse's engine as a library, and a PostgreSQL server.

The engine runs in a process of its own, as it takes over signals and memory; what is sent there and back is what the
store is asked and what it answers. Both are fetched by `make stores`.
"""

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from onrecord.views.stores.address import Address, read_address
from onrecord.views.stores.clickhouse import ClickHouseWriting

ROOT = Path(__file__).parents[2]
FETCHED = ROOT / ".stores"
HERE = Path(__file__).parent


def packages() -> Path:
    """Return the folder of the packages that were fetched; skips where they were not."""
    if not (FETCHED / ".ready").exists():
        pytest.skip(f"{FETCHED.name} is not at hand: make stores")
    return next(FETCHED.glob("lib/python3*/site-packages"))


class ClickHouseApart:
    """The store in ClickHouse, in a process of its own, with its table in a database of its own."""

    address = Address(kind="clickhouse", host="in-process", port=1, database="default", user="", tls=False)

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child

    def call(self, name: str, *arguments: Any) -> Any:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        pickle.dump((name, arguments), self._child.stdin)
        self._child.stdin.flush()
        answer = pickle.load(self._child.stdout)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def prepare(self) -> None:
        self.call("prepare")

    def put(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self.call("put", rows)

    def forget(self, origin: str, ranges: Sequence[tuple[int, int]]) -> None:
        self.call("forget", origin, ranges)

    def newest(self, origin: str) -> Any:
        return self.call("newest", origin)

    def writing(self) -> ClickHouseWriting:
        return ClickHouseWriting()

    def ask(self, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        return iter(self.call("ask", sql, values))

    def close(self) -> None:
        pass


@contextmanager
def clickhouse() -> Iterator[ClickHouseApart]:
    """Start the engine, on an empty folder."""
    path = os.pathsep.join([str(packages()), str(ROOT)])
    with tempfile.TemporaryDirectory(prefix="ch-") as folder:
        command = [sys.executable, str(HERE / "clickhouse_child.py"), folder]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, env={**os.environ, "PYTHONPATH": path}) as child:
            try:
                yield ClickHouseApart(child)
            finally:
                child.kill()


class Server:
    """A PostgreSQL server that can be stopped, as by a power cut, and started again."""

    def __init__(self, child: "subprocess.Popen[str]") -> None:
        self._child = child
        self.url = self._read()

    @property
    def address(self) -> Address:
        return read_address(self.url)

    def stop(self) -> None:
        self._do("stop")

    def start(self) -> None:
        self._do("start")

    def _do(self, what: str) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(f"{what}\n")
        self._child.stdin.flush()
        self._read()

    def _read(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()


@contextmanager
def postgres() -> Iterator[Server]:
    """Start a server that listens on a socket only."""
    packages()
    folder = tempfile.mkdtemp(prefix="pg-", dir="/tmp")  # short, for the name of a socket
    try:
        command = [str(FETCHED / "bin/python"), str(HERE / "postgres_child.py"), f"{folder}/data"]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as child:
            server = Server(child)
            assert server.url, "the server did not start"
            yield server
            assert child.stdin is not None
            child.stdin.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
