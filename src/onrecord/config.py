# SPDX-License-Identifier: Apache-2.0
"""Settings to built objects: where the parts of a recorder, a service, and what they record are wired together."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from onrecord import compiled
from onrecord.approvals import Approvals
from onrecord.approving import Approving
from onrecord.declaring import build_declared
from onrecord.earlier import Earlier
from onrecord.engines.authzen import AuthZen
from onrecord.engines.cedar import Cedar
from onrecord.engines.cedar_files import read_policies
from onrecord.engines.spicedb_files import open_spicedb
from onrecord.errors import ConfigError, LedgerError, OnRecordError, plainly
from onrecord.event.call import Actor
from onrecord.event.event import Event
from onrecord.event.ids import uuid7
from onrecord.event.redacted import own_fact
from onrecord.guard import Guard
from onrecord.ledger.anchoring import AnchorPlan
from onrecord.ledger.appending import Appending
from onrecord.ledger.clock import now_us
from onrecord.ledger.keys import Keys, open_digest_key, open_keys, read_verifiers, verifier_file
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.listener import Listener
from onrecord.ledger.place import Home
from onrecord.ledger.presence import Presence
from onrecord.ledger.receipts import seen_of
from onrecord.ledger.remote import RemoteWriter
from onrecord.ledger.service import Log, Service
from onrecord.ledger.sessions import Sessions
from onrecord.ledger.signing import SigningKeys
from onrecord.ledger.timestamp import load_roots
from onrecord.ledger.vouched import Vouched
from onrecord.ledger.whereabouts import own_socket, way_of
from onrecord.ledger.writer import Writer
from onrecord.people import build_identity, own_account
from onrecord.pins import Pins
from onrecord.presidio import Presidio
from onrecord.recorder import Configuration, Recorder
from onrecord.review import due_review
from onrecord.rules.actions import check_actions
from onrecord.rules.detection.detectors import Detectors
from onrecord.rules.detection.flagging import flagger
from onrecord.rules.detection.own import check_off
from onrecord.rules.policy import Engine, Policy
from onrecord.rules.policy_input import merged
from onrecord.rules.redact import Redactor
from onrecord.screen import Screen
from onrecord.settings import Loaded
from onrecord.version import __version__

if TYPE_CHECKING:
    from onrecord.identity.identity import Identity


def build_recorder(
    home: Home,
    loaded: Loaded,
    say: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
    *,
    asked_over: int | None = None,
) -> tuple[Recorder, Actor]:
    """Wire a recorder for this process, and say who its person is; `asked_over` is the descriptor that calls come from.

    Raises KeyFileError where keys or pseudonyms cannot be had: without them nothing may be written.
    """
    way = way_of(home, named=loaded.settings.recorder.socket, environ=environ)
    if way is None:
        keys, created = open_keys(home)
        identity, actor = build_identity(
            home, loaded, Keystore(home, keys.digest_key), keys.digest_key, environ, asked_over=asked_over
        )
        standing = {"same_account": True}  # the wrapped server runs as we do
        recorder, _ = _embedded(home, loaded, say, standing, keys, created=created, identity=identity)
        return recorder, actor
    digest_key = open_digest_key(home)
    vkeys = read_verifiers(str(verifier_file(home))) if way.moved and verifier_file(home).exists() else []
    writer = RemoteWriter(
        way.socket,
        Vouched(home, "calls", str(way.socket), vkeys=vkeys),
        gap=lambda: own_fact("gap", event_id=guard.new_id(), action="spooled"),
        deadline_s=loaded.settings.ledger.append_deadline_s,
        remedy=way.remedy,
    )
    redactor = build_redactor(digest_key, loaded)
    identity, actor = build_identity(
        home, loaded, Keystore(home, digest_key), digest_key, environ, asked_over=asked_over
    )
    guard = Guard(
        writer,
        redactor,
        loaded.settings.tool,
        policy_version=loaded.digest,
        screen=Screen(flagger(), loaded.settings.output.flags),
        policy=build_policy(loaded),
        earlier=_earlier(loaded),
        identity=identity,
        approving=_approving(home, loaded, digest_key, writer, redactor, readable=way.socket == own_socket(home)),
    )
    recorder = Recorder(
        None,
        writer,
        redactor,
        guard,
        version=__version__,
        configuration=_configuration(loaded),
        declared=build_declared(home if way.moved or way.socket == own_socket(home) else None, loaded, redactor, guard),
        key_created=False,
        standing=lambda: {"same_account": writer.same_account},
        pins=build_pins(home, loaded, digest_key, redactor),
        alarm=lambda event, outside: _record_security(home, loaded, event, outside, say),
        say=say,
    )
    return recorder, actor


def _embedded(
    home: Home,
    loaded: Loaded,
    say: Callable[[str], None],
    standing: Mapping[str, bool],
    keys: Keys,
    *,
    created: bool,
    identity: "Identity | None" = None,
) -> tuple[Recorder, Writer]:
    """Wire a recorder that writes the log of `home` itself."""
    wid = os.urandom(8).hex()
    writer = _writer(home, loaded, keys, wid, say)
    redactor = build_redactor(keys.digest_key, loaded)
    screen = Screen(flagger(), loaded.settings.output.flags)
    guard = Guard(
        writer,
        redactor,
        loaded.settings.tool,
        policy_version=loaded.digest,
        screen=screen,
        policy=build_policy(loaded),
        earlier=_earlier(loaded),
        identity=identity,
        approving=_approving(home, loaded, keys.digest_key, writer, redactor, readable=True),
    )
    recorder = Recorder(
        Presence(home, wid),
        writer,
        redactor,
        guard,
        version=__version__,
        configuration=_configuration(loaded),
        declared=build_declared(home, loaded, redactor, guard),
        key_created=created,
        standing=lambda: standing,
        pins=build_pins(home, loaded, keys.digest_key, redactor),
        alarm=lambda event, outside: _record_security(home, loaded, event, outside, say),
        say=say,
    )
    return recorder, writer


def build_service(
    home: Home, loaded: Loaded, listener: Listener, say: Callable[[str], None]
) -> tuple[Service, Sessions, Recorder]:
    """Wire the recorder service that keeps the log of `home`, its doors, and the recorder of its own start and stop.

    Raises KeyFileError.
    """
    keys, created = open_keys(home)
    recorder, writer = _embedded(home, loaded, say, {"service": True}, keys, created=created)
    signing = SigningKeys(home, "calls", keys.signer.name)
    sessions = Sessions(home)
    log = Log(home=home, name="calls", read_vkeys=signing.vkeys, uid=os.getuid())
    return Service(log, listener, writer, sessions, recorder.guard.new_id), sessions, recorder


def _writer(home: Home, loaded: Loaded, keys: Keys, wid: str, say: Callable[[str], None]) -> Writer:
    """Return what writes the log of `home`. What this home has seen of it before must still be there."""
    settings = loaded.settings.ledger

    def open_ledger() -> Ledger:
        seen = seen_of(home, keys.signer.name)
        return Ledger.open(
            home,
            keys.signer,
            wid=wid,
            deadline_s=settings.append_deadline_s,
            segment_bytes=settings.segment_bytes,
            reserve_bytes=settings.reserve_bytes,
            seen=() if seen is None else (seen,),
        )

    return Writer(
        open_ledger,
        gap=lambda: own_fact("gap", event_id=_new_id(), action="spooled"),
        deadline_s=settings.append_deadline_s,
        heartbeat_s=settings.heartbeat_s,
        alarm=lambda error: _record_alarm(home, loaded, error, say),
    )


def _configuration(loaded: Loaded) -> Configuration:
    return Configuration(digest=loaded.digest, file=str(loaded.path or ""), tool_rules=len(loaded.settings.tool))


def build_pins(home: Home, loaded: Loaded, digest_key: bytes, redactor: Redactor) -> Pins:
    """Return the definitions of tools that were pinned in `home`."""
    said = loaded.settings.definitions
    return Pins(home, digest_key, redactor.text, flagger(), changed=said.changed, flagged=said.flagged)


def record_once(home: Home, loaded: Loaded, log: str, event: Event, outside: Mapping[str, str | list[str]]) -> str:
    """Put one event of this process's person on a log, signed, for a verb that records nothing else; return its id.

    `outside` are values from outside that go with it, masked. Raises KeyFileError, LedgerError.
    """
    settings = loaded.settings
    keys, _ = open_keys(home, log)
    actor = own_account(Keystore(home, keys.digest_key), settings.tenant)
    event = replace(
        event,
        event_id=_new_id(),
        tenant_id=actor.tenant_id,
        user_id=actor.user_id,
        identity_source=actor.identity_source,
        identity_assurance=actor.identity_assurance,
    )
    ledger = Ledger.open(home, keys.signer, log=log, deadline_s=settings.ledger.append_deadline_s)
    try:
        ledger.append(build_redactor(keys.digest_key, loaded).fact(event, outside))
        ledger.publish()
        return event.event_id
    finally:
        ledger.close()


def _record_alarm(home: Home, loaded: Loaded, error: LedgerError, say: Callable[[str], None]) -> None:
    """Put on the security log that the log of calls is not what it was."""
    event = Event(event_type="security", action="ledger_alarm", detail={"log": "calls", "error": type(error).__name__})
    _record_security(home, loaded, event, {"reason": str(error)}, lambda text: say(f"ALARM: {error}; {text}"))


def _record_security(
    home: Home,
    loaded: Loaded,
    event: Event,
    outside: Mapping[str, str | list[str]],
    say: Callable[[str], None],
) -> None:
    """Put `event` on the security log, or say that it isn't there."""
    try:
        record_once(home, loaded, "security", event, outside)
    except OnRecordError as e:
        say(f"{event.action} is not on the security log: {e}")


