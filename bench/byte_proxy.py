# SPDX-License-Identifier: Apache-2.0
"""A reverse proxy that hands bytes on and reads none of them, in the gateway's own stack: what a gateway is beside.

BENCH_UPSTREAM=http://127.0.0.1:PORT uvicorn bench.byte_proxy:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host"})


async def hand_on(request: Request) -> StreamingResponse:
    """Send a request on, and its answer back as it comes."""
    client: httpx2.AsyncClient = request.app.state.client
    onward = client.build_request(
        request.method,
        os.environ["BENCH_UPSTREAM"],
        headers=[(name, value) for name, value in request.headers.raw if name.decode() not in _HOP],
        content=await request.body(),
    )
    answer = await client.send(onward, stream=True)

    async def body() -> AsyncIterator[bytes]:
        try:
            async for part in answer.aiter_raw():
                yield part
        finally:
            await answer.aclose()

    headers = {name: value for name, value in answer.headers.items() if name not in _HOP}
    return StreamingResponse(body(), answer.status_code, headers)


@asynccontextmanager
async def _client(app: Starlette) -> AsyncIterator[None]:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=1_000, keepalive_expiry=3)  # as the gateway
    async with httpx2.AsyncClient(limits=limits, timeout=None) as client:
        app.state.client = client
        yield


app = Starlette(routes=[Route("/{path:path}", hand_on, methods=["GET", "POST", "DELETE"])], lifespan=_client)
