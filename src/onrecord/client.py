# SPDX-License-Identifier: Apache-2.0
"""For clients: calls that say which request of the user they belong to, and prove who makes them.

    from onrecord.client import Caller, signing

    async with Client("https://tools.example/mcp") as client:
        sign = signing(key, key_id="k1")
        caller = Caller(client, sign=sign, issuer="https://id.example", subject="ada", server="pay")
        await caller.call_tool("transfer", {"amount": 3})

Each call gets a W3C `traceparent`, with one trace for a `Caller`, and a token in `_meta` that is bound to the digest of
that very call, holds for two minutes and counts once (docs/identity.md). A server that asks something before it answers
gets the call again, and that is another call by its digest: what asks is not for a token of this kind. `client` is an
`mcp.Client`, or anything with these three methods; no SDK is imported here.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from onrecord.errors import ConfigError
from onrecord.event.call import Json
from onrecord.rules.canonical import request_digest
from onrecord.rules.principal import META_KEY
from onrecord.rules.trace_context import TRACEPARENT, written

LIFE_S = 120  # of a token; clocks may be apart

Sign: TypeAlias = Callable[[Mapping[str, object]], str]
"""Returns claims as a signed token, a JWS in compact form with `typ` `mcp-id+jwt`."""


class Client(Protocol):
    """What calls are made with."""

    async def call_tool(self, name: str, arguments: dict[str, Any] | None = None, *, meta: Any = None) -> Any:
        """Call a tool."""
        ...

    async def read_resource(self, uri: str, *, meta: Any = None) -> Any:
        """Read a resource."""
        ...

    async def get_prompt(self, name: str, arguments: dict[str, str] | None = None, *, meta: Any = None) -> Any:
        """Get a prompt."""
        ...


def signing(key: Any, *, key_id: str, algorithm: str = "ES256") -> Sign:
    """Return what signs with `key`, a private key of joserfc's; one that is kept elsewhere takes a function of its own.

    Raises ConfigError where the extra `onrecord[identity]` is missing.
    """
    try:
        from joserfc import jws
    except ModuleNotFoundError as e:
        raise ConfigError("signing needs joserfc: pip install 'onrecord[identity]'") from e
    head = {"alg": algorithm, "kid": key_id, "typ": "mcp-id+jwt"}

    def sign(claims: Mapping[str, object]) -> str:
        return jws.serialize_compact(head, json.dumps(dict(claims)), key, algorithms=[algorithm])

    return sign


class Caller:
    """Makes the calls of one request of a user."""

    def __init__(
        self,
        client: Client,
        *,
        sign: Sign | None = None,
        issuer: str = "",
        subject: str = "",
        server: str = "",
        claims: Mapping[str, object] | None = None,
        trace_id: str = "",
    ) -> None:
        """Without `sign`, calls only say where they belong.

        `server` is what the server is called on its record, `claims` are further ones, `trace_id` is that of a trace
        that began elsewhere, 32 hex digits. Raises ConfigError where it isn't clear who signs for whom.
        """
        if sign is not None and not (issuer and subject and server):
            raise ConfigError("a signed call takes an issuer, a subject and the name of the server")
        self._client = client
        self._sign = sign
        self._claims = {**(claims or {}), "iss": issuer, "sub": subject, "aud": server}
        self.trace_id = trace_id or os.urandom(16).hex()

    async def call_tool(self, name: str, arguments: dict[str, Any] | None = None, **options: Any) -> Any:
        """Call a tool; `options` are those of the client."""
        meta = self._meta("tools/call", name, arguments or {}, options.pop("meta", None))
        return await self._client.call_tool(name, arguments, meta=meta, **options)

    async def read_resource(self, uri: str, **options: Any) -> Any:
        """Read a resource."""
        meta = self._meta("resources/read", uri, {"uri": uri}, options.pop("meta", None))
        return await self._client.read_resource(uri, meta=meta, **options)

    async def get_prompt(self, name: str, arguments: dict[str, str] | None = None, **options: Any) -> Any:
        """Get a prompt."""
        meta = self._meta("prompts/get", name, dict[str, Json](arguments or {}), options.pop("meta", None))
        return await self._client.get_prompt(name, arguments, meta=meta, **options)

    def _meta(self, method: str, name: str, arguments: Json, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the `_meta` of a call. Raises NotCanonical for arguments that have no digest."""
        meta = {TRACEPARENT: written(self.trace_id, os.urandom(8).hex()), **(given or {})}
        if self._sign is not None:
            now = int(time.time())
            once = {"iat": now, "exp": now + LIFE_S, "jti": os.urandom(16).hex()}
            digest = request_digest(method, name, arguments)
            meta[META_KEY] = self._sign({**self._claims, **once, "req": digest})
        return meta
