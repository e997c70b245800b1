# SPDX-License-Identifier: Apache-2.0
"""Streamable HTTP on one side, a server on standard input and output on the other; for tests, on this machine only.

    python -m tests.conformance.bridge [--tally FILE] -- COMMAND…

It prints its port. A session of the revisions up to 2025-11-25 has a process of its own; all requests of 2026-07-28,
which has no sessions, share one. In what passes only the ids of requests and the tokens of progress change, since
clients that don't know of each other share a process. `--tally` has a line for each request that goes to a process.
"""

import argparse
import asyncio
import json
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import uvicorn
from mcp.shared.inbound import ERROR_CODE_HTTP_STATUS, InboundLadderRejection, classify_inbound_request
from mcp_types import HEADER_MISMATCH, INVALID_PARAMS, METHOD_NOT_FOUND, PARSE_ERROR, PROTOCOL_VERSION_META_KEY
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
LINE = 1 << 24  # bytes
KEPT = 3  # sessions that nobody listens to any more, before the oldest ends
ENDING_S = 10.0
HERE = ("127.0.0.1", "localhost", "[::1]")

Message = dict[str, Any]


@dataclass(eq=False)
class Open:
    """A request that is not answered yet: what its client called it, and where the answer goes."""

    id: Any
    method: str
    token: Any
    answers: "asyncio.Queue[Message | None]" = field(default_factory=asyncio.Queue)


