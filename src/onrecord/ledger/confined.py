# SPDX-License-Identifier: Apache-2.0
"""Keeps a verifier inside the folder that somebody handed over.

A copy holds files and folders. A link in it leads to what was not handed over: to lines that the verifier
has himself, and then a copy without any would verify, or to a file of his that is nobody's business. What
is no file and no folder, such as a pipe or a device, is passed over by whoever reads.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from onrecord.ledger.place import LogFolder

_MANIFEST = "bundle.json"


def link_in(folder: LogFolder, within: Path) -> str:
    """Return the first link to a file or a folder that a reader of `folder` would follow, or nothing.

    `within` is the folder that was handed over, or `folder` itself; links that lead to it are the verifier's own.
    Raises OSError.
    """
    return link_on_the_way(folder, within) or _first_link(_read_in(folder), within)


def link_on_the_way(folder: LogFolder, within: Path) -> str:
    """Return the first link between the folder that was handed over and a log in it, or nothing."""
    parts = folder.path.relative_to(within).parts
    return _first_link((within.joinpath(*parts[:count]) for count in range(1, len(parts) + 1)), within)


def _first_link(paths: Iterable[Path], within: Path) -> str:
    for path in paths:
        if path.is_symlink() and (os.path.isfile(path) or os.path.isdir(path)):
            return str(path.relative_to(within))
    return ""


def _read_in(folder: LogFolder) -> Iterator[Path]:
    """Yield what a verifier of a log or of a bundle may read, folders before what is in them."""
    yield from (folder.checkpoint, folder.checkpoints, folder.anchors, folder.path / _MANIFEST)
    waiting = [folder.segments, folder.path / "tile"]
    while waiting:
        path = waiting.pop()
        yield path
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_symlink():
                        yield Path(entry.path)
