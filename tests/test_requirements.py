# SPDX-License-Identifier: Apache-2.0
"""What this version promises, and that a test stands behind each promise.

The ids are those of the product's requirements and keep their numbers for good; the lines are a reminder, not
the definition. An id joins the list in the change that fulfils it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent

PROMISED = {
    "A1": "one published, versioned event schema; events of an older version stay readable",
    "A2": "an event says who asked, what was aimed at, what was decided and why, and what came of it",
    "A3": "calls, connections, starts, stops, refusals and changes each have an event type of their own",
    "A4": "an attempt is on disk before the tool runs, and every call gets a closing event, however it ends",
    "A5": "one correlation id for the calls of one request; W3C trace context is read, begun and passed on",
    "A6": "how deep the events of a call go follows its tier: resource, recipient, before and after, way back",
    "A7": "calls, what looked wrong, and who read the record are three logs, kept and read apart",
    "B1": "no secret reaches the disk, whatever carries it",
    "B2": "a property that its schema marks as sensitive is replaced and named; the tool gets the real value",
    "B3": "credentials and personal data are found by patterns, and by tests of what they match",
    "B4": "the classification of a tool says how much of a call is kept; long text is cut",
    "B5": "users are pseudonyms; destroying one key unlinks that user, and the log still verifies",
    "B6": "each event names the redaction policy; a redaction that fails withholds the value",
    "B7": "text from a tool never acts on the screen, the spreadsheet or the page that shows it",
    "C1": "arguments are checked against the tool's schema before policy is asked; what does not fit is told by place",
    "C2": "a decision is on disk before the tool runs; the caller gets a safe reason, the record a full one",
    "C3": "who is behind a call comes from a verified token, or from the account, and the record says which",
    "C4": "policies over typed attributes decide, here or in a system elsewhere; their version is on each decision",
    "C5": "a risky call waits for someone else's yes to exactly that call; it counts once, for a while",
    "C6": "repeated calls are flagged and name the first; of tier 4 they are refused unless allowed",
    "C7": "output that looks like an attack is flagged, stripped or withheld; later calls name it",
    "C8": "definitions of tools are pinned; one that changes or looks like an attack is on the record and can block",
    "C9": "another policy can be run over recorded calls, and shows which decisions would differ",
    "D1": "one event a line, append-only, each line with the hash of the line before it",
    "D2": "signed checkpoints over a Merkle tree show any edit, reordering, deletion, cut or fork",
    "D3": "what was acknowledged is never lost; what can't be recorded and is risky does not run",
    "D6": "clients can read the retention and redaction settings over MCP, before they call",
    "E1": "what is on the record is found by conditions and by words, in seconds, with an index or without",
    "E2": "from one id or person on: a timeline, and six questions answered with the events that they rest on",
    "E4": "for each tool of a server, what is set, inferred and missing before it is fit to expose",
    "E5": "rules find what somebody should look at, none missed or doubled, and a queue says what became of it",
    "F1": "on by default, with nothing to configure",
    "F2": "every way in behaves alike, and the wrapped server conforms as it did before",
    "F3": "the servers that MCP clients are configured with can be put on the record, and taken off again",
    "F4": "every protocol revision that clients use",
    "F5": "an operator can send a canary through the real door and see it recorded, redacted and verified",
}


def marks(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield each `pytest.mark.requirement(...)` of a file: on a test, a class, a parameter, a module."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="requirement", value=ast.Attribute(attr="mark"))):
                yield node
            case _:
                pass


def backed() -> dict[str, list[str]]:
    """Return the test files that carry each id; an id that is not written out as text is an error."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        name = path.relative_to(TESTS).as_posix()
        for mark in marks(ast.parse(path.read_text(encoding="utf-8"))):
            assert mark.args, f"{name}:{mark.lineno}: the mark names no requirement"
            for argument in mark.args:
                assert isinstance(argument, ast.Constant), f"{name}:{mark.lineno}: write the id out"
                found.setdefault(str(argument.value), []).append(f"{name}:{mark.lineno}")
    return found


def test_every_promised_requirement_has_a_test() -> None:
    carried = backed()
    assert {name: promise for name, promise in PROMISED.items() if name not in carried} == {}


def test_no_test_carries_an_unknown_requirement() -> None:
    assert {name: places for name, places in backed().items() if name not in PROMISED} == {}
