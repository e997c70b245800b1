# SPDX-License-Identifier: Apache-2.0
"""What a recorder needs of whatever writes for it: the log itself, or a service that keeps it.

`writer.Writer` writes the log of this account; `remote.RemoteWriter` hands entries to the recorder
service. This file says what both can do, and does nothing.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from onrecord.event.redacted import Redacted
from onrecord.ledger.receipt import Receipt

Durability: TypeAlias = Literal["written", "flushed", "signed"]


@dataclass(slots=True)
class Hand:
    """Whose lines they are, where a process writes for others: their `wid`, and how many lines they have so far."""

    wid: str
    wseq: int = 0


class Line(Protocol):
    """What takes one entry after the other, and returns where it came to stand: a ledger, or the way to one."""

    def append(self, entry: Redacted, *, deadline_s: float) -> Receipt:
        """Write `entry`. Raises a LedgerError where it is not on the record."""
        ...


class Pending(Protocol):
    """An entry on its way, and the way to wait until it is as durable as it must be."""

    @property
    def receipt(self) -> Receipt:
        """Where the entry stands. May wait for that, and then raises a LedgerError where it stands nowhere."""
        ...

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for."""
        ...

    def wait(self, deadline_s: float | None = None) -> None:
        """Return once the entry is durable. Raises a LedgerError where it isn't in time."""
        ...


class Appending(Protocol):
    """Takes entries. Threads may share it.

    An entry for which `append` raised is the caller's to spool. One for which it returned is not: it
    comes onto the record as soon as that can be, also where waiting for it failed.
    """

    deadline_s: float

    def append(self, entry: Redacted, durability: Durability = "written", *, urgent: bool = False) -> Pending:
        """Take `entry` in. Raises a LedgerError where nothing of it was written.

        An `urgent` one may use the reserve of a full disk.
        """
        ...

    def await_ready(self) -> None:
        """Return once entries can be taken. Raises a LedgerError where they can't."""
        ...

    def spool(self, entry: Redacted) -> None:
        """Keep an entry until it can be written, if there is room."""
        ...

    @property
    def unwritten(self) -> int:
        """How many entries are not on the record yet, or never will be."""
        ...

    def close(self) -> None:
        """Make everything durable and signed. Raises a LedgerError where that cannot be."""
        ...
