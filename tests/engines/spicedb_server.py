# SPDX-License-Identifier: Apache-2.0
"""SpiceDB as a gRPC server, for the tests: its library, with the part in front that the library leaves out.

`make spicedb` fetches SpiceDB as a shared library, which answers encoded requests that it is called with, and has no
socket for them. So this process listens, checks the token as SpiceDB does, and hands the bytes of each request to the
library and those of its answer back, neither decoded. Standard output gets the port. It ends with standard input.

    python spicedb_server.py LIBRARY TOKEN PORT [CERTIFICATE KEY]

A port of 0 is any that is free.
"""

import ctypes
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

_METHODS = {
    "/authzed.api.v1.PermissionsService/CheckPermission": "spicedb_permissions_check_permission",
    "/authzed.api.v1.PermissionsService/WriteRelationships": "spicedb_permissions_write_relationships",
    "/authzed.api.v1.SchemaService/ReadSchema": "spicedb_schema_read_schema",
    "/authzed.api.v1.SchemaService/WriteSchema": "spicedb_schema_write_schema",
}
_ERROR = re.compile(r"rpc error: code = (\w+) desc = (.*)", re.DOTALL)


class Library:
    """One SpiceDB in memory."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._library.spicedb_start.restype = ctypes.c_void_p
        for name in ("spicedb_free", "spicedb_free_bytes"):
            getattr(self._library, name).argtypes = [ctypes.c_void_p]
        started = self._library.spicedb_start(b"{}")
        self._handle = int(re.search(rb'"handle":(\d+)', ctypes.string_at(started))[1])  # type: ignore[index]
        self._library.spicedb_free(started)

    def call(self, function: str, request: bytes) -> bytes:
        """Return the answer. Raises RuntimeError with the library's words."""
        answer, length, error = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_void_p()
        getattr(self._library, function)(
            ctypes.c_ulonglong(self._handle),
            request,
            len(request),
            ctypes.byref(answer),
            ctypes.byref(length),
            ctypes.byref(error),
        )
        if error.value:
            text = ctypes.string_at(error.value).decode()
            self._library.spicedb_free(error)
            raise RuntimeError(text)
        found = ctypes.string_at(answer, length.value)
        self._library.spicedb_free_bytes(answer)
        return found


class Front(grpc.GenericRpcHandler):
    """Checks who asks, and asks the library."""

    def __init__(self, library: Library, token: str) -> None:
        self._library = library
        self._token = token

    def service(self, details):
        function = _METHODS.get(details.method, "")
        said = dict(details.invocation_metadata).get("authorization")

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            if said is None:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "missing authorization header")
            if said != f"Bearer {self._token}":
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "invalid preshared key: invalid token")
            try:
                return self._library.call(function, request)
            except RuntimeError as e:
                code, text = _ERROR.fullmatch(str(e)).groups()  # type: ignore[union-attr]
                name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", code).upper()
                context.abort(grpc.StatusCode[name], text)

        return grpc.unary_unary_rpc_method_handler(answer) if function else None


def main() -> None:
    library, token, wanted, *tls = sys.argv[1:]
    server = grpc.server(ThreadPoolExecutor(8), handlers=[Front(Library(library), token)])
    if tls:
        certificate, key = (Path(name).read_bytes() for name in tls)
        port = server.add_secure_port(f"127.0.0.1:{wanted}", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port(f"127.0.0.1:{wanted}")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main()
