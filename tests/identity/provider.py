# SPDX-License-Identifier: Apache-2.0
"""An OpenID provider for tests, over real HTTP: discovery, device codes (RFC 8628), refresh tokens that are used once.

It keeps to the specifications unless a test says otherwise: `wrong` maps a path to what is answered there instead.
"""

import base64
import hashlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

from tests.http_peer import Answering, HttpPeer
from tests.identity.issuing import claims, shown, signed

CLIENT = "onrecord-cli"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class OpenIdProvider(HttpPeer):
    """Logs people in whom a test confirms. `life_s` is that of an ID token."""

    def __init__(self, *, interval: int | None = 1, expires_in=60, life_s=600, proof_key=True, rotates=True):
        self.interval, self.expires_in, self.life_s = interval, expires_in, life_s
        self.proof_key, self.rotates = proof_key, rotates
        self.ahead_s = 0.0  # its clock
        self.more: dict[str, Any] = {}  # claims
        self.wrong: dict[str, Any] = {}  # by path: (status, body), or a callable of the form that returns it or None
        self.codes: dict[str, dict[str, Any]] = {}
        self.refresh: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.revoked: list[str] = []
        self.lock = threading.Lock()
        outer = self

        class Handler(Answering, BaseHTTPRequestHandler):
            def do_GET(self):
                self.tell(*outer.answer(self.path, None))

            def do_POST(self):
                assert self.headers["Content-Type"] == "application/x-www-form-urlencoded"
                form = parse_qs(self.body().decode())
                self.tell(*outer.answer(self.path, {name: one for name, (one,) in form.items()}))

            def tell(self, status, body):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.say(status, data, {"Content-Type": "application/json", "Cache-Control": "no-store"})

            def date_time_string(self, timestamp=None):
                return super().date_time_string(time.time() + outer.ahead_s)

        super().__init__(Handler, "/realm")

    def metadata(self):
        places = {
            "device_authorization_endpoint": "device",
            "token_endpoint": "token",
            "revocation_endpoint": "revoke",
            "jwks_uri": "jwks",
        }
        methods = {"code_challenge_methods_supported": ["plain", "S256"]} if self.proof_key else {}
        return {"issuer": self.url, **methods, **{name: f"{self.url}/{place}" for name, place in places.items()}}

    def answer(self, path, form) -> tuple[int, Any]:
        path = path.removeprefix("/realm")
        with self.lock:
            self.asked.append((path, form or {}))
            wrong: Any = self.wrong.get(path)
            if callable(wrong):
                wrong = wrong(form)
            if wrong is not None:
                return wrong
            if path == "/.well-known/openid-configuration":
                return 200, self.metadata()
            if path == "/jwks":
                return 200, shown()
            if form is None:
                return 404, {}
            if path == "/revoke":
                self.revoked.append(form["token"])
                self.refresh.pop(form["token"], None)
                return 200, {}
            if form.get("client_id") != CLIENT:
                return 401, {"error": "invalid_client"}
            if path == "/device":
                return self._device(form)
            return self._refreshed(form) if form["grant_type"] == "refresh_token" else self._polled(form)

    def _device(self, form):
        device, user = os.urandom(16).hex(), f"{os.urandom(2).hex()}-{os.urandom(2).hex()}".upper()
        self.codes[device] = {
            "user": user,
            "challenge": form.get("code_challenge"),
            "expires": time.monotonic() + self.expires_in,
            "polled": None,
            "subject": None,
            "refused": False,
        }
        page = f"{self.url}/activate"
        times = {"expires_in": self.expires_in, **({"interval": self.interval} if self.interval else {})}
        return 200, {
            "device_code": device,
            "user_code": user,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={user}",
            **times,
        }

    def _polled(self, form):
        code = self.codes.get(form.get("device_code"))
        if form["grant_type"] != DEVICE or code is None:
            return 400, {"error": "invalid_grant"}
        now, before = time.monotonic(), code["polled"]
        code["polled"] = now
        if now > code["expires"]:
            return 400, {"error": "expired_token"}
        if code["refused"]:
            return 400, {"error": "access_denied"}
        if code["subject"] is None:
            early = before is not None and now - before < (self.interval or 5) - 0.2
            return 400, {"error": "slow_down" if early else "authorization_pending"}
        if code["challenge"]:
            made = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            if base64.urlsafe_b64encode(made).rstrip(b"=").decode() != code["challenge"]:
                return 400, {"error": "invalid_grant"}
        del self.codes[form["device_code"]]
        return self._tokens({"subject": code["subject"], "at": int(time.time()), "used": False})

    def _refreshed(self, form):
        grant = self.refresh.get(form.get("refresh_token"))
        if grant is None:
            return 400, {"error": "invalid_grant"}
        if not self.rotates:
            return self._tokens(grant, form["refresh_token"])
        if grant["used"]:  # somebody has a copy: the whole family ends
            self.refresh = {token: one for token, one in self.refresh.items() if one["subject"] != grant["subject"]}
            return 400, {"error": "invalid_grant"}
        grant["used"] = True
        return self._tokens({**grant, "used": False})

    def _tokens(self, grant, token=None):
        token = token or f"refresh-{os.urandom(16).hex()}"
        self.refresh[token] = grant
        return 200, {
            "access_token": f"access-{os.urandom(16).hex()}",
            "token_type": "Bearer",
            "expires_in": self.life_s,
            "refresh_token": token,
            "id_token": self.id_token(grant),
        }

    def id_token(self, grant):
        now = int(time.time())
        said = {"iss": self.url, "aud": CLIENT, "sub": grant["subject"], "auth_time": grant["at"]}
        about = {"iat": now, "exp": now + self.life_s, "jti": os.urandom(8).hex()}
        return signed(claims(**{**said, **about, **self.more}))

    def confirm(self, user_code, subject="ada@people.example"):
        with self.lock:
            (code,) = [one for one in self.codes.values() if one["user"] == user_code]
            code["subject"] = subject

    def refuse(self, user_code):
        with self.lock:
            (code,) = [one for one in self.codes.values() if one["user"] == user_code]
            code["refused"] = True
