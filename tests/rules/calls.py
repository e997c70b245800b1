# SPDX-License-Identifier: Apache-2.0
"""Calls, results and events made up for the tests of `rules`."""

from collections.abc import Sequence
from typing import Any

from onrecord.event.call import Actor, Call, Connection, Definition, Json, Outcome, Raw, Result
from onrecord.event.event import Event, EventType
from onrecord.event.redacted import Redacted
from onrecord.rules.classify import ToolRule, Treatment, classify
from onrecord.rules.detection.detectors import Detectors, builtin_rules
from onrecord.rules.detection.finding import Recogniser
from onrecord.rules.digests import Digests
from onrecord.rules.redact import Redactor, Secrets


def builtin_detectors(recognisers: Sequence[Recogniser] = ()) -> Detectors:
    """Return the detectors that ship with the package, which find by keywords what is to be looked for."""
    rules, digest = builtin_rules()
    return Detectors(rules, digest=digest, recognisers=recognisers)


DETECTORS = builtin_detectors()
KEY = b"a key of thirty-two bytes, dummy"
CLASSES = ("low", "medium", "high", "critical")

# Dummies, in pieces so that no scanner takes this file for a leak.
GITHUB = "ghp_" + "dUmmY0dUmmY1" * 3
STRIPE = "sk_" + "live_" + "dUmmY0dUmmY1dUmmY2dUmmY3"
AWS = "AKIA" + "DUMMYDUMMYDUMMY1"
CARD = "4111 1111 " + "1111 1111"
PRIVATE_KEY = "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIBdummydummydummy\n-----END RSA PRIVATE" + " KEY-----"
FOUND_ANYWHERE = (GITHUB, STRIPE, AWS, CARD)


def redactor(detectors: Detectors = DETECTORS, cut: int = 100) -> Redactor:
    return Redactor(digest_key=KEY, detectors=detectors, cut=cut)


def tagged(value: str, label: str) -> str:
    """Return `label#tag` as the record of no tenant has it."""
    return f"{label}#{Digests(KEY).tag(value)}"


def connection(**changes: Any) -> Connection:
    about = {
        "session_id": "session-1",
        "server_id": "files",
        "transport": "stdio",
        "actor": Actor(user_id="u-1", identity_source="os_account", identity_assurance="os_account"),
        "protocol_version": "2025-11-25",
        "client_name": "a client",
        "client_version": "1.0",
        "server_name": "a server",
        "server_version": "2.0",
    }
    return Connection(**{**about, **changes})


def definition(input_schema: Json = None, output_schema: Json = None, **hints: Any) -> Definition:
    """A definition without a digest, so that nothing is remembered of it."""
    schema: Json = {"type": "object"} if input_schema is None else input_schema
    return Definition(name="tool", digest="", input_schema=Raw(schema), output_schema=Raw(output_schema), **hints)


def call(
    arguments: Any = None,
    *,
    tool: str = "read_file",
    event_type: EventType = "tool_call",
    defined: Definition | None = None,
    known: bool = True,
    meta: Json = None,
    **changes: Any,
) -> Call:
    about = {
        "event_type": event_type,
        "method": "tools/call",
        "name": tool,
        "arguments": Raw({} if arguments is None else arguments),
        "meta": Raw(meta),
        "request_id": 7,
        "connection": connection(),
        "size_bytes": 100,
        "definition": (defined or definition()) if known else None,
    }
    return Call(**{**about, **changes})


def text_result(text: str, **more: Json) -> Json:
    return {"content": [{"type": "text", "text": text}], **more}


def treated(made: Call, **rule: Any) -> Treatment:
    return classify(made, [ToolRule(**{"tier": 2, **rule})])


def base(phase: str = "attempt") -> Event:
    return Event(
        event_id="event-1",
        event_type="tool_call",
        phase=phase,  # pyright: ignore[reportArgumentType]
        call_id="call-1",
        policy_decision="allow",
    )


def attempted(made: Call, by: Redactor | None = None, **rule: Any) -> tuple[Redacted, Secrets]:
    return (by or redactor()).attempt(made, treated(made, **rule), base())


def answered(
    made: Call,
    body: Json,
    *,
    by: Redactor | None = None,
    status: Outcome = "succeeded",
    error_type: str = "",
    **rule: Any,
) -> tuple[Redacted, Redacted]:
    """The attempt and the result of `made`, answered with `body`."""
    by = by or redactor()
    attempt, secrets = attempted(made, by, **rule)
    result = Result(status=status, body=Raw(body), error_type=error_type, size_bytes=50)
    ended = by.result(attempt.event, secrets, made, treated(made, **rule), result, base("result"))
    return attempt, ended
