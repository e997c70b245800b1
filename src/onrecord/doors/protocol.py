# SPDX-License-Identifier: Apache-2.0
"""What MCP messages mean: which request is a call, what it is about, and how it ended. Pure.

Protocol revisions up to 2025-11-25 open with `initialize`; 2026-07-28 has no handshake and names
version and client in `params._meta` of each request. Both are read here, so nothing above this file
needs to know which era it serves. Nothing here judges: a claim of a peer stays a claim.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from onrecord.doors.wire import INVALID_PARAMS, Notification, Object, Request, Response, is_id, is_object
from onrecord.errors import MessageRefused
from onrecord.event.call import NOTHING, Definition, Json, Outcome, Raw, RequestId, Result
from onrecord.event.event import EventType
from onrecord.rules.arguments import ANSWERS, WITH_ARGUMENTS, signed

_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_CLIENT_KEY = "io.modelcontextprotocol/clientInfo"
SERVER_KEY = "io.modelcontextprotocol/serverInfo"
_CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"

_NAMED_BY: Mapping[str, tuple[str, ...]] = {
    "tools/call": ("name",),
    "prompts/get": ("name",),
    "resources/read": ("uri",),
    "tasks/get": ("taskId",),
    "tasks/result": ("taskId",),
    "tasks/update": ("taskId",),
    "tasks/cancel": ("taskId",),
}

CALLS: Mapping[str, EventType] = {
    "tools/call": "tool_call",
    "resources/read": "resource_read",
    "prompts/get": "prompt_get",
    "completion/complete": "completion",
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "tasks/get": "task",
    "tasks/result": "task",
    "tasks/update": "task",
    "tasks/cancel": "task",
    "tasks/list": "task",
}

# Requests that only set up, describe or watch. Whatever is neither here nor above is recorded as an
# unknown request: nobody can say what it does.
QUIET = frozenset(
    {
        "initialize",
        "server/discover",
        "ping",
        "tools/list",
        "resources/list",
        "resources/templates/list",
        "prompts/list",
        "roots/list",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "subscriptions/listen",
    }
)

_ENVELOPE = frozenset({"_meta", "requestState"})
MAY_ASK = frozenset({"tools/call", "resources/read", "prompts/get"})  # whose results may ask: 2026-07-28, MRTR

# What MCP has notifications for, in any of its revisions and from either side. Of others nobody can say what they do.
NOTICES = frozenset(
    f"notifications/{name}"
    for name in (
        "cancelled",
        "elicitation/complete",
        "initialized",
        "message",
        "progress",
        "prompts/list_changed",
        "resources/list_changed",
        "resources/updated",
        "roots/list_changed",
        "subscriptions/acknowledged",
        "tasks",
        "tasks/status",
        "tools/list_changed",
    )
)

_OPENINGS = frozenset({"initialize", "server/discover"})


def event_type_of(method: str) -> EventType | None:
    """Return what kind of event a request makes, or None where it is not one to record by itself."""
    return None if method in QUIET else CALLS.get(method, "request")


def is_brief(method: str) -> bool:
    """Say whether a request is none to record by itself, and its answer ends it."""
    return method in QUIET and method != "subscriptions/listen"


def is_modern(params: Object) -> bool:
    """Say whether a request is of a revision in which each request names it, and each result its type."""
    return _VERSION_KEY in meta_of(params)


def opens(method: str) -> bool:
    """Say whether a request opens a conversation."""
    return method in _OPENINGS


def name_of(method: str, params: Object) -> str:
    """Return which tool, prompt, resource or task a request is about; empty where it names none."""
    for key in _NAMED_BY.get(method, ()):
        name = params.get(key)
        if isinstance(name, str):
            return name
    return ""


def check_name(request: Request) -> None:
    """Raise MessageRefused where `request` is of a tool, prompt, resource or task and does not name it by a text.

    A server may take something else for a name, as a list of one; it would be judged as a call of nothing.
    """
    for key in _NAMED_BY.get(request.method, ()):
        if not isinstance(request.params.get(key), str):
            raise MessageRefused(
                f"{request.method} must have a {key!r}, and it must be a text", INVALID_PARAMS, request.id
            )


def arguments_of(method: str, params: Object) -> Json:
    """Return what a request hands over: the arguments of a tool or prompt, else all of its params but the envelope."""
    if method in WITH_ARGUMENTS:
        return params.get("arguments", {})
    envelope = _ENVELOPE if answers_of(method, params) is None else {*_ENVELOPE, ANSWERS}
    return {key: value for key, value in params.items() if key not in envelope}


def answers_of(method: str, params: Object) -> Json:
    """Return the answers to a server's questions that a request brings; None where it brings none."""
    return params.get(ANSWERS) if method in MAY_ASK else None


