# SPDX-License-Identifier: Apache-2.0
"""`onrecord approvals` with decisions that are signed: by an authenticator, or by the service that is asked.

Who decides is who has signed, whoever runs the verb. What does not count is on the record, with why.
"""

from argparse import Namespace
from collections.abc import Callable

from onrecord.approvals import Approvals, Kept
from onrecord.cli.accessed import accessed
from onrecord.cli.approvals import check_view, facts_of, print_request, request_of, state_of
from onrecord.cli.authenticators import read_input
from onrecord.cli.terminal import print_json, put, say
from onrecord.config import build_recorder
from onrecord.errors import CommandError, ConfigError, NotAuthenticated
from onrecord.ledger.keys import open_digest_key
from onrecord.ledger.keystore import Keystore
from onrecord.proofs.webhook import message, tokens_in
from onrecord.proving import build_authenticators, build_decisions, build_taking, build_webhook
from onrecord.rules.approval import VoteRefused
from onrecord.settings import home_folder, load

MAX_DECISIONS = 256 * 1024  # bytes of a file of them


def options(options: Namespace) -> int:
    """Print the options by which a request is signed."""
    home = home_folder()
    loaded = load(home, options.config)
    digest_key = open_digest_key(home)
    kept = request_of(home, loaded, options.id)
    check_view(kept)
    accessed(home, "approvals", which=kept.statement.id)
    held = build_authenticators(home, loaded, digest_key)
    print_json(held.options(bytes.fromhex(kept.statement.digest())))
    return 0


def approve_signed(options: Namespace) -> int:
    """Approve one request as whoever's authenticator has signed it."""
    home = home_folder()
    loaded = load(home, options.config)
    digest_key = open_digest_key(home)
    kept = request_of(home, loaded, options.id)
    check_view(kept)
    held = build_authenticators(home, loaded, digest_key)
    text = read_input(options.assertion)
    if not options.json:
        print_request(kept, as_json=False)
    recorder, _ = build_recorder(home, loaded, say)
    taking = build_taking(home, loaded, digest_key, recorder)
    with recorder.briefly():
        return _taken([lambda: taking.assertion(text, held, kept)], as_json=options.json)


def submit(options: Namespace) -> int:
    """Take the signed decisions in a file."""
    home = home_folder()
    loaded = load(home, options.config)
    digest_key = open_digest_key(home)
    decisions = build_decisions(loaded, Keystore(home, digest_key), digest_key)
    try:
        tokens = tokens_in(read_input(options.file, MAX_DECISIONS).decode("ascii"))
    except ValueError as e:
        text = "it is not ASCII" if isinstance(e, UnicodeError) else str(e)
        tokens, why = (), text
    else:
        why = ""
    recorder, _ = build_recorder(home, loaded, say)
    taking = build_taking(home, loaded, digest_key, recorder)
    with recorder.briefly():
        if why:
            taking.refused("webhook", why, "")
            raise CommandError(f"does not count: {why}", 1)
        return _taken([lambda token=token: taking.decision(token, decisions) for token in tokens], as_json=options.json)


def send(options: Namespace) -> int:
    """Ask the service about the requests that stand, once each."""
    home = home_folder()
    loaded = load(home, options.config)
    digest_key = open_digest_key(home)
    webhook = build_webhook(loaded)
    if webhook is None:
        raise ConfigError(f"{loaded.path or 'onrecord.toml'}: there is no service to ask: set webhook.url")
    decisions = build_decisions(loaded, Keystore(home, digest_key), digest_key)
    chosen = [request_of(home, loaded, options.id)] if options.id else Approvals(home, digest_key).all()[0]
    recorder, _ = build_recorder(home, loaded, say)
    taking = build_taking(home, loaded, digest_key, recorder)
    worst = 0
    with recorder.briefly():
        for kept in chosen:
            of = kept.statement
            if state_of(kept) not in ("pending", "escalated") or "webhook" not in of.channels:
                continue
            heard = webhook.ask(of.id, message(of, kept.view))
            if heard.why:
                taking.failed(of.id, heard.why)
                say(f"{of.id}: {heard.why}")
                worst = 1
            elif not heard.tokens:
                say(f"{of.id}: asked; nothing is decided yet")
            steps = [lambda token=token, of=of: taking.decision(token, decisions, of.id) for token in heard.tokens]
            worst = max(worst, _taken(steps, as_json=options.json))
    return worst


def _taken(steps: list[Callable[[], Kept]], *, as_json: bool) -> int:
    """Take each decision, and say what it came to; 1 where one does not count."""
    worst = 0
    for step in steps:
        try:
            kept = step()
        except (NotAuthenticated, VoteRefused) as e:
            say(f"does not count: {e}")
            worst = 1
            continue
        if as_json:
            print_json(facts_of(kept))
        else:
            vote = kept.votes[-1].vote
            put(f"{vote.decision} by {vote.approver}; the request {kept.statement.id} is {state_of(kept)} now")
    return worst
