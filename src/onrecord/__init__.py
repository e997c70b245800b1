# SPDX-License-Identifier: Apache-2.0
"""OnRecord: the audit layer for the Model Context Protocol.

Every call that an agent makes is decided before it runs, redacted before it is written, chained
and signed. `guard.py` is the file to read first. An auditor needs `verify` and a public key:

    from pathlib import Path
    from onrecord import LogFolder, VerifierKey, verify

    report = verify(LogFolder(Path("copy/of/calls")), [VerifierKey.parse(text)])
    print(report.verdict, report.reasons)

Who writes a server on an SDK needs one line, `onrecord.instrument(server)`, and may add `onrecord.annotate(…)` in its
handlers.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from onrecord.errors import OnRecordError
from onrecord.version import __version__

if TYPE_CHECKING:
    from onrecord.doors.annotations import annotate
    from onrecord.event.call import Call, Result
    from onrecord.event.event import Event
    from onrecord.guard import Guard
    from onrecord.instrumenting import asgi, instrument, middleware
    from onrecord.ledger.ledger import Ledger
    from onrecord.ledger.note import VerifierKey
    from onrecord.ledger.place import LogFolder
    from onrecord.ledger.verify import verify

__all__ = [
    "Call",
    "Event",
    "Guard",
    "Ledger",
    "LogFolder",
    "OnRecordError",
    "Result",
    "VerifierKey",
    "__version__",
    "annotate",
    "asgi",
    "instrument",
    "middleware",
    "verify",
]

# Each is imported when it is first used: who verifies needs no guard, and who writes a server no ledger of his own.
_WHERE = {
    "Call": "event.call",
    "Event": "event.event",
    "Guard": "guard",
    "Ledger": "ledger.ledger",
    "LogFolder": "ledger.place",
    "Result": "event.call",
    "VerifierKey": "ledger.note",
    "annotate": "doors.annotations",
    "asgi": "instrumenting",
    "instrument": "instrumenting",
    "middleware": "instrumenting",
    "verify": "ledger.verify",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'onrecord' has no attribute {name!r}")
    return getattr(import_module(f"onrecord.{_WHERE[name]}"), name)
