# SPDX-License-Identifier: Apache-2.0
"""Settings to people: the account that this process runs under or is asked by, and what verifies tokens.

Tokens need an extra, `onrecord[identity]`, which is imported only where an issuer is set.
"""

import getpass
import os
import socket
import stat
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from onrecord.approving import Approver
from onrecord.doors.callers import Token
from onrecord.errors import ConfigError, KeyFileError, NotAnchored, NotAuthenticated
from onrecord.event.call import Actor, Sender
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.peer import peer_of
from onrecord.ledger.place import Home
from onrecord.ledger.post import get
from onrecord.ledger.smallfile import read_small
from onrecord.rules.principal import NAMES, Reading, plain_name
from onrecord.settings import IdentitySettings, Loaded

if TYPE_CHECKING:
    from onrecord.identity.bearer import Bearer
    from onrecord.identity.identity import Identity, Issuer

TOKEN, TOKEN_FILE = "ONRECORD_ID_TOKEN", "ONRECORD_ID_TOKEN_FILE"

_TOKENS = ("id_token", "identity_jws", "oauth")  # sources of an identity whose roles were verified with it

_KEYS_S = 3.0  # that an issuer may take to show its keys: so long a call may wait, and then none for `_PAUSE_S`
_PAUSE_S = 30.0
_FILE_PAUSE_S = 1.0
_MAX_JWKS = 64 * 1024  # bytes
_REMEMBERED = 1_000  # pseudonyms; of more, some are looked up again


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


def own_account(keystore: Keystore, tenant: str) -> Actor:
    """Return the account that this process runs under, as who acts. Raises KeyFileError."""
    pseudonym = keystore.pseudonym(tenant=tenant, source="os_account", subject=account())
    return Actor(user_id=pseudonym, tenant_id=tenant, identity_source="os_account", identity_assurance="os_account")


def asking_account(keystore: Keystore, tenant: str, fd: int | None) -> Actor:
    """Return the account at the other end of `fd` where the kernel names it, else our own. Raises KeyFileError."""
    uid = _peer_uid(fd)
    if uid is None:
        return own_account(keystore, tenant)
    pseudonym = keystore.pseudonym(tenant=tenant, source="os_account", subject=_account_of(uid))
    return Actor(user_id=pseudonym, tenant_id=tenant, identity_source="peer_cred", identity_assurance="os_account")


def _peer_uid(fd: int | None) -> int | None:
    """Return whose process is at the other end of `fd`, None where it is no unix socket or nobody says."""
    if fd is None or sys.platform != "linux":
        return None
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return None
        with socket.socket(fileno=os.dup(fd)) as end:
            peer = peer_of(end) if end.family == socket.AF_UNIX else None
    except OSError:
        return None
    return None if peer is None or peer.pid is None else peer.uid  # a process out of our sight has no uid of ours


def build_identity(
    home: Home,
    loaded: Loaded,
    keystore: Keystore,
    digest_key: bytes,
    environ: Mapping[str, str],
    *,
    asked_over: int | None = None,
) -> tuple["Identity | None", Actor]:
    """Return what verifies who is behind a call, None where no issuer is set, and who started this process.

    `asked_over` is the file descriptor that calls come from, where there is one. An ID token that does not hold stops
    nothing here: calls are refused for as long as it doesn't. Raises ConfigError for settings that can't work, and
    KeyFileError.
    """
    settings = loaded.settings.identity
    actor = asking_account(keystore, loaded.settings.tenant, asked_over)
    if not settings.issuer:
        if named := [name for name in (TOKEN, TOKEN_FILE) if environ.get(name)]:
            raise ConfigError(f"{named[0]} is set, but the settings name no issuer to believe: set identity.issuer")
        return None, actor
    try:
        from onrecord.identity.identity import Identity
        from onrecord.identity.used import UsedTokens
    except ModuleNotFoundError as e:
        raise ConfigError(f"{loaded.path}: identity needs joserfc: pip install 'onrecord[identity]'") from e
    base = loaded.path.parent if loaded.path else Path()
    issuer = issuer_in(settings, settings.issuer, settings.jwks, base)
    identity = Identity(
        account=actor,
        issuer=issuer,
        call_issuer=issuer_in(settings, settings.call_issuer, settings.call_jwks, base)
        if settings.call_issuer
        else issuer,
        audience=settings.meant_for,
        reading=reading_of(loaded),
        bearer=_bearer(home, loaded, environ),
        required=settings.required,
        again_s=settings.keys_max_age_s,
        digest_key=digest_key,
        pseudonym=lambda tenant, source, subject: keystore.pseudonym(tenant=tenant, source=source, subject=subject),
        used=UsedTokens(home.keys / "used.db"),
        clock=time.time,
    )
    try:
        return identity, identity.now()
    except NotAuthenticated:
        return identity, actor


