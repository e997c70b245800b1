# SPDX-License-Identifier: Apache-2.0
"""A log proves that it has grown: from tiles, from lines that no tile covers yet, from what was just written."""

import pytest
from tests.ledger.logs import entry, log_in, root_of

from onrecord.errors import LedgerError, LedgerRefused
from onrecord.ledger.growth import Growth
from onrecord.ledger.merkle import check_consistency
from onrecord.ledger.note import Checkpoint

pytestmark = pytest.mark.requirement("D2")

SIZES = (1, 2, 3, 7, 8, 9, 255, 256, 257, 258, 511, 512, 513, 600)


def checkpoint(log, lines):
    return Checkpoint(origin=log.signer.name, size=len(lines), root=root_of(lines))


@pytest.mark.parametrize("publish_at", [0, 255, 256, 300, 600])
@pytest.mark.parametrize("told", [True, False])
def test_every_older_tree_is_proven_whatever_the_tiles_cover(tmp_path, publish_at, told):
    log = log_in(tmp_path)
    ledger = log.open()
    growth = Growth(log.folder, None)
    while ledger.size < max(SIZES):
        if ledger.size == publish_at:
            ledger.publish()
        receipt = ledger.append(entry(ledger.size))
        if told and receipt.seq % 3:  # some lines are another's
            growth.expect(receipt.seq, receipt.leaf)
        if ledger.size in SIZES[::2]:
            growth.reach(checkpoint(log, log.lines()))
    lines = log.lines()
    now = checkpoint(log, lines)
    growth.reach(now)
    growth.reach(checkpoint(log, lines[:256]))  # an older one is only compared
    assert growth.size == now.size
    for size in SIZES:
        known = checkpoint(log, lines[:size])
        check_consistency(size, known.root, now.size, now.root, growth.path(known))
    ledger.close()


def test_it_goes_on_from_what_was_published(tmp_path):
    log = log_in(tmp_path)
    log.write(300)
    growth = Growth(log.folder, log.checkpoint())
    assert growth.size == len(log.lines())
    log.write(300)
    growth.reach(log.checkpoint())
    known = checkpoint(log, log.lines()[:7])
    now = log.checkpoint()
    check_consistency(7, known.root, now.size, now.root, growth.path(known))


def test_tiles_that_are_lost_are_made_up_for_by_the_lines(tmp_path):
    log = log_in(tmp_path)
    log.write(300)
    for tile in (log.folder.path / "tile").rglob("*"):
        if tile.is_file():
            tile.unlink()
    growth = Growth(log.folder, log.checkpoint())
    growth.reach(log.checkpoint())
    known = checkpoint(log, log.lines()[:7])
    check_consistency(7, known.root, growth.size, log.checkpoint().root, growth.path(known))


def test_a_tree_that_the_log_never_had_is_refused(tmp_path):
    log = log_in(tmp_path)
    log.write(20)
    growth = Growth(log.folder, log.checkpoint())
    with pytest.raises(LedgerRefused, match="forked"):
        growth.path(Checkpoint(origin=log.signer.name, size=7, root=bytes(32)))
    with pytest.raises(LedgerRefused, match="rolled back"):
        growth.path(Checkpoint(origin=log.signer.name, size=10**6, root=bytes(32)))


def test_a_signature_over_another_tree_than_the_lines_make_is_refused(tmp_path):
    log = log_in(tmp_path)
    log.write(20)
    growth = Growth(log.folder, None)
    with pytest.raises(LedgerRefused, match="forked"):
        growth.reach(Checkpoint(origin=log.signer.name, size=9, root=bytes(32)))
    with pytest.raises(LedgerRefused, match="rolled back"):
        growth.reach(Checkpoint(origin=log.signer.name, size=10**6, root=bytes(32)))


def test_lines_that_cannot_be_read_are_an_error_and_not_a_proof(tmp_path):
    log = log_in(tmp_path)
    log.write(20)
    growth = Growth(log.folder, None)
    log.file.unlink()
    with pytest.raises(LedgerError):
        growth.reach(log_in(tmp_path).checkpoint())
