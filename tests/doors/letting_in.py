# SPDX-License-Identifier: Apache-2.0
"""A server of HTTP that lets requests in as the gateway does, and answers with who was let in."""

import http.client
import json
import socket
import threading
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from tests.doors.session import record
from tests.identity.issuing import ISSUER, claims, signed

from onrecord.config import build_recorder
from onrecord.doors.http_access import Document, Entry, Head
from onrecord.doors.http_telling import Refusals
from onrecord.gateways import build_access
from onrecord.ledger.place import Home
from onrecord.settings import load

FILES = '[[upstream]]\nname = "files"\nurl = "https://files.example/mcp"\n'


class Door:
    """One gateway without anything behind it. `inside` is each sender that was let in."""

    def __init__(self, home, settings, environ=None):
        self.home = home
        home.mkdir(exist_ok=True, parents=True)
        (home / "onrecord.toml").write_text(settings)
        place = Home(home)
        self.loaded = load(place)
        self.recorder, _ = build_recorder(place, self.loaded, lambda _: None, environ or {})
        self.refusals = Refusals(self.recorder)
        self.inside = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.access = build_access(self.loaded, self.recorder.guard, port=self.port)
        config = uvicorn.Config(
            self.app,
            log_level="critical",
            interface="asgi3",
            lifespan="off",
            access_log=False,
            http="h11",
            proxy_headers=False,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    async def app(self, scope, receive, send):
        head = Head(
            method=scope["method"],
            path=scope["raw_path"],
            fields=scope["headers"],
            query=scope["query_string"],
            peer=scope["client"][0],
        )
        found = await self.access.admit(head)
        if isinstance(found, Entry):
            self.inside.append(found.sender)
            actor = found.sender.actor
            said = {"in": found.place.server_id, "source": actor.identity_source, "user": actor.user_id}
            status, fields, body = 200, [], json.dumps(said).encode()
        else:
            status, fields, body = found.status, found.fields, found.body
            if not isinstance(found, Document):
                self.refusals.turned_away(found, head.peer)
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*fields, length]})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method="POST", path="/files", *, host=None, token=None, fields=()) -> tuple[int, Any, Any]:
        """Return the status, the fields and the object of the answer to a request; `fields` may repeat a name."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if host != "":
                connection.putheader("Host", host or f"127.0.0.1:{self.port}")
            if token is not None:
                connection.putheader("Authorization", f"Bearer {token}")
            for name, value in fields:
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            body: Any = answer.read()
            with suppress(ValueError):
                body = json.loads(body)
            return answer.status, answer.headers, body
        finally:
            connection.close()

    @property
    def identity(self) -> Any:
        """What verifies tokens here."""
        return self.recorder.guard.identity

    def token(self, *, path="/files", header=None, algorithm="ES256", key=None, **more):
        """Return an access token for what is at `path`."""
        about = {"aud": self.base + path, "scope": "mcp", **more}
        return signed(claims(**about), algorithm, key, **{"typ": "at+jwt", **(header or {})})

    def events(self):
        """Return what was recorded of requests, once all of it is written; nothing is recorded from then on."""
        self.refusals.close()
        self.recorder.stop("of a test", 0)
        return [e for e in record(self.home) if e.get("transport") == "http"]


@contextmanager
def opened(home, keys, *more, upstream=FILES, issuer=ISSUER):
    """Yield a door in front of the server `files`; the issuer's keys are at `keys`, where there is one."""
    identity = f'[identity]\nissuer = "{issuer}"\njwks = "{keys}"\n' if keys else ""
    door = Door(home, "\n".join([identity, *more, upstream]))
    door.thread.start()
    try:
        while not door.server.started:
            assert door.thread.is_alive()
        yield door
    finally:
        door.server.should_exit = True
        door.thread.join()
        door.socket.close()
