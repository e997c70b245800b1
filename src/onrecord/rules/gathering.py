# SPDX-License-Identifier: Apache-2.0
"""The texts of a value, each with the names that it stands under, for one search over all of them.

Many rules need a name beside the value (`datadog.api: 3f…`), and in JSON the name is a key. So a
text is looked at behind the last of its keys, as `context` writes them. Most calls hold nothing
that must be withheld; one search over what `gathered` collects says so, and no walk is needed.
"""

import unicodedata
from typing import TypeAlias

from onrecord.event.call import Json
from onrecord.rules import names
from onrecord.rules.argv import secret_words, words_of
from onrecord.rules.beside import TELLING, cells, told
from onrecord.rules.outcome import is_binary
from onrecord.rules.pointer import Tokens

NODES = 50_000  # values of one event that are looked at
DEEPEST = 64  # levels
LONG_NUMBER = 99_999_999  # past this a number may be one of a card or a person

TOGETHER = 2_000  # keys that are looked at at once
_KEYS = 3  # names before a text
_KEY = 64  # characters of each
_NAME = 9  # a name this short before `=` is one that texts don't look for: `auth=`, `pin=`

Keys: TypeAlias = tuple[str, ...]
_Place: TypeAlias = tuple[str, str, str]  # what stands before a text there, before a key of two more, of one more
_Waiting: TypeAlias = tuple[Json, int, _Place]
Run: TypeAlias = list[tuple[Tokens, str]]  # texts of blocks that follow each other, each with its place in the list
_PIECE = 8  # least characters of the longer of two pieces of a secret
_BEGIN = "-----BEGIN"
_HEX = "0123456789abcdefABCDEF-"
_TELLING = TELLING | {"kty", "blob", "data"}  # keys that few objects have
_TEXTLESS = ("image", "audio", "resource", "resource_link")


_ROOT: _Place = ("", "", "")


def context(keys: Keys) -> str:
    """Return what is put before a text that stands under `keys`."""
    return f"{'.'.join(keys)}: " if keys else ""


def under(keys: Keys, key: str) -> Keys:
    """Return the keys of what stands under `key` in what stands under `keys`; an index is no name."""
    if not key or (key[0] <= "9" and key.isdecimal()):
        return keys
    return (*keys[-_KEYS + 1 :], key if len(key) <= _KEY else key[-_KEY:])


def gathered(value: Json, texts: list[str], *, room: int, binary: bool = False, numbers: bool = False) -> bool:
    """Append each key, text and long number in `value` to `texts`; return whether that was all of it.

    `room` is in characters. With `binary`, encoded bytes in MCP content are left out; with `numbers`,
    short numbers are not.
    """
    least = -1 if numbers else LONG_NUMBER
    waiting: list[_Waiting] = [(value, 0, _ROOT)]
    for _ in range(NODES):
        if not waiting:
            return sum(map(len, texts)) <= room
        node, depth, place = waiting.pop()
        if depth > DEEPEST or len(texts) + (len(node) if isinstance(node, dict | list) else 0) > NODES:
            return False
        if isinstance(node, dict):
            if not _gather_object(node, depth, place, texts, waiting, binary=binary, least=least):
                return False
            continue
        before = place[0]
        if isinstance(node, list) and not _gather_list(node, texts):
            return False
        for child in node if isinstance(node, list) else (node,):
            if isinstance(child, str):
                texts.append(before + child)
            elif isinstance(child, dict | list):
                waiting.append((child, depth + 1, place))
            elif isinstance(child, int | float) and abs(child) > least:
                texts.append(before + digits(child))
    return False


def _gather_list(node: list[Json], texts: list[str]) -> bool:
    """Append what the items of a list say together; return False where some mean more than they say by themselves."""
    if node and isinstance(node[0], dict | list):
        if len(node) > 1:
            texts.extend("".join(text for _, text in run) for run in block_runs(node))
        return isinstance(node[0], dict) or not any(cells(node))
    lines = [item for item in node if isinstance(item, str)]
    if len(lines) < len(node):
        texts.extend("".join(text for _, text in run) for run in block_runs(node))
    elif say_more(lines):
        texts.append("\n".join(lines))
    for line in lines:
        if line[:1] == "-" or 0 < line.find("=") < _NAME:
            return not secret_words(words_of(node))
    return True


