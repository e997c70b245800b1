# SPDX-License-Identifier: Apache-2.0
"""Who writes the log of a home: this account itself, or a recorder service, and where that listens.

A home whose ledger was moved to an account of its own has a file `moved.json` that says so. There the
service is the only way, and while it is down nothing is recorded: nothing falls back to a log that the wrapped
server could write. So it is where a socket was named. Otherwise a service is used where one answers.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from onrecord.errors import KeyFileError, NotVerified
from onrecord.event.event import UNREADABLE
from onrecord.ledger.durable import replace_file
from onrecord.ledger.place import Home
from onrecord.ledger.smallfile import MAX_STATE, read_small

SYSTEM_SOCKET = Path("/run/onrecord/recorder.sock")
UNIT = "onrecord-recorder.service"
_PROBE_S = 1.0


class Moved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the ledger of a home went, and under which account."""

    account: str
    home: str
    socket: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The recorder service of a home. `moved` says that its ledger lies with that service, and nowhere else."""

    socket: Path
    remedy: str
    moved: bool = False


def own_socket(home: Home) -> Path:
    """Return where a service of this account listens, unless told otherwise."""
    return home.path / "recorder.sock"


def moved_file(home: Home) -> Path:
    """Return the file that says that the ledger of a home was moved."""
    return home.path / "moved.json"


def read_moved(home: Home) -> Moved | None:
    """Return where the ledger of `home` went, or None where it is still there. Raises KeyFileError."""
    path = moved_file(home)
    try:
        return msgspec.json.decode(read_small(path, MAX_STATE), type=Moved)
    except (FileNotFoundError, NotADirectoryError):
        return None  # also where there can be no home at all: that is for others to say
    except (OSError, NotVerified, *UNREADABLE) as e:
        raise KeyFileError(f"cannot read where the ledger went: {path}: {type(e).__name__}") from e


def write_moved(home: Home, moved: Moved) -> None:
    """Say that the ledger of `home` was moved. Raises LedgerError."""
    replace_file(moved_file(home), msgspec.json.encode(moved) + b"\n", durable=True)


def way_of(home: Home, *, named: str, environ: Mapping[str, str]) -> Way | None:
    """Return the service that is to be used, or None where this account writes the log itself.

    `named` is the socket that the settings name, if any. Raises KeyFileError.
    """
    moved = read_moved(home)
    path = environ.get("ONRECORD_SOCKET") or named or (moved.socket if moved else "")
    if moved is not None:
        remedy = f"start it with: systemctl start {UNIT}"
        return Way(socket=home.path / path, remedy=remedy, moved=True)
    if path:
        return Way(socket=home.path / path, remedy="start it with: onrecord recorder run")
    for place in (own_socket(home), SYSTEM_SOCKET):
        if answers(place):
            return Way(socket=place, remedy="start it with: onrecord recorder run")
    return None


def answers(path: Path) -> bool:
    """Say whether somebody who lets us connect listens at `path`."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_S)
        probe.connect(str(path))
        return True
    return False
