# SPDX-License-Identifier: Apache-2.0
"""What one connection has told about itself so far: its two ends, its protocol era, its tools.

Everything here is somebody's claim, kept raw until redaction. Tool definitions come from the
client's own `tools/list` as it passes (`definitions.py`); until a tool was listed its schema is unknown,
and its arguments are recorded by key only.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from onrecord.doors import protocol
from onrecord.doors.definitions import Definitions
from onrecord.doors.rounds import PLACES, Taken
from onrecord.doors.wire import Object, Request, Response
from onrecord.event.call import Actor, Call, Connection, Direction, Json, Raw, Result, Sender
from onrecord.event.event import Event, Transport
from onrecord.rules import trace_context
from onrecord.rules.definitions import Change
from onrecord.rules.principal import IDENTITY, META_KEY

REMEMBERED = 1_000  # open questions; of one that is older, the schema of its answer is not known
KEPT = 4096  # characters of what an end says of itself; an event has fewer


class Conversation:
    """One client and one server, from the first message to the last."""

    def __init__(
        self,
        actor: Actor,
        server_id: str,
        transport: Transport,
        new_id: Callable[[], str],
        definitions: Definitions | None = None,
    ) -> None:
        """Without `definitions`, nothing is known of any tool."""
        self._new_id = new_id
        self._definitions = definitions
        self._questions: OrderedDict[str, Object] = OrderedDict()  # by round
        self._lock = Lock()  # one thread hears the questions, another the answers
        self._said = 0
        self._opened = False
        self._listed: tuple[str, ...] = ()
        self.connection = Connection(session_id=new_id(), server_id=server_id, transport=transport, actor=actor)

    def call(
        self,
        request: Request,
        size_bytes: int,
        direction: Direction,
        taken: Taken | None = None,
        sender: Sender | None = None,
    ) -> Call:
        """Return `request` as a call of this connection; `taken` is what it was made of by taking out what is ours.

        A `sender` is who calls, instead of who is behind the connection.
        """
        params, meta = request.params, protocol.meta_of(request.params)
        identity = Raw(meta[META_KEY]) if META_KEY in meta else None
        meta = {key: value for key, value in meta.items() if key != META_KEY} if identity else meta
        name = protocol.name_of(request.method, params)
        rounds = protocol.continues(request)
        known = self._definitions
        definition = known.of(request.method, name) if known else None
        return Call(
            event_type=protocol.event_type_of(request.method) or "request",
            method=request.method,
            name=name,
            arguments=Raw(protocol.arguments_of(request.method, params)),
            meta=Raw(meta),
            request_id=request.id,
            connection=self._as_of(sender) if sender else self.connection,
            size_bytes=size_bytes,
            rounded=request.rounded,
            direction=direction,
            definition=definition,
            signals=known.signals(request.method, name, definition) if known else (),
            trace=trace_context.read(params.get("_meta", {})),
            rounds=rounds,
            identity=identity,
            sender=sender,
            brought=Raw(protocol.answers_of(request.method, params)),
            beside=Raw(protocol.beside_of(request.method, params)),
            answers=Raw(self._asked(rounds)),
            asks=Raw(protocol.asks(request.method, params)),
            confirmation=taken.confirmation if taken else None,
            sent=Raw(protocol.signed_of(request.method, taken.sent.params)) if taken else None,
            without=PLACES if taken and not taken.confirmation.fault else (),
        )

    def _as_of(self, sender: Sender) -> Connection:
        """Return the connection as it is for a message of `sender`."""
        return replace(self.connection, actor=sender.actor, client_ip=sender.address)

    def tool_names(self) -> list[str]:
        """Return the tools that the server has listed here; what it lists to others is not told."""
        return list(self._listed)

    def hear_questions(self, result: Result) -> None:
        """Learn what `result` asks a person, which the request that continues its call will bring."""
        schemas = protocol.questions_in(result.body.open()) if result.rounds else {}
        with self._lock:
            for key in result.rounds if schemas else ():
                self._questions[key] = schemas
                if len(self._questions) > REMEMBERED:
                    self._questions.popitem(last=False)

    def _asked(self, rounds: tuple[str, ...]) -> Json:
        """Return the schema of arguments that continue one of `rounds`, or None."""
        with self._lock:
            schemas = [self._questions[key] for key in rounds if key in self._questions]
        return protocol.answered(schemas[0]) if schemas else None

    def is_listed(self, name: str) -> bool:
        """Say whether the server has listed a tool here."""
        return self._definitions is not None and self._definitions.is_listed(name)

    def open(self) -> bool:
        """Say whether this is the first time that anybody asks."""
        with self._lock:
            first, self._opened = not self._opened, True
        return first

    @property
    def is_open(self) -> bool:
        """Whether the client has asked for anything yet."""
        return self._opened

    def hear_client(self, request: Request) -> None:
        """Learn what the client says of itself in `request`."""
        claims = protocol.client_claims(request.params)
        if (said := hash(claims)) != self._said:  # a modern client says it with every request
            self._said = said
            self._learn("client", claims)

    def hear_server(self, request: Request, response: Response) -> list[Change]:
        """Learn what the server says in answer to `request`; return what is new about definitions."""
        if protocol.opens(request.method):
            self._learn("server", protocol.server_claims(response.result))
        changes = self._definitions.hear(request, response) if self._definitions else []
        if request.method == "tools/list" and self._definitions:
            here = protocol.tool_names_in(response.result).union(self._listed)
            self._listed = tuple(name for name in self._definitions.names() if name in here)
        return changes

    def hear_notice(self, method: str) -> list[Change]:
        """Learn what a notification of the server says; return what is new about definitions."""
        return self._definitions.notice(method) if self._definitions else []

    def told(self) -> dict[str, str]:
        """Return what the two ends have said of themselves, by field of an event."""
        known = self.connection
        said = {
            "client_name": known.client_name,
            "client_version": known.client_version,
            "server_name": known.server_name,
            "server_version": known.server_version,
            "protocol_version": known.protocol_version,
        }
        return {key: text for key, text in said.items() if text}

    def base(self) -> Event:
        """Return what every event of this connection says, as a new event."""
        known = self.connection
        return Event(
            event_id=self._new_id(),
            **{name: getattr(known.actor, name) for name in IDENTITY},
            session_id=known.session_id,
            server_id=known.server_id,
            transport=known.transport,
        )

    def _learn(self, side: str, claims: protocol.Claims) -> None:
        known = self.connection
        name, version, revision = (text[:KEPT] for text in (claims.name, claims.version, claims.protocol_version))
        if name and side == "client":
            known = replace(known, client_name=name, client_version=version)
        elif name:
            known = replace(known, server_name=name, server_version=version)
        if revision:
            known = replace(known, protocol_version=revision)
        self.connection = known
