# SPDX-License-Identifier: Apache-2.0
"""What the log says of an approval before it is used: that it was asked for and given, and was not used before.

The file of a request can be put back as it was; the log can't be without that being found. So the log has the last
word. It is read from where the request was made to its end, which is as long as the calls of one approval's life.
Whoever has deleted a line of that time has taken the proof away, and then nothing is approved. The chain of the
lines is not verified here: `onrecord verify` and `onrecord watch` do that.
"""

from collections.abc import Mapping

from onrecord.errors import NotVerified
from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.lines import is_tombstone, lines_from
from onrecord.ledger.place import LogFolder
from onrecord.rules.approval import Statement, Vote
from onrecord.rules.approval_told import ASKED, OVER


def check_trail(folder: LogFolder, seq: int, statement: Statement, votes: Mapping[str, Vote]) -> None:
    """Raise NotVerified unless the log has the request and `votes`, by event id, and nothing that ended it.

    The events stand at `seq` or later.
    """
    needle, digest = statement.id.encode(), statement.digest()
    asked, left = False, dict(votes)
    try:
        for line in lines_from(folder, seq):
            if is_tombstone(line.data):
                raise NotVerified("entries of its time were deleted from the log")
            if needle not in line.data:
                continue
            event = read_event(line.data)
            if event.approval_id != statement.id:
                continue
            if event.phase == "decision":
                raise NotVerified("it was used before")
            if event.event_type != "approval":
                continue
            if event.action in OVER:
                raise NotVerified("it is over, by the log")
            if event.action == ASKED:
                asked = event.detail.get("statement") == digest
            if event.event_id in left:
                _check_vote(event, left.pop(event.event_id), digest)
    except OSError as e:
        raise NotVerified("the log cannot be read") from e
    if not asked or left:
        raise NotVerified("the log does not have it")


def _check_vote(event: Event, vote: Vote, digest: str) -> None:
    said = (event.action, event.approval_decision, event.approval_approver, event.detail.get("statement"))
    if said != (vote.decision, vote.decision, vote.approver, digest):
        raise NotVerified("the log says something else of it")
