# SPDX-License-Identifier: Apache-2.0
"""Reads the configuration of a client, and puts another text in its place.

A reader sees the old bytes or the new ones, never a part, and a crash leaves one of them. Links are followed, and the
file that they lead to is replaced; its mode, owner and extended attributes stay. What somebody else has written in
the meantime is not written over; a writer between the last look and the replacement, some microseconds, is not seen.
"""

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from onrecord.errors import ConfigError
from onrecord.ledger.durable import open_private, sync_all, sync_folder, write_all
from onrecord.ledger.smallfile import NotSmall, read_small

LONGEST = 32 << 20  # bytes; a client that keeps its history beside its servers writes some of these


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What a configuration held: `file` is where its bytes lie, behind all links."""

    file: Path
    data: bytes
    text: str


def read(path: Path) -> Text:
    """Return what the configuration at `path` holds. Raises ConfigError, and FileNotFoundError where there is none."""
    file = _target(path)
    try:
        data = read_small(file, LONGEST)
        if file.stat().st_nlink > 1:
            raise ConfigError("has more than one name (hard links), which replacing it would part")
    except FileNotFoundError:
        raise
    except NotSmall as e:
        raise ConfigError(f"is no configuration: {e}") from e
    except OSError as e:
        raise ConfigError(f"cannot be read: {os.strerror(e.errno or 0).lower()}") from e
    try:
        return Text(file=file, data=data, text=data.decode())
    except UnicodeDecodeError as e:
        raise ConfigError(f"is not UTF-8, at byte {e.start}") from e


def _target(path: Path) -> Path:
    try:
        file = path.resolve(strict=False)
    except (OSError, RuntimeError) as e:  # links in a circle
        raise ConfigError("is a link that leads to itself") from e
    if path.is_symlink() and not os.path.lexists(file):
        raise ConfigError("is a link that leads nowhere")
    return file


def check_writable(file: Path) -> None:
    """Raise ConfigError where the file, or its folder, is not to be written by this account."""
    if not os.access(file, os.W_OK):
        raise ConfigError("is not to be written by this account")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise ConfigError("lies in a folder that this account cannot write, so it can't be replaced at once")


def replace(old: Text, data: bytes) -> None:
    """Put `data` in the place of what was read. Raises ConfigError where that has changed since, or can't be done."""
    scratch = old.file.with_name(f".{old.file.name}.onrecord")
    try:
        with contextlib.suppress(FileNotFoundError):
            scratch.unlink()  # of one that was cut off
        about = old.file.stat()
        fd = open_private(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            write_all(fd, data)
            _make_alike(fd, old.file, about)
            sync_all(fd)
        finally:
            os.close(fd)
        _check_unchanged(old)
        os.replace(scratch, old.file)
        with contextlib.suppress(OSError):  # it is in place, even where the device can't be asked
            sync_folder(old.file.parent)
    except OSError as e:
        raise ConfigError(f"cannot be replaced: {os.strerror(e.errno or 0).lower()}") from e
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()


def _check_unchanged(old: Text) -> None:
    try:
        same = read_small(old.file, LONGEST) == old.data
    except NotSmall:
        same = False
    if not same:
        raise ConfigError("was changed by somebody else in the meantime; nothing was written, try again")


def _make_alike(fd: int, file: Path, about: os.stat_result) -> None:
    """Give the file behind `fd` the owner, the attributes and the mode of `file`, as far as this account may."""
    if hasattr(os, "fchown"):
        with contextlib.suppress(PermissionError):
            os.fchown(fd, about.st_uid, about.st_gid)
    if hasattr(os, "listxattr"):
        with contextlib.suppress(OSError):
            for name in os.listxattr(file):
                with contextlib.suppress(OSError):  # some are the kernel's alone
                    os.setxattr(fd, name, os.getxattr(file, name))
    if hasattr(os, "fchmod"):
        os.fchmod(fd, stat.S_IMODE(about.st_mode))
