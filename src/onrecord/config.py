# SPDX-License-Identifier: Apache-2.0
"""`onrecord.toml` to built objects; a recorder is put together of them in `wiring.py`.

Nothing has to be configured. Where a file exists, a key that is unknown or a value that does not
fit is an error that names the file, the place and what is allowed there: a setting that silently
does nothing would be a hole in the record.
"""

import getpass
import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeGuard, cast

import msgspec
import platformdirs
from msgspec.structs import replace

from onrecord.errors import ConfigError, KeyFileError, LedgerError, NotVerified, OnRecordError
from onrecord.event.call import Actor
from onrecord.event.event import Event
from onrecord.event.ids import uuid7
from onrecord.ledger.anchoring import AnchorPlan
from onrecord.ledger.clock import now_us
from onrecord.ledger.cosignature import CosignerKey
from onrecord.ledger.keys import open_keys
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.place import Home
from onrecord.ledger.post import check_url
from onrecord.ledger.timestamp import load_roots
from onrecord.ledger.witness import Witness
from onrecord.review import due_review
from onrecord.rules.classify import ToolRule
from onrecord.rules.detectors import builtin_detectors
from onrecord.rules.redact import Redactor

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_UNITS_BYTES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class RunSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[run]`: how `onrecord run` treats messages."""

    max_message: str = "64MiB"
    call_timeout: str = "1h"

    @property
    def max_message_bytes(self) -> int:
        return int(_measure(self.max_message, _UNITS_BYTES, "run.max_message"))

    @property
    def call_timeout_s(self) -> float:
        return _measure(self.call_timeout, _UNITS_S, "run.call_timeout")


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[ledger]`: how long an append may take, when a segment ends, what is kept for a full disk, and the heartbeat."""

    append_deadline: str = "2s"
    segment: str = "64MiB"
    reserve: str = "2MiB"
    heartbeat: str = "15m"

    @property
    def append_deadline_s(self) -> float:
        return _measure(self.append_deadline, _UNITS_S, "ledger.append_deadline")

    @property
    def segment_bytes(self) -> int:
        return int(_measure(self.segment, _UNITS_BYTES, "ledger.segment"))

    @property
    def reserve_bytes(self) -> int:
        return int(_measure(self.reserve, _UNITS_BYTES, "ledger.reserve"))

    @property
    def heartbeat_s(self) -> float:
        return _measure(self.heartbeat, _UNITS_S, "ledger.heartbeat")


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[recorder]`: the service that keeps the ledger, where there is one."""

    socket: str = ""


class RedactionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[redaction]`: how much of a long text stays."""

    cut: int = 100


class WitnessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[witness]]`: one that is asked to cosign checkpoints, and that counts when a log is verified."""

    url: str
    vkey: str

    def built(self, where: str) -> Witness:
        """Return the witness. Raises ConfigError, which names the place."""
        try:
            return Witness(url=self.url, key=CosignerKey.parse(self.vkey))
        except (ConfigError, NotVerified) as e:
            raise ConfigError(f"{where}: {e}") from e


class TimestampSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[timestamp]`: authorities that timestamp checkpoints, and the root certificates that they must lead to."""

    urls: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()  # files, seen from the folder of onrecord.toml

    def check(self) -> None:
        """Raise ConfigError for what can't work, whatever is on disk."""
        for number, url in enumerate(self.urls, 1):
            try:
                check_url(url, plain=True)
            except ConfigError as e:
                raise ConfigError(f"timestamp.urls {number}: {e}") from e
        if self.urls and not self.roots:
            raise ConfigError("timestamp.roots is empty; without the authority's root nothing can be verified")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `onrecord.toml`."""

    tenant: str = ""
    run: RunSettings = RunSettings()
    ledger: LedgerSettings = LedgerSettings()
    recorder: RecorderSettings = RecorderSettings()
    redaction: RedactionSettings = RedactionSettings()
    tool: tuple[ToolRule, ...] = ()
    witness: tuple[WitnessSettings, ...] = ()
    timestamp: TimestampSettings = TimestampSettings()


_LISTS: dict[str, type[msgspec.Struct]] = {"tool": ToolRule, "witness": WitnessSettings}  # `[[name]]`


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, where they come from, and their digest."""

    settings: Settings
    path: Path | None
    digest: str


def home_folder(environ: Mapping[str, str] = os.environ) -> Home:
    """Return the home that ONRECORD_HOME names, or the platform's data folder."""
    named = environ.get("ONRECORD_HOME")
    return Home(Path(named).absolute() if named else Path(platformdirs.user_data_dir("onrecord", appauthor=False)))


