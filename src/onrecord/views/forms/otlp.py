# SPDX-License-Identifier: Apache-2.0
"""Events as log records of OpenTelemetry, in OTLP/JSON: each line is one request to export, of one record.

What the semantic conventions have a name for has that name; all else is an attribute below `onrecord.audit`. The
conventions of MCP and of GenAI are in development.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from onrecord.event.event import Event
from onrecord.version import __version__
from onrecord.views.forms.parts import OWN, Object, Parts, is_id, moment_us, name_of

_PREFIX: Final = f"{OWN}.audit."
_TRANSPORTS: Final = {"stdio": "pipe", "http": "tcp"}
_INFO, _WARN = (9, "INFO"), (13, "WARN")
_MOST = 2**63
_MOST_TIME = 2**64

# Names of attributes. Fields that are not here have their own name below `onrecord.audit`.
NAMES: Final = {
    "event_id": "log.record.uid",
    "user_id": "user.id",
    "identity_issuer": f"{_PREFIX}user.issuer",
    "identity_source": f"{_PREFIX}identity.source",
    "identity_assurance": f"{_PREFIX}identity.assurance",
    "tenant_id": f"{_PREFIX}tenant.id",
    "session_id": "gen_ai.conversation.id",
    "client_id": f"{_PREFIX}client.id",
    "client_name": f"{_PREFIX}client.name",
    "client_version": f"{_PREFIX}client.version",
    "agent_id": "gen_ai.agent.id",
    "agent_name": "gen_ai.agent.name",
    "client_ip": "client.address",
    "model_step_id": "gen_ai.tool.call.id",
    "tool_name": "gen_ai.tool.name",
    "server_id": f"{_PREFIX}server.id",
    "server_name": f"{_PREFIX}server.name",
    "server_version": f"{_PREFIX}server.version",
    "method": "mcp.method.name",
    "protocol_version": "mcp.protocol.version",
    "resource_uri": "mcp.resource.uri",
    "request_id": "jsonrpc.request.id",
    "risk_tier": f"{_PREFIX}risk.tier",
    "input_summary": f"{_PREFIX}input.summary",
    "input_hash": f"{_PREFIX}input.digest",
    "arg_keys": f"{_PREFIX}input.keys",
    "input_size": f"{_PREFIX}input.size",
    "scope_required": f"{_PREFIX}scope.required",
    "scope_present": f"{_PREFIX}scope.present",
    "policy_decision": f"{_PREFIX}decision",
    "policy_reason": f"{_PREFIX}decision_reason",
    "policy_id": f"{_PREFIX}policy.id",
    "policy_determining": f"{_PREFIX}policy.ids",
    "policy_version": f"{_PREFIX}policy.version",
    "approval_id": f"{_PREFIX}approval.id",
    "approval_version": f"{_PREFIX}approval.version",
    "approval_approver": f"{_PREFIX}approval.approver",
    "approval_preview_hash": f"{_PREFIX}approval.preview_hash",
    "approval_execution_match": f"{_PREFIX}approval.match",
    "downstream_resource": f"{_PREFIX}resource.uid",
    "before_summary": f"{_PREFIX}change.before",
    "after_summary": f"{_PREFIX}change.after",
    "rollback_reference": f"{_PREFIX}rollback.ref",
    "result_status": f"{_PREFIX}result.status",
    "error_type": "error.type",
    "output_summary": f"{_PREFIX}output.summary",
    "output_size": f"{_PREFIX}output.size",
    "output_type": f"{_PREFIX}output.type",
    "output_source": f"{_PREFIX}output.source",
    "output_sanitised": f"{_PREFIX}output.sanitized",
    "redaction_policy": f"{_PREFIX}redaction.policy",
    "sensitive_fields": f"{_PREFIX}redaction.fields",
    "seq": f"{_PREFIX}chain.seq",
    "prev_hash": f"{_PREFIX}chain.prev_hash",
}


def otlp(event: Event) -> Object:
    """Return an event as a request to export one log record."""
    parts = Parts(event)
    at_ns = moment_us(event.timestamp) * 1000
    at = str(at_ns if at_ns < _MOST_TIME else 0)  # 0: not known
    number, text = _WARN if event.event_type == "security" or event.policy_decision == "deny" else _INFO
    record: Object = {
        "timeUnixNano": at,
        "observedTimeUnixNano": at,
        "severityNumber": number,
        "severityText": text,
        "eventName": name_of(event),
    }
    if at != "0":
        parts.take("timestamp")
    if is_id(event.trace_id, 32):
        record["traceId"] = parts.take("trace_id")
        if is_id(event.span_id, 16):
            record["spanId"] = parts.take("span_id")
    attributes = {NAMES.get(name, _PREFIX + name): value for name, value in parts.left().items()}
    if event.transport in _TRANSPORTS:
        attributes["network.transport"] = _TRANSPORTS[event.transport]
    record["attributes"] = _pairs(attributes)
    schema = event.schema_version
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": _pairs({"service.name": event.server_id or OWN})},
                "scopeLogs": [
                    {
                        "scope": {"name": OWN, "version": __version__},
                        "logRecords": [record],
                        **({"schemaUrl": f"urn:onrecord:event:{schema}"} if schema else {}),
                    }
                ],
            }
        ]
    }


def _pairs(members: Mapping[str, Any]) -> list[Object]:
    return [{"key": name, "value": _any(value)} for name, value in members.items()]


def _any(value: Any) -> Object:
    """Return a JSON value as the AnyValue of OTLP, in the JSON mapping: integers of 64 bits are text there."""
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int() if -_MOST <= value < _MOST:
            return {"intValue": str(value)}
        case int():
            return {"stringValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case dict():
            return {"kvlistValue": {"values": _pairs(cast(Object, value))}}
        case _:
            return {"arrayValue": {"values": [_any(each) for each in value]}}
