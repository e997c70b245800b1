# SPDX-License-Identifier: Apache-2.0
"""A middleware for FastMCP 2.x, 3.x and 4.x, for servers that are built with their middleware:

    from fastmcp import FastMCP
    from onrecord.fastmcp import OnRecord

    mcp = FastMCP("accounts", middleware=[OnRecord()])

Put it first, and on the server that clients connect to. `onrecord.instrument(mcp)` does the same to one that exists.
"""

from pathlib import Path

from onrecord.doors.fastmcp import Recorded
from onrecord.instrumenting import inside_of


class OnRecord(Recorded):
    """Puts what its server is asked on the record, by whichever transport, and from within the process."""

    def __init__(
        self, *, home: str | Path | None = None, config: str | Path | None = None, server_id: str | None = None
    ) -> None:
        """See `onrecord.instrument`. Raises ConfigError for settings that can't work."""
        super().__init__(inside_of(home, config, server_id))
