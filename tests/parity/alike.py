# SPDX-License-Identifier: Apache-2.0
"""What two doors recorded, made comparable: without what tells the door itself, and with ids told by their order.

What one door may have otherwise than the one on standard input and output is data: `Apart`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.parity.wires import CANCELLED, LEGACY, MODERN

Event = dict[str, Any]

_OF_THE_DOOR = ("transport", "peer_uid", "peer_pid")
_OF_THE_LOG = ("seq", "prev_hash", "timestamp", "wid", "wseq", "event_id", "latency_us")
_OF_THE_RECORDER = frozenset(
    {"recorder_start", "recorder_stop", "configuration", "key", "log_open", "heartbeat", "degraded", "gap"}
)
_BY_ORDER = (
    "call_id",
    "correlation_id",
    "session_id",
    "trace_id",
    "span_id",
    "approval_id",
    "repeats",
    "suspicious_before",
)
_RANDOM = ("approval_preview_hash", "input_size", "output_size")
"""The view of an approval names its id, and an SDK may write the same JSON in another way."""
_OF_A_STATEMENT = ("statement", "expires_us")
_OF_A_HOME = frozenset(
    {"answers_hash", "approval_approver", "input_hash", "policy_version", "redaction_policy", "user_id", "value_tags"}
)
"""What another home has otherwise, by its keys and its path."""


@dataclass(frozen=True, slots=True)
class Instead:
    """What a door records `here` in the events of calls of some scenes, where the door on stdio records `there`."""

    field: str
    there: Any
    here: Any
    scenes: frozenset[str]
    eras: tuple[str, ...] = (LEGACY, MODERN)

    def put(self, event: Event) -> Event:
        """Return an event with it; what lies within a field has a name with a dot."""
        outer, _, inner = self.field.partition(".")
        if inner:
            within = replace(self, field=inner).put(event.get(outer, {}))
            return {**event, outer: within} if within else event
        return {**event, outer: self.here} if event.get(outer) == self.there else event


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """In what the record of a door may differ from that of the door on standard input and output.

    `own` are fields that are its own, `own_in` such that are in some scenes, and `address` stands on all that comes
    from the client, where it has one. `unsaid` is what it does not say of connections, in which eras. `errors` are
    codes of those with which its server ends a stream, where there is no answer on stdio.
    """

    own: frozenset[str] = frozenset()
    own_in: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    unsaid: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    errors: frozenset[int] = frozenset()
    address: str = ""
    instead: tuple[Instead, ...] = ()

    def expected(self, told: list[Event], era: str) -> list[Event]:
        """Return what is to be told of this door where `told` is of the door on standard input and output."""
        said = (e for e in told if e["event_type"] != "connection" or era not in self.unsaid.get(e["action"], ()))
        return [self._expected(event, era) for event in self.without_own([*said])]

    def _expected(self, event: Event, era: str) -> Event:
        if self.address and event.get("direction") == "client_to_server":
            event["client_ip"] = self.address
        for one in self.instead:
            if event.get("scene") in one.scenes and era in one.eras:
                event = one.put(event)
        return event

    def without_own(self, told: list[Event]) -> list[Event]:
        """Return what is told, without what is this door's own."""
        return [without(event, self.own | self._own_in(event.get("scene", ""))) for event in told]

    def _own_in(self, scene: str) -> frozenset[str]:
        return frozenset(name for name, scenes in self.own_in.items() if scene in scenes)

    def heard(self, messages: list[Any]) -> list[Any]:
        """Return what a client heard by this door, without what it hears by no other."""
        return [one for one in messages if one.get("error", {}).get("code") not in self.errors]


NOTHING_APART = Apart()


def comparable(events: list[Event], asked_in: dict[str, str]) -> list[Event]:
    """Return what is said of calls and connections; each call's events together, in the order of their attempts.

    Of an event that belongs to a call, `scene` is that of the request, by `asked_in`.
    """
    named: dict[str, str] = {}
    scenes = _scenes(events, asked_in)
    # an answer that comes late: from inside the handler is ended, and there is none
    kept = (e for e in events if e["event_type"] not in _OF_THE_RECORDER and not e.get("late"))
    told = [_told(event, named, scenes) for event in kept]
    order = {call: number for number, call in enumerate(dict.fromkeys(e.get("call_id", "") for e in told))}
    return sorted(told, key=lambda e: order[e.get("call_id", "")])


def _scenes(events: list[Event], asked_in: dict[str, str]) -> dict[str, str]:
    """Return in which scene each call was made, by its id."""
    asked = (e for e in events if "call_id" in e and e.get("direction") == "client_to_server")
    return {e["call_id"]: asked_in[e["request_id"]] for e in asked if e.get("request_id") in asked_in}


def _told(event: Event, named: dict[str, str], scenes: dict[str, str]) -> Event:
    told = without(event, frozenset({*_OF_THE_DOOR, *_OF_THE_LOG, *_RANDOM}))
    if (scene := scenes.get(event.get("call_id", ""))) is not None:
        told["scene"] = scene
    if "detail" in told:
        told["detail"] = {key: value for key, value in told["detail"].items() if key not in _OF_A_STATEMENT}
    if told.get("direction") == "server_to_client":
        told.pop("request_id", None)  # which the newer SDK gives out after its middleware
    for key in _BY_ORDER:
        if key in told:
            told[key] = _name(told[key], key, named)
    return told


def _name(value: Any, key: str, named: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_name(one, key, named) for one in value]
    return named.setdefault(value, f"{key} {len(named)}")


def without(event: Event, fields: frozenset[str]) -> Event:
    """Return an event without some fields; what lies within a field has a name with a dot."""
    kept = {key: value for key, value in event.items() if key not in fields}
    for outer, _, inner in (name.partition(".") for name in fields if "." in name):
        if outer in kept:
            kept[outer] = {key: value for key, value in kept[outer].items() if key != inner}
    return kept


def pinned(events: list[Event], asked_in: dict[str, str]) -> dict[str, list[Event]]:
    """Return what is said in each scene, as any home has it; under "" what belongs to no call of the client."""
    scenes, of_each = _scenes(events, asked_in), dict[str, list[Event]]()
    for event in events:
        of_each.setdefault(scenes.get(event.get("call_id", ""), ""), []).append(event)
    apart = _OF_A_HOME | {"detail.approvers", "request_id", "scene"}
    told = {scene: comparable(some, asked_in) for scene, some in of_each.items()}
    return {scene: [without(event, apart) for event in some] for scene, some in told.items() if some}


def said(messages: list[Any]) -> list[Any]:
    """Return what a client heard, without what is random in it.

    An id that is null may as well be left out. What a server asks has whatever id, and its SDK may write out that a
    form is a form, and says in its own words that it needs no answer any more.
    """
    told: list[Any] = []
    for message in messages:
        plain = {key: value for key, value in message.items() if key != "id" or value is not None}
        if "method" in plain and "id" in plain:
            about = {key: value for key, value in plain["params"].items() if (key, value) != ("mode", "form")}
            ours = str(about.get("message")).startswith("OnRecord asks")
            plain = {**plain, "id": "…", "params": {**about, "message": "…"} if ours else about}
        if plain.get("method") == CANCELLED:
            plain = {**plain, "params": "…"}
        told.append(_without(plain, "requestState", "inputRequests"))
    return told


def _without(value: Any, *keys: str) -> Any:
    if isinstance(value, dict):
        return {key: "…" if key in keys else _without(inner, *keys) for key, inner in value.items()}
    return [_without(inner, *keys) for inner in value] if isinstance(value, list) else value
