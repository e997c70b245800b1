# SPDX-License-Identifier: Apache-2.0
"""Calls as agents make them, some 500 bytes of JSON each and no two alike, and texts that are made to be slow.

The calls are built from a fixed seed, of words, paths, ids, times, diffs, queries and messages; one in
twelve holds a made-up secret, as few of the real ones do.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

from bench.redaction.scoring import Labelled

SEED = 20_261_121
SIZE = 500  # bytes of an event, about

_WORDS = """
    account add after again agent alert all amount analysis and answer api archive article asset at audit backup
    balance batch before billing branch brief bucket budget build button by cache calendar call change channel
    check city class clear client close cloud code column comment commit company config contact content copy
    cost country create current customer daily data date default delete deploy describe detail device disk
    document done draft edit email empty error event every export failed feature field file find first fix
    folder for form from function goal graph group handle have header health history host hour how image import
    in index input install into invoice issue item job join key language last latest layer lead ledger level
    limit line link list load local log long machine mail main make map market match member memory merge message
    method metric minute missing mode model month name network new next node note notice number object of offer
    old on open option order other output owner page parse part patch path pay people plan point policy port
    post price print process product profile project pull quality query queue quick rate read ready reason
    record region release remote report request result retry review role route row rule run safe sale sample
    save schema search section select send series server service session set share shop short show sign site
    size small source stage start state status step stock stop store stream string summary support sync system
    table task team test text the thread ticket time title to topic total trace track type unit update upload
    url usage use user value version view wait web week weight with word work write year zone
"""
WORDS = tuple(_WORDS.split())


def events(count: int) -> list[dict[str, Any]]:
    """Return the arguments of as many calls, each other than the ones before."""
    draw = random.Random(SEED)
    return [_event(draw, number) for number in range(count)]


def _event(draw: random.Random, number: int) -> dict[str, Any]:
    made = _ARGUMENTS[number % len(_ARGUMENTS)](draw)
    if number % 12 == 7:
        made["note"] = f"{_words(draw, 4)} {_secret(draw)}"
    while (room := SIZE - len(json.dumps(made))) > 20:
        key = f"{draw.choice(WORDS)}_{draw.choice(WORDS)}"
        made[key] = draw.choice((_words(draw, max(2, room // 9)), draw.randrange(10_000), _time(draw), _path(draw)))
    return made


def _words(draw: random.Random, count: int) -> str:
    return " ".join(draw.choices(WORDS, k=count))


def _path(draw: random.Random) -> str:
    ending = draw.choice(("py", "md", "json", "ts", "sql", "log"))
    return f"/home/{draw.choice(WORDS)}/{'/'.join(draw.choices(WORDS, k=3))}.{ending}"


def _time(draw: random.Random) -> str:
    month, day, hour, minute = (draw.randrange(1, most) for most in (13, 29, 24, 60))
    return f"2026-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z"


def _uuid(draw: random.Random) -> str:
    text = f"{draw.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def _secret(draw: random.Random) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    token = "".join(draw.choices(letters, k=36))
    return draw.choice((f"ghp_{token}", f"password={token[:12]}", f"Authorization: Bearer {token}"))


def _read(draw: random.Random) -> dict[str, Any]:
    return {"path": _path(draw), "encoding": "utf-8", "range": {"start": draw.randrange(900), "lines": 120}}


def _edit(draw: random.Random) -> dict[str, Any]:
    old, new = (f"    {draw.choice(WORDS)} = {draw.choice(WORDS)}({_words(draw, 2)!r})\n" for _ in range(2))
    return {"path": _path(draw), "edits": [{"oldText": old, "newText": new}], "dryRun": bool(draw.randrange(2))}


def _search(draw: random.Random) -> dict[str, Any]:
    query = f"is:open label:{draw.choice(WORDS)} {_words(draw, 3)}"
    return {
        "repo": f"{draw.choice(WORDS)}/{draw.choice(WORDS)}",
        "query": query,
        "sha": f"{draw.getrandbits(160):040x}",
    }


def _query(draw: random.Random) -> dict[str, Any]:
    table, column = draw.choice(WORDS), draw.choice(WORDS)
    sql = f"SELECT {column}, count(*) FROM {table}s WHERE created_at > '{_time(draw)}' GROUP BY {column} LIMIT 50"
    return {"sql": sql, "params": [draw.randrange(10**6), _uuid(draw)], "timeout_ms": 5_000}


def _message(draw: random.Random) -> dict[str, Any]:
    return {"channel": f"#{draw.choice(WORDS)}", "thread_id": _uuid(draw), "text": _words(draw, 30).capitalize() + "."}


def _calendar(draw: random.Random) -> dict[str, Any]:
    return {"title": _words(draw, 5), "start": _time(draw), "end": _time(draw), "attendees": [_uuid(draw), _uuid(draw)]}


def _fetch(draw: random.Random) -> dict[str, Any]:
    path = "/".join(draw.choices(WORDS, k=3))
    url = f"https://{draw.choice(WORDS)}.example.test/{path}?page={draw.randrange(90)}&sort={draw.choice(WORDS)}"
    return {"url": url, "headers": {"accept": "application/json", "x-request-id": _uuid(draw)}, "max_length": 5_000}


def _rows(draw: random.Random) -> dict[str, Any]:
    rows = [{"id": draw.randrange(10**7), "name": _words(draw, 2), "total": draw.randrange(10**4) / 100} for _ in "123"]
    return {"table": draw.choice(WORDS), "rows": rows, "cursor": f"{draw.getrandbits(96):024x}"}


_ARGUMENTS = (_read, _edit, _search, _query, _message, _calendar, _fetch, _rows)


def traffic(rows: list[Labelled], size: int) -> str:
    """Return so many characters of real texts in which nothing is to be found, with two secrets among them."""
    draw = random.Random(SEED)
    texts = [row.text for row in rows if row.negative == "corpus"]
    draw.shuffle(texts)
    pieces: list[str] = []
    length = 0
    while length < size:
        pieces.append(texts[len(pieces) % len(texts)])
        length += len(pieces[-1]) + 1
    for place in (len(pieces) // 3, len(pieces) * 2 // 3):
        pieces[place] += f" {_secret(draw)}"
    return "\n".join(pieces)[:size]


def hostile(size: int) -> Iterator[tuple[str, str]]:
    """Yield texts that are made to be slow, about so many characters each, by name."""
    for name, piece in _HOSTILE.items():
        yield name, (piece * (size // len(piece) + 1))[:size]


_HOSTILE = {
    "one letter": "a",
    "digits": "1",
    "numbers": "1234567890 ",
    "groups of four": "4111 ",
    "backslashes": "\\",
    "quotes": "\"'",
    "nested quotes": '\\\\\\"',
    "brackets": '{"a":[',
    "password=": "password=",
    'password="': 'password="',
    "token: x, ": "token: x, ",
    "names": "secret token key ",
    "key prefixes": "AKIA",
    "token starts": "eyJ",
    "private keys": "-----BEGIN PRIVATE" + " KEY-----\n",
    "e-mails": "a@b.cd ",
    "half e-mails": "a@",
    "addresses": "://a:b@",
    "percent signs": "%25",
    "entities": "&amp;",
    "base64": "QWxhZGRpbjpvcGVuIHNlc2FtZQ",
    "hex": "6f70656e",
    "mixed": "A1b2C3d4",
    "zero width": "a\u200b",
    "wide letters": "\uff41",
    "line ends": "ab\\\n",
    "concatenation": '"a" + ',
    "key value pairs": "aws_key=x ",
    "control characters": "\x1b[31m\x00",
    "scripts": "пароль=ключ ",
}
