# SPDX-License-Identifier: Apache-2.0
"""Settings to proofs: the authenticators that are enrolled here, and the service that decides elsewhere.

Authenticators need an extra, `onrecord[webauthn]`, and decisions another one, `onrecord[identity]`; each is imported
only where it is used.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from onrecord.approvals import Kept
from onrecord.errors import ConfigError, NotAuthenticated, NotVerified, OnRecordError
from onrecord.event.event import Event
from onrecord.ledger.keys import open_digest_key
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.place import Home
from onrecord.ledger.smallfile import NotSmall, read_small
from onrecord.people import build_issuer, reading_of, roles_of
from onrecord.recorder import Recorder
from onrecord.rules.approval import VoteRefused
from onrecord.settings import Loaded

if TYPE_CHECKING:
    from onrecord.proofs.authenticators import Authenticators
    from onrecord.proofs.decision import Decisions
    from onrecord.proofs.taking import Taking
    from onrecord.proofs.webhook import Webhook

WEBHOOK_KEY = "ONRECORD_WEBHOOK_SECRET"

_MAX_SECRET = 4096  # bytes of its file


def build_authenticators(home: Home, loaded: Loaded, digest_key: bytes) -> "Authenticators":
    """Return the authenticators of `home`. Raises ConfigError where the settings or the library are missing."""
    from onrecord.proofs.authenticators import Authenticators
    from onrecord.proofs.ceremony import require

    settings = loaded.settings.webauthn
    try:
        party = settings.party
        require()
    except ConfigError as e:
        raise ConfigError(f"{loaded.path or home.config}: {e}") from e
    return Authenticators(home, digest_key, party, only=frozenset(settings.only))


def build_decisions(loaded: Loaded, keystore: Keystore, digest_key: bytes) -> "Decisions":
    """Return what verifies the decisions of the service that the settings name. Raises ConfigError."""
    settings = loaded.settings.webhook
    if not settings.issuer:
        raise ConfigError(f"{loaded.path or 'onrecord.toml'}: no service is believed yet: set webhook.issuer")
    try:
        from onrecord.proofs.decision import Decisions
    except ModuleNotFoundError as e:
        raise ConfigError(f"{loaded.path}: signed decisions need joserfc: pip install 'onrecord[identity]'") from e
    base = loaded.path.parent if loaded.path else Path()
    subjects = settings.subjects or loaded.settings.identity.issuer or settings.issuer
    return Decisions(
        issuer=build_issuer(
            settings.issuer,
            settings.jwks,
            base,
            algorithms=settings.algorithms,
            max_age_s=loaded.settings.identity.keys_max_age_s,
        ),
        audience=settings.audience,
        reading=replace(
            reading_of(loaded),
            tenant_claim=settings.tenant_claim,
            roles_claim=settings.roles_claim,
        ),
        digest_key=digest_key,
        names=subjects,
        pseudonym=lambda tenant, _, subject: keystore.pseudonym(tenant=tenant, source=subjects, subject=subject),
        clock=time.time,
    )


def build_taking(home: Home, loaded: Loaded, digest_key: bytes, recorder: Recorder) -> "Taking":
    """Return what makes votes of proofs, for the requests of `home`."""
    from onrecord.proofs.taking import Taking

    guard, keystore = recorder.guard, Keystore(home, digest_key)
    assert guard.approving is not None, "a recorder asks for approvals"

    def note(event: Event, outside: Mapping[str, str]) -> None:
        event = msgspec.structs.replace(event, event_id=guard.new_id())
        guard.note(recorder.redactor.fact(event, outside), urgent=True)

    return Taking(guard.approving, lambda actor: roles_of(actor, loaded, keystore), note)


def attach_webhook(
    home: Home, loaded: Loaded, recorder: Recorder, say: Callable[[str], None], environ: Mapping[str, str] = os.environ
) -> None:
    """Have the service asked about each request that a call of `recorder` waits for. Raises ConfigError, KeyFileError.

    What goes wrong is on the record, and said once for each request; no call waits for it.
    """
    webhook, approving = build_webhook(loaded, environ), recorder.guard.approving
    if webhook is None or approving is None:
        return
    from onrecord.proofs.sender import Sender
    from onrecord.proofs.webhook import message

    digest_key = open_digest_key(home)
    decisions = build_decisions(loaded, Keystore(home, digest_key), digest_key)
    from onrecord.identity.keys import KeysAway

    taking = build_taking(home, loaded, digest_key, recorder)

    def is_open(approval_id: str) -> bool:
        try:
            kept = approving.store.read(approval_id)
        except NotVerified:
            return False
        return kept is not None and approving.look(kept.statement) in ("pending", "escalated")

    def take(approval_id: str, token: str) -> bool:
        try:
            taking.decision(token, decisions, approval_id)
        except OnRecordError as e:
            say(f"a decision of the webhook does not count: {e}")
            return isinstance(e, NotAuthenticated | VoteRefused) and not isinstance(e, KeysAway)  # else it may later
        return True

    def fail(approval_id: str, why: str) -> None:
        taking.failed(approval_id, why)
        say(f"the webhook was not asked about an approval: {why}")

    sender = Sender(webhook.ask, is_open=is_open, take=take, fail=fail)

    def announce(kept: Kept) -> None:
        if "webhook" in kept.statement.channels:
            sender.put(kept.statement.id, message(kept.statement, kept.view))

    approving.announce = announce
    recorder.at_stop = sender.close


def build_webhook(loaded: Loaded, environ: Mapping[str, str] = os.environ) -> "Webhook | None":
    """Return the service that is asked to decide, None where the settings name none. Raises ConfigError."""
    from onrecord.proofs.webhook import Webhook, secrets_in

    settings = loaded.settings.webhook
    if not settings.url:
        if environ.get(WEBHOOK_KEY):
            raise ConfigError(f"{WEBHOOK_KEY} is set, but the settings name no service to ask: set webhook.url")
        return None
    if bool(environ.get(WEBHOOK_KEY)) == bool(settings.secret_file):
        given = "given twice" if settings.secret_file else "missing"
        raise ConfigError(
            f"{loaded.path}: the secret of the webhook is {given}: in {WEBHOOK_KEY}, or in webhook.secret_file"
        )
    try:
        secrets = secrets_in(environ.get(WEBHOOK_KEY) or _read_secret(loaded))
        return Webhook(settings.url, secrets, timeout_s=settings.timeout_s, clock=time.time)
    except ConfigError as e:
        raise ConfigError(f"{loaded.path}: {e}") from e


def _read_secret(loaded: Loaded) -> str:
    base = loaded.path.parent if loaded.path else Path()
    path = base / Path(loaded.settings.webhook.secret_file).expanduser()
    try:
        if os.name != "nt" and path.stat().st_mode & 0o077:
            raise ConfigError("webhook.secret_file can be read by others; chmod 600 mends that")
        return read_small(path, _MAX_SECRET).decode("ascii")
    except OSError as e:
        raise ConfigError(f"webhook.secret_file cannot be read: {os.strerror(e.errno or 0).lower()}") from e
    except (NotSmall, UnicodeDecodeError) as e:
        raise ConfigError("webhook.secret_file holds no secret") from e
