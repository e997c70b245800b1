# SPDX-License-Identifier: Apache-2.0
"""A service that decides, for tests: a real server, which checks who asks with the library of Standard Webhooks."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

SECRET = "whsec_" + "bm90IGEgc2VjcmV0LCBmb3IgdGVzdHMgYWxvbmUhISE="  # made up, and looks it


class Reply:
    """What the service answers."""

    def __init__(self, status=200, body=b"", kind="application/jwt", *, wait_s=0.0, **headers):
        self.status, self.body, self.kind, self.wait_s, self.headers = status, body, kind, wait_s, headers


class DecidingService:
    """Answers as `answers(message)` says, for messages that are signed; forged ones get 401."""

    def __init__(self, answers: Callable[[dict[str, Any]], Reply], secret=SECRET):
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.forged = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    message = Webhook(secret).verify(body, headers)
                except WebhookVerificationError:
                    outer.forged += 1
                    message, reply = None, Reply(401)
                else:
                    outer.asked.append((headers, message))
                    reply = answers(message)
                time.sleep(reply.wait_s)
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.kind)
                self.send_header("Content-Length", str(len(reply.body)))
                for name, value in reply.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, format, *args):  # noqa: A002 - as in its base
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/ask"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
