# SPDX-License-Identifier: Apache-2.0
"""`onrecord authenticators`: whose authenticators are enrolled here, a new one, one less.

Each enrolment and removal is on the record, and in the log `security`, before it takes effect. Who does it is proven
as a caller is. Options and answers are the JSON forms of WebAuthn (Level 3, 5.1.8 to 5.1.10), as a page's
`PublicKeyCredential.parseCreationOptionsFromJSON` reads and `toJSON` writes them.
"""

import os
import sys
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from onrecord.cli.terminal import print_json, put, say
from onrecord.config import build_recorder
from onrecord.errors import CommandError, NotAuthenticated
from onrecord.event.call import Actor
from onrecord.event.event import Event
from onrecord.ledger.keys import open_digest_key
from onrecord.ledger.place import Home
from onrecord.ledger.smallfile import NotSmall, read_small
from onrecord.people import build_approver
from onrecord.proofs.authenticators import LABEL, Authenticators
from onrecord.proofs.ceremony import MAX_ANSWER, Authenticator
from onrecord.proving import build_authenticators
from onrecord.settings import Loaded, home_folder, load

SHORTEST = 6  # digits by which one is named


def authenticators(options: Namespace) -> int:
    """Show the authenticators of this home, or change them by a person's word."""
    home = home_folder()
    loaded = load(home, options.config)
    digest_key = open_digest_key(home)
    held = build_authenticators(home, loaded, digest_key)
    if options.action == "list":
        _list(held, as_json=options.json)
        return 0
    actor = build_approver(home, loaded, digest_key, os.environ).actor
    if not actor.user_id:
        raise NotAuthenticated("the token is of a workload, and authenticators are of people")
    if options.action == "options":
        return _options(held, actor, options)
    if not options.what:
        raise CommandError(f"say what to {options.action}: {'FILE' if options.action == 'enrol' else 'DIGEST'}", 2)
    vouched = read_input(options.assertion) if options.assertion else None
    if options.action == "enrol":
        new = held.enrolling(read_input(options.what), actor, _label(options))
        held.enrol(new, lambda: _record(home, loaded, actor, new, "enrol"), vouched)
        done = new
    else:
        done = _named(held, options.what)
        if actor.user_id != done.person:
            raise NotAuthenticated("it is the authenticator of another person")
        held.remove(done, lambda: _record(home, loaded, actor, done, "remove"), vouched)
    if options.json:
        print_json({"action": options.action, **_told(done)})
    else:
        put(f"{'enrolled' if options.action == 'enrol' else 'removed'} {done.digest}")
    return 0


def read_input(name: str, limit: int = MAX_ANSWER) -> bytes:
    """Return what stands in a small file, or on standard input where its name is `-`. Raises CommandError."""
    try:
        data = sys.stdin.buffer.read(limit + 1) if name == "-" else read_small(Path(name), limit)
    except OSError as e:
        raise CommandError(f"cannot read {name[:200]}: {os.strerror(e.errno or 0).lower()}", 2) from e
    except NotSmall as e:
        raise CommandError(str(e), 2) from e
    if len(data) > limit:
        raise CommandError(f"standard input holds more than {limit} bytes", 2)
    return data


def _list(held: Authenticators, *, as_json: bool) -> None:
    found = held.all()
    counting = {one.id for one in held.counting()}
    if not found and not as_json:
        say("no authenticator is enrolled yet; begin with: onrecord authenticators options")
    for one in found:
        if as_json:
            print_json({**_told(one), "counts": one.id in counting})
            continue
        since = datetime.fromtimestamp(one.enrolled_us / 1e6, UTC).strftime("%Y-%m-%d")
        more = [one.label, "synchronised" if one.synced else "", "" if one.id in counting else "DOES NOT COUNT"]
        put(f"{one.digest}  {one.person}  {one.source}  {since}  {'  '.join(part for part in more if part)}".rstrip())


def _told(one: Authenticator) -> dict[str, object]:
    return {
        "digest": one.digest,
        "person": one.person,
        "tenant": one.tenant,
        "source": one.source,
        "assurance": one.assurance,
        "label": one.label,
        "synced": one.synced,
        "enrolled_us": one.enrolled_us,
    }


def _options(held: Authenticators, actor: Actor, options: Namespace) -> int:
    if options.new and options.remove:
        raise CommandError("--for and --remove are two things to sign for; give one", 2)
    if options.new:
        new = held.enrolling(read_input(options.new), actor, _label(options))
        print_json(held.options(held.vouching_challenge(new), actor.user_id))
    elif options.remove:
        old = _named(held, options.remove)
        print_json(held.options(held.removal_challenge(old), old.person))
    else:
        print_json(held.enrol_options(actor.user_id, _label(options)))
    return 0


def _label(options: Namespace) -> str:
    label: str = options.label or "onrecord"
    if len(label) > LABEL or not label.isprintable():
        raise CommandError(f"--label takes up to {LABEL} characters that can be printed", 2)
    return label


def _named(held: Authenticators, digest: str) -> Authenticator:
    found = [one for one in held.all() if one.digest.startswith(digest.lower())]
    if len(digest) < SHORTEST or len(found) != 1:
        raise CommandError(f"give the digest of one authenticator, {SHORTEST} digits of it or more", 2)
    return found[0]


def _record(home: Home, loaded: Loaded, actor: Actor, one: Authenticator, action: str) -> None:
    """Put on the log of calls, and on that of security, what happens to an authenticator. Raises LedgerError."""
    recorder, _ = build_recorder(home, loaded, say)
    event = Event(
        event_type="authentication",
        action=action,
        user_id=actor.user_id,
        tenant_id=actor.tenant_id,
        identity_source=actor.identity_source,
        identity_assurance=actor.identity_assurance,
        identity_issuer=actor.identity_issuer,
        identity_key_id=actor.identity_key_id,
        token_hash=actor.token_hash,
        principal_type=actor.principal_type,
        detail={"authenticator": one.digest, "person": one.person, "synced": one.synced},
    )
    recorder.state([(event, {})])
    recorder.alarm(event, {})
