# SPDX-License-Identifier: Apache-2.0
"""A door comes to know the new key of a log from the old one, and from nothing else."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.ledger.logs import entry, log_in

from onrecord.errors import LedgerRefused
from onrecord.ledger.growth import Growth
from onrecord.ledger.history import last_note
from onrecord.ledger.note import SignerKey, open_checkpoint, sign_checkpoint
from onrecord.ledger.rotation import rotate
from onrecord.ledger.signing import SigningKeys
from onrecord.ledger.succession import Successions, succeeded

pytestmark = pytest.mark.requirement("D2")


@pytest.fixture
def rotated(tmp_path):
    """Return a log whose key was handed over twice, its keys, and what it shows of that."""
    log = log_in(tmp_path)
    log.write(5)
    for _ in range(2):
        rotate(log.home)
        ledger = log.open()
        for number in range(3):
            ledger.append(entry(number))
        ledger.publish()
        ledger.close()
    keys = SigningKeys(log.home, "calls", log.signer.name).vkeys()
    assert len(keys) == 3
    growth = Growth(log.folder, None)
    growth.reach(open_checkpoint(last_note(log.folder.checkpoints), keys))
    return log, keys, Successions(log.folder, growth)


def test_who_trusts_an_older_key_comes_to_trust_the_newest(rotated):
    _, keys, successions = rotated
    for place, key in enumerate(keys):
        shown = successions.since(str(key), keys)
        assert len(shown) == len(keys) - 1 - place
        assert succeeded([key], shown) == list(keys[place:])


def test_a_key_that_is_no_key_of_the_log_is_led_nowhere(rotated):
    _, keys, successions = rotated
    assert successions.since("", keys) == ()
    assert successions.since("onrecord/000000000000/calls+00000000+AA", keys) == ()


def test_a_link_that_is_left_out_leads_nowhere(rotated):
    _, keys, successions = rotated
    _, second = successions.since(str(keys[0]), keys)
    with pytest.raises(LedgerRefused):
        succeeded(keys[:1], [second])


def test_an_entry_that_was_changed_or_stands_elsewhere_is_refused(rotated):
    log, keys, successions = rotated
    first, second = successions.since(str(keys[0]), keys)
    thief = SignerKey(name=log.signer.name, private=Ed25519PrivateKey.generate())
    forged = [
        msgspec.structs.replace(first, entry=first.entry.replace(str(keys[1]), str(thief.vkey))),
        msgspec.structs.replace(first, entry=second.entry),
        msgspec.structs.replace(first, path=second.path),
        msgspec.structs.replace(first, note=second.note),
        msgspec.structs.replace(first, path=()),
        msgspec.structs.replace(first, path=("no hash",)),
        msgspec.structs.replace(first, entry="no event"),
        msgspec.structs.replace(first, note=""),
    ]
    for each in forged:
        with pytest.raises(LedgerRefused):
            succeeded(keys[:1], [each])


def test_an_entry_of_a_door_under_the_last_signature_hands_nothing_over(tmp_path):
    log = log_in(tmp_path)
    ledger = log.open()
    thief = SignerKey(name=log.signer.name, private=Ed25519PrivateKey.generate())
    ledger.append(entry(detail={"old_vkey": str(log.signer.vkey), "new_vkey": str(thief.vkey)}, action="rotate"))
    ledger.publish()
    ledger.close()
    note = last_note(log.folder.checkpoints)
    growth = Growth(log.folder, None)
    growth.reach(open_checkpoint(note, [log.signer.vkey]))
    made = Successions(log.folder, growth).since(str(log.signer.vkey), [log.signer.vkey, thief.vkey])
    with pytest.raises(LedgerRefused, match="does not hand over"):
        succeeded([log.signer.vkey], made)


def test_a_signature_by_the_new_key_itself_hands_nothing_over(rotated):
    log, keys, successions = rotated
    first, *_ = successions.since(str(keys[0]), keys)
    closing = open_checkpoint(first.note.encode(), [keys[0]])
    thief = SignerKey(name=log.signer.name, private=Ed25519PrivateKey.generate())
    note = sign_checkpoint(closing, thief).decode()
    with pytest.raises(LedgerRefused):
        succeeded(keys[:1], [msgspec.structs.replace(first, note=note)])