def review_when_due(home: Home, loaded: Loaded, say: Callable[[str], None]) -> None:
    """Record the review of yesterday in the access log, if that was not done yet; say what stands in the way."""
    try:
        event = due_review(home.log("access"))
        if event is not None:
            record_once(home, loaded, "access", event, {})
    except (OnRecordError, OSError) as e:
        say(f"the daily review is not on the record: {plainly(e)}")


def build_redactor(digest_key: bytes, loaded: Loaded) -> Redactor:
    """Return the redactor that the settings ask for. Raises ConfigError for rules or actions that can't be had."""
    settings, redaction = loaded.settings, loaded.settings.redaction
    detectors = _detectors(loaded)
    try:
        known = detectors.labels
        check_off(redaction.off, detectors.rules)
        check_actions(redaction.actions, "redaction.actions", known)
        for rule in settings.tool:
            check_actions(rule.actions, f"tool '{rule.tool}': actions", known)
    except ConfigError as e:
        raise ConfigError(f"{loaded.path}: {e}") from e
    return Redactor(
        digest_key=digest_key,
        detectors=detectors,
        cut=redaction.cut,
        actions=redaction.actions,
        tenant=settings.tenant,
        clock=time.thread_time_ns,  # what a busy machine takes for itself is none of the event's
        deadline_ns=redaction.deadline_ns,
    )


