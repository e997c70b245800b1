# SPDX-License-Identifier: Apache-2.0
"""A server on the record conforms as it did before. `make suite` fetches the official suite; without it these skip."""

from collections import Counter

import pytest
from tests.conformance.suite import (
    EVERYTHING,
    OURS,
    POLICY,
    REVISIONS,
    WAYS,
    Scenario,
    alike,
    at_hand,
    bridged,
    different,
    direct,
    missing,
    run,
    wrapped,
)

pytestmark = pytest.mark.skipif(not at_hand(), reason="the conformance suite is not at hand: make suite")

# what a server that was not written for the suite can pass; `make conformance` runs all
WITHOUT_NAMES = (
    "server-initialize",
    "logging-set-level",
    "ping",
    "tools-list",
    "server-sse-multiple-streams",
    "resources-list",
    "resources-subscribe",
    "prompts-list",
    "tools-call-simple-text",  # which it has not: a tool that is unknown
)


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_server_that_doors_are_measured_with_passes_itself(tmp_path, revision):
    with direct(OURS, tmp_path) as reached:
        outcome = run(reached.url, revision, tmp_path / "out")
    assert {name: one.checks for name, one in outcome.items() if one.scored and one.failed} == {}
    assert sum(one.scored for one in outcome.values()) >= 30


# beside them, what the gateway answers in front of a server that does not
BY_HTTP = (*WITHOUT_NAMES, "dns-rebinding-protection", "server-session-lifecycle")


@pytest.mark.requirement("F2", "F4")
@pytest.mark.parametrize(
    ("way", "server", "revision", "only"),
    [
        ("stdio, `onrecord run`", OURS, "2025-11-25", ()),
        ("stdio, `onrecord run`", OURS, "2026-07-28", ()),
        ("stdio, `onrecord run`", EVERYTHING, "2025-11-25", WITHOUT_NAMES),
        ("HTTP, `onrecord gateway`", OURS, "2025-11-25", ()),
        ("HTTP, `onrecord gateway`", OURS, "2026-07-28", ()),
        ("HTTP, `onrecord gateway`", EVERYTHING, "2025-11-25", BY_HTTP),
    ],
    ids=[
        "stdio-ours-2025",
        "stdio-ours-2026",
        "stdio-everything-2025",
        "gateway-ours-2025",
        "gateway-ours-2026",
        "gateway-everything-2025",
    ],
)
def test_a_server_behind_a_door_conforms_as_it_does_by_itself_and_each_call_is_recorded(
    tmp_path, way, server, revision, only
):
    ways = {one.name: one for one in WAYS}
    door = ways[way]
    for name in ("plain", "door"):
        (tmp_path / name).mkdir()
    beside = ways[door.beside].reach(server, tmp_path / "plain")
    with beside as plain, door.reach(server, tmp_path / "door") as on_record:
        before, after = alike(plain, on_record, revision, tmp_path, *only, mends=door.mends)
    assert not [(name, before.get(name), after.get(name)) for name in different(before, after, door.mends)]
    assert sum(one.passed > 0 for one in after.values()) >= (len(only) or 30) - 1
    assert missing(on_record) == []


def test_what_a_way_mends_must_succeed_by_it_and_all_else_must_be_as_it_was():
    def ended(**checks):
        return {"one": Scenario(Counter(checks.items()))}

    mends = frozenset({"host"})
    lax = ended(host="FAILURE", rest="FAILURE")
    assert different(lax, ended(host="SUCCESS", rest="FAILURE"), mends) == []
    assert different(lax, lax, mends) == ["one"]
    assert different(lax, ended(host="SUCCESS", rest="SUCCESS"), mends) == ["one"]
    assert different(lax, ended(host="SUCCESS", rest="FAILURE")) == ["one"]


def test_the_suite_sees_what_a_policy_takes_away(tmp_path):
    policy = POLICY + '@id("no") forbid (principal, action == MCP::Action::"prompts/get", resource);'
    for name in ("plain", "wrapped"):
        (tmp_path / name).mkdir()
    with bridged(OURS, tmp_path / "plain") as plain, wrapped(OURS, tmp_path / "wrapped", policy) as on_record:
        scenarios = ("prompts-get-simple", "prompts-list")
        before = run(plain.url, "2025-11-25", tmp_path / "a", *scenarios)
        after = run(on_record.url, "2025-11-25", tmp_path / "b", *scenarios)
    assert different(before, after) == ["prompts-get-simple"]
    assert [wrong.partition(":")[0] for wrong in missing(on_record)] == [
        "1 × ('client_to_server', 'prompts/get', '') is recorded, and never came",
        "prompts/get was not allowed",
    ]
