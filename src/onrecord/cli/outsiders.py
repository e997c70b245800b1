# SPDX-License-Identifier: Apache-2.0
"""Whose views from outside a verifier accepts: witnesses and timestamp authorities that are named to it.

They come from the command line, or, for the logs of this home, from its settings; never from the log.
"""

import os
from argparse import Namespace
from pathlib import Path

from onrecord.config import build_anchor_plan
from onrecord.errors import ConfigError, NotVerified, OnRecordError
from onrecord.ledger.cosignature import CosignerKey
from onrecord.ledger.note import MAX_NOTE
from onrecord.ledger.place import Home
from onrecord.ledger.sightings import Kept, Sightings
from onrecord.ledger.smallfile import NotSmall, read_small
from onrecord.ledger.timestamp import load_roots
from onrecord.settings import load

_MAX_ROOTS = 1 << 22  # bytes; a bundle of all that browsers trust takes some 230,000


def sightings_of(options: Namespace, home: Home) -> Sightings:
    """Return the checkpoints that are given, and who is believed.

    That are those of the command line, and without any, those of this home's settings.
    """
    kept = tuple(map(_kept, options.checkpoint))
    try:
        witnesses = tuple(map(CosignerKey.parse, options.witness))
    except NotVerified as e:
        raise ConfigError(f"--witness: {e}") from e
    roots = tuple(map(read_root, options.tsa_root))
    if witnesses or roots or options.path:
        return Sightings(kept=kept, witnesses=witnesses, tsa_roots=roots)
    plan = build_anchor_plan(load(home))
    return Sightings(kept=kept, witnesses=tuple(witness.key for witness in plan.witnesses), tsa_roots=plan.tsa_roots)


def _kept(path: Path) -> Kept:
    """Return a checkpoint that was kept elsewhere. Raises OnRecordError where there is none in the file."""
    try:
        kept = Kept(source=str(path), note=read_small(path, MAX_NOTE))
        _ = kept.claim
    except OSError as e:
        raise OnRecordError(f"cannot read the checkpoint {path}: {os.strerror(e.errno or 0).lower()}") from e
    except NotVerified as e:
        raise OnRecordError(f"the checkpoint {path} is none: {e}") from e
    return kept


def read_root(path: Path) -> bytes:
    """Return the certificates in a file, to which timestamps must lead. Raises ConfigError."""
    try:
        data = read_small(path, _MAX_ROOTS)
        load_roots([data])
    except NotSmall as e:
        raise ConfigError(f"--tsa-root: {path}: {e}") from e
    except OSError as e:
        raise ConfigError(f"--tsa-root: cannot read {path}: {os.strerror(e.errno or 0).lower()}") from e
    except ConfigError as e:
        raise ConfigError(f"--tsa-root: {path}: {e}") from e
    return data
