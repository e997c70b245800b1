# SPDX-License-Identifier: Apache-2.0
"""Entries of realistic size: lines of some 850 bytes, as the attempt of a call of medium classification makes them."""

from collections.abc import Iterator

from onrecord.event.event import Event, encode
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted

DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def entries(count: int) -> list[Redacted]:
    """Return as many entries, each another one."""
    return [_entry(number) for number in range(count)]


def pairs(count: int) -> Iterator[Redacted]:
    """Yield `count` entries: attempts, each followed by its result."""
    for number in range(count):
        if number % 2 == 0:
            yield _entry(number)
        else:
            yield _result(number)


def _result(number: int) -> Redacted:
    attempt = _entry(number - 1).event
    event = Event(
        event_id=uuid7(1_790_000_000_000 + number, number.to_bytes(10, "big")),
        event_type="tool_call",
        phase="result",
        call_id=attempt.call_id,
        user_id=attempt.user_id,
        identity_source="os_account",
        identity_assurance="os_account",
        client_name="an-agent",
        session_id=attempt.session_id,
        server_id="files",
        transport="stdio",
        method="tools/call",
        request_id=attempt.request_id,
        tool_name="read_file",
        risk_tier=2,
        result_status="succeeded",
        latency_us=1250,
        output_size=4096,
        output_type=("text",),
        redaction_policy="builtin@1",
    )
    return Redacted(event, encode(event))


def _entry(number: int) -> Redacted:
    identifier = uuid7(1_790_000_000_000 + number, number.to_bytes(10, "big"))
    event = Event(
        event_id=identifier,
        event_type="tool_call",
        phase="attempt",
        call_id=identifier,
        user_id="u_0123456789abcdef0123",
        identity_source="os_account",
        identity_assurance="os_account",
        client_name="an-agent",
        session_id=identifier,
        server_id="files",
        transport="stdio",
        method="tools/call",
        request_id=str(number),
        tool_name="read_file",
        risk_tier=2,
        arg_keys=("path",),
        input_hash=DIGEST,
        policy_decision="allow",
        policy_version=DIGEST,
        redaction_policy="builtin@1",
    )
    return Redacted(event, encode(event))
