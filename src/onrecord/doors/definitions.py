# SPDX-License-Identifier: Apache-2.0
"""What a server has told about its tools, prompts and resources, and how far that is believed.

Listings come page by page; only one that was heard from its first page to its last says that a tool is
gone. After the server has said that its list changed, and until it is listed again, what was heard is
old. How long a listing may be kept by the client (`ttlMs`, `cacheScope`) changes nothing here: a client
that calls by what it kept has not listed, so of that tool only what its pinned definition warns of is
known on this connection, and whether another one waits for a person; its schema is not.

Descriptions of prompts and resources are looked at for what would instruct a model; they are not pinned.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from typing import Any, cast

from msgspec.structs import replace as with_fields

from onrecord.doors import protocol
from onrecord.doors.wire import Object, Request, Response, is_object
from onrecord.event.call import Definition, Json
from onrecord.event.event import Event
from onrecord.pins import Pages, Pins
from onrecord.rules.definitions import Change
from onrecord.rules.detection.flagging import UNCHECKED
from onrecord.rules.sanitising import signals

LISTINGS = 16  # listings whose next page has not come yet
TOOLS = 10_000  # definitions that are kept for one connection; of more, nothing is known
FLAGGED = 1_000  # prompts and resources whose flags are remembered
PLACES = 20  # places of a change that stand on its event

_LISTS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "prompts/list": ("prompts", "prompt", ("name",)),
    "resources/list": ("resources", "resource", ("uri", "name")),
    "resources/templates/list": ("resourceTemplates", "resource", ("uriTemplate", "name")),
}
_KIND_OF = {"prompts/get": "prompt", "resources/read": "resource"}


class Definitions:
    """The definitions of a server, as one connection, or all who call it over HTTP, heard them. Threads share it."""

    def __init__(self, pins: Pins, server_id: str) -> None:
        self._pins = pins
        self._server = server_id
        self._hearing = Lock()  # who asks needs none: what was heard takes effect at once
        self._tools: dict[str, Definition] = {}
        self._pages: OrderedDict[str, tuple[Pages, dict[str, str]]] = OrderedDict()  # by cursor of the next page
        self._flagged: OrderedDict[tuple[str, str], tuple[str, ...]] = OrderedDict()
        self._stale = False

    def of(self, method: str, name: str) -> Definition | None:
        """Return what is known of the tool that a request calls, as far as it is believed now."""
        if method != "tools/call":
            return None
        known = self._tools.get(name)
        if known is None:
            return self._pins.unlisted(self._server, name)
        if self._stale:
            known = replace(known, standing="stale")
        return self._pins.standing(self._server, known)

    def names(self) -> list[str]:
        """Return the tools that were listed, by name."""
        return sorted(self._tools)

    def is_listed(self, name: str) -> bool:
        """Say whether a tool was listed here, and nothing says that the list is old."""
        return name in self._tools and not self._stale

    def signals(self, method: str, name: str, definition: Definition | None) -> tuple[str, ...]:
        """Return what looks like an attack in the description of what a request is about."""
        if definition is None:
            kind = _KIND_OF.get(method, "")
            return tuple(f"{kind}-description:{flag}" for flag in self._flagged.get((kind, name), ()))
        flags = tuple(f"tool-description:{flag}" for flag in self._pins.flags(self._server, definition))
        return flags if definition.standing == "accepted" else (f"tool-definition:{definition.standing}", *flags)

    def hear(self, request: Request, response: Response) -> list[Change]:
        """Learn from the answer to a request; return what is new about definitions."""
        if request.method == "tools/list" and is_object(response.result):
            with self._hearing:
                return self._hear_tools(request, response.result)
        if request.method in _LISTS:
            with self._hearing:
                return self._hear_others(request.method, response.result)
        if protocol.opens(request.method) and is_object(response.result):
            flags = self._flags(response.result.get("instructions"))
            return [Change(action="flagged", kind="server", flags=flags)] if flags else []
        return []

    def notice(self, method: str) -> list[Change]:
        """Learn from a notification of the server that its tools are others now."""
        if method != "notifications/tools/list_changed":
            return []
        with self._hearing:
            if self._stale or not self._tools:
                return []
            self._stale = True
            return [Change(action="outdated", count=len(self._tools))]

    def _hear_tools(self, request: Request, result: Object) -> list[Change]:
        cursor, following = request.params.get("cursor"), result.get("nextCursor")
        at_start = cursor is None
        none: tuple[Pages, dict[str, str]] | None = (Pages(), {}) if at_start else None
        chain = none if at_start else self._pages.pop(str(cursor), None)
        before, digests = chain or (Pages(), {})
        listed = protocol.definitions_in(result)
        complete = chain is not None and following is None
        changes, pages = self._pins.hear(self._server, listed, before, complete=complete)
        self._learn(listed, digests)
        if complete:
            self._tools = {name: one for name, one in self._tools.items() if name in digests}
            self._stale = False
        elif chain is not None:
            self._pages[str(following)] = pages, digests
            if len(self._pages) > LISTINGS:
                self._pages.popitem(last=False)
        return changes

    def _learn(self, listed: list[Definition], digests: dict[str, str]) -> None:
        """Keep what was listed; of a tool that one listing describes in two ways, neither is believed."""
        tools = dict(self._tools)
        for one in listed:
            doubled = digests.setdefault(one.name, one.digest) != one.digest
            if doubled:
                digests[one.name] = ""  # no other one is like it, so it stays so for this listing
            if len(tools) < TOOLS or one.name in tools:
                tools[one.name] = replace(one, standing="changed") if doubled else one
        self._tools = tools  # at once, as another thread looks into it

    def _hear_others(self, method: str, result: Json) -> list[Change]:
        """Look at prompts or resources: all at once, and one by one only where there is something."""
        key, kind, named = _LISTS[method]
        listed = result.get(key) if is_object(result) else None
        items = cast(list[Json], listed) if isinstance(listed, list) else []
        if not self._flags(items):
            return []
        changes: list[Change] = []
        for item in items:
            flags = self._flags(item) if is_object(item) else ()
            name = next((str(item[key]) for key in named if is_object(item) and item.get(key)), "")
            if flags and self._flagged.get((kind, name)) != flags:
                self._flagged[kind, name] = flags
                changes.append(Change(action="flagged", kind=cast(Any, kind), name=name, flags=flags))
                if len(self._flagged) > FLAGGED:
                    self._flagged.popitem(last=False)
        return changes

    def _flags(self, value: Json) -> tuple[str, ...]:
        try:
            return signals(value, self._pins.flagger)
        except Exception:  # noqa: BLE001  # whatever went wrong, it was not looked at
            return (UNCHECKED,)


def told(change: Change, base: Event) -> tuple[Event, dict[str, str | list[str]]]:
    """Return the event of a change, made from `base`, and what of it comes from outside and must be masked."""
    detail: dict[str, Any] = {"before": change.before, "count": change.count, "kind": change.kind, "why": change.why}
    detail["tools"] = dict(change.tools)
    event = with_fields(
        base,
        event_type="tool_definition",
        action=change.action,
        tool_definition_hash=change.after,
        suspicious_signals=tuple(f"{change.kind}-description:{flag}" for flag in change.flags),
        detail={key: value for key, value in detail.items() if value},
    )
    field = {"tool": "tool_name", "prompt": "prompt_name", "resource": "resource_uri"}.get(change.kind, "name")
    places = ", ".join(change.places[:PLACES])
    more = f" and {len(change.places) - PLACES} more" if len(change.places) > PLACES else ""
    outside: dict[str, str | list[str]] = {field: change.name, "was": change.was, "places": places + more}
    return event, {key: value for key, value in outside.items() if value}