def load(home: Home, path: Path | None = None) -> Loaded:
    """Read the settings from `path`, else from the home, else take the defaults. Raises ConfigError."""
    file = path or home.config
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        if path is not None:
            raise ConfigError(f"{file}: there is no such file") from None
        return Loaded(Settings(), None, _digest(b""))
    except OSError as e:
        raise ConfigError(f"{file}: cannot be read: {os.strerror(e.errno or 0).lower()}") from e
    try:
        fields = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file}: is not TOML: {e}") from e
    try:
        _refuse_unknown_keys(fields, Settings, "")
        settings = msgspec.convert(fields, Settings)
        for table in (settings.run, settings.ledger):
            _check_measures(table)
        settings.timestamp.check()
        for number, witness in enumerate(settings.witness, 1):
            witness.built(f"witness {number}")
    except (ConfigError, msgspec.ValidationError) as e:
        raise ConfigError(f"{file}: {str(e)[:1].lower()}{str(e)[1:]}") from e
    return Loaded(settings, file, _digest(text))


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _refuse_unknown_keys(fields: Mapping[str, object], struct: type[msgspec.Struct], where: str) -> None:
    known = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for key, value in fields.items():
        if key not in known:
            near = get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise ConfigError(f"unknown key {where}{key}; did you mean {where}{near}?")
        inner: Any = known[key].type
        if _is_table(value) and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            _refuse_unknown_keys(value, inner, f"{where}{key}.")
        elif key in _LISTS and isinstance(value, list):
            for number, one in enumerate(cast(list[object], value), 1):
                if _is_table(one):
                    _refuse_unknown_keys(one, _LISTS[key], f"{where}{key} {number}: ")


def _check_measures(table: RunSettings | LedgerSettings) -> None:
    """Read each of a table's measures once. Raises ConfigError."""
    for name in vars(type(table)):
        getattr(table, name)


def _is_table(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _measure(text: str, units: Mapping[str, float], where: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text)
    if match is None or match[2] not in units or not float(match[1]):
        raise ConfigError(f"{where} is {text!r}; give a number above 0 and a unit: {', '.join(units)}")
    return float(match[1]) * units[match[2]]


def record_once(home: Home, loaded: Loaded, log: str, event: Event, outside: Mapping[str, str | list[str]]) -> None:
    """Put one event of this process's person on a log, signed, for a verb that records nothing else.

    `outside` are values from outside that go with it, masked. Raises KeyFileError, LedgerError.
    """
    settings = loaded.settings
    keys, _ = open_keys(home, log)
    actor = os_account(Keystore(home, keys.digest_key), settings.tenant)
    event = replace(
        event,
        event_id=uuid7(now_us() // 1000, os.urandom(10)),
        tenant_id=actor.tenant_id,
        user_id=actor.user_id,
        identity_source=actor.identity_source,
        identity_assurance=actor.identity_assurance,
    )
    ledger = Ledger.open(home, keys.signer, log=log, deadline_s=settings.ledger.append_deadline_s)
    try:
        ledger.append(build_redactor(keys.digest_key, settings).fact(event, outside))
        ledger.publish()
    finally:
        ledger.close()


def record_alarm(home: Home, loaded: Loaded, error: LedgerError, say: Callable[[str], None]) -> None:
    """Put on the security log that the log of calls is not what it was."""
    event = Event(event_type="security", action="ledger_alarm", detail={"log": "calls", "error": type(error).__name__})
    try:
        record_once(home, loaded, "security", event, {"reason": str(error)})
    except OnRecordError as e:
        say(f"ALARM: {error}; it is not on the security log either: {e}")


def review_when_due(home: Home, loaded: Loaded, say: Callable[[str], None]) -> None:
    """Record the review of yesterday in the access log, if that was not done yet; say what stands in the way."""
    try:
        event = due_review(home.log("access"))
        if event is not None:
            record_once(home, loaded, "access", event, {})
    except (OnRecordError, OSError) as e:
        say(f"the daily review is not on the record: {e}")


def build_redactor(digest_key: bytes, settings: Settings) -> Redactor:
    """Return the redactor that `settings` ask for."""
    return Redactor(digest_key=digest_key, detectors=builtin_detectors(), cut=settings.redaction.cut)


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


def account() -> str:
    """Return the name of the OS account that this process runs under. Raises KeyFileError."""
    try:
        return getpass.getuser() if os.name == "nt" else _account_of(os.getuid())
    except (KeyError, OSError) as e:
        raise KeyFileError("this process runs under an account without a name") from e


def _account_of(uid: int) -> str:
    import pwd  # POSIX only

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"  # containers often run under a number that no file names


def os_account(keystore: Keystore, tenant: str) -> Actor:
    pseudonym = keystore.pseudonym(tenant=tenant, source="os_account", subject=account())
    return Actor(user_id=pseudonym, tenant_id=tenant, identity_source="os_account", identity_assurance="os_account")
