# SPDX-License-Identifier: Apache-2.0
"""Events as OCSF 1.8.0: calls as API Activity, signals as Detection Finding, approvals as Entity Management, and so on.

What OCSF has no place for stands in `unmapped.onrecord`. Times are in milliseconds, as OCSF wants them; the exact text
is in `metadata.original_time`. Where OCSF demands what the event does not say, "unknown" stands there.
"""

from typing import Any, Final, cast

from onrecord.event.event import Event
from onrecord.views.forms.ocsf_kinds import (
    API_ACTIVITY,
    APPLICATION_LIFECYCLE,
    AUTHENTICATION,
    DETECTION_FINDING,
    ENTITY_MANAGEMENT,
    EVENT_LOG_ACTIVITY,
    OTHER,
    Kind,
    activity_of,
    control_of,
    kind_of,
    status_of,
)
from onrecord.views.forms.parts import OWN, PRODUCT, Object, Parts, is_id, is_ip, moment_us, placed, said

VERSION: Final = "1.8.0"

_UNKNOWN: Final = "unknown"
_RISKS: Final = ("Info", "Low", "Medium", "High", "Critical")
_SEVERITIES: Final = {"informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}
_USERS: Final = {"human": (1, "User"), "workload": (4, "Service"), "unknown": (0, "Unknown")}
_PROTOCOLS: Final = {"oauth": (6, "OAUTH 2.0"), "id_token": (4, "OpenID")}
_MFA: Final = frozenset({"token_mfa", "phishing_resistant"})

# What stands under another name in `unmapped.onrecord` than its own.
UNMAPPED: Final = {
    "identity_source": "identity.source",
    "identity_assurance": "identity.assurance",
    "identity_key_id": "identity.key_id",
    "token_hash": "identity.token_hash",
    "auth_time": "identity.auth_time",
    "auth_context": "identity.acr",
    "auth_methods": "identity.amr",
    "agent_id": "agent.uid",
    "agent_name": "agent.name",
    "act_chain": "agent.act_chain",
    "approval_id": "approval.id",
    "approval_version": "approval.version",
    "approval_approver": "approval.approver",
    "approval_role": "approval.role",
    "approval_prompt_version": "approval.prompt_version",
    "approval_fields_shown": "approval.fields_shown",
    "approval_decision": "approval.decision",
    "approval_preview_hash": "approval.preview_hash",
    "approval_execution_match": "approval.execution_match",
    "approver_roles": "approval.approver_roles",
    "rollback_reference": "rollback_ref",
    "output_sanitised": "output.sanitized",
    "before_summary": "change.before",
    "after_summary": "change.after",
    "redaction_policy": "redaction.policy",
    "sensitive_fields": "redaction.fields",
    "value_tags": "redaction.value_tags",
    "redaction_error": "redaction.error",
}


def ocsf(event: Event) -> Object:
    """Return an event as an event of OCSF."""
    parts = Parts(event)
    kind = kind_of(event)
    number, activity = activity_of(event, kind)
    made: Object = {
        "class_uid": kind.uid,
        "class_name": kind.name,
        "category_uid": kind.category,
        "category_name": kind.category_name,
        "activity_id": number,
        "activity_name": activity,
        "type_uid": kind.uid * 100 + number,
        **_severity(event, kind),
        "time": moment_us(event.timestamp) // 1000,
        **status_of(event),
        **control_of(event),
        **_OF_KIND[kind.uid](event, parts),
        **_risk(parts),
    }
    parts.take("result_status")
    if event.suspicious_signals:
        made["is_alert"] = True
    made |= said(actor=_actor(event, parts, demanded=kind is API_ACTIVITY), status_detail=_why(parts))
    made["metadata"] = _metadata(event, parts, kind)
    return made | said(unmapped=said(**{OWN: placed(parts.left(), UNMAPPED)}))


def _metadata(event: Event, parts: Parts, kind: Kind) -> Object:
    of_phase = event.phase or event.action
    return {
        "version": VERSION,
        "product": {"name": PRODUCT, "vendor_name": PRODUCT},
        "profiles": list(kind.profiles),
        "event_code": f"{parts.take('event_type')}.{of_phase}" if of_phase else parts.take("event_type"),
        "logged_time": moment_us(event.timestamp) // 1000,
        **said(
            uid=parts.take("event_id"),
            correlation_uid=parts.take("correlation_id"),
            tenant_uid=parts.take("tenant_id"),
            sequence=parts.take("seq"),
            original_time=parts.take("timestamp"),
            log_version=str(parts.take("schema_version") or ""),
        ),
    }


def _severity(event: Event, kind: Kind) -> Object:
    """Return how bad it is, where somebody said so: of a finding that does not say it, nobody knows."""
    if kind is not DETECTION_FINDING:
        return {"severity_id": 1, "severity": "Informational"}
    word = event.detail.get("severity")
    number = _SEVERITIES.get(word, 0) if isinstance(word, str) else 0
    return {"severity_id": number, "severity": str(word).capitalize() if number else "Unknown"}


def _risk(parts: Parts) -> Object:
    tier: int | None = parts.take("risk_tier")
    return {} if tier is None else {"risk_level_id": tier, "risk_level": _RISKS[tier]}


def _why(parts: Parts) -> str:
    """Return why it went as it went: the reason of a decision, else the kind of the error."""
    reason: str | None = parts.take("policy_reason")
    return reason or parts.take("error_type") or ""


# -------------------------------------------------------------------------------------------- who


def _actor(event: Event, parts: Parts, *, demanded: bool) -> Object:
    issuer = parts.take("identity_issuer")
    actor = said(
        user=_user(event, parts),
        idp=said(uid=issuer),
        session=said(
            uid=parts.take("session_id"), issuer=issuer, is_mfa=True if event.identity_assurance in _MFA else None
        ),
        app_uid=parts.take("client_id"),
        app_name=parts.take("client_name"),
        authorizations=_authorizations(parts),
    )
    known = actor.keys() & {"user", "session", "app_uid", "app_name"}
    return actor if known or not (actor or demanded) else {"app_name": _UNKNOWN, **actor}


def _user(event: Event, parts: Parts) -> Object:
    if not event.user_id:
        return {}
    number, caption = _USERS.get(parts.take("principal_type"), (None, None))
    organisation = said(uid=parts.get("tenant_id"))
    return said(uid=parts.take("user_id"), type_id=number, type=caption, org=organisation)


def _authorizations(parts: Parts) -> list[Object]:
    decision = parts.take("policy_decision")
    uid = parts.get("policy_id")
    policy: Object = {}
    if decision and uid:
        parts.take("policy_id")
        policy = said(uid=uid, version=parts.take("policy_version"), desc=parts.get("policy_reason"), is_applied=True)
    authorization = said(decision=decision, policy=policy)
    return [authorization] if authorization else []


def _endpoint(event: Event, parts: Parts) -> Object:
    """Return where a request came from: over stdio and in a process there is no address, and the way is its name."""
    way = parts.take("transport")
    address: Object = {}
    if is_ip(event.client_ip):
        address = {"ip": parts.take("client_ip")}
    kind = {"type_id": OTHER, "type": way} if way else {"type_id": 0, "type": "Unknown"}
    return (address or {"name": way or _UNKNOWN}) | kind


def _service(parts: Parts) -> Object:
    return said(uid=parts.get("server_id"), name=parts.get("server_name"), version=parts.get("server_version"))


def _take_service(parts: Parts) -> Object:
    """Return the server, if it has an id or a name."""
    service = _service(parts)
    if not service.keys() & {"uid", "name"}:
        return {}
    for name in ("server_id", "server_name", "server_version"):
        parts.take(name)
    return service


# ------------------------------------------------------------------------------------------- calls


def _api_activity(event: Event, parts: Parts) -> Object:
    service = _take_service(parts)
    operation = parts.take("tool_name" if event.tool_name else "method") or event.action or _UNKNOWN
    return said(
        src_endpoint=_endpoint(event, parts),
        api={
            "operation": operation,
            **said(
                version=parts.take("protocol_version"),
                service=service,
                request=_request(event, parts),
                response=_response(parts) if event.phase == "result" else {},
            ),
        },
        message_context=_message_context(parts, service),
        resources=list(_resources(parts)),
        trace=_trace(event, parts),
    )


def _request(event: Event, parts: Parts) -> Object:
    uid = parts.take("request_id") or event.call_id
    if not uid:
        return {}
    data = said(
        summary=parts.take("input_summary"), args_digest=parts.take("input_hash"), arg_keys=parts.take("arg_keys")
    )
    return {"uid": uid, **said(data=data)}


def _response(parts: Parts) -> Object:
    error: str = parts.take("error_type") or ""
    code = error.removeprefix("jsonrpc:")
    return said(
        error=error,
        code=int(code) if error != code and code.removeprefix("-").isdecimal() and len(code) < 10 else None,
        error_message=parts.take("error_summary"),
        data=said(
            summary=parts.take("output_summary"),
            size=parts.take("output_size"),
            type=parts.take("output_type"),
            source=parts.take("output_source"),
            fields=parts.take("fields_returned"),
        ),
    )


def _message_context(parts: Parts, service: Object) -> Object:
    application = said(uid=parts.get("client_id"), name=parts.get("client_name"))
    if application:
        application |= said(version=parts.take("client_version"))
    if not (application or service):
        return {}
    return said(uid=parts.get("session_id"), name=parts.take("model_step_id"), application=application, service=service)


def _resources(parts: Parts) -> Any:
    if parts.get("downstream_resource"):
        change = said(before=parts.take("before_summary"), after=parts.take("after_summary"))
        yield {"uid": parts.take("downstream_resource"), "type": "downstream", **said(data=change)}
    if parts.get("resource_uri"):
        yield {"uid": parts.take("resource_uri"), "type": "mcp"}


def _trace(event: Event, parts: Parts) -> Object:
    if not is_id(event.trace_id, 32):
        return {}
    trace: Object = {"uid": parts.take("trace_id")}
    if event.trace_source == "onrecord" and is_id(event.span_id, 16) and event.latency_us is not None:
        end_ms = moment_us(event.timestamp) // 1000
        lasted_ms = max(0, event.latency_us) // 1000
        trace["span"] = {
            "uid": parts.take("span_id"),
            "start_time": max(0, end_ms - lasted_ms),
            "end_time": end_ms,
            "duration": lasted_ms,
        }
    return trace


# ------------------------------------------------------------------------------------------ others


def _detection_finding(event: Event, parts: Parts) -> Object:
    """Return a finding; what is said about an earlier one has that one's id."""
    detail = event.detail
    rule = _word(detail.get("rule"))
    earlier = _word(detail.get("finding"))
    info = said(
        uid=earlier or event.event_id or _UNKNOWN,
        title=_word(detail.get("title")) or event.action or event.event_type,
        desc=_word(detail.get("why")),
        types=parts.take("suspicious_signals"),
        analytic=said(uid=rule, type_id=1, type="Rule") if rule else {},
    )
    atlas: Any = detail.get("atlas")
    techniques = cast(list[Any], atlas) if isinstance(atlas, list) else []
    attacks = [_attack(each) for each in techniques if isinstance(each, str) and each]
    return {"finding_info": info, **said(attacks=attacks, comment=_word(detail.get("reason")))}


def _attack(uid: str) -> Object:
    """Return a technique of MITRE ATLAS; one with a third part is a part of the technique that the first two name."""
    parent = ".".join(uid.split(".")[:2])
    return {"technique": {"uid": parent}, **({"sub_technique": {"uid": uid}} if uid != parent else {})}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _entity_management(event: Event, parts: Parts) -> Object:
    kind = event.event_type
    uid = parts.take("approval_id" if kind == "approval" else "tool_definition_hash")
    version = parts.take("approval_version") if kind == "approval" else None
    name = parts.take("tool_name") if kind == "tool_definition" else ""
    entity = said(uid=uid, name=name, version=None if version is None else str(version))
    if not (uid or name):
        entity["name"] = _UNKNOWN if kind != "configuration" else kind
    return {
        "entity": {"type": kind, "type_id": OTHER, **entity},
        "src_endpoint": _endpoint(event, parts),
        **said(comment=_word(event.detail.get("reason"))),
    }


def _authentication(event: Event, parts: Parts) -> Object:
    number, caption = _PROTOCOLS.get(event.identity_source, (None, None))
    return {
        "user": _user(event, parts) or {"name": _UNKNOWN, "type_id": 0},
        "service": _take_service(parts) or {"name": PRODUCT},
        "src_endpoint": _endpoint(event, parts),
        **said(
            auth_protocol_id=number, auth_protocol=caption, is_mfa=True if event.identity_assurance in _MFA else None
        ),
    }


def _event_log_activity(event: Event, parts: Parts) -> Object:
    return {
        "log_provider": PRODUCT,
        "log_type_id": 2,
        "log_type": "Application",
        "src_endpoint": _endpoint(event, parts),
        **said(log_name=_word(event.detail.get("log"))),
    }


def _application_lifecycle(_event: Event, _parts: Parts) -> Object:
    return {"app": {"name": PRODUCT, "vendor_name": PRODUCT}}


_OF_KIND: Final = {
    API_ACTIVITY.uid: _api_activity,
    DETECTION_FINDING.uid: _detection_finding,
    ENTITY_MANAGEMENT.uid: _entity_management,
    AUTHENTICATION.uid: _authentication,
    EVENT_LOG_ACTIVITY.uid: _event_log_activity,
    APPLICATION_LIFECYCLE.uid: _application_lifecycle,
}
