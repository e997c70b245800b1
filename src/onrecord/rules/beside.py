# SPDX-License-Identifier: Apache-2.0
"""What the fields of an object say about each other: which of them names another, which heads a column.

A value may stand under a name that says nothing, and the name that tells beside it: a list of
variables (`{"Name": "DbPassword", "Value": …}`), a form that an agent fills in (`{"element":
"Password textbox", "text": …}`), a table (`{"columns": […, "password"], "rows": [[…]]}`).
"""

from collections.abc import Iterator

from onrecord.event.call import Json
from onrecord.rules import names
from onrecord.rules.pointer import Tokens
from onrecord.rules.words import listed, words

MOST_COLUMNS = 200  # of a table that is read
_LONGEST = 64  # characters of a column's name

# Under which keys a value stands that is named beside it, as it is (AWS writes `Value`) and in small letters.
_VALUES = ("value", "Value", "VALUE", "val", "ParameterValue", "parameterValue")
_TYPED = ("text", "inputText", "input_text")
_VALUED = frozenset(_VALUES)
_HOLD = frozenset((*_VALUES, *_TYPED))
_NAMES = ("name", "key", "field", "id", "label", "variable", "parameter", "param", "attribute")  # or end so
_PLACES = listed("element selector locator xpath css placeholder field fieldname field_name accessibilityid")
_KINDS = ("type", "inputType", "input_type", "format")
_FLAGS = ("sensitive", "secret", "isSecret", "is_secret", "masked", "Sensitive", "Secret", "IsSecret")

# What else stands in the name of a field on a page.
_OF_FORM = listed("input field box textbox text the of for form edit")

_HEADS = listed("columns headers header fields columnNames column_names keys names cols")
_NUMBERS = listed("password pin one-time-code card-code ssn")  # may be numbers; what is called tokens is counted
TELLING = _HOLD | _HEADS  # an object without any of these keys says no more than they say one by one
_ROWS = ("rows", "data", "values", "records", "results", "datarows")


def holds(value: Json) -> bool:
    """Say whether there is anything to withhold: a flag called `password` is none."""
    return not isinstance(value, bool) and value not in (None, "", [], {})


def told(node: dict[str, Json]) -> tuple[str, str]:
    """Return the key of a value that is named beside it, and the name, which tells if any does; or two times ""."""
    if _HOLD.isdisjoint(node):
        return "", ""
    if "text" in node and isinstance(node.get("value"), str) and ("by" in node or "using" in node):
        return "text", _of_place(str(node["value"]))  # {"by": "id", "value": "password", "text": …}: Selenium
    for key in () if _VALUED.isdisjoint(node) else _VALUES:
        if key in node:
            return key, _name_beside(node, key)
    if _PLACES.isdisjoint(map(str.lower, node)):
        return "", ""
    key = next(key for key in _TYPED if key in node)
    place = next((text for name, text in _strings(node) if name.lower() in _PLACES), "")
    name = _of_place(place) if place and isinstance(node[key], str) else ""
    return (key, name) if name and names.label_of(name) else ("", "")


def _name_beside(node: dict[str, Json], of: str) -> str:
    """Return what names the value of `node` under `of`: what tells, or else what is called its name."""
    found = node.get("name", node.get("key"))
    name = found if isinstance(found, str) else ""
    if name and names.label_of(name):
        return name
    for key, text in _strings(node):
        lowered = key.lower()
        other = _of_place(text) if lowered in _PLACES else text if lowered.endswith(_NAMES) else ""
        if (other and names.label_of(other)) or (key in _KINDS and names.label_of(text) == "password"):
            return other or text
    flagged = any(node.get(key) is True for key in _FLAGS)
    return "secret" if flagged and not isinstance(node[of], dict) else name


def _strings(node: dict[str, Json]) -> Iterator[tuple[str, str]]:
    for key, child in node.items():
        if isinstance(child, str) and 0 < len(child) <= 256:
            yield key, child


def _of_place(place: str) -> str:
    """Return the words of a place on a page that say what belongs there: `input[name='token']`, `API token input`."""
    if not names.label_of(place) and "input" in place.lower():
        return " ".join(word for word in words(place) if word not in _OF_FORM)
    return place


def headings(node: Json) -> list[Json]:
    """Return the first row of a table, or the names of its columns; else an empty list."""
    if isinstance(node, list):
        return node[0] if len(node) > 1 and isinstance(node[0], list) else []
    if isinstance(node, dict) and not _HEADS.isdisjoint(node):
        for key, child in node.items():
            if key in _HEADS and isinstance(child, list):
                return child
    return []


def cells(node: Json) -> Iterator[tuple[Tokens, Json, str]]:
    """Yield where, what and of which label the cells are that a heading in `node` announces."""
    heading = headings(node)
    labels = _labels(heading) if heading else []
    if not any(labels):
        return
    if isinstance(node, list):
        if len(labels) > 2 or not labels[0]:  # else names and their values, perhaps
            yield from _announced(node, labels, (), first=1)
    elif isinstance(node, dict):
        for key in _ROWS:
            rows = node.get(key)
            if isinstance(rows, list) and rows is not heading:
                yield from _announced(rows, labels, (key,), first=0)


def column_name(column: Json) -> str:
    """Return what a column is called, or ""."""
    name = column.get("name", column.get("Name")) if isinstance(column, dict) else column
    return name if isinstance(name, str) and len(name) <= _LONGEST else ""


def _labels(heading: list[Json]) -> list[str]:
    """Return the label of each column, "" where it announces nothing; none at all of what is no heading."""
    called = [column_name(column) for column in heading[: MOST_COLUMNS + 1]]
    if not 2 <= len(called) <= MOST_COLUMNS or any(not name or any(map(str.isdigit, name)) for name in called):
        return []
    return [names.label_of(name) for name in called]


def _announced(
    rows: list[Json], labels: list[str], before: Tokens, *, first: int
) -> Iterator[tuple[Tokens, Json, str]]:
    telling = [(i, label) for i, label in enumerate(labels) if label]
    for at, row in enumerate(rows[first:], first):
        if isinstance(row, list) and len(row) == len(labels):
            for i, label in telling:
                if holds(row[i]) and (isinstance(row[i], str) or label in _NUMBERS):
                    yield (*before, str(at), str(i)), row[i], label