def beside_of(method: str, params: Object) -> Object:
    """Return the members of params that nothing else here reads, as they came: `task`, say, or a `_meta` of no use."""
    read = {"requestState"} if isinstance(params.get("requestState"), str) else set[str]()
    if is_object(params.get("_meta")):
        read.add("_meta")
    if method not in WITH_ARGUMENTS:
        return {key: value for key, value in params.items() if key in _ENVELOPE - read}
    read |= {"name", "arguments"} if isinstance(params.get("name"), str) else {"arguments"}
    if answers_of(method, params) is not None:
        read.add(ANSWERS)
    return {key: value for key, value in params.items() if key not in read}


def signed_of(method: str, params: Object) -> Json:
    """Return what the digest that a client signs has as `arguments`."""
    return signed(method, arguments_of(method, params), answers_of(method, params))


def meta_of(params: Object) -> Object:
    """Return the `_meta` of a request; empty where it has none."""
    meta = params.get("_meta")
    return meta if is_object(meta) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What one side of a connection says of itself; empty where it says nothing."""

    name: str = ""
    version: str = ""
    protocol_version: str = ""


def client_claims(params: Object) -> Claims:
    """Return what a client says of itself in `initialize`, or in the `_meta` of any later revision."""
    meta = meta_of(params)
    return _claims(params.get("clientInfo", meta.get(_CLIENT_KEY)), meta.get(_VERSION_KEY))


def server_claims(result: Json) -> Claims:
    """Return what a server says of itself in the result of `initialize`, or in the `_meta` of any result."""
    if not is_object(result):
        return Claims()
    return _claims(result.get("serverInfo", meta_of(result).get(SERVER_KEY)), result.get("protocolVersion"))


def _claims(info: Json, version: Json) -> Claims:
    about: Object = info if is_object(info) else {}
    return Claims(name=_text(about.get("name")), version=_text(about.get("version")), protocol_version=_text(version))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def definitions_in(result: Json) -> list[Definition]:
    """Return the tools that a `tools/list` result describes."""
    tools = result.get("tools") if is_object(result) else None
    listed = cast(list[object], tools) if isinstance(tools, list) else []
    return [_definition(tool) for tool in listed if is_object(tool) and isinstance(tool.get("name"), str)]


def tool_names_in(result: Json) -> set[str]:
    """Return the names of the tools that a `tools/list` result describes."""
    tools = result.get("tools") if is_object(result) else None
    listed = cast(list[object], tools) if isinstance(tools, list) else []
    return {tool["name"] for tool in listed if is_object(tool) and isinstance(tool.get("name"), str)}


def _definition(tool: Object) -> Definition:
    hints: Object = tool["annotations"] if is_object(tool.get("annotations")) else {}
    return Definition(
        name=tool["name"],
        digest=_digest(tool),
        rest=_digest({key: value for key, value in tool.items() if key != "name"}),
        whole=Raw(tool),
        input_schema=Raw(tool.get("inputSchema")),
        output_schema=Raw(tool.get("outputSchema")),
        read_only=_flag(hints.get("readOnlyHint")),
        destructive=_flag(hints.get("destructiveHint")),
        open_world=_flag(hints.get("openWorldHint")),
    )


def _digest(value: Object) -> str:
    """Return the SHA-256, in hex, of a value in canonical form: the order of its keys doesn't count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def given_up(notification: Notification) -> tuple[RequestId, bool] | None:
    """Return which request its sender gives up, and whether that is for the time it took; None where it says none."""
    request_id, reason = notification.params.get("requestId"), notification.params.get("reason")
    if notification.method != "notifications/cancelled" or not is_id(request_id):
        return None
    said = reason.casefold() if isinstance(reason, str) else ""
    return request_id, "timed out" in said or "timeout" in said


