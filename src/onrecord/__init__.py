# SPDX-License-Identifier: Apache-2.0
"""OnRecord: the audit layer for the Model Context Protocol.

Every call that an agent makes is decided before it runs, redacted before it is written, chained
and signed. `guard.py` is the file to read first.
"""

__version__ = "0.1.0"
