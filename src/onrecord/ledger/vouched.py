# SPDX-License-Identifier: Apache-2.0
"""What a door holds against the recorder service: the keys of its log, and the newest tree it vouched for.

The keys are those that the home was moved with, or those with which the service met this home first. Each
note that comes is checked against them, and has to extend the tree before it. A service that can't show that
was given another ledger, or an older copy of its own, and is refused until it can.
"""

import time
from collections.abc import Sequence

from onrecord.errors import LedgerError, LedgerRefused, NotVerified
from onrecord.ledger.merkle import check_consistency
from onrecord.ledger.messages import Done, Welcome, hash_of, text_of
from onrecord.ledger.note import Checkpoint, VerifierKey, open_checkpoint
from onrecord.ledger.place import Home
from onrecord.ledger.receipts import Kept, keep, read_receipts, receipts_folder
from onrecord.ledger.succession import succeeded

KEEP_S = 0.5  # the longest that a newer tree is known in memory alone


class Vouched:
    """The trust of one door in one service. Only the thread that hears the service changes it."""

    def __init__(self, home: Home, log: str, service: str, *, vkeys: Sequence[VerifierKey] = ()) -> None:
        """`vkeys` are the keys of the log, where this home knows them by itself. Raises LedgerRefused."""
        self._home = home
        self._log = log
        self._service = service
        kept = [each for each in read_receipts(home) if _is_of(each, log, service, vkeys)]
        newest = max(kept, key=lambda each: each.size, default=None)
        self._vkeys = [*vkeys, *(VerifierKey.parse(each.vkey) for each in kept)]
        self.known: Checkpoint | None = newest.seen if newest else None
        self.note = newest.note.encode() if newest else b""
        self._saved: Checkpoint | None = self.known
        self._saved_at = 0.0

    @property
    def size(self) -> int:
        """How many entries the newest tree has."""
        return self.known.size if self.known else 0

    @property
    def root(self) -> str:
        """The root of the newest tree in base64, or nothing where none is known."""
        return text_of(self.known.root) if self.known else ""

    @property
    def vkey(self) -> str:
        """The newest key that is trusted, or nothing before the first meeting."""
        return str(self._vkeys[-1]) if self._vkeys else ""

    @property
    def unsaved(self) -> bool:
        """Whether a newer tree is known than the one on disk."""
        return self.known != self._saved

    def meet(self, welcome: Welcome) -> None:
        """Take in what the service shows at the start of a connection. Raises LedgerRefused."""
        try:
            shown = [VerifierKey.parse(text) for text in welcome.vkeys]
        except NotVerified as e:
            raise LedgerRefused(f"the recorder service shows a key that is none: {e}") from e
        if not shown:
            raise LedgerRefused("the recorder service shows no key")
        if not self._vkeys:
            self._vkeys = shown  # the first meeting
        self._vkeys = succeeded(self._vkeys, welcome.successions)
        if shown[-1] not in self._vkeys:
            raise LedgerRefused(
                "the recorder service keeps another log, or signs with another key, than the one that this home knows; "
                f"if that is meant, bring {self._home.keys} up to date, or remove {receipts_folder(self._home)}"
            )
        self.take(welcome)

    def take(self, shown: Welcome | Done) -> None:
        """Take in a newer tree. Raises LedgerRefused where it does not extend the one before."""
        note = shown.note
        self._vkeys = succeeded(self._vkeys, shown.successions)
        try:
            signed = open_checkpoint(note.encode(), self._vkeys)
            hashes = [hash_of(one) for one in shown.path]
        except NotVerified as e:
            raise LedgerRefused(f"the recorder service shows a signature that does not hold: {e}") from e
        if self.known is not None:
            self._check_grown(self.known, signed, hashes)
        self.known, self.note = signed, note.encode()
        if time.monotonic() - self._saved_at > KEEP_S:
            self.save()

    def _check_grown(self, known: Checkpoint, signed: Checkpoint, path: Sequence[bytes]) -> None:
        if signed.origin != known.origin:
            raise LedgerRefused("the recorder service keeps another log than the one that this home knows")
        if signed.size < known.size:
            raise LedgerRefused(
                f"rolled back: the recorder service shows {signed.size} entries, and this door has seen {known.size}"
            )
        try:
            check_consistency(known.size, known.root, signed.size, signed.root, path)
        except NotVerified as e:
            raise LedgerRefused(
                f"forked: the log of the recorder service does not extend the {known.size} entries "
                f"that this door has seen: {e}"
            ) from e

    def save(self) -> None:
        """Write down what is known, as far as the disk lets us."""
        if self.known is None or not self.unsaved:
            return
        self._saved_at = time.monotonic()
        kept = Kept(
            origin=self.known.origin,
            vkey=self.vkey,
            log=self._log,
            service=self._service,
            size=self.known.size,
            root=text_of(self.known.root),
            note=self.note.decode(),
        )
        try:
            keep(self._home, kept)
            self._saved = self.known
        except LedgerError:
            pass  # memory still has it, and the next tree tries again


def _is_of(kept: Kept, log: str, service: str, vkeys: Sequence[VerifierKey]) -> bool:
    """Say whether `kept` is about the log that we are to meet: by its keys, or else by where we met it."""
    if vkeys:
        return kept.origin in {key.name for key in vkeys}
    return kept.log == log and kept.service == service
