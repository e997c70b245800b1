# SPDX-License-Identifier: Apache-2.0
"""Values that nobody would send by accident: bounded in time and memory, withheld, and the event is written."""

import base64
import gzip
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from tests.rules.calls import DETECTORS, GITHUB, KEY, answered, call, text_result

from onrecord.event.call import Json
from onrecord.rules.redact import Redactor

pytestmark = pytest.mark.requirement("B1", "B6")

MIB = 1 << 20
TIME_S = 5.0  # of a processor; a bound, not a measure: the deadline is half a second
MEMORY = 300 * MIB

BY = Redactor(digest_key=KEY, detectors=DETECTORS, clock=time.monotonic_ns)


def nested(depth: int) -> Json:
    value: Json = GITHUB
    for i in range(depth):
        value = [value] if i % 2 else {"a": value}
    return value


def wrapped(text: str, times: int, wrap: Callable[[bytes], bytes]) -> str:
    data = text.encode()
    for _ in range(times):
        data = base64.b64encode(wrap(data))
    return data.decode()


BAD: dict[str, Callable[[], Any]] = {
    "lone surrogates": lambda: {"\ud800" + GITHUB: f"\udfff{GITHUB}\ud800" * 50},
    "nesting 10,000 deep": lambda: nested(10_000),
    "a number of 100,000 digits": lambda: {"n": 10**100_000 + 7, "t": GITHUB},
    "infinities": lambda: {"n": [float("inf"), float("-inf"), float("nan"), 1e308], "t": GITHUB},
    "10 MiB of text": lambda: "x" * (10 * MIB) + GITHUB,
    "10 MiB of words": lambda: "password: hunter2 and so on " * (10 * MIB // 28) + GITHUB,
    "10 MiB of quotes": lambda: 'token="' * (10 * MIB // 7) + GITHUB,
    "10 MiB of backslashes": lambda: "\\" * (10 * MIB) + GITHUB,
    "10 MiB of base64": lambda: "QUJD" * (10 * MIB // 4) + GITHUB,
    "a million small texts": lambda: ["x"] * 1_000_000 + [GITHUB],
    "100,000 keys": lambda: {f"password{i}": f"{GITHUB}{i}" for i in range(100_000)},
    "NULs": lambda: {"\0": "\0".join(GITHUB), GITHUB: f"\0{GITHUB}\0"},
    "mixed scripts": lambda: f"пароль 密码 кey={GITHUB} \u202e{GITHUB}\u202c " * 500,
    "base64 of base64, twenty times": lambda: wrapped(GITHUB, 20, lambda data: data),
    "a gzip bomb in base64": lambda: base64.b64encode(gzip.compress(b"x" * (50 * MIB) + GITHUB.encode())).decode(),
    "gzip in gzip": lambda: wrapped("x" * MIB, 6, gzip.compress),
    "many cards": lambda: "4111 1111 1111 1111 " * 200_000,
    "keys that are values": lambda: {f"{GITHUB}{i}": {f"{GITHUB}{i}": i} for i in range(5_000)},
    "blocks of a character each": lambda: [{"type": "text", "text": c} for c in (GITHUB + " ") * 1_000],
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("where", ["arguments", "content"])
def test_bad_input_is_withheld_in_bounded_time_and_memory(what: str, where: str) -> None:
    value = BAD[what]()
    made = call({"v": value} if where == "arguments" else {})
    body: Json = text_result("fine") if where == "arguments" else {"content": value, "structuredContent": {"v": value}}

    began = time.thread_time()
    entries = answered(made, body, by=BY, classification="low")
    took_s = time.thread_time() - began  # by itself, as counting what is allocated takes several times as long
    tracemalloc.start()
    entries += answered(made, body, by=BY, classification="low")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    for entry in entries:
        json.loads(entry.body)
        assert GITHUB not in entry.body.decode()
        assert "\0".join(GITHUB)[:40] not in json.loads(entry.body).get("input_summary", "")
        assert entry.event.tool_name == "read_file"
    assert took_s < TIME_S
    assert peak < MEMORY
