# SPDX-License-Identifier: Apache-2.0
"""A call and its result as they came: raw values, in memory only, with no way onto a disk.

`Raw` wraps every value that somebody else chose. It has no encoder: msgspec, orjson, json and
pickle all refuse it, and its repr shows nothing, so a raw value reaches a log line only through
`rules.redact`, which is the one place that opens it for writing. What holds raw values or names
from outside shows none of them either. Doors make these; `guard` reads them; nothing stores them.
"""

from dataclasses import dataclass, field
from typing import Literal, NoReturn, TypeAlias, final

from onrecord.event.event import EventType, IdentityAssurance, IdentitySource, PrincipalType, Transport

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
RequestId: TypeAlias = int | str
Direction: TypeAlias = Literal["client_to_server", "server_to_client"]
Standing: TypeAlias = Literal[
    "accepted",  # it is the one that was pinned
    "changed",  # another one was pinned
    "unconfirmed",  # what was pinned is lost, so nobody knows
    "unpinned",  # it could not be pinned
    "stale",  # the server has said that its list changed, and was not asked for the new one
]


@final
class Raw:
    """A value from outside. Opening it is explicit, and printing or encoding it fails."""

    __slots__ = ("_value",)

    def __init__(self, value: Json) -> None:
        self._value = value

    def open(self) -> Json:
        """Return the value. Only code that redacts, digests or forwards may call this."""
        return self._value

    def __repr__(self) -> str:
        return "<raw>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("raw values cannot be serialised; redact them first")


NOTHING = Raw(None)

UNTAKEN = "untaken"  # in what a handler added: that something of it could not be taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who is behind a connection, and how far that is known.

    `user_id`, `agent_id` and `act_chain` are pseudonyms, never raw names. `scopes` and `roles` are those that a
    verified token names; they are for policies, and recorded by none but those. `subject` is the person's name in
    that token.
    """

    user_id: str = ""
    tenant_id: str = ""
    identity_source: IdentitySource = "none"
    identity_assurance: IdentityAssurance = "none"
    identity_issuer: str = ""
    identity_key_id: str = ""
    token_hash: str = ""
    auth_time: str = ""
    auth_context: str = ""
    auth_methods: tuple[str, ...] = ()
    principal_type: PrincipalType = ""
    agent_id: str = ""
    client_id: str = ""
    act_chain: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    subject: Raw = field(default=NOTHING, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sender:
    """Who sent one message over a network, where nothing of this process says who that is.

    `actor` is who it is as far as the door knows. A `bearer` token that came with it must be meant for `audience`,
    and says who it is for as long as it holds. `address` is the peer's, "" where it is not known.
    """

    actor: Actor
    bearer: Raw | None = None
    audience: str = ""
    address: str = ""

    def __repr__(self) -> str:
        return "<sender>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Connection:
    """What is known of the two ends of a connection at the time of a call.

    Client and server names and versions are their own claims, so they are raw text.
    """

    session_id: str
    server_id: str
    transport: Transport
    actor: Actor
    client_ip: str = ""
    protocol_version: str = ""
    client_name: str = ""
    client_version: str = ""
    server_name: str = ""
    server_version: str = ""

    @property
    def owner(self) -> tuple[str, ...]:
        """Who is behind it, whole: what one has done is not done by another. Of nobody known, the session stands in."""
        who = self.actor
        known = (who.user_id, who.agent_id, who.client_id)
        return (who.tenant_id, who.identity_issuer, *known, *who.act_chain, "" if any(known) else self.session_id)

    def __repr__(self) -> str:
        return f"<connection {self.session_id}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Definition:
    """A tool as its server described it, which is `whole`.

    `digest` is the SHA-256 of the canonical definition, in hex; `rest` is that of all of it but the name.
    Where `standing` is not "accepted", nothing in it is believed that makes a call look less risky.
    `refused` says why it must not be called, in words of our own; empty where it may be.
    """

    name: str
    digest: str
    rest: str = ""
    whole: Raw = NOTHING
    standing: Standing = "accepted"
    refused: str = ""
    input_schema: Raw = NOTHING
    output_schema: Raw = NOTHING
    read_only: bool | None = None
    destructive: bool | None = None
    open_world: bool | None = None

    def __repr__(self) -> str:
        return f"<definition {self.digest}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Trace:
    """What the caller says of where a call belongs; empty where it says nothing. All of it is a claim.

    `trace_id` and `span_id` are its W3C trace context. `request` and `turn` are ids shared by the calls of one request
    of the user, and by those of one turn of a model. `faults` names what was sent and could not be read.
    """

    trace_id: str = ""
    span_id: str = ""
    request: str = ""
    turn: str = ""
    model: str = ""
    model_step_id: str = ""
    agent: str = ""
    faults: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "<trace>"


Answer: TypeAlias = Literal["approved", "rejected", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What a client brings back of a question of ours: whether its user wants exactly the call of `statement`.

    `key` links the request that brings it to the one that was asked about. Where there is a `fault`, in words of
    ours, nothing else is known.
    """

    approval_id: str = ""
    statement: str = ""
    answer: Answer = "none"
    key: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Call:
    """One request, raw, as a door read it.

    `name` is the tool, prompt or resource URI; `arguments` what it is called with, and nothing else: `brought` are
    the answers to a server's questions that a further round has beside them, None where it has none, and `beside` is
    what of its params is in no other field, such as `task`. `rounds` holds what links this request to earlier rounds
    of the same call (see `protocol.continues`).
    `identity` is a token of ours that came in `_meta`; `meta` and what is forwarded are without it. `sender` is who
    sent it over a network, None where it came from this machine.
    `answers` are the schemas by which a person was asked for what is `brought`, `asks` the one
    of what the result is to bring. `size_bytes` counts the whole message; `rounded` says that a
    number in it is written with more digits than it has here. `signals` are what looks
    like an attack in the description of what is called. `confirmation` is an answer to a question of ours;
    then `arguments`, `brought` and `rounds` are without it, and `sent` is what was handed over with it, as
    `rules.arguments.signed` has it. `without` are JSON
    Pointers of what is so taken out of the message.
    """

    event_type: EventType
    method: str
    name: str
    arguments: Raw
    meta: Raw
    request_id: RequestId
    connection: Connection
    size_bytes: int
    direction: Direction = "client_to_server"
    rounded: bool = False
    definition: Definition | None = None
    trace: Trace = field(default_factory=Trace)
    rounds: tuple[str, ...] = ()
    identity: Raw | None = None
    sender: Sender | None = None
    brought: Raw = NOTHING
    beside: Raw = NOTHING
    answers: Raw = NOTHING
    asks: Raw = NOTHING
    signals: tuple[str, ...] = ()
    confirmation: Confirmation | None = None
    sent: Raw | None = None
    without: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<call {self.event_type}>"


Outcome: TypeAlias = Literal[
    "accepted",
    "succeeded",
    "failed",
    "blocked",
    "cancelled",
    "timed_out",
    "input_required",
    "unknown",
]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result:
    """How a call ended, raw, as a door read it.

    `body` is the JSON-RPC result, or the error object where `error_type` says so. `rounds` are the
    keys by which a following request is known to continue this call. `told` is what its handler added (see
    `doors/annotations.py`).
    """

    status: Outcome
    body: Raw = NOTHING
    error_type: str = ""
    size_bytes: int = 0
    rounds: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    told: Raw = NOTHING

    def __repr__(self) -> str:
        return f"<result {self.status}>"
