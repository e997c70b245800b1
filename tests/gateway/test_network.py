# SPDX-License-Identifier: Apache-2.0
"""The way to a server: what counts as its word, and what is left of it."""

import asyncio
import gc
import socket
import ssl
import threading
from contextlib import suppress

import httpcore2
import pytest
from tests.doors.self_signed import self_signed

from onrecord.doors.gateway.network import Network

FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


def test_what_somebody_says_before_tls_is_no_answer_of_the_server(tmp_path):
    certificate = self_signed(tmp_path)
    shows = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shows.load_cert_chain(certificate)
    trusts = ssl.create_default_context(cafile=str(certificate))

    said = threading.Event()

    def serve():
        connection, _ = listening.accept()
        with connection:
            connection.sendall(FORGED)
            said.set()
            try:
                shows.wrap_socket(connection, server_side=True).recv(1)
            except OSError:
                return

    async def heard():
        stream = await Network().connect_tcp("127.0.0.1", listening.getsockname()[1], 60)
        assert await asyncio.to_thread(said.wait, 60)
        await asyncio.sleep(0.2)  # until it is read
        secure = await stream.start_tls(trusts, "127.0.0.1", 60)
        return await secure.read(100, 1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(httpcore2.ConnectError, match="before TLS"):
            asyncio.run(heard())
        serving.join()


def test_no_connection_is_left_open_of_whoever_gives_up_while_it_is_made():
    serving = []

    async def serve(reader, writer):
        serving.append(asyncio.current_task())
        with suppress(OSError):
            await reader.read()
        writer.close()

    async def give_up(port, turns):
        opening = asyncio.create_task(Network().connect_tcp("127.0.0.1", port, 60))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await (await opening).aclose()

    async def run():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            for turns in range(40):
                await give_up(server.sockets[0].getsockname()[1], turns)
                await asyncio.sleep(0.01)
            async with asyncio.timeout(60):
                await asyncio.gather(*serving)
        assert len(serving) > 20

    gc.disable()  # which would close a lost socket at some time
    try:
        asyncio.run(run())
    finally:
        gc.enable()
