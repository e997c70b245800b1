# SPDX-License-Identifier: Apache-2.0
"""An authenticator in software for tests: real keys, signatures and CBOR, and whatever it is told to get wrong."""

import base64
import hashlib
import json
import os
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

PARTY, ORIGIN = "localhost", "http://localhost:8787"

PRESENT, VERIFIED, SYNCED, ATTESTED = 0x01, 0x04, 0x08, 0x40


def b64(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Device:
    """One authenticator with one credential, as a browser would use it."""

    def __init__(self, algorithm=-7, *, bits=2048, counts=True):
        self.id, self.algorithm, self.counts, self.count = os.urandom(32), algorithm, counts, 0
        self.handle: Any = None
        self.key: Any
        match algorithm:
            case -7:
                self.key = ec.generate_private_key(ec.SECP256R1())
                numbers = self.key.public_key().public_numbers()
                point = {-2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
                self.cose = {1: 2, 3: -7, -1: 1, **point}
            case -8:
                self.key = ed25519.Ed25519PrivateKey.generate()
                self.cose = {1: 1, 3: -8, -1: 6, -2: self.key.public_key().public_bytes_raw()}
            case _:
                self.key = rsa.generate_private_key(65537, bits)
                numbers = self.key.public_key().public_numbers()
                self.cose = {1: 3, 3: algorithm, -1: numbers.n.to_bytes(bits // 8, "big"), -2: b"\x01\x00\x01"}

    def sign(self, data):
        if self.algorithm == -7:
            return self.key.sign(data, ec.ECDSA(hashes.SHA256()))
        return self.key.sign(data) if self.algorithm == -8 else self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def create(self, options, *, flags=PRESENT | VERIFIED, party=None, **client):
        """Answer `navigator.credentials.create` with `options`; the rest is what goes wrong."""
        self.handle = unb64(options["user"]["id"])
        head = self._head(options["rp"]["id"] if party is None else party, flags | ATTESTED)
        data = head + bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(self.cose)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        said = self._client("webauthn.create", options, client)
        return self._answer({"clientDataJSON": b64(said), "attestationObject": b64(attestation)})

    def get(self, options, *, flags=PRESENT | VERIFIED, party=None, signature=None, handle=None, **client):
        """Answer `navigator.credentials.get` with `options`; the rest is what goes wrong."""
        self.count += self.counts
        data = self._head(options["rpId"] if party is None else party, flags)
        said = self._client("webauthn.get", options, client)
        signed = self.sign(data + hashlib.sha256(said).digest()) if signature is None else signature
        fields = {"clientDataJSON": b64(said), "authenticatorData": b64(data), "signature": b64(signed)}
        return self._answer({**fields, "userHandle": b64(self.handle if handle is None else handle)})

    def _head(self, party, flags):
        return hashlib.sha256(party.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind, options, more):
        fields = {"type": kind, "challenge": options["challenge"], "origin": ORIGIN, "crossOrigin": False}
        return json.dumps({**fields, **more}).encode()

    def _answer(self, response):
        fields = {"id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "response": response}
        return json.dumps({**fields, "clientExtensionResults": {}}).encode()
