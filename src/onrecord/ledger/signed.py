# SPDX-License-Identifier: Apache-2.0
"""What a log has signed of itself, weighed with the keys that a verifier brings.

Before the lines are read, signatures are claims: their sizes say where to remember a root. Once they
were read, the hand-overs among them tell which key may sign what, and the claims count or don't. Of
the history only the newest claims are held, and those that don't fit the lines; it is read again
where a hand-over asks for more.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from onrecord.errors import NotVerified
from onrecord.ledger.epochs import BrokenChain, Epochs, HandOverEntry, WrongEpoch, who_signed
from onrecord.ledger.history import Said, read_history, signer_of
from onrecord.ledger.note import Checkpoint, VerifierKey, parse_checkpoint, parse_note
from onrecord.ledger.place import LogFolder

_NEWEST = 256  # claims; a living log publishes each of them soon after it was signed
_CLOSINGS = 16  # notes of one size that are looked at; an honest history holds two or three


class NoCheckpoint(NotVerified):
    """There is no checkpoint where readers look for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What counts of a log's signatures.

    `checkpoint` is the newest, or None where the published one does not count, and `doubt` says why.
    `fault` is what is wrong with who signed, `unfit` an earlier signature that the lines don't fit.
    """

    checkpoint: Checkpoint | None
    doubt: NotVerified | None = None
    fault: BrokenChain | WrongEpoch | None = None
    unfit: Checkpoint | None = None


class Claims:
    """The newest signatures that a log lays claim to, as it lies there at this moment."""

    def __init__(self, folder: LogFolder) -> None:
        """Read what is published, and the history. Raises OSError where a file cannot be read."""
        self._folder = folder
        try:
            self._published = folder.checkpoint.read_bytes()
        except FileNotFoundError:
            self._published = None
        self._end = folder.checkpoints.stat().st_size if folder.checkpoints.is_file() else 0
        history = read_history(folder.checkpoints, self._end)
        newest = heapq.nlargest(_NEWEST, history, key=lambda said: (said.size, said.offset))
        # of two with one size the published one comes first: against it the lines are held
        self._newest = sorted([*self._shown(), *newest], key=lambda said: said.size, reverse=True)

    def _shown(self) -> list[Said]:
        """Return what the published checkpoint claims."""
        try:
            text = parse_note(self._published or b"").text
            checkpoint = parse_checkpoint(text)
        except NotVerified:
            return []
        note = self._published or b""
        return [Said(checkpoint.size, checkpoint.root, signer_of(note.decode()), note, -1)]

    @property
    def sizes(self) -> list[int]:
        """The sizes at which a root is wanted."""
        return [said.size for said in self._newest]

    def history(self) -> "chain[Said]":
        """Return all that the history said when these claims were made, and what is published."""
        return chain(self._shown(), read_history(self._folder.checkpoints, self._end))

    def likely_size(self, keys: Sequence[VerifierKey]) -> int:
        """Return the size that the newest signature covers, as far as it can be told before the lines are read."""
        newest = _newest_signed(self._newest, keys)
        return newest[0].size if newest else max((said.size for said in self._shown()), default=0)

    def weigh(self, given: Sequence[VerifierKey], entries: Sequence[HandOverEntry], unfit: Sequence[Said]) -> Signed:
        """Say what counts, now that the lines were read.

        `given` are the verifier's keys; `entries` are the hand-overs among the lines, with the roots
        there; `unfit` are signatures of the history that claim another tree than that of the lines.
        """
        closings: dict[int, list[bytes]] = {entry.size: [] for entry in entries}
        for said in self.history() if entries else ():
            notes = closings.get(said.size)
            if notes is not None and len(notes) < _CLOSINGS:
                notes.append(said.note)
        epochs = Epochs(given, entries, closings)
        doubt = self._doubt(epochs.keys)
        newest = None if doubt else _newest_signed(self._newest, epochs.keys)
        if newest is None:
            return Signed(checkpoint=None, doubt=doubt)
        fault = None
        try:
            epochs.check(*newest)
            if entries:
                self._check_epochs(epochs)
        except WrongEpoch as e:
            fault = e
        return Signed(checkpoint=newest[0], fault=fault, unfit=_first_signed(unfit, epochs.keys))

    def _doubt(self, keys: Sequence[VerifierKey]) -> NotVerified | None:
        """Return why the published checkpoint does not count, if it doesn't."""
        if self._published is None:
            return NoCheckpoint("there is no checkpoint")
        try:
            who_signed(self._published, keys)
        except NotVerified as e:
            return e
        return None

    def _check_epochs(self, epochs: Epochs) -> None:
        """Raise WrongEpoch where a signature of the history lies outside the epoch of its key."""
        by_id = {key.key_id: key for key in epochs.keys}
        for said in self.history():
            key = by_id.get(said.signer)
            if key is None:
                continue
            try:
                epochs.check_size(key, said.size)
            except WrongEpoch:
                if _has_signed(said, [key]):  # only then: anybody can write such a line
                    raise


def _newest_signed(
    newest: Sequence[Said], keys: Sequence[VerifierKey]
) -> tuple[Checkpoint, tuple[VerifierKey, ...]] | None:
    """Return the newest claim that holds, and who signed it."""
    for said in newest:
        try:
            checkpoint, signers = who_signed(said.note, keys)
        except NotVerified:
            continue
        if checkpoint.size == said.size and signers:  # the line may have been changed around its note
            return checkpoint, signers
    return None


def _first_signed(claims: Sequence[Said], keys: Sequence[VerifierKey]) -> Checkpoint | None:
    for said in claims:
        if _has_signed(said, keys):
            return Checkpoint(origin="", size=said.size, root=said.root)
    return None


def _has_signed(said: Said, keys: Sequence[VerifierKey]) -> bool:
    """Say whether a note is signed, and says what its line in the history does."""
    try:
        checkpoint, signers = who_signed(said.note, keys)
    except NotVerified:
        return False
    return bool(signers) and (checkpoint.size, checkpoint.root) == (said.size, said.root)
