# SPDX-License-Identifier: Apache-2.0
"""A client that speaks raw messages to a server, and answers what that asks of it."""

import json
from pathlib import Path
from typing import Any

from tests.parity.wires import CANCELLED, LEGACY, MODERN, Wire

CAPABILITIES = {"elicitation": {}, "sampling": {}}
CLIENT = {"name": "parity-client", "version": "7"}

ANSWERS = {
    "elicitation/create": {"action": "accept", "content": {"name": "ann"}},
    "sampling/createMessage": {
        "role": "assistant",
        "content": {"type": "text", "text": "thought"},
        "model": "model-1",
    },
}
YES, NO = ({"action": "accept", "content": {"approve": given}} for given in (True, False))


class Talk:
    """One connection to a server. `home` is that of its record.

    `confirms` is what the person behind the client says where it is asked to approve a call; with None nobody is there:
    up to 2025-11-25 nothing is answered, and later no form is said to be shown.
    """

    def __init__(self, wire: Wire, era: str, home: Path) -> None:
        self.era = era
        self.home = home
        self.confirms: dict[str, Any] | None = YES
        self.heard: list[Any] = []
        self.asked = 0
        self._wire = wire

    def open(self) -> None:
        """Say hello, as the era has it, and list the tools."""
        if self.era == LEGACY:
            self.ask("initialize", protocolVersion=LEGACY, capabilities=CAPABILITIES, clientInfo=CLIENT)
            self.tell("notifications/initialized")
        self.ask("tools/list")

    def send(self, line: bytes) -> None:
        """Send a line."""
        self._wire.send(line)

    def tell(self, method: str, **params: Any) -> None:
        """Send a notification."""
        self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    def begin(self, method: str, **params: Any) -> int:
        """Send a request, and return its id, which is the number of requests so far."""
        self.asked += 1
        message = {"jsonrpc": "2.0", "id": self.asked, "method": method, "params": self._about(params)}
        self.send(json.dumps(message).encode())
        return self.asked

    def _about(self, params: dict[str, Any]) -> dict[str, Any]:
        if self.era != MODERN:
            return params
        shown = CAPABILITIES if self.confirms is not None else {"sampling": {}}
        about = {"protocolVersion": MODERN, "clientCapabilities": shown, "clientInfo": CLIENT}
        named = {f"io.modelcontextprotocol/{name}": value for name, value in about.items()}
        return {**params, "_meta": {**named, **params.get("_meta", {})}}

    def receive(self) -> Any:
        """Return the next message, None where no more comes."""
        line = self._wire.receive()
        return json.loads(line) if line else None

    def answer_to(self, request_id: int | None) -> Any:
        """Return the answer to a request; what is asked meanwhile is answered, and all of it is kept in `heard`."""
        while (message := self.receive()) is not None:
            self.heard.append(message)
            if message.get("id") == request_id and "method" not in message:
                return message
            if "method" in message and "id" in message and (said := self._said(message)) is not None:
                self.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": said}).encode())
        raise AssertionError(f"request {request_id} was not answered: {self.errors}")

    def hear_of(self, method: str) -> None:
        """Wait for a notification, which is kept in `heard`."""
        while (message := self.receive()) is not None:
            self.heard.append(message)
            if message.get("method") == method:
                return
        raise AssertionError(f"{method} was not heard: {self.errors}")

    def _said(self, message: Any) -> Any:
        if str(message["params"].get("message", "")).startswith("OnRecord asks"):
            return self.confirms
        return ANSWERS[message["method"]]

    def ask(self, method: str, **params: Any) -> Any:
        """Send a request, and return its answer."""
        return self.answer_to(self.begin(method, **params))

    def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool, and answer what is asked about that in a result."""
        answer = self.ask("tools/call", name=tool, arguments=arguments)
        result = answer.get("result", {})
        if result.get("resultType") != "input_required":
            return answer
        again: dict[str, Any] = {
            "inputResponses": {name: self._said(question) for name, question in result["inputRequests"].items()}
        }
        if "requestState" in result:
            again["requestState"] = result["requestState"]
        return self.ask("tools/call", name=tool, arguments=arguments, **again)

    def give_up(self, request_id: int, reason: str) -> None:
        """Say that a request needs no answer."""
        self.tell(CANCELLED, requestId=request_id, reason=reason)

    def taken(self) -> list[Any]:
        """Return what was heard since this was last asked."""
        heard, self.heard = self.heard, []
        return heard

    def end(self) -> list[Any]:
        """Close the connection, wait until the server has said all, and return what was heard since `taken`."""
        self._wire.close()
        while (message := self.receive()) is not None:
            self.heard.append(message)
        return self.taken()

    @property
    def errors(self) -> str:
        """What the server wrote to standard error."""
        return self._wire.errors

    def kill(self) -> None:
        """End the connection at once, and the server where it was started for it."""
        self._wire.kill()