def token_file_of(home: Home, loaded: Loaded, environ: Mapping[str, str]) -> Path | None:
    """Return the file of the ID token, None where there is to be none: neither is one named, nor can anybody log in."""
    settings = loaded.settings.identity
    named = environ.get(TOKEN_FILE) or settings.token_file
    if named:
        return (loaded.path.parent if loaded.path else Path()) / Path(named).expanduser()
    return home.login / "id-token" if settings.client_id else None


def forget_tokens(*others: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """Take the ID token out of what this process hands on to those that it starts, and, on Linux, shows to others.

    `others` are variables that hold secrets too.
    """
    for name in (TOKEN, TOKEN_FILE, *others):
        environ.pop(name, None)
        if environ is os.environ and sys.platform == "linux":
            _blank(name.encode() + b"=")


def _blank(start: bytes) -> None:
    """Overwrite a variable in the memory that this process was started with: /proc shows that for as long as it lives.

    proc(5): `env_start` is field 50 of `stat`, whose second field is a name that may hold anything in brackets.
    """
    import ctypes  # on Linux, and where there is something to overwrite

    try:
        given = Path("/proc/self/environ").read_bytes()
        begins = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[47])
    except (OSError, ValueError, IndexError):
        return  # no /proc: nobody is shown anything
    at = 0
    for one in given.split(b"\0"):
        if one.startswith(start) and begins:
            ctypes.memset(begins + at + len(start), ord("*"), len(one) - len(start))
        at += len(one) + 1


def build_sender(home: Home, loaded: Loaded, digest_key: bytes) -> Callable[[Token | None, str], Sender]:
    """Return what says who sent a message over HTTP, by token and address, to a server that verifies tokens itself.

    Where an issuer is set, the token is verified here too. Without one there is the word of the server's own verifier:
    asserted, and never taken for a person that was verified.
    """
    settings, tenant = loaded.settings.identity, loaded.settings.tenant
    keystore = Keystore(home, digest_key)
    nobody = Actor(tenant_id=tenant)
    known: dict[tuple[str, str], str] = {}

    def pseudonym(issuer: str, subject: str) -> str:
        if (issuer, subject) not in known:
            if len(known) >= _REMEMBERED:
                known.clear()
            known[issuer, subject] = keystore.pseudonym(tenant=tenant, source=issuer or "oauth", subject=subject)
        return known[issuer, subject]

    def sender_of(token: Token | None, address: str) -> Sender:
        if token is None:
            return Sender(actor=nobody, address=address)
        if settings.issuer:
            return Sender(actor=nobody, bearer=token.bearer, audience=settings.meant_for, address=address)
        user = pseudonym(token.issuer, token.subject) if token.subject else ""
        actor = Actor(
            user_id=user,
            tenant_id=tenant,
            identity_source="oauth",
            identity_assurance="asserted",
            client_id=plain_name(token.client_id),
            scopes=token.scopes[:NAMES],
        )
        return Sender(actor=actor, address=address)

    return sender_of


