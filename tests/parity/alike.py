# SPDX-License-Identifier: Apache-2.0
"""What two doors recorded, made comparable: without what tells the door itself, and with ids told by their order."""

from typing import Any

_OF_THE_DOOR = ("transport", "peer_uid", "peer_pid")
_OF_THE_LOG = ("schema_version", "seq", "prev_hash", "timestamp", "wid", "wseq", "event_id", "latency_us")
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


def comparable(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is said of calls and connections; each call's events together, in the order of their attempts."""
    named: dict[str, str] = {}
    # an answer that comes late: from inside the handler is ended, and there is none
    kept = (e for e in events if e["event_type"] not in _OF_THE_RECORDER and not e.get("late"))
    told = [_told(event, named) for event in kept]
    order = {call: number for number, call in enumerate(dict.fromkeys(e.get("call_id", "") for e in told))}
    return sorted(told, key=lambda e: order[e.get("call_id", "")])


def _told(event: dict[str, Any], named: dict[str, str]) -> dict[str, Any]:
    without = {*_OF_THE_DOOR, *_OF_THE_LOG, *_RANDOM}
    told = {key: value for key, value in event.items() if key not in without}
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


def said(messages: list[Any]) -> list[Any]:
    """Return what a client heard, without what is random in it.

    An id that is null may as well be left out. What a server asks has whatever id, and its SDK may write out that a
    form is a form.
    """
    told: list[Any] = []
    for message in messages:
        plain = {key: value for key, value in message.items() if key != "id" or value is not None}
        if "method" in plain and "id" in plain:
            about = {key: value for key, value in plain["params"].items() if (key, value) != ("mode", "form")}
            ours = str(about.get("message")).startswith("OnRecord asks")
            plain = {**plain, "id": "…", "params": {**about, "message": "…"} if ours else about}
        told.append(_without(plain, "requestState", "inputRequests"))
    return told


def _without(value: Any, *keys: str) -> Any:
    if isinstance(value, dict):
        return {key: "…" if key in keys else _without(inner, *keys) for key, inner in value.items()}
    return [_without(inner, *keys) for inner in value] if isinstance(value, list) else value
