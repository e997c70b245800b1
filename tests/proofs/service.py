# SPDX-License-Identifier: Apache-2.0
"""A service that decides, for tests: a real server, which checks who asks with the library of Standard Webhooks."""

import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError
from tests.http_peer import Answering, HttpPeer

SECRET = "whsec_" + "bm90IGEgc2VjcmV0LCBmb3IgdGVzdHMgYWxvbmUhISE="  # made up, and looks it


class Reply:
    """What the service answers."""

    def __init__(self, status=200, body=b"", kind="application/jwt", *, wait_s=0.0, **headers):
        self.status, self.body, self.kind, self.wait_s, self.headers = status, body, kind, wait_s, headers


class DecidingService(HttpPeer):
    """Answers as `answers(message)` says, for messages that are signed; forged ones get 401."""

    def __init__(self, answers: Callable[[dict[str, Any]], Reply], secret=SECRET):
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.forged = 0
        outer = self

        class Handler(Answering, BaseHTTPRequestHandler):
            def do_POST(self):
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    message = Webhook(secret).verify(self.body(), headers)
                except WebhookVerificationError:
                    outer.forged += 1
                    message, reply = None, Reply(401)
                else:
                    outer.asked.append((headers, message))
                    reply = answers(message)
                time.sleep(reply.wait_s)
                more = {name.replace("_", "-"): value for name, value in reply.headers.items()}
                self.say(reply.status, reply.body, {"Content-Type": reply.kind, **more})

        super().__init__(Handler, "/ask")
