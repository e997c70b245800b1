# SPDX-License-Identifier: Apache-2.0
"""Whose views from outside a verifier accepts: witnesses and timestamp authorities that are named to it.

They come from the command line, or, for the logs of this home, from its settings; never from the
log. What lies beside the log and does not verify is said, and counts for nothing.
"""

import os
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onrecord.config import build_anchor_plan
from onrecord.errors import ConfigError, NotVerified
from onrecord.ledger.anchors import OutsideView, RefusedView, outside_views
from onrecord.ledger.clock import TimeText
from onrecord.ledger.cosignature import CosignerKey
from onrecord.ledger.note import Checkpoint, VerifierKey
from onrecord.ledger.place import Home, LogFolder
from onrecord.ledger.smallfile import NotSmall, read_small
from onrecord.ledger.timestamp import load_roots
from onrecord.settings import load

_MAX_ROOTS = 1 << 22  # bytes; a bundle of all that browsers trust takes some 230,000


@dataclass(frozen=True, slots=True)
class Anchored:
    """What outsiders have seen of a log, and what is to be said about it."""

    checkpoints: tuple[Checkpoint, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outsiders:
    """Who is believed."""

    witnesses: tuple[CosignerKey, ...]
    tsa_roots: tuple[bytes, ...]

    def views_of(self, folder: LogFolder, keys: Sequence[VerifierKey]) -> Anchored:
        """Return what they have seen of the log in `folder`. Raises OSError."""
        refused: list[RefusedView] = []
        newest: dict[str, OutsideView] = {}
        checkpoints: dict[Checkpoint, None] = {}
        for view in outside_views(folder, self.witnesses, self.tsa_roots, keys, refused=refused.append):
            checkpoints[view.checkpoint] = None
            before = newest.get(view.by)
            if before is None or view.checkpoint.size >= before.checkpoint.size:
                newest[view.by] = view
        times = TimeText()
        said = [
            f"{'cosigned' if view.kind == 'witness' else 'timestamped'} by {view.by}: "
            f"the first {view.checkpoint.size} entries, at {times.of(view.at_us)}"
            for view in newest.values()
        ]
        denied = [f"line {each.line} of anchors.ndjson counts for nothing: {each.reason}" for each in refused[:5]]
        if len(refused) > len(denied):
            denied.append(f"so do {len(refused) - len(denied)} more lines of anchors.ndjson")
        return Anchored(tuple(checkpoints), (*said, *denied))


def outsiders_of(options: Namespace, home: Home) -> Outsiders:
    """Return who is believed: those of the command line, and without any, those of this home's settings."""
    try:
        witnesses = tuple(map(CosignerKey.parse, options.witness))
    except NotVerified as e:
        raise ConfigError(f"--witness: {e}") from e
    roots = tuple(map(read_root, options.tsa_root))
    if witnesses or roots or options.path:
        return Outsiders(witnesses, roots)
    plan = build_anchor_plan(load(home))
    return Outsiders(tuple(witness.key for witness in plan.witnesses), plan.tsa_roots)


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
