# SPDX-License-Identifier: Apache-2.0
"""SpiceDB, asked over its own gRPC API through authzed: has this subject that permission on this object?

A permission that holds allows. One that doesn't denies, and so does one that depends on something that was not said:
the record names what a caveat lacked. No answer in time, an error, or an answer that isn't one denies too.

Two things stand on each decision. `policy_consistency` is the token (ZedToken) of the state that the check was
answered from: as long as SpiceDB keeps that state, it answers the same question the same way. `policy_version`
covers the schema as SpiceDB tells it, and what the settings say. Relationships are no part of it. The schema is read
beside the first check, and again beside one that comes `SCHEMA_S` later; where it can't be read, nothing is decided.

The channel is made with the first question, and brings threads of its own: a process may not be forked after that.
The token goes with each question, over TLS or to this machine, and is shown nowhere.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import msgspec

from onrecord.errors import ConfigError, OnRecordError
from onrecord.ledger.post import check_url
from onrecord.rules.policy import DENIED, LONGEST_REASON, Question, Verdict, failed
from onrecord.rules.relations import Asked, NotAsked, Relations

if TYPE_CHECKING:
    import grpc
    from authzed.api.v1 import (
        CheckPermissionRequest,
        CheckPermissionResponse,
        ReadSchemaRequest,
        ReadSchemaResponse,
    )

SCHEMA_S = 10.0  # how old what is known of the schema may be
LONGEST_TOKEN = 8_192  # characters of what proves who asks; headers end there
_STATE = re.compile(r"[A-Za-z0-9+/=_-]{1,1024}")  # a ZedToken: base64
_DEFINITION = re.compile(r"^\s*definition\s+([a-z0-9_/]+)", re.MULTILINE)
_NO_SCOPE = f"{DENIED}: a required scope is missing"
_DETAIL = 300  # characters of what an error says
_PORTS = {"https": 443, "http": 50051}

# A dead connection is noticed in seconds though questions wait for less; one that failed is tried again soon.
_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.enable_http_proxy", 0),  # the token is for SpiceDB alone
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 300_000),  # servers refuse clients that ask more often
    ("grpc.keepalive_timeout_ms", 5_000),  # so long sent bytes may go without an answer
)


class _Link(NamedTuple):
    channel: "grpc.Channel"
    check: "grpc.UnaryUnaryMultiCallable[CheckPermissionRequest, CheckPermissionResponse]"
    read_schema: "grpc.UnaryUnaryMultiCallable[ReadSchemaRequest, ReadSchemaResponse]"


class SpiceDb:
    """An `Engine` that asks SpiceDB. Threads may share it."""

    name = "spicedb"

    def __init__(
        self,
        url: str,
        relations: Relations,
        manifest: bytes,
        *,
        token: str,
        timeout_s: float,
        roots: bytes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`url` is https://host:port, or http to this machine; `roots` are the certificates to believe, in PEM.

        `token` proves who asks. `timeout_s` is for one question. Raises ConfigError.
        """
        try:
            import_module("authzed.api.v1")  # now, as it takes longer than a question should; it starts no threads
        except ModuleNotFoundError as e:
            raise ConfigError("policy.engine is 'spicedb', which needs authzed: pip install 'onrecord[spicedb]'") from e
        self._target, self._is_private = _place(url)
        if not token or len(token) > LONGEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError("the token of SpiceDB is no token: it must be ASCII without blanks")
        self._relations = relations
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._token = token
        self._timeout_s = timeout_s
        self._roots = roots
        self._clock = clock
        self._lock = Lock()
        self._made: _Link | None = None
        self._seen: str = ""  # the token of the newest state that an answer came from
        self._schema_until = float("-inf")
        settings = [b"spicedb", self._target.encode(), msgspec.json.encode(relations, order="sorted"), manifest]
        self._settings = b"".join(hashlib.sha256(part).digest() for part in settings)
        self._version = self._version_of("")

    @property
    def version(self) -> str:
        """Digest of the settings and, once it was read, of the schema."""
        return self._version

    def evaluate(self, question: Question) -> Verdict:
        """Return what SpiceDB says; of a call whose scope is missing nothing is asked."""
        context = question.context
        if not set(context.scope_required) <= set(context.scope_present):
            return Verdict(decision="deny", reason="a required scope is missing", safe=_NO_SCOPE, id="scope")
        try:
            asked = self._relations.asked(question)
        except NotAsked as e:
            reason = f"SpiceDB was not asked: {e}"
            return Verdict(decision="deny", reason=reason, safe=DENIED, id="spicedb", errors=(str(e),))
        try:
            answer, version = self._answered(asked)
        except _NoAnswer as e:
            return failed(self.name, e.why)  # what it was told in words may repeat who asks about what
        state = answer.checked_at.token
        if not _STATE.fullmatch(state):
            return failed(self.name, "its answer does not say from which state it comes")
        self._seen = state
        return _verdict(answer, asked, version)

    def look(self) -> list[str]:
        """Read the schema, and return which types of objects it lacks that are asked about. Raises OnRecordError."""
        try:
            schema = self._learn_schema(self._ask_schema(self._link()))
        except _NoAnswer as e:
            raise OnRecordError(f"SpiceDB: {self._told(e)}") from e
        defined = set(_DEFINITION.findall(schema))
        return [kind for kind in self._relations.types() if kind not in defined]

    def close(self) -> None:
        """Give up the connection; the next question makes another."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.channel.close()

    def _answered(self, asked: Asked) -> "tuple[CheckPermissionResponse, str]":
        """Return the answer, and the version of what it was decided by. Raises _NoAnswer."""
        import grpc

        link = self._link()
        reading = self._ask_schema(link) if self._clock() >= self._schema_until else None
        try:
            answer = link.check(self._request(asked), timeout=self._timeout_s, metadata=self._metadata)
        except grpc.RpcError as e:
            self._seen = ""  # it may be of a SpiceDB that is no more; from the newest state is always right
            raise _failure(e, self._timeout_s) from e
        if reading is not None:
            self._learn_schema(reading)
        return answer, self._version

    def _ask_schema(self, link: _Link) -> "grpc.Future[ReadSchemaResponse]":
        from authzed.api.v1 import ReadSchemaRequest

        return link.read_schema.future(ReadSchemaRequest(), timeout=self._timeout_s, metadata=self._metadata)

    def _learn_schema(self, reading: "grpc.Future[ReadSchemaResponse]") -> str:
        """Wait for the schema, and remember its digest. Raises _NoAnswer."""
        import grpc

        try:
            schema = reading.result(self._timeout_s + 1).schema_text
        except grpc.RpcError as e:
            failure = _failure(e, self._timeout_s)
            raise _NoAnswer(f"its schema can't be read: {failure.why}", failure.told) from e
        except (grpc.FutureTimeoutError, grpc.FutureCancelledError) as e:
            raise _NoAnswer("its schema can't be read in time") from e
        self._schema_until = self._clock() + SCHEMA_S
        self._version = self._version_of(schema)
        return schema

    def _version_of(self, schema: str) -> str:
        return hashlib.sha256(self._settings + hashlib.sha256(schema.encode()).digest()).hexdigest()

    def _request(self, asked: Asked) -> "CheckPermissionRequest":
        from authzed.api.v1 import CheckPermissionRequest, Consistency, ObjectReference, SubjectReference, ZedToken

        seen = self._seen if self._relations.consistency == "at_least_as_fresh" else ""
        subject = ObjectReference(object_type=asked.subject_type, object_id=asked.subject_id)
        request = CheckPermissionRequest(
            consistency=Consistency(at_least_as_fresh=ZedToken(token=seen))
            if seen
            else Consistency(fully_consistent=True),
            resource=ObjectReference(object_type=asked.object_type, object_id=asked.object_id),
            permission=asked.permission,
            subject=SubjectReference(object=subject),
        )
        request.context.update(asked.context)
        return request

    def _link(self) -> _Link:
        with self._lock:
            if self._made is None:
                self._made = self._linked()
            return self._made

    def _linked(self) -> _Link:
        import grpc
        from authzed.api.v1 import PermissionsServiceStub, SchemaServiceStub

        logging.getLogger("grpc").addHandler(logging.NullHandler())  # else it prints what it could not read
        if self._is_private:
            credentials = grpc.ssl_channel_credentials(self._roots)
            channel = grpc.secure_channel(self._target, credentials, _OPTIONS)
        else:
            channel = grpc.insecure_channel(self._target, _OPTIONS)
        permissions, schema = PermissionsServiceStub(channel), SchemaServiceStub(channel)
        return _Link(channel, permissions.CheckPermission, schema.ReadSchema)

    def _told(self, error: "_NoAnswer") -> str:
        """Return why the schema can't be read, without the token."""
        words = " ".join(error.told.replace(self._token, "…").split())[:_DETAIL]
        return f"{error.why}: {words}" if words else error.why


