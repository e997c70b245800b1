# SPDX-License-Identifier: Apache-2.0
"""`onrecord.toml`, read: what may be set, in which units, and what is wrong with a file that does not fit.

Nothing has to be configured. Where a file exists, a key that is unknown or a value that does not
fit is an error that names the file, the place and what is allowed there: a setting that silently
does nothing would be a hole in the record. Nothing is built here.
"""

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, cast

import msgspec
import platformdirs

from onrecord.approval_settings import ApprovalSettings, ApproverSettings
from onrecord.errors import ConfigError, NotVerified
from onrecord.gateway_settings import GatewaySettings, UpstreamSettings
from onrecord.ledger.cosignature import CosignerKey
from onrecord.ledger.place import Home
from onrecord.ledger.post import check_url
from onrecord.ledger.smallfile import NotSmall, read_small
from onrecord.ledger.witness import Witness
from onrecord.measures import BYTES, SECONDS, measure
from onrecord.misfits import told
from onrecord.proof_settings import WebauthnSettings, WebhookSettings, check_channels
from onrecord.rules.actions import check_actions, check_cut
from onrecord.rules.approval import Terms
from onrecord.rules.classify import Output, ToolRule
from onrecord.rules.principal import ALGORITHMS
from onrecord.rules.relations import Relations
from onrecord.signal_settings import SignalSettings
from onrecord.store_settings import FederationSettings, StoreSettings


class RunSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[run]`: how `onrecord run` treats messages."""

    max_message: str = "64MiB"
    call_timeout: str = "1h"

    @property
    def max_message_bytes(self) -> int:
        return int(measure(self.max_message, BYTES, "run.max_message"))

    @property
    def call_timeout_s(self) -> float:
        return measure(self.call_timeout, SECONDS, "run.call_timeout")


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[ledger]`: how long an append may take, when a segment ends, what is kept for a full disk, and the heartbeat."""

    append_deadline: str = "2s"
    segment: str = "64MiB"
    reserve: str = "2MiB"
    heartbeat: str = "15m"

    @property
    def append_deadline_s(self) -> float:
        return measure(self.append_deadline, SECONDS, "ledger.append_deadline")

    @property
    def segment_bytes(self) -> int:
        return int(measure(self.segment, BYTES, "ledger.segment"))

    @property
    def reserve_bytes(self) -> int:
        return int(measure(self.reserve, BYTES, "ledger.reserve"))

    @property
    def heartbeat_s(self) -> float:
        return measure(self.heartbeat, SECONDS, "ledger.heartbeat")


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[recorder]`: the service that keeps the ledger, where there is one."""

    socket: str = ""


class RedactionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[redaction]`: how much of a long text stays, what is looked for, what is done with it, and for how long."""

    cut: int = 100
    names: bool = False
    rules: tuple[str, ...] = ()  # files, seen from the folder of onrecord.toml
    off: tuple[str, ...] = ()  # ids of rules that are not applied
    actions: dict[str, str | dict[str, str]] = {}
    deadline: str = "500ms"

    @property
    def deadline_ns(self) -> int:
        return int(measure(self.deadline, SECONDS, "redaction.deadline") * 1e9)

    def check(self) -> None:
        """Raise ConfigError for what can't work, whatever rules there are."""
        check_cut(self.cut, "redaction.cut")
        check_actions(self.actions, "redaction.actions")
        _ = self.deadline_ns


class OutputSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[output]`: what is done with a result that looks as if it wanted to instruct the model."""

    flags: Output = "annotate"


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[policy]`: what decides on calls, whether its word holds or is only noted, and how long it may take."""

    engine: Literal["none", "cedar", "authzen", "spicedb"] = "none"
    mode: Literal["observe", "enforce"] = "enforce"
    folder: str = "policies"  # of .cedar files, seen from the folder of onrecord.toml
    url: str = ""  # of an AuthZEN decision point, or of SpiceDB
    timeout: str = "1s"
    spicedb: Relations = Relations()

    @property
    def timeout_ns(self) -> int:
        return int(measure(self.timeout, SECONDS, "policy.timeout") * 1e9)


class DefinitionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[definitions]`: what becomes of calls of a tool whose definition changed, or looks like an attack."""

    changed: Literal["note", "block"] = "note"
    flagged: Literal["note", "block"] = "note"


class DuplicateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[duplicates]`: for how long a call is remembered, so that one like it is seen to repeat it."""

    window: str = "10m"

    @property
    def window_s(self) -> float:
        return measure(self.window, SECONDS, "duplicates.window")


class TraceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[trace]`: whether a trace that begins here is handed on to the server."""

    propagate: bool = False


class PolicyResourceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[policy_resource]`: whether a server's own list names the resource in which clients read settings."""

    listed: bool = False


class IndexSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[index]`: for how many days questions are answered from the hot index; 0 means for all."""

    days: Annotated[int, msgspec.Meta(ge=0, le=36500)] = 0


class IdentitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[identity]`: whose tokens say who is behind a call, and how they are read."""

    issuer: str = ""
    audience: str = ""
    jwks: str = ""  # a URL, or a file seen from the folder of onrecord.toml
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
    token_file: str = ""
    client_id: str = ""  # as which `onrecord login` asks; an ID token is for it
    login_scopes: tuple[str, ...] = ("openid", "offline_access")
    required: bool = False
    call_issuer: str = ""
    call_jwks: str = ""
    tenant_claim: str = ""
    person_claim: str = ""
    person_values: tuple[str, ...] = ()
    roles_claim: str = "roles"
    mfa_acr: tuple[str, ...] = ()
    mfa_amr: tuple[str, ...] = ()
    mfa_max_age: str = "12h"
    keys_max_age: str = "1h"

    @property
    def meant_for(self) -> str:
        """Whom an ID token must be meant for."""
        return self.audience or self.client_id

    @property
    def mfa_max_age_s(self) -> float:
        return measure(self.mfa_max_age, SECONDS, "identity.mfa_max_age")

    @property
    def keys_max_age_s(self) -> float:
        return measure(self.keys_max_age, SECONDS, "identity.keys_max_age")

    def check(self) -> None:
        """Raise ConfigError for what can't work, whatever is on disk."""
        _ = self.mfa_max_age_s, self.keys_max_age_s
        if not self.issuer and self != IdentitySettings():
            raise ConfigError("identity.issuer is empty; without it no token can be believed")
        if self.issuer and not self.jwks:
            raise ConfigError("identity.jwks is empty; give the URL or the file of the issuer's keys")
        if self.client_id and "openid" not in self.login_scopes:
            raise ConfigError("identity.login_scopes lacks openid; without it no issuer gives an ID token")
        if bool(self.call_issuer) != bool(self.call_jwks):
            raise ConfigError("identity.call_issuer and identity.call_jwks go together")
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise ConfigError(f"identity.algorithms: use one or more of {', '.join(ALGORITHMS)}")
        if bool(self.person_claim) != bool(self.person_values):
            raise ConfigError("identity.person_claim and identity.person_values go together")
        for key in ("jwks", "call_jwks"):
            place = getattr(self, key)
            try:
                if "://" in place:
                    check_url(place, plain=False)
            except ConfigError as e:
                raise ConfigError(f"identity.{key}: {e}") from e


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
    output: OutputSettings = OutputSettings()
    policy: PolicySettings = PolicySettings()
    definitions: DefinitionSettings = DefinitionSettings()
    duplicates: DuplicateSettings = DuplicateSettings()
    trace: TraceSettings = TraceSettings()
    policy_resource: PolicyResourceSettings = PolicyResourceSettings()
    index: IndexSettings = IndexSettings()
    identity: IdentitySettings = IdentitySettings()
    approvals: ApprovalSettings = ApprovalSettings()
    webauthn: WebauthnSettings = WebauthnSettings()
    webhook: WebhookSettings = WebhookSettings()
    approver: tuple[ApproverSettings, ...] = ()
    tool: tuple[ToolRule, ...] = ()
    witness: tuple[WitnessSettings, ...] = ()
    timestamp: TimestampSettings = TimestampSettings()
    signals: SignalSettings = SignalSettings()
    store: StoreSettings = StoreSettings()
    federation: FederationSettings = FederationSettings()
    gateway: GatewaySettings = GatewaySettings()
    upstream: tuple[UpstreamSettings, ...] = ()

    def terms(self) -> Terms:
        """Return what an approval takes. Raises ConfigError."""
        known = self.identity
        return self.approvals.terms(by_token=bool(known.issuer), by_person=bool(known.person_claim))


