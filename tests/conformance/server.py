# SPDX-License-Identifier: Apache-2.0
"""A server on the official SDK that has all that the conformance suite asks for, for the revisions since 2025-06-18.

`server.py` speaks on standard input and output; `server.py http` on a free port of this machine, which it prints.
`server.py forks SOCKET` does the former for each `forked.py SOCKET`, in a process of its own that has all imported.
Where `CONFORMANCE_TALLY` names a file, each request that comes is a line there, and so is each request that goes out.
Where `CONFORMANCE_INSTRUMENT` is set, it puts itself on the record.
"""

import json
import os
import signal
import socket
import sys
import warnings
from typing import Any, get_args

import anyio
import mcp_types as types
import uvicorn
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from tests.conformance.offers import (
    CAPABILITY,
    CHOICES,
    DEFAULTS,
    PROMPT_ASKS,
    PROMPTS,
    RESOURCES,
    STRING,
    TEMPLATE,
    TOOLS,
    Offer,
    Wire,
    ask_model,
    ask_person,
    form,
    prompt_of,
    text,
)

import onrecord

warnings.simplefilter("ignore", MCPDeprecationWarning)  # the suite asks for what is deprecated, too

TALLY = os.environ.get("CONFORMANCE_TALLY")
STEP_S = 0.05  # between two notices of one call
NOT_FOUND_ONCE = -32002  # what a resource that is not there was answered with up to 2025-11-25

bus = InMemorySubscriptionBus()


def tally(way: str, method: str, params: Any) -> None:
    """Note that a request came `in`, or went `out`."""
    if TALLY:
        about = params or {}
        line = {"way": way, "method": method, "name": about.get("name", about.get("uri", ""))}
        with open(TALLY, "a") as file:
            file.write(json.dumps(line) + "\n")


async def counted(ctx: Any, call_next: Any) -> Any:
    """Note each request that comes; a middleware."""
    if ctx.request_id is not None:
        tally("in", ctx.method, ctx.params)
    return await call_next(ctx)


def modern(ctx: Any) -> bool:
    """Say whether a request is of a revision without sessions."""
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


# asking, by rounds


def good(question: Wire, answer: Any) -> bool:
    """Say whether an answer is one to this question."""
    if not isinstance(answer, dict):
        return False
    if question["method"] != "elicitation/create":
        return True
    content = answer.get("content")
    return answer.get("action") == "accept" and isinstance(content, dict) and set(form_fields(question)) <= set(content)


def form_fields(question: Wire) -> list[str]:
    """Return the fields of a form that must be filled in."""
    return question["params"]["requestedSchema"].get("required", [])


def rounds(ctx: Any, offer: Offer, params: Any) -> Wire:
    """Return the next questions of a tool, or what it says once all are answered."""
    at = int(params.request_state or 0)
    questions = {
        name: question
        for name, question in offer.rounds[at].items()
        if getattr(ctx.session.client_capabilities, CAPABILITY[question["method"]], None) is not None
    }
    answers = (ctx.params or {}).get("inputResponses")
    answers = answers if isinstance(answers, dict) else {}
    if not all(good(question, answers.get(name)) for name, question in questions.items()):
        return asked(questions, at if offer.state else None)
    if at + 1 < len(offer.rounds):
        return asked(offer.rounds[at + 1], at + 1)
    return {"content": [text(offer.says([answers[name] for name in questions]))]}


def asked(questions: dict[str, Wire], state: int | None) -> Wire:
    """Return the result that asks the client."""
    result: Wire = {"resultType": "input_required", "inputRequests": questions}
    return result if state is None else {**result, "requestState": str(state)}


# tools that do something while they are called


async def log_thrice(ctx: Any, _arguments: Wire) -> str:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", said, related_request_id=ctx.request_id)
        await anyio.sleep(STEP_S)
    return "logged"


async def tell_progress(ctx: Any, _arguments: Wire) -> str:
    for progress in (0, 50, 100):
        await ctx.session.report_progress(progress, 100)
        await anyio.sleep(STEP_S)
    return "done"


async def sample(ctx: Any, arguments: Wire) -> str:
    question = ask_model(arguments["prompt"])
    tally("out", question["method"], {})
    message = types.SamplingMessage.model_validate(question["params"]["messages"][0])
    answer = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {answer.content.text}"


