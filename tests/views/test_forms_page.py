# SPDX-License-Identifier: Apache-2.0
"""Nothing that an event says is lost in a form, and docs/export.md says where each field of it stands.

`python -m tests.views.test_forms_page` prints the table of that page.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.views.exports import CALL, FIELDS, TRACE

from onrecord.event.event import Event
from onrecord.views.columns import BY_NAME
from onrecord.views.forms.aat import records
from onrecord.views.forms.cloudevents import cloudevent
from onrecord.views.forms.ecs import ecs
from onrecord.views.forms.ocsf import ocsf
from onrecord.views.forms.otlp import otlp

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
SHORT = {
    "OCSF": (("unmapped.onrecord.", "U."),),
    "ECS": (("onrecord.", "O."),),
    "OpenTelemetry": (("attributes.onrecord.audit.", "A."), ("attributes.", "")),
    "AAT": (("action_detail.onrecord.", "D."), ("action_detail.", "d.")),
}


def _first_record(event: Event) -> dict:
    return next(records(event))


def _log_record(event: Event) -> dict:
    (resource,) = otlp(event)["resourceLogs"]
    (scope,) = resource["scopeLogs"]
    (record,) = scope["logRecords"]
    return record | {"resource.attributes": resource["resource"]["attributes"], "schemaUrl": scope["schemaUrl"]}


FORMS = {"OCSF": ocsf, "ECS": ecs, "OpenTelemetry": _log_record, "AAT": _first_record}

# Two values of each field that is not any text, and differs by what it is.
_TOLD: dict[str, tuple[Any, Any]] = {
    "event_type": ("tool_call", "resource_read"),
    "phase": ("result", "attempt"),
    "trace_id": (TRACE[3:35], "a" * 32),
    "span_id": (TRACE[36:52], "b" * 16),
    "client_ip": ("10.1.2.3", "10.1.2.4"),
    "timestamp": ("2026-11-21T09:00:00.250456Z", "2026-11-21T10:00:01.350457Z"),
    "latency_us": (250_333, 9_250_334),
    "risk_tier": (2, 3),
    "client_version": ("1.4.2", "1.5.0"),
    "result_status": ("failed", "succeeded"),
    "trace_source": ("onrecord", "client"),
    "identity_assurance": ("token", "os_account"),
    "detail": ({"kept": 1}, {"kept": 2}),
    "ext": ({"kept": 1}, {"kept": 2}),
}


def told(name: str) -> tuple[Any, Any]:
    """Return two things that an event can say in a field; where there is only one, the other is nothing."""
    if name in _TOLD or name == "prev_hash":
        return _TOLD.get(name, ("a" * 64, "b" * 64))
    column = BY_NAME[name]
    if column.values:
        return (column.values[0], column.values[1] if len(column.values) > 1 else "")
    return {
        "text": (f"{name} once", f"{name} again"),
        "integer": (41, 42),
        "boolean": (True, False),
        "json": ((f"{name} once",), (f"{name} again",)),
    }[column.kind]


FULL = Event(**{name: told(name)[0] for name in FIELDS})


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return what stands at each path of a form; the pairs of OTLP have names, other objects of a list their place."""
    found: dict[str, Any] = {}
    if isinstance(value, dict):
        for name, each in value.items():
            found |= leaves(each, f"{path}.{name}" if path else name)
        return found
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        for at, each in enumerate(value):
            if each.keys() == {"key", "value"}:
                found[f"{path}.{each['key']}"] = each["value"]
            else:
                found |= leaves(each, f"{path}[{at}]")
        return found
    return {path: value}


@cache
def places(form: str, name: str) -> tuple[str, ...]:
    """Return where a form says what an event says in a field: what changes when that changes, and nothing else does."""
    one, other = told(name)
    at = leaves(FORMS[form](msgspec.structs.replace(FULL, **{name: one})))
    then = leaves(FORMS[form](msgspec.structs.replace(FULL, **{name: other})))
    silent = other == "" or (other is False and msgspec.structs.fields(Event)[FIELDS.index(name)].default is False)
    kept = at if silent else at.keys() & then.keys()
    return tuple(short(form, path) for path in at if path in kept and at[path] != then.get(path))


def short(form: str, path: str) -> str:
    path = re.sub(r"\[\d+\]", "[]", path)
    for long, brief in SHORT[form]:
        if path.startswith(long):
            return brief + path[len(long) :]
    return path


@pytest.mark.parametrize("form", FORMS)
def test_each_field_of_an_event_stands_somewhere_in_each_form(form):
    assert [name for name in FIELDS if not places(form, name)] == []


def test_what_a_field_says_is_in_the_forms_word_for_word():
    for name in FIELDS:
        if BY_NAME.get(name) and BY_NAME[name].kind == "text" and not BY_NAME[name].values and name not in _TOLD:
            for form in FORMS.values():
                assert f"{name} once" in str(form(FULL)), name


def test_a_cloudevent_has_all_of_the_event():
    assert msgspec.convert(cloudevent(FULL)["data"], Event) == FULL


def test_what_an_event_does_not_say_stands_nowhere():
    bare = Event(event_type="heartbeat", schema_version=1)
    paths = {form: {short(form, path) for path in leaves(made(bare))} for form, made in FORMS.items()}
    own = {form: {path for path in of if path[:2] in ("U.", "O.", "A.", "D.", "d.")} for form, of in paths.items()}
    assert own == {
        "OCSF": set(),
        "ECS": {"O.schema_version", "O.event_type"},
        "OpenTelemetry": {"A.schema_version", "A.event_type"},
        "AAT": {"D.schema_version", "D.event_type", "d.event"},
    }


# -------------------------------------------------------------------------------------------- the page


def row(name: str) -> str:
    """Return the line of a field, "" where it stands below `onrecord` under its own name in all forms."""
    cells = [", ".join(f"`{place}`" for place in places(form, name)) for form in FORMS]
    plain = [f"`{letter}.{name}`" for letter in "UOAD"]
    return "" if cells == plain else f"| `{name}` | {' | '.join(cells)} |"


def table() -> list[str]:
    return [made for name in FIELDS if (made := row(name))]


def test_the_page_says_where_each_field_stands_in_each_form():
    page = PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| `[a-z_]+` \|", line)]
    assert [line for line in rows if line.count(" | ") == len(FORMS)] == table()


def test_the_page_shows_a_call_as_it_is():
    (shown,) = re.findall("```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    part, whole = msgspec.json.decode(shown), ocsf(CALL[0])
    assert part == {name: whole[name] for name in part}


if __name__ == "__main__":
    print("\n".join(table()))
