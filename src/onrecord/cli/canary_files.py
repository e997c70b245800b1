# SPDX-License-Identifier: Apache-2.0
"""Whether a secret of a self-test is in a file of the home that changed meanwhile, or in what a door said."""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from onrecord.cli.canary_checks import Check, Spoken
from onrecord.errors import OnRecordError
from onrecord.ledger import frames
from onrecord.ledger.lines import is_compressed
from onrecord.rules.canary import ANSWERED, ASKED, disguises, planted

CHUNK = 4 << 20  # bytes that are searched at once
OVERLAP = 1 << 10  # bytes; no disguise of a secret is longer
_LARGE = 1 << 20  # bytes; a larger file that grew where it lies is read from where it ended
_SHOWN = 3  # places of a leak
_LONG = 24  # characters of a token; a shorter one may be anywhere by chance

Standing: TypeAlias = tuple[int, int, int]
"""What tells whether a file has changed: its number on the device, its size, and when it was written."""


class Files:
    """The files below some folders, as they were when this was made."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = frozenset(folders)
        self._known = dict(_files(self._folders))

    def searched(self, spoken: Sequence[Spoken], ends: float) -> Check:
        """Say whether a secret of `spoken`, in any disguise, is in a file that changed, or in what the door said."""
        about = "secrets"
        if not any(one.sent for one in spoken):
            return Check("none", about, "none were sent")
        sought = _sought(spoken)
        leaks = [f"{sought[form]} in what the door said" for one in spoken for form in sought if form in one.errors]
        count = 0
        try:
            for path, known in self._changed():
                count += 1
                for block in _blocks(path, known):
                    leaks += [f"{sought[form]} in {path}" for form in sought if form in block]
                    if time.monotonic() > ends:
                        return Check("fail", about, f"not all files were searched in time; {count} were{_some(leaks)}")
        except (OnRecordError, OSError) as e:
            return Check("fail", about, f"a file that changed cannot be searched: {said(e)}{_some(leaks)}")
        if leaks:
            return Check("fail", about, f"a planted secret got out{_some(leaks)}")
        text = f"{len(ASKED) + len(ANSWERED)} planted in each call{', and its token' if spoken[0].token else ''}"
        return Check("ok", about, f"{text}: none in the {count} files that changed, or in what the door said")

    def _changed(self) -> Iterator[tuple[Path, Standing | None]]:
        """Yield each file that is not as it was, and how it was, None where it was not there."""
        for path, about in _files(self._folders):
            if self._known.get(path) != about:
                yield path, self._known.get(path)


def said(error: OnRecordError | OSError) -> str:
    """Return why something could not be read."""
    if isinstance(error, OSError):
        return f"cannot read {error.filename}: {os.strerror(error.errno or 0).lower()}"
    return str(error)


def _sought(spoken: Sequence[Spoken]) -> dict[bytes, str]:
    """Return what must be nowhere, and what to call it."""
    sought = {
        form: f"{place} of {one.era}"
        for one in spoken
        for place in (*ASKED, *ANSWERED)
        for form in disguises(planted(one.run, place))
    }
    for one in spoken:
        secret = one.token.rpartition(".")[2]  # the signature of a JWT, which alone makes it one
        sought |= dict.fromkeys(disguises(secret), f"the token of {one.era}") if len(secret) >= _LONG else {}
    return sought


def _some(leaks: Sequence[str]) -> str:
    different = list(dict.fromkeys(leaks))
    more = f", and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    return f": {'; '.join(different[:_SHOWN])}{more}" if different else ""


def _files(folders: Iterable[Path]) -> Iterator[tuple[Path, Standing]]:
    """Yield each regular file below `folders`, with what tells whether it has changed."""
    for at, _, names in chain.from_iterable(map(os.walk, folders)):
        for name in names:
            with suppress(OSError):  # gone meanwhile
                about = os.lstat(path := Path(at, name))
                if stat.S_ISREG(about.st_mode):
                    yield path, (about.st_ino, about.st_size, about.st_mtime_ns)


def _blocks(path: Path, known: Standing | None) -> Iterator[bytes]:
    """Yield what is new in a file, opened where it is compressed; a block begins with the end of the one before."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return
    grew = known is not None and known[0] == about.st_ino and _LARGE < known[1] <= about.st_size
    rest = b""
    # one that is being compressed cannot be opened yet, and its plain one is still there
    if path.name.endswith(".zst") and is_compressed(path) and not path.name.startswith("."):
        for part in frames.chunks(path):
            yield rest + part
            rest = part[-OVERLAP:]
        return
    with path.open("rb") as file:
        file.seek(known[1] - OVERLAP if grew and known is not None else 0)
        while part := file.read(CHUNK):
            yield rest + part
            rest = part[-OVERLAP:]