async def elicit(ctx: Any, arguments: Wire) -> str:
    return await ask_by_form(ctx, arguments["message"], username=STRING, email=STRING)


async def elicit_defaults(ctx: Any, _arguments: Wire) -> str:
    return await ask_by_form(ctx, "Please say who you are", **DEFAULTS)


async def elicit_choices(ctx: Any, _arguments: Wire) -> str:
    return await ask_by_form(ctx, "Please choose", **CHOICES)


async def ask_by_form(ctx: Any, message: str, **properties: Wire) -> str:
    question = ask_person(message, **properties)
    tally("out", question["method"], {})
    answer = await ctx.session.elicit_form(message, form(**properties), related_request_id=ctx.request_id)
    return f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}"


async def reconnect(ctx: Any, _arguments: Wire) -> str:
    if ctx.close_sse_stream is not None:
        await ctx.close_sse_stream()
        await anyio.sleep(4 * STEP_S)
    return "Reconnection test completed"


async def need_sampling(ctx: Any, _arguments: Wire) -> str:
    if getattr(ctx.session.client_capabilities, "sampling", None) is None:
        data = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "this tool needs sampling", data)
    return "sampling is there"


async def change_tools(ctx: Any, _arguments: Wire) -> str:
    await (bus.publish(ToolsListChanged()) if modern(ctx) else ctx.session.send_tool_list_changed())
    return "changed"


async def change_prompts(ctx: Any, _arguments: Wire) -> str:
    await (bus.publish(PromptsListChanged()) if modern(ctx) else ctx.session.send_prompt_list_changed())
    return "changed"


DOING: dict[str, tuple[Any, str, Wire]] = {
    "test_tool_with_logging": (log_thrice, "Logs while it works.", {}),
    "test_logging_tool": (log_thrice, "Logs while it works, where the client wants that.", {}),
    "test_tool_with_progress": (tell_progress, "Tells how far it is.", {}),
    "test_sampling": (sample, "Asks the client's model.", {"prompt": STRING}),
    "test_elicitation": (elicit, "Asks a person.", {"message": STRING}),
    "test_elicitation_sep1034_defaults": (elicit_defaults, "Asks a person, with defaults.", {}),
    "test_elicitation_sep1330_enums": (elicit_choices, "Asks a person to choose.", {}),
    "test_reconnection": (reconnect, "Closes its stream before it answers.", {}),
    "test_missing_capability": (need_sampling, "Needs sampling.", {}),
    "test_trigger_tool_change": (change_tools, "Says that the tools are others now.", {}),
    "test_trigger_prompt_change": (change_prompts, "Says that the prompts are others now.", {}),
}
SCHEMAS = {name: offer.schema for name, offer in TOOLS.items()} | {
    name: form(**properties) for name, (_do, _description, properties) in DOING.items()
}
DESCRIPTIONS = {name: offer.description for name, offer in TOOLS.items()} | {
    name: description for name, (_do, description, _properties) in DOING.items()
}


# requests


async def list_tools(ctx: Any, params: Any) -> Wire:
    return {
        "tools": [
            {"name": name, "description": DESCRIPTIONS[name], "inputSchema": schema} for name, schema in SCHEMAS.items()
        ]
    }


async def call_tool(ctx: Any, params: Any) -> Wire:
    if params.name in DOING:
        do = DOING[params.name][0]
        return {"content": [text(await do(ctx, params.arguments or {}))]}
    offer = TOOLS.get(params.name)
    if offer is None:
        raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name!r}")
    if offer.rounds:
        return rounds(ctx, offer, params)
    return {"content": list(offer.content), **({"isError": True} if offer.error else {})}


async def list_resources(ctx: Any, params: Any) -> Wire:
    return {
        "resources": [
            {"uri": uri, "name": uri.removeprefix("test://"), "description": "A resource.", "mimeType": at["mimeType"]}
            for uri, at in RESOURCES.items()
        ]
    }


async def list_templates(ctx: Any, params: Any) -> Wire:
    about = {"name": "data", "description": "Data by its id.", "mimeType": "application/json"}
    return {"resourceTemplates": [{"uriTemplate": TEMPLATE, **about}]}


