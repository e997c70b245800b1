# SPDX-License-Identifier: Apache-2.0
"""Which key may sign what: the epochs of a log, as its own entries tell them.

A hand-over at seq h names the old key and the new one. The old key is valid for sizes up to h+1,
the new one from h+1 on; the old one signs exactly h+1 as its last, its closing signature, and so
stands by its successor. Whoever steals a key can therefore rewrite nothing that an older key has
closed, and an epoch without an entry of its own is an epoch all the same.

Trust begins with the keys that the verifier brings. An entry that names a key adds nothing to it;
the closing signature of a key that is trusted does. Who brings several keys knows that the older ones
were replaced: what counts is then signed with the newest of them, or with one that it was handed over
to. So it is for logs, for bundles, which hold the hand-overs, and for proofs, which hold none.
Nothing here reads files.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from onrecord.errors import NotVerified
from onrecord.event.event import Event
from onrecord.ledger.note import Checkpoint, VerifierKey, parse_checkpoint, parse_note, verify_note


class WrongEpoch(NotVerified):
    """A key signed what another key's epoch covers, or a hand-over lacks the signature that closes it."""

    def __init__(self, reason: str, seqs: Iterable[int] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seqs = tuple(seqs)


class OldKey(WrongEpoch):
    """Neither the newest key that was given has signed, nor one that it was handed over to.

    The log is a copy from before the change, or a branch by who stole an older key: nobody can tell.
    """


class BrokenChain(WrongEpoch):
    """The hand-overs don't lead from one key to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverEntry:
    """What an entry says of a hand-over; `old` and `new` are verifier keys as text, unverified.

    `root` is the root of the tree over the lines up to and with that entry.
    """

    seq: int
    old: str
    new: str
    root: bytes = b""

    @property
    def size(self) -> int:
        """The last size of the old key, and the first of the new one."""
        return self.seq + 1


def hand_over_of(event: Event, root: bytes = b"") -> HandOverEntry | None:
    """Return what `event` says of a hand-over, if it is one; keys that it does not name are empty."""
    if event.event_type != "key" or event.action != "rotate":
        return None
    old, new = (event.detail.get(name) for name in ("old_vkey", "new_vkey"))
    return HandOverEntry(
        seq=event.seq, old=old if isinstance(old, str) else "", new=new if isinstance(new, str) else "", root=root
    )


def who_signed(note: bytes, keys: Sequence[VerifierKey]) -> tuple[Checkpoint, tuple[VerifierKey, ...]]:
    """Return the checkpoint that `note` spells, and which of `keys` have signed it in the log's name.

    Raises as `note.open_checkpoint` does; there is at least one key.
    """
    parsed = parse_note(note)
    verified = {(signature.name, signature.key_id) for signature in verify_note(parsed, keys)}
    checkpoint = parse_checkpoint(parsed.text)
    signers = tuple(key for key in keys if key.name == checkpoint.origin and (key.name, key.key_id) in verified)
    return checkpoint, signers


class Epochs:
    """The epochs of one log, as far as the verifier's keys reach."""

    def __init__(
        self,
        given: Sequence[VerifierKey],
        entries: Sequence[HandOverEntry],
        closings: Mapping[int, Sequence[bytes]],
    ) -> None:
        """`given` are the verifier's keys, oldest first; `closings` are notes of each size that a hand-over ends."""
        self._given = tuple(dict.fromkeys(given))
        self._account_for(entries)
        self._closed: set[int] = set()
        trusted = list(self._given)
        for entry in entries:
            old, new = parse_key(entry.old), parse_key(entry.new)
            if old in trusted and any(_closes(note, old, entry) for note in closings.get(entry.size, ())):
                self._closed.add(entry.seq)
                if new is not None and new not in trusted:
                    trusted.append(new)
        self.keys = tuple(trusted)

    def check(self, checkpoint: Checkpoint, signers: Sequence[VerifierKey]) -> None:
        """Raise BrokenChain or WrongEpoch unless the hand-overs below `checkpoint` lead to who signed it.

        From then on those beyond it are left out of account: anybody can append a line.
        """
        entries = [entry for entry in self._entries if entry.size <= checkpoint.size]
        self._account_for(entries)
        chain = _chain_of(entries)
        given = [place for place, key in enumerate(chain) if key in self._given]
        for entry in entries[given[0] :] if given else ():
            if entry.seq not in self._closed:
                raise WrongEpoch(
                    f"entry {entry.seq} hands the log over to a new key, and the last signature of the old one, "
                    f"over the first {entry.size} entries, is missing",
                    (entry.seq,),
                )
        self._check_given(chain or list(signers), checkpoint)
        for signer in signers:
            self.check_size(signer, checkpoint.size)
        self.check_newest(checkpoint, signers)

    def _account_for(self, entries: Sequence[HandOverEntry]) -> None:
        """Take `entries` for all hand-overs that there are, and remember which sizes each key may sign."""
        self._entries = tuple(entries)
        self._first: dict[VerifierKey | None, int] = {}
        self._last: dict[VerifierKey | None, int] = {}
        for entry in entries:
            self._first.setdefault(parse_key(entry.new), entry.size)
            self._last.setdefault(parse_key(entry.old), entry.size)

    def check_size(self, key: VerifierKey, size: int) -> None:
        """Raise WrongEpoch unless `size` lies in the epoch of `key`, which has signed it."""
        if not self._entries:
            return
        first, last = self._first.get(key, 0), self._last.get(key)
        if last is None and first == 0:
            raise WrongEpoch(f"size {size} is signed with a key that no hand-over names")
        if size < first:
            raise WrongEpoch(f"size {size} is signed with a key whose first size is {first}")
        if last is not None and size > last:
            raise WrongEpoch(f"size {size} is signed with a key whose last size was {last}", range(last, size)[:100])

    def _check_given(self, chain: Sequence[VerifierKey], checkpoint: Checkpoint) -> None:
        """Raise WrongEpoch where the log passes over a key that was given for it, oldest first."""
        ours = [key for key in self._given if key.name == checkpoint.origin]
        used = [place for place, key in enumerate(ours) if key in chain]
        if not used:
            return
        if any(key not in chain for key in ours[: used[-1]]):
            raise WrongEpoch(
                f"size {checkpoint.size} is signed with a later key, and no hand-over leads to it from the earlier one"
            )

    def check_newest(self, checkpoint: Checkpoint, signers: Sequence[VerifierKey]) -> None:
        """Raise OldKey unless the newest key that was given has signed, or one that it was handed over to.

        An older one that names it as its successor has no more weight: who stole that one can name it too.
        """
        trusted: set[VerifierKey | None] = {*[key for key in self._given if key.name == checkpoint.origin][-1:]}
        for entry in self._entries:
            if entry.seq in self._closed and parse_key(entry.old) in trusted:
                trusted.add(parse_key(entry.new))
        if trusted.isdisjoint(signers):
            raise OldKey(
                f"size {checkpoint.size} is signed with an older key than the newest that was given, and who got hold "
                "of that one could sign as much; if this is from before the change, give the older key alone"
            )


def _chain_of(entries: Sequence[HandOverEntry]) -> list[VerifierKey]:
    """Return the keys in the order of their epochs, or none without a hand-over. Raises BrokenChain."""
    pairs: list[tuple[VerifierKey, VerifierKey]] = []
    for entry in entries:
        old, new = parse_key(entry.old), parse_key(entry.new)
        if old is None or new is None or old.name != new.name:
            raise BrokenChain(f"entry {entry.seq} hands the log over, and does not name two keys of it", (entry.seq,))
        pairs.append((old, new))
    for (before, now), entry in zip(pairwise(pairs), entries[1:], strict=True):
        if now[0] != before[1]:
            raise BrokenChain(f"entry {entry.seq} hands over a key that is not the one that signs there", (entry.seq,))
    chain = [pairs[0][0], *(new for _, new in pairs)] if pairs else []
    for place, key in enumerate(chain):
        if key in chain[:place]:
            seq = entries[place - 1].seq
            raise BrokenChain(f"entry {seq} hands the log over to a key that it had before", (seq,))
    return chain


def _closes(note: bytes, old: VerifierKey | None, entry: HandOverEntry) -> bool:
    try:
        checkpoint, _ = who_signed(note, [old] if old else [])
    except NotVerified:
        return False
    return (checkpoint.size, checkpoint.root) == (entry.size, entry.root)


def parse_key(text: str) -> VerifierKey | None:
    """Return the key that an entry names, or None where that is none."""
    try:
        return VerifierKey.parse(text)
    except NotVerified:
        return None
