# SPDX-License-Identifier: Apache-2.0
"""Asks a server at a URL (Streamable HTTP) for its tools, and for nothing else, in either era.

The first question is `server/discover` (2026-07-28: no handshake, no session, the method in a header and the version
in each request). Whatever is not the answer of a modern server leads to `initialize`; a session that begins so is
ended afterwards. No tool is called; what the server asks meanwhile is declined.

Over https, or on this machine, unless the caller says otherwise. No redirects, no cookies, no proxies; everything has
a limit of time and size. A token is sent to the one place that was named and stands in no message. What a server says
is not put into a message either, but for numbers, and the place that it redirects to, without its query.
"""

import json
import os
import re
import socket
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from onrecord.doors import wire
from onrecord.doors.event_stream import EventStream
from onrecord.doors.listed import (
    ABOUT_US,
    LEGACY,
    LONGEST,
    MODERN,
    MODERN_META,
    MOST_MESSAGES,
    UNKNOWN_METHOD,
    Listed,
    code_of,
    is_modern,
    read_list,
)
from onrecord.errors import CommandError, ConfigError, MessageRefused
from onrecord.event.call import Json
from onrecord.ledger.post import connection_to, cut_off, is_this_machine, split_url
from onrecord.rules.neutral import neutral
from onrecord.version import __version__

if TYPE_CHECKING:
    from http.client import HTTPResponse

