# SPDX-License-Identifier: Apache-2.0
"""OnRecord: the audit layer for the Model Context Protocol.

Every call that an agent makes is decided before it runs, redacted before it is written, chained
and signed. `guard.py` is the file to read first. An auditor needs `verify` and a public key:

    from pathlib import Path
    from onrecord import LogFolder, VerifierKey, verify

    report = verify(LogFolder(Path("copy/of/calls")), [VerifierKey.parse(text)])
    print(report.verdict, report.reasons)
"""

from onrecord.errors import OnRecordError
from onrecord.event.call import Call, Result
from onrecord.event.event import Event
from onrecord.guard import Guard
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.note import VerifierKey
from onrecord.ledger.place import LogFolder
from onrecord.ledger.verify import verify
from onrecord.version import __version__

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
    "verify",
]