async def read_resource(ctx: Any, params: Any) -> Wire:
    uri = str(params.uri)
    before, after = TEMPLATE.split("{id}")
    if uri.startswith(before) and uri.endswith(after):
        found = uri.removeprefix(before).removesuffix(after)
        data = {"id": found, "templateTest": True, "data": f"Data for ID: {found}"}
        return {"contents": [{"uri": uri, "mimeType": "application/json", "text": json.dumps(data)}]}
    if uri not in RESOURCES:
        raise MCPError(types.INVALID_PARAMS if modern(ctx) else NOT_FOUND_ONCE, "Resource not found", {"uri": uri})
    return {"contents": [{"uri": uri, **RESOURCES[uri]}]}


async def list_prompts(ctx: Any, params: Any) -> Wire:
    return {
        "prompts": [
            {
                "name": name,
                "description": "A prompt.",
                "arguments": [
                    {"name": argument, "description": "An argument.", "required": True} for argument in needs
                ],
            }
            for name, needs in PROMPTS.items()
        ]
    }


async def get_prompt(ctx: Any, params: Any) -> Wire:
    arguments = params.arguments or {}
    if params.name not in PROMPTS or not set(PROMPTS[params.name]) <= set(arguments):
        raise MCPError(types.INVALID_PARAMS, f"there is no prompt {params.name!r} with these arguments")
    if params.name == "test_input_required_result_prompt":
        answer: Any = ((ctx.params or {}).get("inputResponses") or {}).get("user_context")
        if not good(PROMPT_ASKS["user_context"], answer):
            return asked(PROMPT_ASKS, None)
        said = [text(f"In the context of {answer['content']['context']}:")]
    else:
        said = prompt_of(params.name, arguments)
    return {"messages": [{"role": "user", "content": content} for content in said]}


async def complete(ctx: Any, params: Any) -> Wire:
    values = [value for value in ("paris", "park", "party") if value.startswith(params.argument.value)]
    return {"completion": {"values": values, "total": len(values), "hasMore": False}}


async def done(ctx: Any, params: Any) -> Any:
    return {}


def whole(handle: Any) -> Any:
    """Return `handle` with results that say, where a revision has that, that they are whole."""

    async def answer(ctx: Any, params: Any) -> Wire:
        result = await handle(ctx, params)
        return {"resultType": "complete", **result} if modern(ctx) else result

    return answer


def make() -> Server:
    """Return the server."""
    cached: tuple[CacheableMethod, ...] = get_args(CacheableMethod)
    server = Server(
        "conformance",
        version="1.0.0",
        cache_hints={method: CacheHint() for method in cached},
        get_tool_input_schema=SCHEMAS.get,
        on_list_tools=whole(list_tools),
        on_call_tool=whole(call_tool),
        on_list_resources=whole(list_resources),
        on_list_resource_templates=whole(list_templates),
        on_read_resource=whole(read_resource),
        on_subscribe_resource=done,
        on_unsubscribe_resource=done,
        on_subscriptions_listen=ListenHandler(bus),
        on_list_prompts=whole(list_prompts),
        on_get_prompt=whole(get_prompt),
        on_completion=whole(complete),
        on_set_logging_level=done,
    )
    server.middleware.insert(0, counted)
    if os.environ.get("CONFORMANCE_INSTRUMENT"):
        onrecord.instrument(server)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience="conformance"))
    return server


class Kept(EventStore):
    """What was sent, for clients that come back for it."""

    def __init__(self) -> None:
        self._sent: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self._sent.append((stream_id, message))
        return str(len(self._sent))

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        at = int(last_event_id)
        stream = self._sent[at - 1][0]
        for number, (of, message) in enumerate(self._sent[at:], at + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


async def on_stdio() -> None:
    server = make()
    options = server.create_initialization_options(NotificationOptions(prompts_changed=True, tools_changed=True))
    async with stdio_server() as (read, write):
        await server.run(read, write, options)


def on_http() -> None:
    app = make().streamable_http_app(event_store=Kept(), retry_interval=100)
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


def on_forks(path: str) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    print(path, flush=True)
    while True:
        connection, _ = listening.accept()
        _, streams, _, _ = socket.recv_fds(connection, 1, 3)
        if os.fork() == 0:
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            return anyio.run(on_stdio)
        for stream in (*streams, connection.detach()):
            os.close(stream)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["http"]:
            on_http()
        case ["forks", path]:
            on_forks(path)
        case _:
            anyio.run(on_stdio)
