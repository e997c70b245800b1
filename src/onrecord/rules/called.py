# SPDX-License-Identifier: Apache-2.0
"""What clients and servers call things: the names that a call brings with it, by field of the event.

Each of them is text from outside, and is masked like any other before it is written.
"""

from collections.abc import Mapping

from onrecord.event.call import Call
from onrecord.rules.classify import Treatment

# Where the name of a call stands on its event.
_NAMED: Mapping[str, str] = {
    "tool_call": "tool_name",
    "resource_read": "resource_uri",
    "prompt_get": "prompt_name",
}


SCHEME = "onrecord:"  # of resources that are answered here, whatever the server


def is_own(method: str, name: str) -> bool:
    """Say whether a request reads a resource of our own, which no server hears of."""
    return method == "resources/read" and name[: len(SCHEME)].lower() == SCHEME


def names_of(call: Call, treatment: Treatment) -> dict[str, str]:
    """Return what client and server call things, by field of the event; without the empty ones."""
    at = call.connection
    given = {
        "method": call.method,
        "request_id": str(call.request_id),
        "client_name": at.client_name,
        "client_version": at.client_version,
        "server_name": at.server_name,
        "server_version": at.server_version,
        "protocol_version": at.protocol_version,
        "model": call.trace.model,
        "model_step_id": call.trace.model_step_id,
        "agent_name": call.trace.agent,
    }
    field = _NAMED.get(call.event_type)
    if field is not None:
        closed = call.event_type == "resource_read" and treatment.classification in ("high", "critical")
        given[field] = _without_query(call.name) if closed else call.name
    return {field: text for field, text in given.items() if text}


def _without_query(uri: str) -> str:
    """Return a URI without its query and fragment: arguments, of which these classes show no value."""
    ends = [at for at in (uri.find("?"), uri.find("#")) if at >= 0]
    return uri[: min(ends)] if ends else uri


def hexadecimal(text: str, length: int) -> str:
    """Return `text` where it is so many small hex digits, else ""."""
    return text if len(text) == length and not text.strip("0123456789abcdef") else ""
