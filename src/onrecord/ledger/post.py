# SPDX-License-Identifier: Apache-2.0
"""One request to a service outside, within limits: so many seconds, so many bytes, no redirects.

Witnesses and timestamp authorities are asked over HTTP, and what they answer is verified by
signature, so a transport that lies can keep a view from us but not forge one. It is not a general
client: no cookies, no proxies, no credentials. What a service answers is never put into a message.
"""

import contextlib
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from onrecord.errors import ConfigError, NotAnchored
from onrecord.version import __version__

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

TIMEOUT_S = 10.0  # for the whole exchange, unless the caller says otherwise
MAX_ANSWER = 64 * 1024  # bytes; cosignatures take some hundred, a timestamp with its certificates some 8 KiB

_CHUNK = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a service answered; `content_type` is without parameters, in lower case; `date` is its time.

    `retry_after` is when it wants to be asked again, as it says so, "" where it doesn't.
    """

    status: int
    content_type: str
    body: bytes
    date: str = ""
    retry_after: str = ""


def check_url(url: str, *, plain: bool) -> None:
    """Raise ConfigError unless `url` is one that `post` may be given.

    Without `plain` it is https, or http to this machine; with it, http to anywhere will do.
    """
    split_url(url, plain=plain)


def post(
    url: str,
    body: bytes,
    content_type: str,
    *,
    headers: Mapping[str, str] | None = None,
    plain: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Send `body`, with further `headers` of our own, and return the answer, whatever its status.

    Raises NotAnchored where there is none within `timeout_s`, or a longer one than `MAX_ANSWER`, and
    ConfigError for a URL that `check_url` refuses. Looking up a host's name may take longer.
    """
    headers = {**(headers or {}), "Content-Type": content_type}
    return _exchange("POST", url, body, headers, plain=plain, timeout_s=timeout_s)


def get(url: str, accept: str, *, timeout_s: float = TIMEOUT_S) -> Answer:
    """Ask for what is at `url`, https or on this machine, and return the answer. Errors as in `post`."""
    return _exchange("GET", url, None, {"Accept": accept}, plain=False, timeout_s=timeout_s)


def _exchange(
    method: str, url: str, body: bytes | None, headers: dict[str, str], *, plain: bool, timeout_s: float
) -> Answer:
    import http.client  # here, as below: who only records need not wait for it
    import ssl

    parts = split_url(url, plain=plain)
    host = f"{parts.hostname}:{parts.port}" if parts.port else f"{parts.hostname}"
    connection = connection_to(parts, timeout_s)
    deadline = time.monotonic() + timeout_s
    try:
        connection.connect()
        with cut_off(connection.sock, deadline):
            target = parts.path or "/"
            headers = {**headers, "User-Agent": f"onrecord/{__version__}", "Connection": "close"}
            connection.request(method, f"{target}?{parts.query}" if parts.query else target, body, headers)
            response = connection.getresponse()
            answer = Answer(
                status=response.status,
                content_type=response.headers.get_content_type(),
                body=_read(response, host),
                date=response.headers.get("Date", ""),
                retry_after=response.headers.get("Retry-After", ""),
            )
        if time.monotonic() >= deadline:
            raise TimeoutError  # it was cut off, and what is there may be a part
        return answer
    except TimeoutError as e:
        raise NotAnchored(f"{host} did not answer within {timeout_s:g} s") from e
    except ssl.SSLError as e:
        raise NotAnchored(f"{host} cannot be spoken to in private: {e.reason or type(e).__name__}") from e
    except (OSError, http.client.HTTPException, ValueError) as e:
        if time.monotonic() >= deadline:
            raise NotAnchored(f"{host} did not answer within {timeout_s:g} s") from e
        raise NotAnchored(f"{host} cannot be reached: {_why(e)}") from e
    finally:
        connection.close()


def _why(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "nobody knows an address of that name"
    if isinstance(error, ConnectionError) and not error.errno:
        return "it ended the connection without an answer"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return "it does not answer in HTTP"


def split_url(url: str, *, plain: bool) -> SplitResult:
    """Return the parts of a URL. Raises ConfigError as `check_url` does."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as e:
        raise ConfigError("the URL is malformed") from e
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("the URL must be https://… (or http://… on this machine)")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ConfigError("the URL must not hold a user name, a password or a fragment")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError("the URL holds characters that must be escaped")
    if parts.scheme == "http" and not plain and not is_this_machine(parts.hostname):
        raise ConfigError("the URL must be https://…; http:// is for this machine alone")
    return parts


def is_this_machine(host: str) -> bool:
    """Say whether a host is this one, by its address or as `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def connection_to(parts: SplitResult, timeout_s: float) -> "HTTPConnection":
    """Return a connection that is yet to be made; `timeout_s` is for each step of it."""
    import http.client
    import ssl

    host = parts.hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)


@contextlib.contextmanager
def cut_off(sock: socket.socket, deadline: float) -> Generator[None]:
    """Shut `sock` when the deadline comes: a timeout of a socket is for one read, and a service may drip."""

    def shut() -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, which is not safe to share

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read(response: "HTTPResponse", host: str) -> bytes:
    body = bytearray()
    while chunk := response.read(_CHUNK):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise NotAnchored(f"{host} answered with more than {MAX_ANSWER} bytes")
    return bytes(body)
