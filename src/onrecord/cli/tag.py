# SPDX-License-Identifier: Apache-2.0
"""`onrecord tag`: the tag of a value, to ask where else it was used.

The value comes on standard input: a command line is seen by every account of the machine, and kept
by shells. Nothing of it is printed or kept.
"""

import sys
from argparse import Namespace

from onrecord.cli.terminal import put
from onrecord.errors import CommandError
from onrecord.ledger.keys import open_digest_key
from onrecord.rules.digests import Digests
from onrecord.settings import home_folder, load

_LONGEST = 1 << 20  # bytes; no secret is longer


def tag(options: Namespace) -> int:
    """Print the tag of what stands on standard input."""
    home = home_folder()
    tenant = load(home, options.config).settings.tenant
    data = sys.stdin.buffer.read(_LONGEST + 1)
    if not data.strip() or len(data) > _LONGEST:
        raise CommandError("give one value on standard input, of at most 1 MiB", 2)
    put(Digests(open_digest_key(home), tenant).tag(data.decode(errors="replace")))
    return 0
