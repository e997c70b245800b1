# SPDX-License-Identifier: Apache-2.0
"""An issuer for tests: real keys, real tokens, and a real server that shows its keys."""

import base64
import hmac
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.registry import HeaderParameter
from tests.http_peer import Answering, HttpPeer

from onrecord.rules.canonical import request_digest

ISSUER, AUDIENCE = "https://issuer.example", "onrecord-here"
PERSONS = 'person_claim = "kind"\nperson_values = ["person"]\n'  # as settings of `[identity]`

KEYS: dict[str, Any] = {
    "RS256": RSAKey.generate_key(2048),
    "ES256": ECKey.generate_key("P-256"),
    "ES384": ECKey.generate_key("P-384"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
}
KEYS["PS256"] = KEYS["RS256"]
KEYS["EdDSA"] = KEYS["Ed25519"]


def kid_of(algorithm):
    return {"PS256": "k-RS256", "EdDSA": "k-Ed25519"}.get(algorithm, f"k-{algorithm}")


def shown(*algorithms, **more):
    """Return a JWKS of public keys."""
    names = algorithms or ("RS256", "ES256", "ES384", "Ed25519")
    keys = [{**KEYS[name].as_dict(private=False), "kid": kid_of(name), "use": "sig", **more} for name in names]
    return json.dumps({"keys": keys}).encode()


def claims(**more):
    now = int(time.time())
    base = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada@people.example", "iat": now, "exp": now + 600, "jti": "id-1"}
    base["kind"] = "person"
    return {name: value for name, value in {**base, **more}.items() if value is not None}


def signed(body, algorithm="ES256", key=None, **header):
    """Return `body`, a mapping or bytes, as a signed token."""
    head = {"alg": algorithm, "kid": kid_of(algorithm), "typ": "JWT", **header}
    head = {name: value for name, value in head.items() if value is not None}
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    registry = _Registry({"exp": HeaderParameter("of a test", "int")}, [algorithm], strict_check_header=False)
    registry.max_payload_length = registry.max_header_length = 1 << 20
    return jws.serialize_compact(head, text, key or KEYS[algorithm], registry=registry)


def id_token(algorithm="ES256", *, key=None, header=None, **more):
    return signed(claims(**more), algorithm, key, **(header or {}))


def call_token(tool, arguments, *, algorithm="ES256", method="tools/call", key=None, header=None, **more):
    """Return a token for one call of the server that tests call `scripted`."""
    now = int(time.time())
    about = {"aud": "scripted", "exp": now + 120, "jti": os.urandom(8).hex()}
    body = claims(**{**about, "req": request_digest(method, tool, arguments), **more})
    return signed(body, algorithm, key, **{"typ": "mcp-id+jwt", **(header or {})})


def unsigned(body, **header):
    parts = [json.dumps(part).encode() for part in ({"alg": "none", **header}, body)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def confused():
    """Return a token signed by HMAC with the issuer's public key as the secret."""
    head, body, _ = unsigned(claims(), alg="HS256", kid="k-RS256").split(".")
    tag = hmac.digest(KEYS["RS256"].as_pem(private=False), f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{base64.urlsafe_b64encode(tag).rstrip(b'=').decode()}"


class _Registry(jws.JWSRegistry):
    """Knows every algorithm, and warns of none."""

    def get_alg(self, name):
        return self.algorithms[name]


class KeyServer(HttpPeer):
    """Shows keys over HTTP, or hangs, or shows too much."""

    def __init__(self, body=b"", *, hang=False, status=200):
        self.body, self.hang, self.status = body, hang, status
        self.asked = 0
        self.released = threading.Event()
        outer = self

        class Handler(Answering, BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                if outer.hang:
                    outer.released.wait(30)
                    return
                self.say(outer.status, outer.body, {})

        super().__init__(Handler, "/jwks")

    def __exit__(self, *_):
        self.released.set()
        super().__exit__()