def say_more(lines: list[str]) -> bool:
    """Say whether items of a list may make a secret together: one that is cut into pieces, or the lines of a key."""
    one, whole = "", True
    for other in lines:
        was_whole, whole = whole, not other[:_PIECE].strip(_HEX)  # ids and digests in hexadecimal are not cut
        long = len(one) >= _PIECE or len(other) >= _PIECE
        if long and one and other and not (was_whole and whole) and " " not in one and " " not in other:
            return True
        one = other
    return len(lines) > 1 and any(line.startswith(_BEGIN) for line in lines)


def _gather_object(
    node: dict[str, Json],
    depth: int,
    place: _Place,
    texts: list[str],
    waiting: list[_Waiting],
    *,
    binary: bool,
    least: int,
) -> bool:
    """Append the keys, texts and numbers of `node`; return False where a key means more than it says."""
    of = named = ""
    encoded = False
    if not _TELLING.isdisjoint(node):
        of, named = told(node)
        if named and names.label_of(named):
            return False
        if ("kty" in node and not names.KEY_PARTS.isdisjoint(node)) or any(cells(node)):
            return False
        encoded = binary and ("blob" in node or "data" in node)
    here, two, last = place
    texts.extend(node if all(map(str.isascii, node)) else [key if key.isascii() else _normal(key) for key in node])
    for key, child in node.items():
        name = named if named and key == of else key
        if name[:1] <= "9" or len(name) > _KEY:  # an index, perhaps, or too long
            name = "" if name.isdecimal() else name[-_KEY:]
        if isinstance(child, str):
            if not (encoded and is_binary(node, key)):
                texts.append(f"{two}{name}: {child}" if name else here + child)
        elif isinstance(child, dict | list):
            waiting.append((child, depth + 1, (f"{two}{name}: ", f"{last}{name}.", f"{name}.") if name else place))
        elif isinstance(child, int | float) and abs(child) > least:
            texts.append((f"{two}{name}: " if name else here) + digits(child))
    return True


def keys_in(value: Json) -> set[str]:
    """Return the first keys of `value`, at any depth."""
    keys: set[str] = set()
    waiting = [value]
    for _ in range(NODES):
        if not waiting or len(keys) > TOGETHER:
            break
        node = waiting.pop()
        if isinstance(node, dict):
            keys.update(node)
            waiting.extend(child for child in node.values() if isinstance(child, dict | list))
        elif isinstance(node, list):
            waiting.extend(child for child in node if isinstance(child, dict | list))
    return keys


def block_runs(node: Json) -> list[Run]:
    """Return the texts of content blocks that follow each other in `node`, where there are two or more.

    A block is also the content of a message, and a resource with its text. One that has only bytes, or a
    link, does not part those around it.
    """
    runs: list[Run] = [[]]
    for i, block in enumerate(node if isinstance(node, list) else ()):
        if isinstance(block, dict) and isinstance(text := block.get("text"), str):
            runs[-1].append(((str(i), "text"), text))
        elif isinstance(block, dict) and (inner := block.get("content") or block.get("resource")):
            key = "content" if block.get("content") else "resource"
            runs[-1].extend(((str(i), key, *at), text) for at, text in _texts_of(inner))
        elif runs[-1] and not (isinstance(block, dict) and block.get("type") in _TEXTLESS):
            runs.append([])
    return [run for run in runs if len(run) > 1]


def _texts_of(inner: Json) -> Run:
    """Return the texts of the content of a message, or of an embedded resource, each with its place."""
    if isinstance(inner, dict):
        return [(("text",), text)] if isinstance(text := inner.get("text"), str) else []
    blocks = enumerate(inner) if isinstance(inner, list) else ()
    return [((str(i), *at), text) for i, block in blocks if isinstance(block, dict) for at, text in _texts_of(block)]


def _normal(key: str) -> str:
    """Return a key as it is, and as `names` reads it."""
    return f"{key}\n{unicodedata.normalize('NFKC', key)}"


def digits(number: float) -> str:
    """Return a number as text: its digits, or past the thousands that Python writes those of base 16."""
    if isinstance(number, float):
        return str(int(number)) if -1e40 < number < 1e40 and number.is_integer() else repr(number)
    try:
        return str(number)
    except ValueError:
        return hex(number)