class _NoAnswer(Exception):
    """There is no answer: `why`, in words of our own, and what was `told` about it."""

    def __init__(self, why: str, told: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.told = told


def _place(url: str) -> tuple[str, bool]:
    """Return the host and port that `url` names, and whether to go there over TLS. Raises ConfigError."""
    try:
        check_url(url, plain=False)
    except ConfigError as e:
        raise ConfigError(f"policy.url: {e}") from e
    parts = urlsplit(url)
    if parts.path.strip("/") or parts.query:
        raise ConfigError("policy.url: SpiceDB is https://host:port, without a path")
    host = parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    return f"{named}:{parts.port or _PORTS[parts.scheme]}", parts.scheme == "https"


def _verdict(answer: "CheckPermissionResponse", asked: Asked, version: str) -> Verdict:
    about = f"{asked.object_type}#{asked.permission}"
    state, said = answer.checked_at.token, answer.permissionship
    if said == answer.PERMISSIONSHIP_HAS_PERMISSION:
        decision, reason, safe = "allow", f"SpiceDB: permission {about} is held", ""
    elif said == answer.PERMISSIONSHIP_NO_PERMISSION:
        decision, reason, safe = "deny", f"SpiceDB: permission {about} is not held", DENIED
    elif said == answer.PERMISSIONSHIP_CONDITIONAL_PERMISSION:
        lacking = ", ".join(answer.partial_caveat_info.missing_required_context) or "something that it does not name"
        reason = f"SpiceDB: permission {about} depends on what was not said: {lacking}"[:LONGEST_REASON]
        decision, safe = "deny", DENIED
    else:
        return failed(SpiceDb.name, "its answer holds no decision")
    return Verdict(
        decision=decision, reason=reason, safe=safe, id=about, determining=(about,), version=version, consistency=state
    )


def _failure(error: "grpc.RpcError", timeout_s: float) -> _NoAnswer:
    from grpc import StatusCode

    code, told = error.code(), error.details() or ""
    if code is StatusCode.DEADLINE_EXCEEDED:
        return _NoAnswer(f"it did not answer within {timeout_s:g} s")
    if code in (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED):
        return _NoAnswer("it does not accept the token", told)
    if code is StatusCode.UNAVAILABLE:
        return _NoAnswer("it cannot be reached", told)
    return _NoAnswer(code.name.lower(), told)
