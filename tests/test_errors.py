# SPDX-License-Identifier: Apache-2.0
"""What people are told of what the system says: in words, and without its numbers."""

import ast
import errno
import os
from pathlib import Path

import pytest

import onrecord
from onrecord.errors import OnRecordError, plainly

SOURCES = sorted(Path(onrecord.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)), "connection refused"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/File"), "permission denied: /a/File"),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), "permission denied"),
        (TimeoutError(), "it took too long"),
        (OSError("[Errno -2] Name or service not known"), "Name or service not known"),
        (OSError(), "OSError"),
        (OSError("the server speaks before TLS"), "the server speaks before TLS"),
        (OnRecordError("the log Calls is Gone"), "the log Calls is Gone"),
    ],
)
def test_what_the_system_says_is_told_in_words(error, told):
    assert plainly(error, "/a") == told


def test_no_error_of_the_system_is_told_as_it_is():
    as_it_is: list[str] = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.name and "OSError" in ast.unparse(node.type or node):
                as_it_is += [f"{path.name}:{line}" for line in _told(node, node.name)]

    assert as_it_is == []


def _told(node: ast.AST, name: str) -> list[int]:
    """Return the lines in which an error is made a text, but for where it is looked at first what it is."""
    found: list[int] = []
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.IfExp) and "isinstance" in ast.unparse(each.test):
            continue
        if isinstance(each, ast.FormattedValue | ast.Call) and ast.unparse(each) in (f"{{{name}}}", f"str({name})"):
            found.append(each.lineno)
        if isinstance(each, ast.FormattedValue) and isinstance(each.value, ast.Name) and each.value.id == name:
            found.append(each.lineno)
        found += _told(each, name)
    return found
