# SPDX-License-Identifier: Apache-2.0
"""What an event says, in parts that are placed one by one, and what an event is called by all forms."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

import msgspec

from onrecord.errors import NotVerified
from onrecord.event.event import Event, encode
from onrecord.ledger.clock import parse_time

Object: TypeAlias = dict[str, Any]
"""A JSON object."""

PRODUCT: Final = "OnRecord"
OWN: Final = "onrecord"
"""The name that stands before all that is ours and that a standard has no place for."""

CALLS: Final = frozenset(
    {"tool_call", "resource_read", "prompt_get", "completion", "sampling", "elicitation", "task", "request"}
)
"""The types of events that are about calls."""

_HEX: Final = frozenset("0123456789abcdef")
_LONGEST_IP: Final = 40  # characters
_NOTHING: Final[tuple[Any, ...]] = (None, "", {}, [])


class Parts:
    """What an event says, by field. Who places a field takes it; what nobody took is left over, and so nothing is lost.

    A field may be taken for two places: `get` reads what `take` took as well.
    """

    def __init__(self, event: Event) -> None:
        self._said: Object = msgspec.json.decode(encode(event))
        self._left = dict(self._said)

    def get(self, name: str) -> Any:
        """Return what the event says in a field; None where that is nothing."""
        return self._said.get(name)

    def take(self, name: str) -> Any:
        """Return what the event says in a field, and have it no longer be left over."""
        self._left.pop(name, None)
        return self._said.get(name)

    def left(self) -> Object:
        """Return what was not taken."""
        return self._left


def said(**members: Any) -> Object:
    """Return an object of those members that say something."""
    return {name: value for name, value in members.items() if value not in _NOTHING}


def plant(tree: Object, path: str, value: Any) -> None:
    """Put `value` into `tree` under the names of `path`, which dots divide."""
    *above, name = path.split(".")
    for each in above:
        tree = tree.setdefault(each, {})
    tree[name] = value


def placed(fields: Mapping[str, Any], names: Mapping[str, str]) -> Object:
    """Return the fields under the paths that `names` gives them, and the others under their own names."""
    tree: Object = {}
    for name, value in fields.items():
        plant(tree, names.get(name, name), value)
    return tree


def moment_us(timestamp: str) -> int:
    """Return a time in microseconds since 1970; 0, which stands for not known, where it is none."""
    try:
        return max(0, parse_time(timestamp))
    except (NotVerified, OverflowError, OSError):
        return 0


def is_ip(text: str) -> bool:
    """Say whether `text` is an address of IPv4 or IPv6."""
    try:
        return len(text) <= _LONGEST_IP and bool(ip_address(text))
    except ValueError:
        return False


def is_id(text: str, digits: int) -> bool:
    """Say whether `text` is an id of W3C trace context of so many hex digits; zeros alone are none."""
    return len(text) == digits and _HEX.issuperset(text) and text.strip("0") != ""


_ENDED: Final = {"succeeded": "completed", "accepted": "accepted", "blocked": "refused", "cancelled": "cancelled"}
_ANSWERED: Final = {
    "requested": "requested",
    "approved": "granted",
    "rejected": "rejected",
    "expired": "expired",
    "escalated": "escalated",
    "redeemed": "consumed",
    "withdrawn": "revoked",
}
_OTHERS: Final = {
    ("authentication", "verify"): "identity.verified",
    ("authentication", "refuse"): "identity.rejected",
    ("tool_definition", "pinned"): "tool.pinned",
    ("tool_definition", "changed"): "tool.changed",
    ("access", "export"): "log.exported",
    ("access", ""): "log.read",
    ("retention", ""): "retention.applied",
    ("recorder_start", ""): "recorder.started",
    ("recorder_stop", ""): "recorder.stopped",
    ("degraded", ""): "recorder.degraded",
    ("security", ""): "security.signal",
}


def name_of(event: Event) -> str:
    """Return the name of an event. There are few of them, and no text from outside is in one."""
    return f"{OWN}.audit.{_name(event)}"


def _name(event: Event) -> str:
    if event.event_type in CALLS:
        if event.phase == "result":
            return f"execution.{_ENDED.get(event.result_status, 'failed' if event.result_status else 'ended')}"
        return "decision" if event.policy_decision else (event.phase or event.event_type)
    if event.event_type == "approval":
        return f"approval.{_ANSWERED.get(event.action, 'changed')}"
    return _OTHERS.get((event.event_type, event.action)) or _OTHERS.get((event.event_type, "")) or event.event_type