MAX_SETTINGS = 1 << 20  # bytes; a rule for each of some 5,000 tools
# `[[name]]`
_LISTS: dict[str, type[msgspec.Struct]] = {
    "tool": ToolRule,
    "witness": WitnessSettings,
    "approver": ApproverSettings,
    "upstream": UpstreamSettings,
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, where they come from, and their digest."""

    settings: Settings
    path: Path | None
    digest: str


RECORDED_BY = "ONRECORD_RECORDED_BY"
"""The variable by which `onrecord run` hands its home down to what it starts."""


def home_folder(environ: Mapping[str, str] = os.environ) -> Home:
    """Return the home that ONRECORD_HOME names, or the platform's data folder."""
    named = environ.get("ONRECORD_HOME")
    return Home(Path(named).absolute() if named else Path(platformdirs.user_data_dir("onrecord", appauthor=False)))


def load(home: Home, path: Path | None = None) -> Loaded:
    """Read the settings from `path`, else from the home, else take the defaults. Raises ConfigError."""
    file = path or home.config
    try:
        text = read_small(file, MAX_SETTINGS)
    except NotSmall as e:
        raise ConfigError(f"{file}: is no file of settings: {e}") from e
    except FileNotFoundError:
        if path is not None:
            raise ConfigError(f"{file}: there is no such file") from None
        return Loaded(Settings(), None, _digest(b""))
    except OSError as e:
        raise ConfigError(f"{file}: cannot be read: {os.strerror(e.errno or 0).lower()}") from e
    return read(text, file)


def read(text: bytes, file: Path) -> Loaded:
    """Return the settings that `text`, which is that of `file`, holds. Raises ConfigError."""
    try:
        fields = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file}: is not TOML: {e}") from e
    try:
        _refuse_unknown_keys(fields, Settings, "")
        settings = msgspec.convert(fields, Settings)
        for table in (settings.run, settings.ledger, settings.duplicates):
            _check_measures(table)
        settings.redaction.check()
        _ = settings.policy.timeout_ns
        settings.timestamp.check()
        settings.identity.check()
        _ = settings.terms()
        settings.signals.check()
        settings.store.check()
        settings.federation.check()
        settings.webauthn.check()
        settings.webhook.check()
        check_channels(settings.approvals.channels, settings.webauthn, settings.webhook)
        settings.gateway.check(settings.upstream, issuer=settings.identity.issuer)
        for number, approver in enumerate(settings.approver, 1):
            approver.check(number)
        for number, witness in enumerate(settings.witness, 1):
            witness.built(f"witness {number}")
    except msgspec.ValidationError as e:
        raise ConfigError(f"{file}: {told(e, Settings)}") from e
    except ConfigError as e:
        raise ConfigError(f"{file}: {e}") from e
    return Loaded(settings, file, _digest(text))


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _refuse_unknown_keys(fields: Mapping[str, object], struct: type[msgspec.Struct], where: str) -> None:
    known = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for key, value in fields.items():
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {where}{near[0]}?" if near else f"use one of {', '.join(sorted(known))}"
            raise ConfigError(f"unknown key {where}{key}; {hint}")
        inner: Any = known[key].type
        if _is_table(value) and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            _refuse_unknown_keys(value, inner, f"{where}{key}.")
        elif key in _LISTS and isinstance(value, list):
            for number, one in enumerate(cast(list[object], value), 1):
                if _is_table(one):
                    _refuse_unknown_keys(one, _LISTS[key], f"{where}{key} {number}: ")


def _check_measures(table: RunSettings | LedgerSettings | DuplicateSettings) -> None:
    """Read each of a table's measures once. Raises ConfigError."""
    for name in vars(type(table)):
        getattr(table, name)


def _is_table(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)
