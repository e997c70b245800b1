# SPDX-License-Identifier: Apache-2.0
"""Asks a service outside to decide: what approvers see is sent to it, signed as Standard Webhooks says (v1, HMAC).

    webhook-id          the approval's id, the same each time that it is asked again
    webhook-timestamp   seconds since 1970
    webhook-signature   v1,base64(HMAC-SHA256(secret, id.timestamp.body)), one for each secret

The service answers at once with its signed decision, or with 202 until somebody has decided; then it is asked again.
The signature is for the service, so that it believes the question. What it answers is believed by its own signature
alone (`decision.py`), whatever the status and the connection. What goes out is what redaction lets through.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from onrecord.errors import ConfigError, NotAnchored
from onrecord.ledger.post import Answer, check_url, post
from onrecord.rules.approval import Statement

PREFIX = "whsec_"
PAUSE_S = 5.0  # between two questions, where the service names no other
LONGEST_PAUSE_S = 300.0
MOST_TOKENS = 16  # of one answer; a quorum is smaller

_SECRET_BYTES = (24, 64)  # as the specification wants
_SECRETS = 3  # at a time: the old one and the new one while they change
_SIGNED = ("application/jwt", "application/jose")
_LATER = frozenset({408, 425, 429})
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Heard:
    """What came back: signed decisions, not verified yet; when to ask again, None where never; what went wrong."""

    tokens: tuple[str, ...] = ()
    again_s: float | None = None
    why: str = ""


class Webhook:
    """The service at one URL. Threads may share it."""

    def __init__(self, url: str, secrets: Sequence[bytes], *, timeout_s: float, clock: Callable[[], float]) -> None:
        """`url` is https, or http to this machine; `clock` tells the time of day. Raises ConfigError."""
        check_url(url, plain=False)
        self._url = url
        self._secrets = tuple(secrets)
        self._timeout_s = timeout_s
        self._clock = clock

    def ask(self, message_id: str, body: bytes) -> Heard:
        """Send `body`, once, and return what came back; whatever goes wrong is told there."""
        headers = signed_headers(self._secrets, message_id, int(self._clock()), body)
        try:
            answer = post(self._url, body, "application/json", headers=headers, timeout_s=self._timeout_s)
        except NotAnchored as e:
            return Heard(again_s=PAUSE_S, why=str(e))
        except ConfigError as e:
            return Heard(why=str(e))
        return _heard(answer, self._clock())


def message(statement: Statement, view: Sequence[str]) -> bytes:
    """Return what a service is sent about a request: all that it takes to show it, and to check it.

    `digest` is the SHA-256 of `statement` in the form of RFC 8785, with `type` "onrecord approval statement" beside its
    members; `preview_hash` in it is that of the lines of `view` behind its version, with a line feed between them.
    """
    at = datetime.fromtimestamp(statement.requested_us / 1e6, UTC).isoformat(timespec="seconds")
    data = {"id": statement.id, "digest": statement.digest(), "statement": statement, "view": tuple(view)}
    return msgspec.json.encode({"type": "approval.requested", "timestamp": at, "data": data})


def secrets_in(text: str) -> tuple[bytes, ...]:
    """Return the secrets in `text`, apart by blanks, each `whsec_` and base64. Raises ConfigError, which tells none."""
    words = text.split()
    if not 0 < len(words) <= _SECRETS:
        raise ConfigError(f"one to {_SECRETS} secrets of the webhook are needed, apart by blanks")
    return tuple(map(_secret, words))


def signed_headers(secrets: Sequence[bytes], message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers that go with `body` (Standard Webhooks 1.0.0)."""
    about = f"{message_id}.{at_s}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(secret, about, "sha256")).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{one}" for one in signatures),
    }


def tokens_in(text: str) -> tuple[str, ...]:
    """Return the signed decisions in `text`, one a line; they are not verified. Raises ValueError for anything else."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or len(lines) > MOST_TOKENS or not all(_TOKEN.fullmatch(line) for line in lines):
        raise ValueError(f"it is not one to {MOST_TOKENS} signed decisions, one a line")
    return tuple(lines)


def _heard(answer: Answer, now_s: float) -> Heard:
    again_s = _pause(answer.retry_after, now_s)
    if answer.status == 202:
        return Heard(again_s=again_s)
    if answer.status in (200, 201, 204):
        return _decided(answer, again_s)
    why = f"it answered with status {answer.status}"
    if answer.status in _LATER or answer.status >= 500:
        return Heard(again_s=again_s, why=why)
    return Heard(why=why)


def _decided(answer: Answer, again_s: float) -> Heard:
    if not answer.body.strip():
        return Heard()  # it has heard, and says no more here
    if answer.content_type not in _SIGNED:
        return Heard(why="its answer is no signed decision, and counts for nothing")
    try:
        return Heard(tokens=tokens_in(answer.body.decode("ascii")), again_s=again_s)
    except ValueError:  # also of what is not ASCII
        return Heard(why="its answer is no signed decision, and counts for nothing")


def _pause(text: str, now_s: float) -> float:
    """Return how long to wait, by a header Retry-After (RFC 9110, 10.2.3), within reason."""
    try:
        wanted = float(text) if re.fullmatch(r"\d{1,9}", text) else parsedate_to_datetime(text).timestamp() - now_s
    except (ValueError, TypeError, OverflowError):
        return PAUSE_S
    return min(max(wanted, 1.0), LONGEST_PAUSE_S)


def _secret(word: str) -> bytes:
    try:
        found = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error) as e:
        raise ConfigError(f"a secret of the webhook is {PREFIX} and base64") from e
    if not word.startswith(PREFIX) or not _SECRET_BYTES[0] <= len(found) <= _SECRET_BYTES[1]:
        raise ConfigError(f"a secret of the webhook is {PREFIX} and 24 to 64 bytes in base64")
    return found
