# SPDX-License-Identifier: Apache-2.0
"""Who may come in by HTTP: each request is let in as somebody's, answered with a document, or turned away.

Looked at are the fields of its head alone, in this order, and the first that does not hold counts:

    one reading       no field twice that counts once, none malformed, no token in the URL          400
    Host              a name that this gateway goes by: else a page has had its name point here     421
    Origin            where a browser names one, a page that may call                               403
    path, method      a server that is behind this gateway, a method that MCP uses                  404, 405
    token             signed by the issuer, meant for this very server, and holding now             401, 503
    scope             what the server's entry in the settings asks for                              403

What is turned away says what to do next, as MCP 2025-11-25 and 2026-07-28 ask: where the document is that names the
issuer (RFC 9728), and which scopes are needed (RFC 6750, 3). A token bound to a key or a certificate is refused, since
nobody could tell here whether the caller has that. No message says what stood in a request.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import parse_qsl

from onrecord.doors.http_fields import Field, fault_in, split_host, values
from onrecord.doors.http_kinds import Kind
from onrecord.errors import NotAuthenticated
from onrecord.event.call import Actor, Raw, Sender

if TYPE_CHECKING:
    from onrecord.identity.identity import Identity  # brings a library along that is an extra

Tokens: TypeAlias = Literal["required", "optional", "off"]

WELL_KNOWN = "/.well-known/oauth-protected-resource"  # RFC 9728, 3.1: between host and path of the resource
METHODS = ("POST", "GET", "DELETE")

_JSON: Field = (b"content-type", b"application/json")
_CLOSE: Field = (b"connection", b"close")  # where a request ends somebody before us may have read otherwise
_FRESH: Field = (b"cache-control", b"no-store")
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")  # RFC 6750, 2.1
_SCHEME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MOST_PARAMETERS = 100
_RETRY_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One server, as callers see it. `resource` is the URL that they call, and `audience` what tokens are meant for.

    `further` are names in lower case of header fields that go on to it beside those that always do.
    """

    server_id: str
    path: str
    resource: str
    audience: str
    scopes: tuple[str, ...] = ()
    further: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Head:
    """The head of a request: `path` as it was sent, `query` without its question mark, `peer` an address or ""."""

    method: str
    path: bytes
    fields: Sequence[Field]
    query: bytes = b""
    peer: str = ""

    def __repr__(self) -> str:
        return "<head>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A request that may come in: to which server, and as whose."""

    place: Place
    sender: Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An answer that anybody may have. To a HEAD it goes without `body`."""

    body: bytes
    status: int = 200
    fields: tuple[Field, ...] = (_JSON, (b"cache-control", b"max-age=3600"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedAway:
    """A request that may not come in. `reason` is in words of ours, and fit for the caller and for the record.

    `actor` is who sent it, where a token of theirs holds, and `needed` which scopes it lacks some of.
    """

    status: int
    error_type: Kind
    reason: str
    server_id: str = ""
    code: str = "invalid_request"
    more: tuple[Field, ...] = ()
    actor: Actor = field(default_factory=Actor)
    needed: tuple[str, ...] = ()

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        return json.dumps({"error": self.code, "error_description": self.reason}).encode()

    @property
    def fields(self) -> tuple[Field, ...]:
        """The header fields of the answer."""
        return (_JSON, _FRESH, *self.more)


Admission: TypeAlias = Entry | Document | TurnedAway


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What this gateway is called: hosts in lower case, with a port or for any, and origins of pages that may call."""

    hosts: frozenset[str]
    origins: frozenset[str]

    def has_host(self, host: str) -> bool:
        return host in self.hosts or split_host(host)[0] in self.hosts

    def has_origin(self, origin: str) -> bool:
        return origin in self.origins


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrived:
    """A request for `place` that has one reading and comes to the right door, and the token that came with it."""

    place: Place
    token: str = field(repr=False)


