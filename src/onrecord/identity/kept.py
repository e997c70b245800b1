# SPDX-License-Identifier: Apache-2.0
"""What a log-in leaves on disk: the refresh token, and the ID token that the wrapped processes read.

    <home>/login/login.json   the refresh token, and what has to stay the same when it is used
    <home>/login/id-token     the ID token, unless the settings name another file

Both are files of mode 0600, each replaced as a whole. They are as safe as the account is: whatever runs under it can
read them, a wrapped server too, unless it runs under an account of its own. Neither token goes anywhere else.
"""

import hmac
import os
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from onrecord.errors import KeyFileError, NotLoggedIn
from onrecord.event.event import UNREADABLE
from onrecord.ledger.durable import FileLock, make_folder, replace_file
from onrecord.ledger.smallfile import MAX_STATE, NotSmall, read_small

_WAIT_S = 30.0  # for another process that logs in or refreshes; longer than its question to the issuer may take
_MENDS = "onrecord login mends that"


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of a log-in. Times are in seconds since 1970, 0 where there is none.

    `refresh_token` is empty where the issuer gave none. `salt` is random; `subject` is the digest that it makes of who
    logged in, and `auth_time` the one that the issuer named. `begun_s` says that a refresh began whose end is not
    known. `over` says why the issuer takes the refresh token no longer.
    """

    issuer: str
    client_id: str
    salt: str
    subject: str
    refresh_token: str = ""
    auth_time: float = 0.0
    logged_in_s: float = 0.0
    refreshed_s: float = 0.0
    begun_s: float = 0.0
    over: str = ""

    def __repr__(self) -> str:
        return "<what is kept of a log-in>"

    def is_of(self, subject: str) -> bool:
        """Say whether it was that subject who logged in."""
        return hmac.compare_digest(digest_of(self.salt, self.issuer, subject), self.subject)


def digest_of(salt: str, issuer: str, subject: str) -> str:
    """Return the keyed digest of who logged in, in hex."""
    return hmac.digest(bytes.fromhex(salt), f"onrecord login v1\n{issuer}\n{subject}".encode(), "sha256").hex()


class Store:
    """The files of a log-in."""

    def __init__(self, folder: Path, token_file: Path) -> None:
        self.file = folder / "login.json"
        self.token_file = token_file
        self._folder = folder

    @contextmanager
    def alone(self) -> Generator[None]:
        """Keep other processes out: two that use one refresh token would end the log-in. Raises LedgerBusy."""
        make_folder(self._folder)
        lock = FileLock(self._folder / "lock")
        try:
            lock.acquire(time.monotonic() + _WAIT_S)
            yield
        finally:
            lock.close()

    def read(self, *, to_end_it: bool = False) -> Kept | None:
        """Return what is kept, None where nobody has logged in. Raises KeyFileError where it cannot be used.

        What others can read is good for nothing but to end the log-in.
        """
        try:
            about = self.file.stat()
            if os.name != "nt" and stat.S_IMODE(about.st_mode) & 0o077 and not to_end_it:
                raise KeyFileError(
                    f"{self.file} can be read by others, who may have the refresh token: onrecord logout, then login"
                )
            kept = msgspec.json.decode(read_small(self.file, MAX_STATE), type=Kept)
            bytes.fromhex(kept.salt)
        except FileNotFoundError:
            return None
        except OSError as e:
            raise KeyFileError(f"{self.file} cannot be read: {os.strerror(e.errno or 0).lower()}") from e
        except (*UNREADABLE, NotSmall, ValueError) as e:
            raise KeyFileError(f"{self.file} is not what a log-in leaves there; {_MENDS}") from e
        return kept

    def known(self, issuer: str, client_id: str) -> Kept:
        """Return what is kept of a log-in at `issuer`. Raises NotLoggedIn where there is none that can go on."""
        kept = self.read()
        if kept is None:
            raise NotLoggedIn(f"nobody has logged in; {_MENDS}")
        if (kept.issuer, kept.client_id) != (issuer, client_id):
            raise NotLoggedIn(f"the log-in is one at another issuer, or as another client; {_MENDS}")
        if kept.over or not kept.refresh_token:
            raise NotLoggedIn(f"{kept.over or 'the issuer gave no refresh token'}; {_MENDS}")
        return kept

    def write(self, kept: Kept) -> None:
        """Replace what is kept; on return it is on the device. Raises LedgerError."""
        replace_file(self.file, msgspec.json.encode(kept), durable=True)

    def write_token(self, token: str) -> None:
        """Replace the ID token. Raises KeyFileError where others could put a file of theirs in its place."""
        folder = self.token_file.parent
        try:
            make_folder(folder)
            open_to_others = os.name != "nt" and stat.S_IMODE(folder.stat().st_mode) & 0o022
        except OSError as e:
            raise KeyFileError(f"{folder} cannot be used: {os.strerror(e.errno or 0).lower()}") from e
        if open_to_others:
            raise KeyFileError(f"{folder} can be written by others: no place for {self.token_file.name}; chmod go-w it")
        replace_file(self.token_file, token.encode(), durable=False)

    def forget(self) -> None:
        """Remove what the log-in left. Raises OSError."""
        for file in (self.file, self.token_file):
            with suppress(FileNotFoundError):
                file.unlink()
