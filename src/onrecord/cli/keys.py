# SPDX-License-Identifier: Apache-2.0
"""`onrecord keys`: the public half, to give to whoever will verify."""

from argparse import Namespace

from onrecord.cli.terminal import print_json, say
from onrecord.config import home_folder
from onrecord.ledger.keys import read_verifier, verifier_file


def keys(options: Namespace) -> int:
    """Print the key that verifies this home's log."""
    file = verifier_file(home_folder())
    if not file.is_file():
        say(f"there is no key in {file.parent} yet; the first onrecord run makes one")
        return 1
    key = read_verifier(str(file))
    if options.json:
        print_json({"vkey": str(key), "origin": key.name, "file": str(file)})
    else:
        print(key)
        say("this key is public; keep a copy on another machine, and verify there: onrecord verify COPY --key FILE")
    return 0