class HttpAccess:
    """Lets requests in, or turns them away. Threads and tasks may share it."""

    def __init__(
        self,
        places: Sequence[Place],
        names: Names,
        *,
        tokens: Tokens,
        anybody: Actor,
        base: str,
        issuer: str = "",
        identity: "Identity | None" = None,
    ) -> None:
        """`anybody` is who a caller without a token is; `base` is what `resource` of each place begins with.

        `identity` is there unless `tokens` is "off".
        """
        assert tokens == "off" or identity is not None
        self._places: Mapping[str, Place] = {place.path: place for place in places}
        self._names = names
        self._tokens = tokens
        self._anybody = anybody
        self._base = base
        self._issuer = issuer
        self._identity = identity
        self._documents: Mapping[str, bytes] = {} if tokens == "off" else self._described(places)

    async def admit(self, head: Head) -> Admission:
        """Say what becomes of a request. It waits for the issuer's keys, in a thread, where they have to be read."""
        arrived = self.look(head)
        if not isinstance(arrived, _Arrived):
            return arrived
        return self._verified(arrived) if self._is_known(arrived) else await asyncio.to_thread(self._verified, arrived)

    def judge(self, head: Head) -> Admission:
        """Say what becomes of a request, as `admit` does; it may wait for the issuer's keys, some seconds."""
        arrived = self.look(head)
        return self._verified(arrived) if isinstance(arrived, _Arrived) else arrived

    def look(self, head: Head) -> "Admission | _Arrived":
        """Say what becomes of a request as far as that is known before its token is verified; it waits for nothing."""
        away = self._reading(head) or self._door(head.fields)
        if away is not None:
            return away
        path = head.path.decode("latin-1")
        if (document := self._documents.get(path)) is not None:
            if head.method not in ("GET", "HEAD"):
                return no_method("GET, HEAD")
            return Document(body=document)
        place = self._places.get(path)
        if place is None:
            return TurnedAway(status=404, error_type="unknown_path", reason="nothing is at that path")
        if head.method not in METHODS:
            return no_method(", ".join(METHODS), place.server_id)
        if self._tokens == "off":
            return Entry(place=place, sender=Sender(actor=self._anybody))
        return self._token(place, head.fields)

    def _reading(self, head: Head) -> TurnedAway | None:
        why = fault_in(head.fields)
        hosts = values(head.fields, b"host")
        if not why and len(hosts) != 1:
            why = "the header field host is missing"
        if not why and values(head.fields, b"upgrade"):
            why = "no other protocol is spoken here"
        if why:
            return TurnedAway(status=400, error_type="malformed_request", reason=why, more=(_CLOSE,))
        if _has_token(head.query):
            why = "a token must not stand in the URL, where logs would keep it; send it in the field Authorization"
            return TurnedAway(status=400, error_type="token_in_url", reason=why)
        return None

    def _door(self, fields: Sequence[Field]) -> TurnedAway | None:
        (host,) = values(fields, b"host")
        if not self._names.has_host(host.decode("latin-1").lower()):
            why = "this gateway does not go by the name that the request is for"
            return TurnedAway(status=421, error_type="wrong_host", reason=why)
        origin = values(fields, b"origin")
        if origin and not self._names.has_origin(origin[0].decode("latin-1")):
            why = "pages of that origin may not call"
            return TurnedAway(status=403, error_type="wrong_origin", reason=why, code="access_denied")
        return None

    def _token(self, place: Place, fields: Sequence[Field]) -> "Entry | TurnedAway | _Arrived":
        brought = values(fields, b"authorization")
        if not brought:
            if self._tokens == "optional" and not place.scopes:
                return Entry(place=place, sender=Sender(actor=self._anybody))
            return self._challenge(place, "a token is required", error_type="missing_token")
        found = _BEARER.fullmatch(brought[0])
        if found is not None:
            return _Arrived(place=place, token=found[1].decode())
        scheme = _SCHEME.match(brought[0])
        if scheme is not None and scheme[0].lower() == b"bearer":
            why = "the field Authorization holds no bearer token"
            return TurnedAway(status=400, error_type="malformed_request", reason=why, server_id=place.server_id)
        why = "a token is wanted in the field Authorization, as in: Bearer TOKEN; other schemes are not taken"
        return self._challenge(place, why, code="invalid_token", error_type="wrong_scheme")

    def _is_known(self, arrived: _Arrived) -> bool:
        """Say whether it can be said at once whose token that is, or that it has expired."""
        assert self._identity is not None
        try:
            return self._identity.borne(arrived.token, arrived.place.audience) is not None
        except NotAuthenticated:
            return True

    def _verified(self, arrived: _Arrived) -> Entry | TurnedAway:
        from onrecord.identity.keys import KeysAway

        assert self._identity is not None
        place = arrived.place
        try:
            actor = self._identity.bearing(arrived.token, place.audience)
        except KeysAway as e:
            return TurnedAway(
                status=503,
                error_type="issuer_away",
                reason=str(e),
                server_id=place.server_id,
                code="temporarily_unavailable",
                more=((b"retry-after", str(_RETRY_S).encode()),),
            )
        except NotAuthenticated as e:
            return self._challenge(place, str(e), code="invalid_token", error_type="not_authenticated")
        if not set(place.scopes) <= set(actor.scopes):
            why = "the token lacks a scope that this server asks for"
            kind: Kind = "insufficient_scope"
            away = self._challenge(place, why, code=kind, error_type=kind, status=403)
            return replace(away, actor=actor, needed=place.scopes)
        sender = Sender(actor=actor, bearer=Raw(arrived.token), audience=place.audience)
        return Entry(place=place, sender=sender)

    def _challenge(self, place: Place, why: str, *, error_type: Kind, code: str = "", status: int = 401) -> TurnedAway:
        """Turn away with what a client needs to come back with a token that will do (RFC 6750, 3; RFC 9728, 5.1)."""
        said = {"error": code, "error_description": why} if code else {}
        said |= {"scope": " ".join(place.scopes)} if place.scopes else {}
        said |= {"resource_metadata": f"{self._base}{WELL_KNOWN}{place.path}"}
        challenge = "Bearer " + ", ".join(f'{name}="{_quoted(text)}"' for name, text in said.items())
        return TurnedAway(
            status=status,
            error_type=error_type,
            reason=why,
            server_id=place.server_id,
            code=code or "unauthorized",
            more=((b"www-authenticate", challenge.encode()),),
        )

    def _described(self, places: Sequence[Place]) -> dict[str, bytes]:
        """Return the documents of RFC 9728 by their paths; a single server's is at the root form too."""
        found = {f"{WELL_KNOWN}{place.path}": self._document(place) for place in places}
        return {**found, WELL_KNOWN: self._document(places[0])} if len(places) == 1 else found

    def _document(self, place: Place) -> bytes:
        said: dict[str, object] = {
            "resource": place.resource,
            "authorization_servers": [self._issuer],
            "bearer_methods_supported": ["header"],
            "resource_name": place.server_id,
        }
        return json.dumps({**said, "scopes_supported": list(place.scopes)} if place.scopes else said).encode()


def no_method(allowed: str, server_id: str = "") -> TurnedAway:
    """Turn away a request whose method is none of those that are `allowed`, as they stand in the field Allow."""
    why = "the method is none that is answered there"
    more = ((b"allow", allowed.encode()),)
    return TurnedAway(status=405, error_type="wrong_method", reason=why, server_id=server_id, more=more)


def _has_token(query: bytes) -> bool:
    """Say whether a token may stand in the query of a URL (RFC 6750, 2.3), however it is written."""
    try:
        text = query.decode("latin-1").replace(";", "&")  # some take either for what is between two
        found = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        return True
    return any(name.strip().lower() == "access_token" for name, _ in found)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
