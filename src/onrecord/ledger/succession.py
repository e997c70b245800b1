# SPDX-License-Identifier: Apache-2.0
"""How a door that knows an old key of a log comes to know the new one, without taking anybody's word.

The service shows the last signature of the old key, the entry under it that names the new one, and
that the one covers the other (`epochs.py`). A key for which that can't be shown stays a stranger.
"""

from collections.abc import Sequence
from itertools import pairwise

from onrecord.errors import LedgerError, LedgerRefused, NotVerified
from onrecord.event.schema import read_event
from onrecord.ledger.epochs import hand_over_of, who_signed
from onrecord.ledger.growth import Growth
from onrecord.ledger.history import Said, read_history
from onrecord.ledger.lines import lines_from
from onrecord.ledger.merkle import check_inclusion, leaf_hash
from onrecord.ledger.messages import Succession, hash_of, text_of
from onrecord.ledger.note import VerifierKey
from onrecord.ledger.place import LogFolder


class Successions:
    """The hand-overs of one log, as a service shows them."""

    def __init__(self, folder: LogFolder, growth: Growth) -> None:
        """`growth` must have reached the newest signature."""
        self._folder = folder
        self._growth = growth
        self._of: tuple[VerifierKey, ...] = ()
        self._made: tuple[Succession, ...] = ()

    def since(self, known: str, keys: Sequence[VerifierKey]) -> tuple[Succession, ...]:
        """Return what leads from the key that is `known` to the last of `keys`; nothing where it is no key of ours.

        Raises LedgerError where the log can't be read.
        """
        texts = [str(key) for key in keys]
        if known not in texts or known == texts[-1]:
            return ()
        if tuple(keys) != self._of:
            self._made = self._make(keys)
            self._of = tuple(keys)
        return self._made[texts.index(known) :]

    def _make(self, keys: Sequence[VerifierKey]) -> tuple[Succession, ...]:
        """Return the succession of each key but the last."""
        last: dict[bytes, Said] = {}
        made: list[Succession] = []
        try:
            for said in read_history(self._folder.checkpoints):
                last[said.signer] = said
            for old, _ in pairwise(keys):
                closing = last[old.key_id]
                entry = next(lines_from(self._folder, closing.size - 1)).data
                path = self._growth.inclusion(closing.size - 1, closing.size)
                made.append(
                    Succession(note=closing.note.decode(), entry=entry.decode(), path=tuple(map(text_of, path)))
                )
        except (OSError, KeyError, StopIteration, ValueError, NotVerified) as e:
            raise LedgerError(f"cannot show how the key of {self._folder.path} was handed over") from e
        return tuple(made)


def succeeded(keys: Sequence[VerifierKey], shown: Sequence[Succession]) -> list[VerifierKey]:
    """Return `keys`, which are trusted, and those to which they were handed over. Raises LedgerRefused."""
    trusted = list(keys)
    try:
        for each in shown:
            new = _successor(each, trusted)
            if new not in trusted:
                trusted.append(new)
    except (NotVerified, ValueError) as e:
        raise LedgerRefused(f"the recorder service shows a hand-over of its key that does not hold: {e}") from e
    return trusted


def _successor(shown: Succession, trusted: Sequence[VerifierKey]) -> VerifierKey:
    closing, signers = who_signed(shown.note.encode(), trusted)
    line = shown.entry.encode()
    path = [hash_of(one) for one in shown.path]
    check_inclusion(leaf_hash(line), closing.size - 1, closing.size, path, closing.root)
    hand_over = hand_over_of(read_event(line))
    if hand_over is None or hand_over.old not in map(str, signers):
        raise NotVerified("the entry under the last signature does not hand over the key that made it")
    new = VerifierKey.parse(hand_over.new)
    if new.name != closing.origin:
        raise NotVerified("the new key is of another log")
    return new
