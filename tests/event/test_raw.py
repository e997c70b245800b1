# SPDX-License-Identifier: Apache-2.0
"""Raw values stay in memory: nothing encodes them, nothing prints them, and only redaction makes what is written."""

import ast
import copy
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest

import onrecord
from onrecord.event.call import Actor, Call, Connection, Definition, Raw, Result
from onrecord.event.event import Event, EventType, encode
from onrecord.event.redacted import OWN_FACTS, Redacted, own_fact, with_detail

pytestmark = pytest.mark.requirement("B1")

SECRET = "hunter2-is-planted-here"
SOURCE = Path(onrecord.__file__).parent

CONNECTION = Connection(
    session_id="s",
    server_id="files",
    transport="stdio",
    actor=Actor(user_id="u_1"),
    client_name=SECRET,
    client_version=SECRET,
    server_name=SECRET,
    server_version=SECRET,
)
DEFINITION = Definition(name=SECRET, digest="d", input_schema=Raw({"default": SECRET}))
CALL = Call(
    event_type="tool_call",
    method="tools/call",
    name=SECRET,
    arguments=Raw({"password": SECRET}),
    meta=Raw({"token": SECRET}),
    request_id=SECRET,
    connection=CONNECTION,
    size_bytes=1,
    definition=DEFINITION,
    rounds=(SECRET,),
)
RESULT = Result(status="failed", body=Raw([SECRET]), error_type=SECRET, rounds=(SECRET,), fields=(SECRET,))

HOLDERS = [Raw(SECRET), Raw({SECRET: [SECRET]}), CALL, RESULT, DEFINITION]


@pytest.mark.parametrize("encoder", [msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins, json.dumps])
@pytest.mark.parametrize("holder", HOLDERS, ids=repr)
def test_nothing_encodes_a_raw_value(holder: object, encoder: Callable[[object], object]) -> None:
    with pytest.raises(TypeError):
        encoder(holder)
    with pytest.raises(TypeError):
        encoder({"nested": [holder]})


@pytest.mark.parametrize("dump", [pickle.dumps, copy.deepcopy])
@pytest.mark.parametrize("holder", HOLDERS, ids=repr)
def test_nothing_pickles_or_copies_a_raw_value(holder: object, dump: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="redact them first"):
        dump(holder)


@pytest.mark.parametrize("holder", [CALL, RESULT, DEFINITION], ids=repr)
def test_nothing_takes_a_call_apart_into_plain_values(holder: Call | Result | Definition) -> None:
    with pytest.raises(TypeError, match="redact them first"):
        asdict(holder)


@pytest.mark.parametrize("holder", [*HOLDERS, CONNECTION], ids=repr)
def test_nothing_from_outside_shows_when_it_is_printed(holder: object) -> None:
    for text in (
        repr(holder),
        str(holder),
        f"{holder}",
        f"{holder!r:>40}",
        "{} {!r}".format(holder, holder),  # noqa: UP032 - the other way of formatting
        ascii([holder]),
    ):
        assert SECRET not in text


def test_nothing_from_outside_shows_in_a_traceback_of_a_failed_encoding() -> None:
    for encoder in (msgspec.json.encode, json.dumps, pickle.dumps):
        with pytest.raises(TypeError) as refused:
            encoder(CALL)
        assert SECRET not in str(refused.value)


def test_a_raw_value_is_opened_on_purpose_only() -> None:
    raw = Raw({"a": SECRET})
    assert raw.open() == {"a": SECRET}
    assert not hasattr(raw, "__dict__")
    assert raw != Raw({"a": SECRET})  # comparing would be looking
    with pytest.raises(TypeError):
        iter(raw)  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(TypeError):
        raw["a"]  # pyright: ignore[reportIndexIssue]


# What may be written


def makers(tree: ast.AST) -> Iterator[int]:
    """Yield the line of each place that makes a `Redacted`, under whatever name it was imported."""
    names = {"Redacted"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname for alias in node.names if alias.name == "Redacted" and alias.asname}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in names:
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr="Redacted")):
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr="__new__" | "__init__", value=ast.Name(id=name))) if name in names:
                yield node.lineno
            case _:
                pass


def test_only_redaction_makes_what_may_be_written() -> None:
    allowed = {"event/redacted.py"}
    found: dict[str, list[int]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        places = list(makers(ast.parse(path.read_text(encoding="utf-8"))))
        if places and name not in allowed and not name.startswith("rules/"):
            found[name] = places
    assert found == {}


def test_the_search_for_makers_finds_them() -> None:
    code = "from onrecord.event.redacted import Redacted as R\nR(e, b)\nevent.Redacted(e, b)\nR.__new__(R)\nf(R)"
    assert list(makers(ast.parse(code))) == [2, 3, 4]


def test_a_fact_of_our_own_is_of_a_kind_that_holds_nothing_from_outside() -> None:
    for event_type in sorted(OWN_FACTS):
        assert own_fact(event_type, event_id="e").event.event_type == event_type
    outside: tuple[EventType, ...] = ("tool_call", "security", "recorder_start", "configuration", "authentication")
    for event_type in outside:
        with pytest.raises(ValueError, match=r"rules\.redact"):
            own_fact(event_type, event_id="e")


def test_more_detail_makes_another_entry_and_leaves_the_first_as_it_was() -> None:
    first = own_fact("gap", event_id="e", action="spooled", detail={"a": 1})
    second = with_detail(first, b=True)
    assert json.loads(first.body)["detail"] == {"a": 1}
    assert json.loads(second.body)["detail"] == {"a": 1, "b": True}
    assert second.event.event_id == "e"


def test_an_entry_shows_its_kind_and_nothing_else() -> None:
    event = Event(event_id="e", event_type="tool_call", tool_name=SECRET)
    assert repr(Redacted(event, encode(event))) == "<redacted tool_call e>"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"seq":1,"event_id":"e"}', b'{"event_type":"gap"}'])
def test_an_entry_without_an_id_or_with_a_place_of_its_own_is_not_made(body: bytes) -> None:
    with pytest.raises(ValueError, match="event_id"):
        Redacted(Event(event_id="e"), body)
