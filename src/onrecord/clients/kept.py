# SPDX-License-Identifier: Apache-2.0
"""What an install keeps in the home for an uninstall: what was done, and the file as it would be without.

    <home>/clients/<id>/state.json    which file, which servers, and the digest of the file as it was left
    <home>/clients/<id>/before        the file with none of that done, byte for byte

Configurations hold secrets, so both are for this account alone. They are there before the configuration is replaced.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from onrecord.clients.files import LONGEST, Text
from onrecord.clients.wrapping import Done
from onrecord.errors import ConfigError
from onrecord.event.event import UNREADABLE
from onrecord.ledger.durable import make_folder, replace_file
from onrecord.ledger.place import Home
from onrecord.ledger.smallfile import NotSmall, read_small

_MOST = 8 << 20  # bytes of a state


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was done to one configuration. `after` is the SHA-256 of the file as it was left, in hex."""

    file: str
    client: str
    after: str
    servers: tuple[Done, ...]


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(data).hexdigest()


class Kept:
    """The states of a home."""

    def __init__(self, home: Home) -> None:
        self._folder = home.clients

    def states(self) -> Iterator[State]:
        """Yield all of them. Raises ConfigError for one that can't be read."""
        for path in sorted(self._folder.glob("*/state.json")):
            yield self._read(path)

    def state(self, file: Path) -> State | None:
        """Return that of one file, or None. Raises ConfigError."""
        path = self._place(file) / "state.json"
        return self._read(path) if path.exists() else None

    def valid(self, text: Text) -> State | None:
        """Return the state of a configuration, or None where nothing of it was done. Raises ConfigError."""
        state = self.state(text.file)
        return None if state is None or self.before(text.file) == text.data else state

    def before(self, file: Path) -> bytes:
        """Return what the file would hold. Raises ConfigError."""
        path = self.backup(file)
        try:
            return read_small(path, LONGEST)
        except (NotSmall, OSError) as e:
            raise ConfigError(f"{path}: cannot be read: {type(e).__name__}") from e

    def backup(self, file: Path) -> Path:
        """Return where that lies."""
        return self._place(file) / "before"

    def write(self, state: State, before: bytes) -> None:
        """Keep a state, durably, in place of the one of that file. Raises LedgerError, OSError."""
        folder = self._place(Path(state.file))
        make_folder(folder)
        replace_file(folder / "before", before, durable=True)
        replace_file(folder / "state.json", msgspec.json.encode(state), durable=True)

    def forget(self, file: Path) -> None:
        """Let go of the state of a file from which all is undone, and of its secrets."""
        shutil.rmtree(self._place(file), ignore_errors=True)

    def _place(self, file: Path) -> Path:
        return self._folder / digest(str(file).encode(errors="surrogateescape"))[:16]

    def _read(self, path: Path) -> State:
        try:
            return msgspec.json.decode(read_small(path, _MOST), type=State)
        except (NotSmall, *UNREADABLE) as e:
            raise ConfigError(f"{path}: is not what an install has written") from e
