# SPDX-License-Identifier: Apache-2.0
"""`onrecord prove`: one entry with its proof, as a file that stands alone."""

import os
import sys
from argparse import Namespace
from pathlib import Path

from onrecord.cli.accessed import accessed
from onrecord.cli.terminal import print_json, put, say
from onrecord.errors import OnRecordError
from onrecord.ledger.durable import replace_file
from onrecord.ledger.evidence import Signed, find_entry, newest_signed
from onrecord.ledger.evidence import prove as make_proof
from onrecord.ledger.keys import own_verifiers
from onrecord.ledger.merkle import leaf_hash
from onrecord.ledger.note import VerifierKey
from onrecord.ledger.place import LogFolder
from onrecord.ledger.proof import SUFFIX, format_proof
from onrecord.ledger.verify import SIGNING_S
from onrecord.settings import home_folder


def prove(options: Namespace) -> int:
    """Write the proof of one entry."""
    home = home_folder()
    folder, keys = home.log(options.log), own_verifiers(home, options.log)
    try:
        seq = _seq(folder, options.which)
        signed = _signed(folder, keys, seq)
        proof = make_proof(folder, signed, seq, keys)
    except OSError as e:
        raise unreadable(e, folder) from e
    data = format_proof(proof)
    accessed(home, "prove", log=options.log, which=str(seq))
    if options.out == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return 0
    out = Path(options.out or f"{seq}{SUFFIX}")
    if os.path.lexists(out):
        raise OnRecordError(f"{out} is there already; name another file with -o")
    replace_file(out, data, durable=True, theirs=True)
    if options.json:
        size = signed.checkpoint.size
        print_json({"file": str(out), "seq": seq, "leaf": leaf_hash(proof.extra).hex(), "size": size})
    else:
        put(str(out))
    say(f"it holds entry {seq} and proves it; to check it elsewhere: onrecord verify {out} --key FILE")
    return 0


def _seq(folder: LogFolder, which: str) -> int:
    found = find_entry(folder, which)
    if found is None:
        raise OnRecordError(f"no entry on the record has the seq or event_id {which}")
    return found


def _signed(folder: LogFolder, keys: list[VerifierKey], seq: int) -> Signed:
    """Return the checkpoint that covers `seq`, once a living recorder has had the time to sign it."""
    signed = newest_signed(folder, keys, covering=seq + 1, wait_s=SIGNING_S)
    if signed is None or signed.checkpoint.size <= seq:
        raise OnRecordError(
            f"entry {seq} is on the record and not signed yet: a running recorder signs within {SIGNING_S:.0f} s, "
            "and if none runs the next onrecord run does"
        )
    return signed


def unreadable(error: OSError, folder: LogFolder) -> OnRecordError:
    """Return the error for a log that the operating system does not let us read."""
    return OnRecordError(f"cannot read {error.filename or folder.path}: {os.strerror(error.errno or 0).lower()}")
