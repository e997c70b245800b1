# SPDX-License-Identifier: Apache-2.0
"""Settings to a recorder: one that writes the log itself, one that hands its entries to a service, or that service.

Which of the first two it is, is for the home to say (`ledger/whereabouts.py`). Nothing is decided here.
"""

import os
from collections.abc import Callable, Mapping

from onrecord.config import Loaded, build_redactor, os_account, record_alarm
from onrecord.event.call import Actor
from onrecord.event.ids import uuid7
from onrecord.event.redacted import own_fact
from onrecord.guard import Guard
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
from onrecord.ledger.vouched import Vouched
from onrecord.ledger.whereabouts import way_of
from onrecord.ledger.writer import Writer
from onrecord.recorder import Configuration, Recorder
from onrecord.version import __version__


def build_recorder(
    home: Home, loaded: Loaded, say: Callable[[str], None], environ: Mapping[str, str] = os.environ
) -> tuple[Recorder, Actor]:
    """Wire a recorder for this process, and say who its person is.

    Raises KeyFileError where keys or pseudonyms cannot be had: without them nothing may be written.
    """
    way = way_of(home, named=loaded.settings.recorder.socket, environ=environ)
    if way is None:
        recorder, _, keys = _embedded(home, loaded, say, {"same_account": True})  # the wrapped server runs as we do
        return recorder, os_account(Keystore(home, keys.digest_key), loaded.settings.tenant)
    digest_key = open_digest_key(home)
    known = way.moved and verifier_file(home).exists()
    vkeys = read_verifiers(str(verifier_file(home))) if known else []
    writer = RemoteWriter(
        way.socket,
        Vouched(home, "calls", str(way.socket), vkeys=vkeys),
        gap=lambda: own_fact("gap", event_id=guard.new_id(), action="spooled"),
        deadline_s=loaded.settings.ledger.append_deadline_s,
        remedy=way.remedy,
    )
    redactor = build_redactor(digest_key, loaded.settings)
    guard = Guard(writer, redactor, loaded.settings.tool, policy_version=loaded.digest)
    recorder = Recorder(
        None,
        writer,
        redactor,
        guard,
        version=__version__,
        configuration=_configuration(loaded),
        key_created=False,
        standing=lambda: {"same_account": writer.same_account},
        say=say,
    )
    return recorder, os_account(Keystore(home, digest_key), loaded.settings.tenant)


def _embedded(
    home: Home, loaded: Loaded, say: Callable[[str], None], standing: Mapping[str, bool]
) -> tuple[Recorder, Writer, Keys]:
    """Wire a recorder that writes the log of `home` itself."""
    keys, created = open_keys(home)
    wid = os.urandom(8).hex()
    writer = _writer(home, loaded, keys, wid, say)
    redactor = build_redactor(keys.digest_key, loaded.settings)
    guard = Guard(writer, redactor, loaded.settings.tool, policy_version=loaded.digest)
    recorder = Recorder(
        Presence(home, wid),
        writer,
        redactor,
        guard,
        version=__version__,
        configuration=_configuration(loaded),
        key_created=created,
        standing=lambda: standing,
        say=say,
    )
    return recorder, writer, keys


def build_service(
    home: Home, loaded: Loaded, listener: Listener, say: Callable[[str], None]
) -> tuple[Service, Sessions, Recorder]:
    """Wire the recorder service that keeps the log of `home`, its doors, and the recorder of its own start and stop.

    Raises KeyFileError.
    """
    recorder, writer, keys = _embedded(home, loaded, say, {"service": True})
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
        gap=lambda: own_fact("gap", event_id=uuid7(now_us() // 1000, os.urandom(10)), action="spooled"),
        deadline_s=settings.append_deadline_s,
        heartbeat_s=settings.heartbeat_s,
        alarm=lambda error: record_alarm(home, loaded, error, say),
    )


def _configuration(loaded: Loaded) -> Configuration:
    return Configuration(digest=loaded.digest, file=str(loaded.path or ""), tool_rules=len(loaded.settings.tool))