class Child:
    """One process of the server."""

    def __init__(self, process: Process, tally: str | None) -> None:
        self._process = process
        self._tally = tally
        self._last = 0
        self._open: dict[int, Open] = {}
        self.loose: asyncio.Queue[Message | None] = asyncio.Queue()
        self.listeners = 0
        self._reading = asyncio.create_task(self._read())

    @property
    def idle(self) -> bool:
        """Whether nobody waits for anything that this process could still say."""
        return not self._open and not self.listeners

    def send(self, message: Message) -> None:
        """Hand a message that wants no answer on."""
        if message.get("method") == "notifications/cancelled":
            params = message["params"]
            known = [number for number, one in self._open.items() if one.id == params.get("requestId")]
            message = {**message, "params": {**params, "requestId": known[-1] if known else 0}}
        self._write(message)

    def ask(self, message: Message) -> Open:
        """Hand a request on."""
        self._last += 1
        params = message.get("params")
        meta: Any = params.get("_meta") if isinstance(params, dict) else None
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        if token is not None:
            message = {**message, "params": {**message["params"], "_meta": {**meta, "progressToken": self._last}}}
        self._open[self._last] = Open(message["id"], message["method"], token)
        self._count(message)
        self._write({**message, "id": self._last})
        return self._open[self._last]

    def cancel(self, one: Open) -> None:
        """Say that nobody waits for an answer any more, where it has not come yet."""
        for number in [number for number, other in self._open.items() if other is one]:
            self._write({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})

    async def end(self) -> None:
        """End the process, as a client does: by the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), ENDING_S)
        except TimeoutError:
            self._process.kill()
        await self._reading

    def _write(self, message: Message) -> None:
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._take(json.loads(line))
        for one in [*self._open.values()]:
            one.answers.put_nowait(None)
        self.loose.put_nowait(None)

    def _take(self, message: Message) -> None:
        """Hand what the server said to whom it is for."""
        if "method" not in message:
            one = self._open.pop(message["id"], None)
            if one is not None:
                one.answers.put_nowait({**message, "id": one.id})
            return
        if "id" in message:
            self._count(message, "out")
        params = message.get("params") or {}
        if message["method"] == "notifications/progress":
            one = self._open.get(params["progressToken"])
            message = {**message, "params": {**params, "progressToken": one.token if one else None}}
        elif (subscription := (params.get("_meta") or {}).get(SUBSCRIPTION)) is not None:
            one = self._open.get(subscription)
            meta = {**params["_meta"], SUBSCRIPTION: one.id if one else None}
            message = {**message, "params": {**params, "_meta": meta}}
        else:
            asking = [one for one in self._open.values() if one.method != "subscriptions/listen"]
            one = asking[0] if len(asking) == 1 else None
        (self.loose if one is None else one.answers).put_nowait(message)

    def _count(self, message: Message, way: str = "in") -> None:
        if self._tally:
            about = message.get("params") or {}
            line = {"way": way, "method": message["method"], "name": about.get("name", about.get("uri", ""))}
            with open(self._tally, "a") as file:
                file.write(json.dumps(line) + "\n")


class Bridge:
    """The HTTP side."""

    def __init__(self, command: list[str], tally: str | None) -> None:
        self._command = command
        self._tally = tally
        self._sessions: dict[str, Child] = {}
        self._shared: asyncio.Task[Child] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def serve(self, request: Request) -> Response:
        """Answer one HTTP request."""
        if not _from_here(request):
            return Response("Host or Origin is not of this machine", status_code=403)
        session = request.headers.get("mcp-session-id")
        if request.method == "GET":
            child = self._sessions.get(session or "")
            return Response(status_code=405) if child is None else _stream(_heard(child))
        if request.method == "DELETE":
            return Response(status_code=200 if self._end(session or "") else 404)
        try:
            message = json.loads(await request.body())
        except ValueError:
            return _refused(None, PARSE_ERROR, "not JSON")
        if not isinstance(message, dict):
            return _refused(None, PARSE_ERROR, "not one message")
        version = request.headers.get("mcp-protocol-version", HANDSHAKE_PROTOCOL_VERSIONS[-1])
        named = isinstance(params := message.get("params"), dict) and PROTOCOL_VERSION_META_KEY in (
            params.get("_meta") or {}
        )
        if version not in HANDSHAKE_PROTOCOL_VERSIONS or named:
            return await self._modern(request, message)
        return await self._legacy(message, session)

    async def _legacy(self, message: Message, session: str | None) -> Response:
        headers: dict[str, str] = {}
        if message.get("method") == "initialize":
            self._end_idle()
            session = uuid4().hex
            self._sessions[session] = await self._start()
            headers["mcp-session-id"] = session
        child = self._sessions.get(session or "")
        if child is None:
            return Response(status_code=404 if session else 400)
        if "method" not in message or "id" not in message:
            child.send(message)
            return Response(status_code=202)
        return _stream(_answers(child, child.ask(message), cancels=False), headers)

    async def _modern(self, request: Request, message: Message) -> Response:
        if self._shared is None:
            self._shared = asyncio.create_task(self._start())
        if "id" not in message:
            (await self._shared).send(message)
            return Response(status_code=202)
        route = classify_inbound_request(message, headers=request.headers)
        if isinstance(route, InboundLadderRejection) and route.code in (INVALID_PARAMS, HEADER_MISMATCH):
            return _refused(
                message["id"], route.code, route.message
            )  # what is HTTP's own, and no matter of the process
        if message.get("method") == "initialize":
            return _refused(message["id"], METHOD_NOT_FOUND, "there is no handshake in this revision")
        child = await self._shared
        one = child.ask(message)
        first, gone = asyncio.create_task(one.answers.get()), asyncio.create_task(_gone(request))
        await asyncio.wait((first, gone), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not first.done():
            first.cancel()
            child.cancel(one)
            return Response(status_code=499)
        answer = first.result()
        if answer is not None and "method" in answer:
            return _stream(_answers(child, one, cancels=True, first=answer))
        return JSONResponse(answer, 502 if answer is None else _status(answer.get("error", {}).get("code")))

    async def _start(self) -> Child:
        process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE, limit=LINE)
        return Child(process, self._tally)

    def _end(self, session: str) -> bool:
        child = self._sessions.pop(session, None)
        if child is not None:
            task = asyncio.create_task(child.end())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        return child is not None

    def _end_idle(self) -> None:
        for session in [session for session, child in self._sessions.items() if child.idle][:-KEPT]:
            self._end(session)

    @asynccontextmanager
    async def living(self, _app: Starlette) -> AsyncIterator[None]:
        """End all processes with the bridge."""
        yield
        for session in [*self._sessions]:
            self._end(session)
        if self._shared is not None:
            await (await self._shared).end()
        await asyncio.gather(*self._ending)


def _from_here(request: Request) -> bool:
    hosts = [request.headers.get("host", ""), request.headers.get("origin", "").partition("://")[2]]
    return all(not host or host.rpartition(":")[0] in HERE or host in HERE for host in hosts)


def _status(code: Any) -> int:
    """Return the status of an answer with this code of an error; None where it has none."""
    return ERROR_CODE_HTTP_STATUS.get(code, 200)


def _refused(request_id: Any, code: int, why: str) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": why}}, _status(code))


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _stream(events: AsyncIterator[bytes], headers: dict[str, str] | None = None) -> Response:
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def _event(message: Message) -> bytes:
    return b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n"


async def _answers(child: Child, one: Open, *, cancels: bool, first: Message | None = None) -> AsyncIterator[bytes]:
    """Give what is said until the answer. A client that leaves cancels, from 2026-07-28 on."""
    try:
        message = first or await one.answers.get()
        while message is not None:
            yield _event(message)
            if "method" not in message:
                return
            message = await one.answers.get()
    finally:
        if cancels:
            child.cancel(one)


async def _heard(child: Child) -> AsyncIterator[bytes]:
    child.listeners += 1
    try:
        yield b": listening\n\n"
        while (message := await child.loose.get()) is not None:
            yield _event(message)
    finally:
        child.listeners -= 1


def main() -> None:
    """Serve until somebody ends it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tally")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    bridge = Bridge(given.command, given.tally)
    app = Starlette(routes=[Route("/mcp", bridge.serve, methods=["GET", "POST", "DELETE"])], lifespan=bridge.living)
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(settings).run(sockets=[listening])


if __name__ == "__main__":
    sys.exit(main())
