# SPDX-License-Identifier: Apache-2.0
"""The errors of OnRecord: one type for each different thing that a caller does next.

    OnRecordError
    ├── ConfigError          a setting is wrong: mend the file that the message names
    ├── CommandError         the server's command cannot be started
    ├── MessageRefused       a protocol message has no single reading: it is not forwarded
    ├── Denied               it was decided that the call must not run: nothing was forwarded
    ├── NotApproved          nobody has approved the call, or it can't be told: it is not forwarded
    ├── NotAuthenticated     what says who calls does not hold, so the call was not made
    ├── NotLoggedIn          the issuer gives no token until a person logs in again
    ├── IssuerAway           the issuer does not answer as it should; a later try may succeed
    ├── NoCredentials        a gateway has nothing to go on to a server with, so the call was not made
    ├── NotRecorded          the attempt could not be recorded, so the call was not made
    ├── EndNotRecorded       the call was made, but its end could not be recorded: do not retry
    ├── NotVerified          a proof, signature or log does not hold
    │   └── Contradicted     somebody outside holds a larger or another history of this log: rolled back or forked
    ├── NotAnchored          no view from outside was had this time; the log is as it was
    ├── NotSupported         this platform lacks what the step needs
    ├── KeyFileError         a key is missing, unreadable, or open to others
    └── LedgerError          the ledger cannot be written as it stands
        ├── LedgerBusy       the deadline passed while waiting; a later append may succeed
        ├── LedgerFull       no room; the append was undone
        ├── LedgerUnwritable the file system refused the write or the flush
        ├── LedgerMoved      the live log was deleted, replaced or cut while it was open
        ├── RecorderAway     the recorder service does not answer: start it
        └── LedgerRefused    what is on disk contradicts what was recorded: rolled back, forked, altered

Messages say what, where and why, in lower case, without a full stop. They never carry values
that came from outside: an error is a carrier like any other.
"""

import re
from typing import Literal


class OnRecordError(Exception):
    """Base of every error that OnRecord raises on purpose."""


class ConfigError(OnRecordError):
    """A setting is wrong; the message names the file, the place and what is allowed there."""


class CommandError(OnRecordError):
    """The server's command cannot be started; `exit_code` is what a shell would say."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class MessageRefused(OnRecordError):
    """A message from the client has no single reading, so nobody could say what it asked for.

    `request_id` is the JSON-RPC id to answer, or None where none could be read.
    """

    def __init__(self, reason: str, code: int, request_id: int | str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.request_id = request_id


class Denied(OnRecordError):
    """It was decided, and is on the record, that a call must not run; the message is fit for the caller."""


class NotApproved(OnRecordError):
    """A call that needs an approval has none that counts; the message is fit for the caller.

    `error_type` says on the record why, and `suspicious` that something was there which should not be.
    """

    def __init__(self, message: str, error_type: str, *, suspicious: bool = False) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.suspicious = suspicious


class NotAuthenticated(OnRecordError):
    """A token does not hold, or there is none where one is needed; the message says why, in words of our own."""


class NotLoggedIn(OnRecordError):
    """The issuer gives no token, and will give none until a person logs in again; the message says why."""


class IssuerAway(OnRecordError):
    """The issuer of tokens did not answer, or not as it should; a later try may succeed."""


class NoCredentials(OnRecordError):
    """A gateway has no credentials for a server; the message is fit for the caller, and `why` for the record."""

    def __init__(self, why: str) -> None:
        super().__init__("not run: the gateway has no credentials for this server")
        self.why = why


class NotRecorded(OnRecordError):
    """The attempt is not on the record, so the call was not made."""


class EndNotRecorded(OnRecordError):
    """The call was made, and its end is not on the record; it must not be retried blindly."""


class NotVerified(OnRecordError):
    """A proof, a signature or a log does not hold."""


class Contradicted(NotVerified):
    """Somebody outside has seen a larger or another history of this log; nothing can be mended by trying again.

    `verdict` is "rolled back" or "forked".
    """

    def __init__(self, verdict: Literal["rolled back", "forked"], reason: str) -> None:
        super().__init__(f"{verdict}: {reason}")
        self.verdict = verdict


class NotAnchored(OnRecordError):
    """No view from outside was had: unreachable, refused, or its answer does not hold. A later try may succeed."""


class NotSupported(OnRecordError):
    """This platform lacks what the step needs; reading and verifying still work."""


class KeyFileError(OnRecordError):
    """A key is missing, unreadable, malformed, or readable by other accounts."""


class LedgerError(OnRecordError):
    """The ledger cannot be written as it stands."""


class LedgerBusy(LedgerError):
    """The deadline passed while waiting for the lock or the disk; a later append may succeed."""


class LedgerFull(LedgerError):
    """There is no room on the device; what was written of the line was undone."""


class LedgerUnwritable(LedgerError):
    """The file system refused a write or a flush."""


class LedgerMoved(LedgerError):
    """The live log was deleted, replaced or cut while this process had it open."""


class RecorderAway(LedgerError):
    """The recorder service that keeps the ledger does not answer, or does not let this account in."""


class LedgerRefused(LedgerError):
    """What lies on disk contradicts what was recorded before: rolled back, forked or altered."""


_NUMBER = re.compile(r"\[Errno -?\d+\] ?")


def plainly(error: BaseException, path: object = "") -> str:
    """Return why something failed, in words: what the system says without its numbers, and of which file.

    `path` is named already by whoever says it.
    """
    if not isinstance(error, OSError):
        return str(error)
    if isinstance(error, TimeoutError) and not error.errno:
        return "it took too long"
    said = error.strerror.lower() if error.strerror else _NUMBER.sub("", str(error)) or type(error).__name__
    known = error.filename is None or str(error.filename) == str(path)
    return said if known else f"{said}: {error.filename}"
