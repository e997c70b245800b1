# SPDX-License-Identifier: Apache-2.0
"""A client that speaks raw lines to a server over standard input and output, and answers what that asks of it."""

import contextlib
import json
import queue
import subprocess
import threading
from typing import Any

LEGACY, MODERN = "2025-11-25", "2026-07-28"
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
    """One connection to a server that is started for it."""

    def __init__(self, command: list[str], env: dict[str, str], era: str) -> None:
        self.era = era
        self.confirms = YES
        self.heard: list[Any] = []
        self._next = 0
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._errors: list[bytes] = []
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(b"")

    def _read_errors(self) -> None:
        assert self._child.stderr is not None
        with self._child.stderr as lines:
            self._errors.extend(lines)

    def open(self) -> None:
        """Say hello, as the era has it, and list the tools."""
        if self.era == LEGACY:
            self.ask("initialize", protocolVersion=LEGACY, capabilities=CAPABILITIES, clientInfo=CLIENT)
            self.tell("notifications/initialized")
        self.ask("tools/list")

    def send(self, line: bytes) -> None:
        """Send a line."""
        assert self._child.stdin is not None
        self._child.stdin.write(line + b"\n")
        self._child.stdin.flush()

    def tell(self, method: str, **params: Any) -> None:
        """Send a notification."""
        self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    def begin(self, method: str, **params: Any) -> int:
        """Send a request, and return its id."""
        self._next += 1
        if self.era == MODERN:
            about = {"protocolVersion": MODERN, "clientCapabilities": CAPABILITIES, "clientInfo": CLIENT}
            named = {f"io.modelcontextprotocol/{name}": value for name, value in about.items()}
            params = {**params, "_meta": {**named, **params.get("_meta", {})}}
        message = {"jsonrpc": "2.0", "id": self._next, "method": method, "params": params}
        self.send(json.dumps(message).encode())
        return self._next

    def receive(self) -> Any:
        """Return the next message, None where no more comes."""
        line = self._lines.get(timeout=120)
        return json.loads(line) if line else None

    def answer_to(self, request_id: int | None) -> Any:
        """Return the answer to a request; what is asked meanwhile is answered, and all of it is kept in `heard`."""
        while (message := self.receive()) is not None:
            self.heard.append(message)
            if message.get("id") == request_id and "method" not in message:
                return message
            if "method" in message and "id" in message:
                self.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": self._said(message)}).encode())
        raise AssertionError(self.errors)

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
        back = {name: self._said(question) for name, question in result["inputRequests"].items()}
        again = {"inputResponses": back, "requestState": result["requestState"]}
        return self.ask("tools/call", name=tool, arguments=arguments, **again)

    def taken(self) -> list[Any]:
        """Return what was heard since this was last asked."""
        heard, self.heard = self.heard, []
        return heard

    def end(self) -> list[Any]:
        """Close the connection, wait until the server has ended, and return what was heard since `taken`."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        while (message := self.receive()) is not None:
            self.heard.append(message)
        for thread in self._threads:
            thread.join(10)
        return self.taken()

    @property
    def errors(self) -> str:
        """What the server wrote to standard error."""
        return b"".join(self._errors).decode()

    def kill(self) -> None:
        """End the server at once."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        if self._child.stdin is not None and not self._child.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.close()
        for thread in self._threads:
            thread.join(10)
