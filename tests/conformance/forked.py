# SPDX-License-Identifier: Apache-2.0
"""The conformance server without its second of imports: hands its streams to `server.py forks` and ends with it."""

import socket
import sys

connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
socket.send_fds(connection, [b"."], [0, 1, 2])
connection.recv(1)  # nothing, once the other end is closed
