# SPDX-License-Identifier: Apache-2.0
"""A token endpoint for tests, over real HTTP: client credentials (RFC 6749, 4.4) and token exchange (RFC 8693).

It keeps to the specifications unless a test says otherwise: `wrong` is what is answered instead.
"""

import base64
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from tests.identity.issuing import claims, shown, signed

from onrecord.identity.keys import IssuerKeys
from onrecord.identity.token import opened

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


class TokenEndpoint:
    """Gives tokens to one client. `asked` holds the form and the fields of each question."""

    def __init__(self, client="gateway", secret="of:a test&ü", life_s: Any = 600):
        self.client, self.secret, self.life_s = client, secret, life_s
        self.asked: list[tuple[dict[str, str], Any]] = []
        self.wrong: Any = None  # (status, body), or a callable of the form that returns it, or None
        self.held = threading.Event()
        self.held.set()
        self.keys = IssuerKeys(shown, max_age_s=1e9, pause_s=1e9)
        self.open = 0
        self.most_open = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: one for name, (one,) in parse_qs(text).items()}
                with outer.lock:
                    outer.asked.append((form, self.headers))
                    outer.open += 1
                    outer.most_open = max(outer.open, outer.most_open)
                outer.held.wait(30)
                status, body, *more = outer.answer(form, self.headers)
                with outer.lock:
                    outer.open -= 1
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Set-Cookie": "a=b", **dict(*more)}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format, *args):  # noqa: A002 - as in its base
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass  # who hangs up early does so on purpose

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.held.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, form, fields) -> Any:
        wrong = self.wrong(form) if callable(self.wrong) else self.wrong
        if wrong is not None:
            return wrong
        if self._client(form, fields) != (self.client, self.secret):
            return 401, {"error": "invalid_client"}
        if form["grant_type"] == "client_credentials":
            return 200, {**self._token(self.client), "scope": form.get("scope", "")}
        if form["grant_type"] != EXCHANGE or form["subject_token_type"] != ACCESS:
            return 400, {"error": "unsupported_grant_type"}
        subject = opened(form["subject_token"], self.keys, ("ES256",), types=("at+jwt",)).claims["sub"]
        about = self._token(subject, act={"sub": self.client}, aud=form.get("resource"))
        return 200, {**about, "issued_token_type": ACCESS}

    def _client(self, form, fields):
        scheme, _, pair = (fields["Authorization"] or "").partition(" ")
        if scheme == "Basic":
            name, _, secret = base64.b64decode(pair).decode().partition(":")
            return unquote_plus(name), unquote_plus(secret)
        return form.get("client_id"), form.get("client_secret")

    def _token(self, subject, **more):
        token = signed(claims(sub=subject, jti=os.urandom(8).hex(), iat=int(time.time()), **more), typ="at+jwt")
        life = {} if self.life_s is None else {"expires_in": self.life_s}
        return {"access_token": token, "token_type": "Bearer", **life}
