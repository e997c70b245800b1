# SPDX-License-Identifier: Apache-2.0
"""Events as CloudEvents 1.0, in the JSON format: an envelope, and in it the event as it is on the record."""

from typing import Final
from urllib.parse import quote

from onrecord.event.event import SCHEMA_VERSION, Event
from onrecord.rules.neutral import neutral
from onrecord.views.forms.parts import Object, Parts, is_id, moment_us, name_of, said

VERSION: Final = "1.0"
_NOT_SAID: Final = "-"


def cloudevent(event: Event) -> Object:
    """Return an event as a CloudEvent."""
    about = event.tool_name or event.resource_uri or event.prompt_name
    return {
        "specversion": VERSION,
        "id": neutral(event.event_id) or f"seq:{event.seq}",
        "source": f"/{_segment(event.tenant_id)}/{_segment(event.server_id)}",
        "type": name_of(event),
        "datacontenttype": "application/json",
        "dataschema": f"urn:onrecord:event:{event.schema_version or SCHEMA_VERSION}",
        **said(
            subject=neutral(about),
            time=event.timestamp if moment_us(event.timestamp) else "",
            traceparent=_traceparent(event),
        ),
        "data": Parts(event).left(),
    }


def _segment(name: str) -> str:
    return quote(name, safe="") or _NOT_SAID


def _traceparent(event: Event) -> str:
    """Return the W3C header; whether the trace is sampled is not on the record, and 00 says no more than that."""
    if not (is_id(event.trace_id, 32) and is_id(event.span_id, 16)):
        return ""
    return f"00-{event.trace_id}-{event.span_id}-00"
