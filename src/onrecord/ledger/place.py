# SPDX-License-Identifier: Apache-2.0
"""Where the parts of one log lie on disk.

    <home>/
      ledger/<log>/
        log/000000000000000000.ndjson   the lines; the name is the first seq in the file
        log/000000000000131072.ndjson.zst   the same of a sealed segment, compressed
        tile/<L>/<N>                    hash tiles (C2SP tlog-tiles), rebuilt from the lines when lost
        checkpoint                      the latest signed note
        checkpoints.ndjson              every checkpoint that was published
        anchors.ndjson                  views from outside: cosigned and timestamped checkpoints
        torn/                           bytes that a dying process left behind, set aside
        writer.lock  publish.lock  seal.lock  anchor.lock
      guard/<log>                       the size that the log had reached, kept outside the ledger folder
      run/<wid>                         one file a living recorder, locked while it lives
      pins/<id>.json                    the definitions that the tools of one server had when they were first used
      login/                            what a log-in left: the refresh token, and the ID token
      approvals/<id>.json               calls that wait for somebody to approve them, and what was said so far
      signals/                          how far signals were looked for, and what that remembers
      clients/<id>/                     what an install did to one client's configuration, and the file without it
      keys/                             signing key, its public half, the key for digests, pseudonyms

This file names places. It opens nothing.
"""

from dataclasses import dataclass
from pathlib import Path

LOGS = ("calls", "security", "access")
"""The logs of a home, of one form: what was asked and done, what looked wrong, and who read the record."""


def segment_name(first_seq: int) -> str:
    """Return the file name of the segment whose first line is `first_seq`; `.zst` follows once it is compressed."""
    return f"{first_seq:018d}.ndjson"


@dataclass(frozen=True, slots=True)
class LogFolder:
    """One log, wherever it lies: under its home, or copied to another disk."""

    path: Path

    @property
    def segments(self) -> Path:
        return self.path / "log"

    @property
    def first_segment(self) -> Path:
        return self.segments / segment_name(0)

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints.ndjson"

    @property
    def anchors(self) -> Path:
        return self.path / "anchors.ndjson"

    @property
    def anchor_lock(self) -> Path:
        return self.path / "anchor.lock"

    @property
    def torn(self) -> Path:
        return self.path / "torn"

    @property
    def writer_lock(self) -> Path:
        return self.path / "writer.lock"

    @property
    def publish_lock(self) -> Path:
        return self.path / "publish.lock"

    @property
    def seal_lock(self) -> Path:
        return self.path / "seal.lock"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that ONRECORD_HOME names."""

    path: Path

    def log(self, name: str = "calls") -> LogFolder:
        """Return the folder of one log."""
        return LogFolder(self.path / "ledger" / name)

    def guard(self, name: str = "calls") -> Path:
        """Return the file that remembers how large a log had become."""
        return self.path / "guard" / name

    @property
    def running(self) -> Path:
        return self.path / "run"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def login(self) -> Path:
        return self.path / "login"

    @property
    def pins(self) -> Path:
        return self.path / "pins"

    @property
    def approvals(self) -> Path:
        return self.path / "approvals"

    @property
    def clients(self) -> Path:
        return self.path / "clients"

    @property
    def config(self) -> Path:
        return self.path / "onrecord.toml"
