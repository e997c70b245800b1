# SPDX-License-Identifier: Apache-2.0
"""What is put on the record about identities: that one was verified, or that one did not hold and what it was for."""

from msgspec.structs import replace

from onrecord.event.call import Actor, Call, Connection
from onrecord.event.event import Event
from onrecord.identity.identity import Standing
from onrecord.rules.principal import IDENTITY, PLACE, PROVEN


def of_standing(base: Event, connection: Connection, standing: Standing) -> Event:
    """Return the event, made from `base`, that says what became of the ID token of this process."""
    event = replace(base, event_type="authentication", action="verify", **_where(connection))
    if standing.actor is None:
        return replace(event, action="refuse", policy_reason=standing.why, error_type="not_authenticated")
    detail = {"expires_s": int(standing.expires_s)}
    return replace(event, **_fields(standing.actor), detail=detail)


def of_refusal(base: Event, call: Call, why: str) -> tuple[Event, dict[str, str]]:
    """Return the event of a call that is not made since who makes it is not known, and the names in it, unmasked."""
    event = replace(
        base,
        **_fields(call.connection.actor),
        event_type="authentication",
        action="refuse",
        **_where(call.connection),
        direction=call.direction,
        policy_decision="deny",
        policy_reason=why,
        result_status="blocked",
        error_type="not_authenticated",
        input_size=call.size_bytes,
        forwarded_without=(PLACE,) if call.identity is not None else (),
    )
    name = {"resource_read": "resource_uri", "prompt_get": "prompt_name"}.get(call.event_type, "tool_name")
    names = {"method": call.method, "request_id": str(call.request_id), name: call.name}
    return event, {field: text for field, text in names.items() if text}


def _where(connection: Connection) -> dict[str, str]:
    return {name: getattr(connection, name) for name in ("session_id", "server_id", "transport", "client_ip")}


def _fields(actor: Actor) -> dict[str, object]:
    return {name: getattr(actor, name) for name in (*IDENTITY, *PROVEN)}
