# SPDX-License-Identifier: Apache-2.0
"""One server behind the gateway: requests to it, its answers piece by piece, and how that can fail.

No redirect is followed, no cookie kept, no proxy of the environment asked; an answer must come as it is, so one that
is compressed is refused. A token is none of the client's: `upstream_auth.py` says which one goes with a request.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import httpcore2

from onrecord.doors.gateway.agreement import media_type, value_of
from onrecord.doors.gateway.connections import Connections
from onrecord.doors.http_fields import Field
from onrecord.doors.upstream_auth import UpstreamAuth
from onrecord.doors.wire import SERVER_GONE, TIMED_OUT, UNREADABLE_RESULT
from onrecord.errors import NoCredentials
from onrecord.event.call import Sender

JSON, EVENTS = "application/json", "text/event-stream"

GONE = "the server ended the connection before it answered; whether the call took effect is unknown, do not retry"


class UpstreamFailed(Exception):
    """A server did not answer, or with what is no answer. `why` is fit for the client.

    `ran` says whether the request may have reached it; `error_type` is for the record.
    """

    def __init__(
        self,
        why: str,
        *,
        error_type: str,
        ran: bool = True,
        status: int = 502,
        code: int = SERVER_GONE,
        fields: Sequence[Field] = (),
    ) -> None:
        super().__init__(why)
        self.why = why
        self.error_type = error_type
        self.ran = ran
        self.status = status
        self.code = code
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Answered:
    """How an answer begins, and the pieces that follow. `kind` is its media type."""

    status: int
    fields: list[Field]
    kind: str
    pieces: AsyncIterable[bytes]

    async def whole(self, longest: int) -> bytes:
        """Return all of it. Raises UpstreamFailed."""
        body = bytearray()
        with failures():
            async for piece in self.pieces:
                body += piece
                if len(body) > longest:
                    raise too_long(longest)
        return bytes(body)


def too_long(longest: int) -> UpstreamFailed:
    """Return what is said of an answer that takes more than `longest` bytes."""
    return UpstreamFailed(
        f"the server's answer takes more than {longest} bytes and is withheld; the call may have taken effect, "
        "do not retry",
        error_type="unreadable_result",
        code=UNREADABLE_RESULT,
    )


def late(within_s: float) -> UpstreamFailed:
    """Return what is said of a server that does not answer in time."""
    return UpstreamFailed(f"no answer within {within_s:g} s", error_type="upstream_timeout", status=504, code=TIMED_OUT)


class Upstream:
    """The way to one server."""

    def __init__(self, url: str, auth: UpstreamAuth) -> None:
        """Start nothing; connections are made when they are needed."""
        host = url.partition("://")[2].partition("/")[0].encode()
        self.url = url
        self._own: list[Field] = [(b"host", host), (b"accept-encoding", b"identity")]
        self._auth = auth
        self._connections = Connections(url)

    @asynccontextmanager
    async def asked(
        self, method: str, headers: Sequence[Field], sender: Sender, body: bytes = b""
    ) -> AsyncGenerator[Answered]:
        """Send a request; the answer is let go of at the end. Raises UpstreamFailed."""
        given = await self._given(sender)
        sent = [*self._own, *headers, *((key.lower().encode(), value.encode()) for key, value in given.items())]
        if body:
            sent.append((b"content-length", str(len(body)).encode()))
        with failures():
            connection, response = await self._connections.ask(method, sent, body)
            try:
                if response.status in (401, 403):
                    self._auth.forget(sender)
                yield _read(response)
            finally:
                await self._connections.leave(connection, response)

    async def _given(self, sender: Sender) -> dict[str, str]:
        try:
            return await self._auth.headers_for(sender)
        except NoCredentials as e:
            why = "not run: the gateway has no credentials for this server"
            raise UpstreamFailed(why, error_type="no_credentials", ran=False) from e

    async def sweep(self) -> None:
        """Close connections that nobody has used for a while."""
        await self._connections.sweep()

    async def close(self) -> None:
        """Close all connections that are idle."""
        await self._connections.close()


def _read(response: httpcore2.Response) -> Answered:
    headers = [(key.lower(), value) for key, value in response.headers]
    if 300 <= response.status < 400:
        raise UpstreamFailed("not run: the server redirects, which is not followed", error_type="redirected", ran=False)
    if value_of(headers, b"content-encoding") not in ("", "identity"):
        raise UpstreamFailed(
            "the server's answer is compressed, though that was not asked for; it may have run, do not retry",
            error_type="unreadable_result",
            code=UNREADABLE_RESULT,
        )
    assert isinstance(response.stream, AsyncIterable)
    return Answered(response.status, headers, media_type(value_of(headers, b"content-type")), response.stream)


@contextmanager
def failures() -> Generator[None]:
    """Turn the failures of a connection into UpstreamFailed."""
    try:
        yield
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as e:
        why = "not run: the server cannot be reached"
        raise UpstreamFailed(why, error_type="upstream_unreachable", ran=False) from e
    except httpcore2.TimeoutException as e:
        raise UpstreamFailed(GONE, error_type="upstream_timeout", status=504) from e
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as e:
        raise UpstreamFailed(GONE, error_type="server_exited") from e
