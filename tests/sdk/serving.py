# SPDX-License-Identifier: Apache-2.0
"""A server of the SDK behind uvicorn on a port of its own, in a thread of this process."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import uvicorn
from tests.ledger.logs import wait_for

from onrecord.instrumenting import instrument


@contextmanager
def served(server: Any, home, *, app: Any = None, **options: Any) -> Iterator[str]:
    """Serve `server`, recorded in `home`, and yield its URL; the server has ended in good order after that."""
    instrument(server, home=home, server_id="planned")
    app = server.streamable_http_app(**options) if app is None else app(server)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5))
        thread = Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        wait_for(lambda: running.started)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        finally:
            running.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
