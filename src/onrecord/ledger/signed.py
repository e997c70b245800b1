# SPDX-License-Identifier: Apache-2.0
"""What a log has signed of itself, weighed with the keys that a verifier brings.

Before the lines are read, signatures are claims: their sizes say where to remember a root. Once they
were read, the hand-overs among them tell which key may sign what, and the claims count or don't. What
anybody could have written costs a look at its signature and nothing else: it hides no claim that holds.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from onrecord.errors import NotVerified
from onrecord.ledger.epochs import Epochs, HandOverEntry, WrongEpoch, parse_key, who_signed
from onrecord.ledger.history import MAX_HISTORY, Said, read_history, signer_of
from onrecord.ledger.note import MAX_NOTE, Checkpoint, VerifierKey, parse_checkpoint, parse_note
from onrecord.ledger.place import LogFolder
from onrecord.ledger.smallfile import read_small


class NoCheckpoint(NotVerified):
    """There is no checkpoint where readers look for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What counts of a log's signatures.

    `checkpoint` is the newest, or None where the published one does not count, and `doubt` says why.
    `fault` is what is wrong with who signed, `unfit` an earlier signature that the lines don't fit; `keys`
    are those of the verifier, and those that the log was handed over to.
    """

    checkpoint: Checkpoint | None
    doubt: NotVerified | None = None
    fault: WrongEpoch | None = None
    unfit: Checkpoint | None = None
    keys: tuple[VerifierKey, ...] = ()


class Claims:
    """The signatures that a log lays claim to, as it lies there at this moment."""

    def __init__(self, folder: LogFolder) -> None:
        """Read what is published, and the history.

        Raises NotVerified where the history is too long to be one of ours, OSError where a file cannot be read.
        """
        self._doubt: NotVerified | None = None
        self._published = b""
        try:
            self._published = read_small(folder.checkpoint, MAX_NOTE)
        except FileNotFoundError:
            self._doubt = NoCheckpoint("there is no checkpoint")
        except NotVerified as e:
            self._doubt = e
        end = folder.checkpoints.stat().st_size if folder.checkpoints.is_file() else 0
        if end > MAX_HISTORY:
            raise NotVerified(
                f"checkpoints.ndjson is {end} bytes long, and a history of ours never longer than {MAX_HISTORY}: "
                "what it says was not compared"
            )
        # of two with one size the published one comes first: against it the lines are held
        self._all = sorted([*self._shown(), *read_history(folder.checkpoints, end)], key=_size, reverse=True)

    def _shown(self) -> list[Said]:
        """Return what the published checkpoint claims."""
        try:
            checkpoint = parse_checkpoint(parse_note(self._published).text)
        except NotVerified:
            return []
        note = self._published
        return [Said(checkpoint.size, checkpoint.root, signer_of(note.decode()), note, -1)]

    @property
    def sizes(self) -> set[int]:
        """The sizes at which a root is wanted."""
        return {said.size for said in self._all}

    def likely_size(self, keys: Sequence[VerifierKey]) -> int:
        """Return the size that the newest signature covers, as far as it can be told before the lines are read."""
        newest = self._newest_signed(keys)
        return newest[0].size if newest else max((said.size for said in self._shown()), default=0)

    def weigh(
        self,
        given: Sequence[VerifierKey],
        entries: Sequence[HandOverEntry],
        root: Callable[[int], bytes | None],
    ) -> Signed:
        """Say what counts, now that the lines were read.

        `given` are the verifier's keys; `entries` are the hand-overs among the lines, with the roots
        there; `root` gives the root over the first lines, for each of `sizes` that was reached.
        """
        epochs = Epochs(given, entries, closings_of(self._all, entries))
        doubt = self._doubt_about(epochs.keys)
        newest = None if doubt else self._newest_signed(epochs.keys)
        if newest is None:
            return Signed(checkpoint=None, doubt=doubt, keys=epochs.keys)
        fault = None
        try:
            epochs.check(*newest)
            if entries:
                self._check_epochs(epochs)
        except WrongEpoch as e:
            fault = e
        unfit = self._unfit(epochs.keys, root)
        return Signed(checkpoint=newest[0], fault=fault, unfit=unfit, keys=epochs.keys)

    def _doubt_about(self, keys: Sequence[VerifierKey]) -> NotVerified | None:
        """Return why the published checkpoint does not count, if it doesn't."""
        if self._doubt is not None:
            return self._doubt
        try:
            who_signed(self._published, keys)
        except NotVerified as e:
            return e
        return None

    def _newest_signed(self, keys: Sequence[VerifierKey]) -> tuple[Checkpoint, tuple[VerifierKey, ...]] | None:
        """Return the newest claim that holds, and all who signed it."""
        newest: Checkpoint | None = None
        signers: dict[VerifierKey, None] = {}
        for said in self._all:
            if newest is not None and said.size != newest.size:
                break
            if newest is None or said.root == newest.root:
                found = _signers(said, keys)
                if found:
                    newest = newest or Checkpoint(origin=found[0].name, size=said.size, root=said.root)
                    signers.update(dict.fromkeys(found))
        return None if newest is None else (newest, tuple(signers))

    def _check_epochs(self, epochs: Epochs) -> None:
        """Raise WrongEpoch where a signature lies outside the epoch of its key."""
        by_id = {key.key_id: key for key in epochs.keys}
        for said in reversed(self._all):
            for key in (by_id[key_id] for key_id in _ids(said.note) if key_id in by_id):
                try:
                    epochs.check_size(key, said.size)
                except WrongEpoch:
                    if _signers(said, [key]):  # only then: anybody can write such a line
                        raise

    def _unfit(self, keys: Sequence[VerifierKey], root: Callable[[int], bytes | None]) -> Checkpoint | None:
        """Return the first signature over another tree than that of the lines."""
        for said in reversed(self._all):
            there = root(said.size)
            if there is not None and there != said.root and _signers(said, keys):
                return Checkpoint(origin="", size=said.size, root=said.root)
        return None


def closings_of(history: Iterable[Said], entries: Sequence[HandOverEntry]) -> dict[int, list[bytes]]:
    """Return the notes that old keys have signed over the trees that hand-overs end, by size; one each is enough."""
    wanted = {entry.size: entry for entry in entries}
    closings: dict[int, list[bytes]] = {}
    for said in history:
        entry = wanted.get(said.size)
        if entry is not None and entry.root == said.root and said.size not in closings:
            old = parse_key(entry.old)
            if old is not None and _signers(said, [old]):
                closings[said.size] = [said.note]
    return closings


def _size(said: Said) -> int:
    return said.size


def _ids(note: bytes) -> set[bytes]:
    try:
        return {signature.key_id for signature in parse_note(note).signatures}
    except NotVerified:
        return set()


def _signers(said: Said, keys: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Return who of `keys` has signed a note, where it says what its line in the history does."""
    try:
        checkpoint, signers = who_signed(said.note, keys)
    except NotVerified:
        return ()
    return signers if (checkpoint.size, checkpoint.root) == (said.size, said.root) else ()
