# SPDX-License-Identifier: Apache-2.0
"""What the guard costs a call, process CPU: without a policy, with one in Cedar, and where that one denies.

A call is begun, redeemed and ended against a real ledger; the tool itself costs nothing. Rounds of each
kind take turns, and the best round counts. What deciding adds is the difference. Cedar remembers verdicts under what
the policies read of a call; "each another question" has a policy that reads the digest of the arguments.
"""

import tempfile
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path

from bench.row import Row, cpu_us

from onrecord.config import build_recorder
from onrecord.event.call import Actor, Call, Connection, Definition, Raw, Result
from onrecord.guard import Guard
from onrecord.ledger.place import Home
from onrecord.permits import Permit
from onrecord.recorder import Recorder
from onrecord.settings import load

CALLS, ROUNDS = 400, 9
BUDGET_US = 150.0
SMALL, LARGE = 10, 100  # policies

FIXED = """
@id("everyday") permit (principal, action == MCP::Action::"tools/call", resource) when { context.tier <= 2 };
@id("wiki") forbid (principal, action, resource == MCP::Tool::"wiki_page");
@id("verified") forbid (principal, action, resource) when { context.tier >= 3 && principal.level < 3 };
@id("tainted") forbid (principal, action, resource) when { context.tier >= 3 && context.suspicious_before > 0 };
"""
DIGESTS = '@id("digest") forbid (principal, action, resource) when { context.arguments_digest == "0" };'


def policies(many: int) -> str:
    """Return as many policies, most of them about other tools."""
    others = "".join(
        f'@id("other-{number}") forbid (principal, action, resource == MCP::Tool::"tool_{number}") '
        "unless { principal.level >= 4 };\n"
        for number in range(many - FIXED.count("@id"))
    )
    return FIXED + others


def measure() -> list[Row]:
    """Return what a call costs the guard, beside the same without a policy."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        recorders = [
            _recorder(home / "none", ""),
            _recorder(home / "small", policies(SMALL)),
            _recorder(home / "digests", policies(SMALL - 1) + DIGESTS),
            _recorder(home / "large", policies(LARGE - 1) + DIGESTS),
        ]
        bare, small, digests, large = (recorder.guard for recorder in recorders)
        kinds: list[tuple[str, float | None, Callable[[], None]]] = [
            ("no policy", None, lambda: _calls(bare, "read_file")),
            (f"{SMALL} policies in Cedar", BUDGET_US, lambda: _calls(small, "read_file")),
            (f"{SMALL} policies, denied", None, lambda: _calls(small, "wiki_page")),
            (f"{SMALL} policies, each another question", BUDGET_US, lambda: _calls(digests, "read_file")),
            (f"{LARGE} policies, each another question", None, lambda: _calls(large, "read_file")),
        ]
        rounds = [[cpu_us(work, CALLS) for _, _, work in kinds] for _ in range(ROUNDS)]
        for recorder in recorders:
            recorder.stop("measured", 0)
    best = [min(one[number] for one in rounds) for number in range(len(kinds))]
    return [
        Row(
            name=f"guard, a call of tier 1, {name}: added CPU",
            value=cost - best[0],
            unit="µs",
            budget=budget,
            ratio=cost / best[0],
            against=f"the same without a policy ({best[0]:.0f} µs)",
        )
        for (name, budget, _), cost in zip(kinds[1:], best[1:], strict=True)
    ]


def _recorder(folder: Path, text: str) -> Recorder:
    folder.mkdir()
    if text:
        (folder / "policies").mkdir()
        (folder / "policies" / "team.cedar").write_text(text)
        (folder / "onrecord.toml").write_text('[policy]\nengine = "cedar"\n')
    home = Home(folder)
    recorder, _ = build_recorder(home, load(home), lambda _: None)
    _calls(recorder.guard, "read_file")
    return recorder


_count = count()


def _calls(guard: Guard, tool: str) -> None:
    actor = Actor(user_id="u_0123456789abcdef0123", identity_source="os_account", identity_assurance="os_account")
    connection = Connection(
        session_id=guard.new_id(), server_id="files", transport="stdio", actor=actor, client_name="an-agent"
    )
    schema = {"type": "object", "properties": {"path": {"type": "string"}, "text": {"type": "string"}}}
    definition = Definition(name=tool, digest="1" * 64, input_schema=Raw(schema), read_only=True)
    for number in islice(_count, CALLS):
        call = Call(
            event_type="tool_call",
            method="tools/call",
            name=tool,
            arguments=Raw({"path": "/srv/data/report.txt", "text": "hello, world", "n": number}),
            meta=Raw({}),
            request_id=number,
            connection=connection,
            size_bytes=160,
            definition=definition,
        )
        permit = guard.begin(call)
        if isinstance(permit, Permit):
            permit.redeem()
            result = {"content": [{"type": "text", "text": "hello, world"}]}
            guard.end(permit, Result(status="succeeded", body=Raw(result), size_bytes=90)).redeem()