_PATIENCE = 0.5  # of the time that is there, for an answer to the first question
MOST_DECLINED = 100  # questions of the server
MAX_TOKEN = 16 * 1024  # bytes
_GOODBYE_S = 2.0
_PIECE = 1 << 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1
_SAFE = re.compile(r"[\x21-\x7E]{1,1024}")  # of a session id
_VERSION = re.compile(r"[0-9A-Za-z.-]{1,32}")


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A bearer token, and the words for where it comes from."""

    text: str
    source: str

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.text) or len(self.text) > MAX_TOKEN:
            raise ConfigError(f"{self.source} holds no bearer token: one word of letters, digits and ._~+/-")


class _Late(Exception):
    """No answer in time."""


class _Told(Exception):
    """An answer that is none to the question: its HTTP status, and what it says where that is JSON-RPC."""

    def __init__(self, status: int, response: wire.Response | None) -> None:
        super().__init__(status)
        self.status = status
        self.response = response


def ask_url(url: str, *, timeout_s: float, token: Token | None = None, plain: bool = False) -> Listed:
    """Return what the server at `url` lists. Raises ConfigError for a URL that won't do, and CommandError.

    With `plain`, http to anywhere will do; a token is never sent so.
    """
    parts = split_url(url, plain=plain)
    if token is not None and parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        raise ConfigError("a token is only sent over https:// or to this machine")
    talk = _Talk(url, token, time.monotonic() + timeout_s, plain=plain)
    try:
        opening = talk.discovered() or talk.initialised()
        return read_list(opening, lambda params: talk.asked("tools/list", params), modern=talk.modern)
    except _Late:
        raise CommandError(f"{talk.host} listed no tools within {timeout_s:g} s", 2) from None
    except _Told as e:
        raise CommandError(talk.why(e), 2) from None
    finally:
        talk.leave()


class _Talk:
    """One conversation. Each question is a connection of its own."""

    def __init__(self, url: str, token: Token | None, ends: float, *, plain: bool) -> None:
        self._parts = split_url(url, plain=plain)
        self.host = self._parts.netloc.lower()
        self._token = token
        self._ends = ends
        self._count = 0
        self._declined = 0
        self._session = ""
        self._version = ""
        self.modern = True

    # questions

    def discovered(self) -> wire.Response | None:
        """Return a modern server's answer to the first question, or None where it is to be asked the old way."""
        try:
            answer = self.asked("server/discover", {}, by=(time.monotonic() * _PATIENCE + self._ends * (1 - _PATIENCE)))
            if is_modern(answer):
                return answer
        except _Late:
            if time.monotonic() >= self._ends:
                raise
        except _Told as e:
            if e.status in (401, 403) or 300 <= e.status < 400:
                raise
        self.leave()  # a session that an older server began at the sight of it
        self.modern = False
        return None

    def initialised(self) -> wire.Response:
        """Shake hands the old way, and return the answer."""
        params: dict[str, Json] = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": ABOUT_US}
        answer = self.asked("initialize", params)
        if answer.error is not None:
            raise CommandError(f"{self.host} refuses to begin: JSON-RPC error {code_of(answer)}", 2)
        said = answer.result.get("protocolVersion") if isinstance(answer.result, dict) else None
        if not isinstance(said, str) or not _VERSION.fullmatch(said):
            raise CommandError(f"{self.host} does not speak MCP: it names no version of it", 2)
        self._version = said
        self._tell({"method": "notifications/initialized"})
        return answer

    def asked(self, method: str, params: dict[str, Json], *, by: float | None = None) -> wire.Response:
        """Return the answer to one request. Raises _Late, _Told, CommandError."""
        self._count += 1
        name = f"onrecord-{self._count}"
        said = {**params, "_meta": MODERN_META} if self.modern else params
        message = {"id": name, "method": method, "params": said}
        headers = {"Mcp-Method": method, "MCP-Protocol-Version": MODERN} if self.modern else {}
        ends = self._ends if by is None else by
        with self._exchange("POST", message, headers, ends) as response:
            self._keep_session(response)
            for number, one in enumerate(self._messages(response, ends)):
                if isinstance(one, wire.Response) and (one.id == name or (one.id is None and one.error)):
                    if response.status != 200:
                        raise _Told(response.status, one)
                    return one
                if isinstance(one, wire.Request) and not self.modern:
                    self._decline(one)
                if number > MOST_MESSAGES:
                    break
            raise _Told(response.status, None)

    def _decline(self, request: wire.Request) -> None:
        self._declined += 1
        if self._declined > MOST_DECLINED:
            raise CommandError(f"{self.host} asks more than {MOST_DECLINED} questions before it answers one", 2)
        refusal = {"error": {"code": UNKNOWN_METHOD, "message": "not here: tools are only being listed"}}
        self._tell({"id": request.id, **({"result": {}} if request.method == "ping" else refusal)})

    def _tell(self, message: Mapping[str, object]) -> None:
        """Say what needs no answer."""
        with self._exchange("POST", message, {}, self._ends) as response:
            if not 200 <= response.status < 300:
                raise _Told(response.status, None)

    def leave(self) -> None:
        """End the session, where there is one; a server may not care."""
        if self._session:
            ends = time.monotonic() + _GOODBYE_S
            with suppress(_Late, CommandError), self._exchange("DELETE", None, {}, ends):
                pass
            self._session = ""

    def _keep_session(self, response: "HTTPResponse") -> None:
        given = response.headers.get("Mcp-Session-Id", "")
        if given and _SAFE.fullmatch(given):
            self._session = given

    def why(self, told: _Told) -> str:
        """Return what an answer that is none means, and what to do about it."""
        status = told.status
        if status == 401 and self._token is not None:
            return f"{self.host} does not take the token of {self._token.source} (401): another, or a fresh one"
        if status == 401:
            hint = "put one into an environment variable or a file of your own, and name it"
            return f"{self.host} asks for a token (401): {hint}: --token-env NAME or --token-file FILE"
        if status == 403:
            lets = "the token lacks what it takes" if self._token else "it wants a token, or does not let this host in"
            return f"{self.host} refuses (403): {lets}"
        if status == 404 and self._session:
            return f"{self.host} ended the session before it listed its tools (404)"
        if status in (404, 405):
            return f"there is no MCP server at this path of {self.host} (status {status}): is the URL whole, as …/mcp?"
        if told.response is not None:
            return f"{self.host} refuses: status {status}, JSON-RPC error {code_of(told.response)}"
        if status == 200:
            return f"{self.host} does not speak MCP at this path: its answer is none to what was asked"
        return f"{self.host} answers with status {status}"

    # one question and its answer

    @contextmanager
    def _exchange(
        self, verb: str, message: Mapping[str, object] | None, headers: Mapping[str, str], ends: float
    ) -> "Generator[HTTPResponse]":
        """Send a request, and yield the answer as soon as it begins. Raises _Late, CommandError."""
        import http.client  # here, as it takes a while to load

        left = ends - time.monotonic()
        if left <= 0:
            raise _Late
        connection = connection_to(self._parts, left)
        try:
            connection.connect()
            with cut_off(connection.sock, ends):
                body = None if message is None else json.dumps({"jsonrpc": "2.0", **message}).encode()
                kind = {} if body is None else {"Content-Type": "application/json"}
                target = self._parts.path or "/"
                target = f"{target}?{self._parts.query}" if self._parts.query else target
                connection.request(verb, target, body, {**self._headers(), **kind, **headers})
                with connection.getresponse() as response:  # by now it holds the socket
                    self._check(response)
                    yield response
        except (OSError, http.client.HTTPException, ValueError) as e:
            if time.monotonic() >= ends or isinstance(e, TimeoutError):
                raise _Late from None
            raise CommandError(f"{self.host} {_failure(e)}", 2) from e
        finally:
            connection.close()

    def _headers(self) -> dict[str, str]:
        """Return what every request of this conversation says."""
        headers = {
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "User-Agent": f"onrecord/{__version__}",
            "Connection": "close",
        }
        if self._version:
            headers["MCP-Protocol-Version"] = self._version
        if self._session:
            headers["Mcp-Session-Id"] = self._session
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.text}"
        return headers

    def _check(self, response: "HTTPResponse") -> None:
        """Raise CommandError for an answer that is not to be read."""
        if 300 <= response.status < 400:
            place = _place(response.headers.get("Location", ""))
            hint = f" to {place}: give that URL, if it is the one that is meant" if place else ""
            raise CommandError(f"{self.host} redirects ({response.status}){hint}", 2)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise CommandError(f"{self.host} packs its answer, though it was asked not to", 2)

    def _messages(self, response: "HTTPResponse", ends: float) -> Iterator[wire.Message]:
        """Yield what an answer holds, message by message. What is none is passed over. Raises _Late, CommandError."""
        kind = response.headers.get_content_type()
        stream = EventStream(LONGEST) if kind == "text/event-stream" else None
        whole = bytearray()
        while kind in ("text/event-stream", "application/json") and (piece := response.read1(_PIECE)):
            if stream is None:
                whole += piece
            try:
                for data in stream.feed(piece) if stream else ():
                    yield from _read(data)
            except MessageRefused as e:
                raise CommandError(f"{self.host} answers at too great a length: {e.reason}", 2) from e
            if len(whole) > LONGEST:
                raise CommandError(f"{self.host} answers with more than {LONGEST} bytes", 2)
        if time.monotonic() >= ends:
            raise _Late  # it was cut off, and what is there may be a part
        yield from _read(bytes(whole))