def build_policy(loaded: Loaded) -> Policy | None:
    """Return what decides on calls, or None where the settings name nothing. Raises ConfigError."""
    engine, settings = build_engine(loaded), loaded.settings.policy
    if engine is None:
        return None
    return Policy(
        engine,
        enforce=settings.mode == "enforce",
        deadline_ns=settings.timeout_ns,
        clock=time.thread_time_ns if settings.engine == "cedar" else time.monotonic_ns,
        elsewhere=settings.engine != "cedar",
    )


def build_engine(loaded: Loaded, folder: Path | None = None) -> Engine | None:
    """Return the engine that the settings name, with the policies of their folder, or `folder`. Raises ConfigError."""
    settings = loaded.settings.policy
    if settings.engine == "none" and folder is None:
        return None
    base = loaded.path.parent if loaded.path else Path()
    manifest = msgspec.json.encode(loaded.settings.tool)
    try:
        declared = merged(rule.policy_input for rule in loaded.settings.tool)
        if settings.engine == "authzen" and folder is None:
            return AuthZen(settings.url, manifest, timeout_s=settings.timeout_ns / 1e9)
        if settings.engine == "spicedb" and folder is None:
            return open_spicedb(
                settings.url,
                settings.spicedb,
                manifest,
                [rule.resource for rule in loaded.settings.tool],
                base=base,
                environ=os.environ,
                timeout_s=settings.timeout_ns / 1e9,
            )
        return Cedar(read_policies(folder or base / settings.folder), manifest, declared)
    except ConfigError as e:
        raise ConfigError(f"{folder or loaded.path}: {e}") from e


