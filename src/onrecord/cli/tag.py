# SPDX-License-Identifier: Apache-2.0
"""`onrecord tag`: the tag of a value, to ask where else it was used.

The value comes on standard input: a command line is seen by every account of the machine, and kept
by shells. Nothing of it is printed or kept. Where there is no record there is no key, and no tag: one
made with a new key would be that of no value on any record.
"""

import re
import sys
from argparse import Namespace

from onrecord.cli.terminal import put
from onrecord.errors import CommandError, OnRecordError
from onrecord.ledger.keys import read_digest_key
from onrecord.rules.digests import TAG, Digests
from onrecord.settings import home_folder, load

_LONGEST = 1 << 20  # bytes; no secret is longer
_TAG = re.compile(rf"(?:(?:\[REDACTED:)?([a-z0-9-]+)#)?([0-9a-fA-F]{{{TAG}}})\]?")


def tag(options: Namespace) -> int:
    """Print the tag of what stands on standard input."""
    home = home_folder()
    key = read_digest_key(home)
    tenant = load(home, options.config).settings.tenant
    data = sys.stdin.buffer.read(_LONGEST + 1)
    if not data.strip() or len(data) > _LONGEST:
        raise CommandError("give one value on standard input, of at most 1 MiB", 2)
    put(Digests(key, tenant).tag(data.decode(errors="replace")))
    return 0


def read_tag(text: str) -> str:
    """Return the tag in `text`: alone, behind a label, or within a label as the record has it. Raises OnRecordError."""
    match = _TAG.fullmatch(text.strip())
    if match:
        return match[2].lower()
    if re.fullmatch(r"\[REDACTED:[a-z0-9-]+\]", text.strip()):
        raise OnRecordError(f"{text.strip()} has no tag: what few values could be has none, unless the settings say so")
    raise OnRecordError(f"--tag {text[:80]!r}: a tag is {TAG} hex digits, as onrecord tag prints it")
