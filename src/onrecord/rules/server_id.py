# SPDX-License-Identifier: Apache-2.0
"""What a server may be called on the record: the one rule for each door.

A name is whatever a client's configuration, a command or a server of an SDK calls itself, so spaces and slashes are
fine. It stands in each event, in front of a person, and in rules, so it is one line and short. Behind the gateway a
name is a path too, and is narrower (`gateway_settings.py`).
"""

import unicodedata

from onrecord.rules.canary import SERVER_ID as CANARY

LONGEST = 256  # characters; of names from outside no more are kept either

_NO_TEXT = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines and paragraphs


def fault_in(server_id: str) -> str:
    """Return why a server can't have that name, "" where it can."""
    if server_id == CANARY:
        return f"{CANARY} is kept for onrecord selftest"
    if not server_id.strip():
        return "a name must not be empty"
    if len(server_id) > LONGEST:
        return f"a name takes at most {LONGEST} characters"
    if any(unicodedata.category(char) in _NO_TEXT for char in server_id):
        return "a name must be one line of text, without control characters"
    return ""