def _detectors(loaded: Loaded) -> Detectors:
    """Return the detectors of this package, and those of the files that the settings name. Raises ConfigError."""
    base = loaded.path.parent if loaded.path else Path()
    added: list[compiled.RuleText] = []
    for number, name in enumerate(loaded.settings.redaction.rules, 1):
        file, where = base / name, f"{loaded.path}: redaction.rules {number}"
        try:
            added.append(compiled.RuleText(str(file), file.read_text(encoding="utf-8")))
        except OSError as e:
            raise ConfigError(f"{where}: cannot read {file}: {os.strerror(e.errno or 0).lower()}") from e
        except UnicodeDecodeError as e:
            raise ConfigError(f"{where}: {file} is not UTF-8") from e
    redaction = loaded.settings.redaction
    try:
        recognisers = [Presidio()] if redaction.names else []
    except ConfigError as e:
        raise ConfigError(f"{loaded.path}: {e}") from e
    return compiled.ready(added, recognisers=recognisers, off=redaction.off).detectors


def _earlier(loaded: Loaded) -> Earlier:
    return Earlier(window_s=loaded.settings.duplicates.window_s, propagates=loaded.settings.trace.propagate)


def _approving(
    home: Home, loaded: Loaded, digest_key: bytes, writer: Appending, redactor: Redactor, *, readable: bool
) -> Approving:
    """Return what asks for approvals; `readable` says whether the log that `writer` writes lies in `home`."""
    return Approving(
        Approvals(home, digest_key),
        writer,
        redactor,
        loaded.settings.terms(),
        log=home.log() if readable else None,
        new_id=_new_id,
        clock=now_us,
    )


def _new_id() -> str:
    return uuid7(now_us() // 1000, os.urandom(10))


def build_anchor_plan(loaded: Loaded) -> AnchorPlan:
    """Return whom the settings say to ask for views from outside, and to believe. Raises ConfigError."""
    settings = loaded.settings
    base = loaded.path.parent if loaded.path else Path()
    roots: list[bytes] = []
    for number, name in enumerate(settings.timestamp.roots, 1):
        try:
            roots.append((base / name).read_bytes())
            load_roots(roots[-1:])
        except OSError as e:
            why = os.strerror(e.errno or 0).lower()
            raise ConfigError(f"{loaded.path}: timestamp.roots {number}: cannot read {base / name}: {why}") from e
        except ConfigError as e:
            raise ConfigError(f"{loaded.path}: timestamp.roots {number}: {base / name}: {e}") from e
    witnesses = tuple(one.built(f"witness {number}") for number, one in enumerate(settings.witness, 1))
    return AnchorPlan(witnesses=witnesses, tsa_urls=settings.timestamp.urls, tsa_roots=tuple(roots))
