# SPDX-License-Identifier: Apache-2.0
"""The settings of what proves an approval: for which pages authenticators sign, and which service is believed.

They are parts of `onrecord.toml`, which `settings.py` reads. Nothing is built here.
"""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

import msgspec

from onrecord.errors import ConfigError
from onrecord.ledger.post import check_url
from onrecord.measures import SECONDS, measure
from onrecord.proofs.ceremony import RelyingParty
from onrecord.rules.principal import ALGORITHMS

_DOMAIN = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")
_DIGEST = re.compile(r"[0-9a-f]{32}")


class WebauthnSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[webauthn]`: for which domain and pages authenticators sign, and which of them count."""

    rp_id: str = ""
    origins: tuple[str, ...] = ()
    only: tuple[str, ...] = ()  # digests of authenticators; empty means all that are enrolled

    def check(self) -> None:
        """Raise ConfigError for what can't work."""
        if not self.rp_id:
            if self != WebauthnSettings():
                raise ConfigError("webauthn.rp_id is empty; give the domain that authenticators sign for")
            return
        if not _DOMAIN.fullmatch(self.rp_id):
            raise ConfigError("webauthn.rp_id is no domain, as in approvals.example.com, or localhost")
        if not self.origins:
            raise ConfigError("webauthn.origins is empty; give those of the pages that may ask")
        for number, origin in enumerate(self.origins, 1):
            where = f"webauthn.origins {number}"
            try:
                check_url(origin, plain=False)
            except ConfigError as e:
                raise ConfigError(f"{where}: {e}") from e
            parts = urlsplit(origin)
            if f"{parts.scheme}://{parts.netloc}" != origin:
                raise ConfigError(f"{where}: an origin is a scheme, a host and a port, and nothing behind it")
            host = parts.hostname or ""
            if host != self.rp_id and not host.endswith(f".{self.rp_id}"):
                raise ConfigError(f"{where}: it is not in the domain webauthn.rp_id")
        if not all(_DIGEST.fullmatch(one) for one in self.only):
            raise ConfigError("webauthn.only: give digests as `onrecord authenticators` prints them")

    @property
    def party(self) -> RelyingParty:
        """For whom authenticators sign. Raises ConfigError where nothing is set."""
        if not self.rp_id:
            raise ConfigError("authenticators sign for nobody yet: set webauthn.rp_id and origins")
        return RelyingParty(id=self.rp_id, origins=self.origins)


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[webhook]`: the service that is asked to decide, and by what its decisions are known."""

    url: str = ""
    secret_file: str = ""
    issuer: str = ""
    audience: str = ""
    jwks: str = ""  # a URL, or a file seen from the folder of onrecord.toml
    algorithms: tuple[str, ...] = ("EdDSA", "Ed25519", "ES256")
    subjects: str = ""  # whose `sub` it is: an issuer, or "os_account"; empty means identity.issuer, else the service
    tenant_claim: str = ""
    roles_claim: str = "roles"
    timeout: str = "5s"

    @property
    def timeout_s(self) -> float:
        return measure(self.timeout, SECONDS, "webhook.timeout")

    def check(self) -> None:
        """Raise ConfigError for what can't work, whatever is on disk."""
        _ = self.timeout_s
        if self == WebhookSettings():
            return
        for name in ("issuer", "audience", "jwks"):
            if not getattr(self, name):
                raise ConfigError(f"webhook.{name} is empty; without it no decision can be believed")
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise ConfigError(f"webhook.algorithms: use one or more of {', '.join(ALGORITHMS)}")
        for name in ("url", "jwks"):
            place = getattr(self, name)
            try:
                if "://" in place or (name == "url" and place):
                    check_url(place, plain=False)
            except ConfigError as e:
                raise ConfigError(f"webhook.{name}: {e}") from e


def check_channels(channels: Collection[str], webauthn: WebauthnSettings, webhook: WebhookSettings) -> None:
    """Raise ConfigError where a channel is named that is not set up, or one is set up that asks nobody."""
    for name, key, is_set in (("webauthn", "rp_id", webauthn.rp_id), ("webhook", "issuer", webhook.issuer)):
        if name in channels and not is_set:
            raise ConfigError(f"approvals.channels names {name}, but {name}.{key} is empty")
    if webhook.url and "webhook" not in channels:
        raise ConfigError("webhook.url is set, but approvals.channels does not name webhook, so nothing is asked there")