# what a server asks of a person


def asks(method: str, params: Object) -> Json:
    """Return the schema of the whole answer to a request that asks a person; None for any other request."""
    return _holding("content", params.get("requestedSchema")) if method == "elicitation/create" else None


def shows_forms(params: Object) -> bool:
    """Say whether the client says in `params`, of `initialize` or of any later revision, that it can show a form.

    An empty capability means forms; that is how they began.
    """
    declared = params.get("capabilities", meta_of(params).get(_CAPABILITIES_KEY))
    modes = declared.get("elicitation") if is_object(declared) else None
    return is_object(modes) and (not modes or "form" in modes)


def questions_in(body: Json) -> Object:
    """Return the schemas of all answers to the questions in a result, by question; empty where it asks nothing."""
    questions = body.get("inputRequests") if is_object(body) else None
    schemas: Object = {}
    for name, question in questions.items() if is_object(questions) else ():
        if is_object(question) and is_object(params := question.get("params")):
            schema = asks(str(question.get("method")), params)
            schemas |= {} if schema is None else {name: schema}
    return schemas


def answered(schemas: Object) -> Json:
    """Return the schema of arguments that bring answers to questions with these `schemas`."""
    return _holding("inputResponses", {"properties": schemas}) if schemas else None


def _holding(name: str, schema: Json) -> Json:
    """Return the schema of an object whose `name` is as `schema`, a document by itself, says; None where that is."""
    if schema is None:
        return None
    return {"properties": {name: {"$id": name, **schema} if isinstance(schema, dict) else schema}}


# how a request ended


def result_of(request: Request, response: Response, size_bytes: int, told: Raw = NOTHING) -> Result:
    """Return how `request` ended by the response to it, and what its handler `told` beside."""
    if response.error is not None:
        code = response.error.get("code")
        kind = f"jsonrpc:{code}" if isinstance(code, int) else "jsonrpc"
        return Result(status="failed", body=Raw(response.error), error_type=kind, size_bytes=size_bytes, told=told)
    body = response.result
    status = _status_of(body)
    return Result(
        status=status,
        body=Raw(body),
        error_type="tool_error" if status == "failed" else "",
        size_bytes=size_bytes,
        rounds=_asked(request, body) if status == "input_required" and is_object(body) else (),
        told=told,
    )


def _status_of(body: Json) -> Outcome:
    if not is_object(body):
        return "succeeded"
    if body.get("resultType") == "input_required":
        return "input_required"
    if body.get("isError") is True:
        return "failed"
    if body.get("resultType") == "task" or is_object(body.get("task")):
        return "accepted"
    return "succeeded"


def continues(request: Request) -> tuple[str, ...]:
    """Return the keys by which `request` may continue an earlier round of the same call.

    A server that asks for input hands out `requestState`, which the client brings back verbatim;
    without it, the questions asked, the method and the arguments must do.
    """
    state = request.params.get("requestState")
    if isinstance(state, str):
        return (_key("state", state),)
    answers = request.params.get("inputResponses")
    return (_question_key(request, answers),) if is_object(answers) else ()


def _asked(request: Request, body: Object) -> tuple[str, ...]:
    state, questions = body.get("requestState"), body.get("inputRequests")
    if isinstance(state, str):
        return (_key("state", state),)
    return (_question_key(request, questions),) if is_object(questions) else ()


def _question_key(request: Request, questions: Object) -> str:
    about = [request.method, name_of(request.method, request.params), request.params.get("arguments")]
    return _key("questions", json.dumps([*about, sorted(questions)], sort_keys=True))


def _key(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}:{text}".encode(errors="surrogatepass")).hexdigest()
