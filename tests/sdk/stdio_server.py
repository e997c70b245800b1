# SPDX-License-Identifier: Apache-2.0
"""A recorded server over stdio, as a program of its own."""

from tests.sdk.world import built

from onrecord import instrument

server, _ = built()
instrument(server, server_id="planned")
server.run("stdio")
