# SPDX-License-Identifier: Apache-2.0
"""A server at a URL that lists tools, well or badly, as its mode says; it uses nothing of ours."""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODERN = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete"}
TOKEN = "made-up-" + "token"
ABOUT = {"io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"}


class Listing:
    """A running server. `asked` are the requests that came: verb, path, headers, and the message."""

    def __init__(self, mode, tools=({"name": "one"},), certificate=None):
        self.mode, self.tools, self.asked = mode, list(tools), []
        listing = self
        self.ended = threading.Event()

        class Handler(_Handler):
            of = listing

        self.http = _Server(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
            scheme = "https"
        self.host = f"127.0.0.1:{self.http.server_address[1]}"
        self.url = f"{scheme}://{self.host}/mcp"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.http.shutdown()
        self.http.server_close()

    def methods(self):
        return [message.get("method", "an answer") if message else verb for verb, _, _, message in self.asked]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # a client that goes away


class _Handler(BaseHTTPRequestHandler):
    of: Listing

    def log_message(self, format, *args):  # noqa: A002  # its name there
        pass

    def do_DELETE(self):
        self.of.asked.append(("DELETE", self.path, self.headers, None))
        self.end(204)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = json.loads(body)
        self.of.asked.append(("POST", self.path, self.headers, message))
        if self.of.mode == "token":
            mode = "spoken" if self.headers["Authorization"] == f"Bearer {TOKEN}" else "401"
        else:
            mode = self.of.mode
        badly = getattr(self, f"be_{mode.replace('-', '_')}", None)
        if mode.isdigit():
            self.end(int(mode))
        elif badly is not None:
            badly()
        elif "method" in message:
            self.speak(message["method"], message)
        else:
            self.end(202)

    def be_silent(self):
        self.of.ended.wait(10)

    def be_hangs_up(self):
        self.close_connection = True

    def be_drips(self):
        self.start(200, "text/event-stream")
        while not self.of.ended.wait(0.05):
            self.wfile.write(b": still here\n\n")

    def be_no_http(self):
        self.wfile.write(b"220 mail.example ready\r\n")

    def be_redirects(self):
        self.end(307, "text/plain", b"", ("Location", "https://user:word@elsewhere.example:8443/a\x1b[2J?secret=1"))

    def be_html(self):
        self.end(200, "text/html", b"<p>hello")

    def be_packed(self):
        self.end(200, "application/json", b"\x1f\x8b", ("Content-Encoding", "gzip"))

    def be_too_long(self):
        self.start(200, "application/json")
        while not self.of.ended.is_set():
            self.wfile.write(b" " * 65536)

    def be_too_long_event(self):
        self.start(200, "text/event-stream")
        while not self.of.ended.is_set():
            self.wfile.write(b"data: " + b" " * 65536)

    def speak(self, method, message):
        modern = self.headers["MCP-Protocol-Version"] == "2026-07-28"
        if modern and (
            self.of.mode.startswith("legacy")
            or self.headers["Mcp-Method"] != method
            or not set(message["params"]["_meta"]) >= ABOUT
        ):
            self.end(400, "application/json", json.dumps(error(message, -32600)).encode())
        elif method == "server/discover":
            self.answer(message, MODERN)
        elif method == "initialize" and self.of.mode != "legacy-refuses":
            about = {"name": "listing", "version": "1"}
            said = {"protocolVersion": "2025-06-18", "serverInfo": about, "capabilities": {}}
            said = {} if self.of.mode == "legacy-versionless" else said
            self.answer(message, said, ("Mcp-Session-Id", "s-1"))
        elif method == "notifications/initialized":
            self.end(202 if self.headers["Mcp-Session-Id"] == "s-1" else 400)
        elif method == "tools/list":
            self.list_tools(message)
        else:
            self.end(400, "application/json", json.dumps(error(message, -32600)).encode())

    def list_tools(self, message):
        at = int(message["params"].get("cursor", 0))
        if self.of.mode == "legacy-forgets":
            self.end(404)
        elif self.of.mode == "lists-nothing":
            self.end(200, "application/json", json.dumps(error(message, -32601)).encode())
        elif self.of.mode == "endless":
            self.answer(message, {"tools": [{"name": f"t{at}"}], "nextCursor": str(at + 1)})
        elif self.of.mode.endswith("pages"):
            more = {"nextCursor": str(at + 1)} if at < 2 else {}
            self.answer(message, {"tools": [{"name": f"t{at}"}], **more})
        else:
            self.answer(message, {"tools": self.of.tools, "resultType": "complete"})

    def answer(self, message, result, *headers):
        whole = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        if "sse" not in self.of.mode:
            self.end(200, "application/json; charset=utf-8", json.dumps(whole, indent=1).encode(), *headers)
            return
        self.start(200, "text/event-stream", *headers)
        before = [{"method": "notifications/message", "params": {"data": "hello"}}]
        if "asks" in self.of.mode and message["method"] == "tools/list":
            before += [{"id": at, "method": method} for at, method in enumerate(("ping", "roots/list"))]
        many = 200 if "asks-a-lot" in self.of.mode else 1
        self.wfile.write(b"\xef\xbb\xbf: begins\r\nretry: 5\r\nid: 1\r\ndata:\r\n\r\nevent: odd\ndata: {}\n\n")
        for one in [*before * many, whole]:
            self.wfile.write(f"event: message\ndata: {json.dumps({'jsonrpc': '2.0', **one})}\n\n".encode())
        self.of.ended.wait(5 if "stays" in self.of.mode else 0)

    def start(self, status, kind, *headers):
        self.send_response(status)
        for name, value in (("Content-Type", kind), *headers):
            self.send_header(name, value)
        self.end_headers()

    def end(self, status, kind="text/plain", body=b"", *headers):
        self.start(status, kind, ("Content-Length", str(len(body))), *headers)
        self.wfile.write(body)


def error(message, code):
    return {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": code, "message": "no \x1b[2J"}}
