# SPDX-License-Identifier: Apache-2.0
"""Appends for the tasks of one event loop: what they ask for in one turn of the loop is written as one group.

A group takes the log's lock once and is one write, and the loop is woken once when it is durable. So
many tasks that each wait for their entry get far more done than as many threads would. The loop
never waits for the device; it may wait for other processes to let go of the log.
"""

import asyncio
from collections import defaultdict
from typing import NamedTuple

from onrecord.errors import LedgerError
from onrecord.event.redacted import Redacted
from onrecord.ledger.appending import Durability
from onrecord.ledger.receipt import Receipt
from onrecord.ledger.tail import fits
from onrecord.ledger.ticket import Ticket
from onrecord.ledger.writer import Writer, anew


class _Asked(NamedTuple):
    entry: Redacted
    durability: Durability
    done: "asyncio.Future[Receipt]"


class LoopWriter:
    """A writer for one event loop."""

    def __init__(self, writer: Writer) -> None:
        """Must be made in the loop."""
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._asked: list[_Asked] = []

    async def append(self, entry: Redacted, durability: Durability = "written") -> Receipt:
        """Return where `entry` stands once it is as durable as asked. Raises a LedgerError where it isn't in time.

        Where that is only because it was not durable in time, the entry is on the record all the same.
        """
        asked = _Asked(entry, durability, self._loop.create_future())
        if not self._asked:
            self._loop.call_soon(self._write)
        self._asked.append(asked)
        return await asked.done

    def _write(self) -> None:
        group: list[_Asked] = []
        for asked in self._asked:
            if fits(asked.entry.body):
                group.append(asked)
            else:
                _fail(asked, LedgerError("the entry is longer than a line may be"))
        self._asked = []
        try:
            tickets = self._writer.append_all([(asked.entry, asked.durability) for asked in group])
        except LedgerError as e:
            for asked in group:
                _fail(asked, e)
            return
        alike: defaultdict[Durability, list[tuple[_Asked, Ticket]]] = defaultdict(list)
        for asked, ticket in zip(group, tickets, strict=True):
            alike[asked.durability].append((asked, ticket))
        for members in alike.values():
            self._await(members)

    def _await(self, members: list[tuple[_Asked, Ticket]]) -> None:
        """Answer `members`, which ask for the same, when the last of them is durable: one flush settles them all."""
        last = members[-1][1]
        limit_s = last.deadline_s
        concluded = False

        def conclude() -> None:
            nonlocal concluded
            if concluded:
                return
            concluded = True
            timer.cancel()
            try:
                settled(limit_s)
            except LedgerError as e:
                for asked, _ in members:
                    _fail(asked, e)
                return
            for asked, ticket in members:
                if not asked.done.done():  # its task may be gone
                    ticket.receipt.note = last.receipt.note
                    asked.done.set_result(ticket.receipt)

        def wake() -> None:
            try:
                self._loop.call_soon_threadsafe(conclude)
            except RuntimeError:
                pass  # the loop is closed: nobody waits any more

        def go_on() -> None:
            nonlocal timer
            timer = self._loop.call_later(limit_s / 2, conclude)

        timer = self._loop.call_later(limit_s / 2, go_on)  # in halves, as in `Ticket.wait`
        settled = last.when_settled(wake)


def _fail(asked: _Asked, error: LedgerError) -> None:
    if not asked.done.done():
        asked.done.set_exception(anew(error))