def _read(data: bytes) -> Iterator[wire.Message]:
    with suppress(MessageRefused):
        yield wire.decode(data.replace(b"\r", b"\n"), lone_surrogates="forgive")  # JSON may stand on many lines here


def _place(location: str) -> str:
    """Return where a redirect leads, without what may be secret in it."""
    try:
        parts = urlsplit(location)
        named = f"{parts.scheme}://{parts.hostname}" if parts.scheme and parts.hostname else ""
        return neutral(f"{named}{f':{parts.port}' if parts.port else ''}{parts.path}", limit=200)
    except ValueError:
        return ""


def _failure(error: Exception) -> str:
    """Return what became of a connection, in words that hold nothing from outside."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "if its authority is your own, SSL_CERT_FILE names the file of it"
        return f"shows a certificate that does not hold ({neutral(error.verify_message, limit=120)}); {hint}"
    if isinstance(error, ssl.SSLError):
        return f"cannot be spoken to in private ({error.reason or type(error).__name__}): is it http, not https?"
    if isinstance(error, socket.gaierror):
        return "cannot be found: nobody knows an address of that name"
    if isinstance(error, ConnectionError) and not error.errno:
        return "ended the connection without an answer"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return f"cannot be reached: {os.strerror(error.errno).lower()}"
    return "does not answer in HTTP"