def build_approver(home: Home, loaded: Loaded, digest_key: bytes, environ: Mapping[str, str]) -> Approver:
    """Return who decides on approvals in this process, proven as callers are, and their roles.

    Raises NotAuthenticated where a token does not hold or there must be one, ConfigError, KeyFileError.
    """
    keystore = Keystore(home, digest_key)
    identity, actor = build_identity(home, loaded, keystore, digest_key, environ)
    if identity is not None:
        actor = identity.now()
        if loaded.settings.identity.required and actor.identity_source not in _TOKENS:
            raise NotAuthenticated(f"a verified identity is required: give an ID token in {TOKEN} or {TOKEN_FILE}")
    return Approver(actor=actor, roles=roles_of(actor, loaded, keystore))


def roles_of(actor: Actor, loaded: Loaded, keystore: Keystore) -> tuple[str, ...]:
    """Return the roles in which `actor` may decide: those of the settings, and those of a verified token."""
    roles = dict.fromkeys(actor.roles if actor.identity_source in _TOKENS else ())
    for one in loaded.settings.approver:
        source, subject = ("os_account", one.account) if one.account else (one.issuer, one.subject)
        if actor.user_id and actor.user_id == keystore.find(tenant=actor.tenant_id, source=source, subject=subject):
            roles |= dict.fromkeys(one.roles)
    return tuple(roles)


def issuer_in(settings: IdentitySettings, name: str, place: str, base: Path) -> "Issuer":
    """Return an issuer of `[identity]`. Nothing is read yet."""
    return build_issuer(name, place, base, algorithms=settings.algorithms, max_age_s=settings.keys_max_age_s)


def _bearer(home: Home, loaded: Loaded, environ: Mapping[str, str]) -> "Bearer | None":
    from onrecord.identity.bearer import in_file, in_memory

    settings = loaded.settings.identity
    token, file = environ.get(TOKEN), token_file_of(home, loaded, environ)
    if token and (environ.get(TOKEN_FILE) or settings.token_file):
        raise ConfigError(
            f"an ID token is given twice: in {TOKEN}, and in the file {file}; unset {TOKEN}, and where that file "
            f"is not the one to count, name another in {TOKEN_FILE}"
        )
    if not token and not file:
        return None
    if not settings.meant_for:
        raise ConfigError(f"{loaded.path}: identity.audience is empty; an ID token must be meant for somebody")
    return in_memory(token) if token else in_file(file or Path())


def build_issuer(name: str, place: str, base: Path, *, algorithms: tuple[str, ...], max_age_s: float) -> "Issuer":
    """Return an issuer whose keys are at `place`: a URL, or a file seen from `base`. Needs the extra `identity`."""
    from onrecord.identity.identity import Issuer
    from onrecord.identity.keys import IssuerKeys

    remote = "://" in place
    keys = IssuerKeys(
        lambda: shown_at(place, base)[0], max_age_s=max_age_s, pause_s=_PAUSE_S if remote else _FILE_PAUSE_S
    )
    return Issuer(name=name, keys=keys, algorithms=algorithms)


def shown_at(place: str, base: Path) -> tuple[bytes, str]:
    """Return the key set at `place`, and what time it is there, "" where nobody says. Raises OnRecordError, OSError."""
    return _fetched(place) if "://" in place else (read_small(base / place, _MAX_JWKS), "")


def _fetched(url: str) -> tuple[bytes, str]:
    try:
        answer = get(url, "application/jwk-set+json, application/json", timeout_s=_KEYS_S)
    except NotAnchored as e:  # its message names the host first, which callers need not know
        raise NotAuthenticated(str(e).removeprefix(f"{urlsplit(url).netloc.lower()} ")) from e
    if answer.status != 200:
        raise NotAuthenticated(f"the answer has status {answer.status}")
    return answer.body, answer.date


def reading_of(loaded: Loaded) -> Reading:
    """Return how the settings say that the claims of a token are to be read."""
    settings = loaded.settings.identity
    return Reading(
        tenant=loaded.settings.tenant,
        tenant_claim=settings.tenant_claim,
        person_claim=settings.person_claim,
        person_values=settings.person_values,
        roles_claim=settings.roles_claim,
        mfa_acr=settings.mfa_acr,
        mfa_amr=settings.mfa_amr,
        mfa_max_age_s=settings.mfa_max_age_s,
    )
