# SPDX-License-Identifier: Apache-2.0
"""`onrecord ledger reopen`: end a log that can no longer be continued, and begin its successor."""

import os
from argparse import Namespace

from onrecord.cli.terminal import print_json, put, say
from onrecord.config import build_redactor
from onrecord.errors import OnRecordError
from onrecord.event.event import Event
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted
from onrecord.ledger.clock import now_us
from onrecord.ledger.keys import open_keys
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.place import Home
from onrecord.ledger.signing import key_file, verifier_file
from onrecord.ledger.successor import Predecessor, reopen
from onrecord.people import account
from onrecord.settings import home_folder, load


def ledger(options: Namespace) -> int:
    """Set the log aside and begin a new one that says why."""
    home = home_folder()
    loaded = load(home)
    if not _has_begun(home):
        raise OnRecordError(f"there is no log in {home.path} yet: nothing to end; begin with: onrecord run -- COMMAND…")
    keys, _ = open_keys(home)  # an ending that was broken off may have left none
    redactor = build_redactor(keys.digest_key, loaded)
    person = Keystore(home, keys.digest_key).pseudonym(
        tenant=loaded.settings.tenant, source="os_account", subject=account()
    )

    def opening(old: Predecessor) -> Redacted:
        event = Event(
            event_id=uuid7(now_us() // 1000, os.urandom(10)),
            event_type="log_open",
            action="succeed",
            user_id=person,
            identity_source="os_account",
            identity_assurance="os_account",
            detail={"origin": old.origin, "size": old.size, "root": old.root, "kept_as": old.kept_as},
        )
        return redactor.fact(event, {"reason": options.reason})

    old = reopen(home, opening)
    if options.json:
        print_json({"ended": old.origin, "entries": old.size, "kept_as": old.kept_as})
    else:
        put(f"ended {old.origin} at {old.size} entries; kept as {old.kept_as}")
    say("the successor has a new key; give it to whoever verifies: onrecord keys")
    return 0


def _has_begun(home: Home) -> bool:
    """Say whether there is a log, or what an ending that was broken off has left of one."""
    left = (key_file(home), verifier_file(home), home.guard(), home.log().path)
    return any(path.exists() for path in left) or any(home.log().path.parent.glob("calls.ended-*"))
