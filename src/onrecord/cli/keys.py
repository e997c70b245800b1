# SPDX-License-Identifier: Apache-2.0
"""`onrecord keys`: the public half, to give to whoever will verify; `onrecord keys rotate`: a new pair."""

from argparse import Namespace

from onrecord.cli.despite import stop_unless_sound
from onrecord.cli.terminal import print_json, put, say
from onrecord.errors import OnRecordError
from onrecord.ledger.keys import own_verifiers
from onrecord.ledger.place import Home
from onrecord.ledger.rotation import rotate
from onrecord.ledger.signing import verifier_file
from onrecord.settings import home_folder, load

_MADE = {
    "calls": "the first server on the record makes it, so begin with: onrecord run -- COMMAND…",
    "security": "the first event of that log makes it",
    "access": "the first look at the record makes it, as: onrecord tail",
}


def keys(options: Namespace) -> int:
    """Print the keys that verify a log of this home, after a rotation if one was asked for."""
    home = home_folder()
    file = verifier_file(home, options.log)
    if not file.is_file():
        raise _none_yet(home, options.log)
    if options.action == "rotate":
        doing = "keys rotate"
        stop_unless_sound(home, load(home), options.log, despite=options.despite_verdict, doing=doing)
        new = rotate(home, options.log).new
        say(f"{new.name} is signed with a new key from here on; the old private key is destroyed, best effort")
    found = own_verifiers(home, options.log)
    if options.json:
        vkeys = [str(key) for key in found]
        print_json({"vkey": vkeys[-1], "vkeys": vkeys, "origin": found[-1].name, "file": str(file)})
        return 0
    for key in found:
        put(str(key))
    say("this is public; keep a copy on another machine, and verify there: onrecord verify COPY --key FILE")
    return 0


def _none_yet(home: Home, log: str) -> OnRecordError:
    """Return what is said where a log has no key."""
    if home.path.exists() and not home.path.is_dir():
        return OnRecordError(f"{home.path} is no folder; ONRECORD_HOME or --home names that of ledger and keys")
    return OnRecordError(
        f"there is no key of the log {log} in {home.keys} yet: {_MADE[log]}; or name another home with --home"
    )
