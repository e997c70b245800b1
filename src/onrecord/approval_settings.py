# SPDX-License-Identifier: Apache-2.0
"""`[approvals]` and `[[approver]]` of `onrecord.toml`: what an approval takes, and who has which role."""

from typing import Annotated, Literal

import msgspec

from onrecord.errors import ConfigError
from onrecord.measures import SECONDS, measure
from onrecord.rules.approval import Channel, Terms

_LONGEST_S = 24 * 3600.0


class ApprovalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[approvals]`: what an approval takes, by whom and how long, and how long a call waits for it."""

    channels: tuple[Channel, ...] = ("cli",)
    wait: str = "10m"
    expires: str = "60m"
    expires_tier_4: str = "15m"
    quorum: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    four_eyes_from: Annotated[int, msgspec.Meta(ge=0, le=5)] = 4
    step_up_from: Annotated[int, msgspec.Meta(ge=0, le=5)] = 4
    assurance: Literal["os_account", "token", "token_mfa", "phishing_resistant"] = "os_account"
    assurance_tier_4: Literal["os_account", "token", "token_mfa", "phishing_resistant"] = "token"
    escalate_after: str = ""
    escalate_roles: tuple[str, ...] = ()

    def terms(self, *, by_token: bool, by_person: bool) -> Terms:
        """Return what they amount to. Raises ConfigError."""
        expires_s, strict_s = (
            measure(text, SECONDS, f"approvals.{name}")
            for name, text in (("expires", self.expires), ("expires_tier_4", self.expires_tier_4))
        )
        after_s = measure(self.escalate_after, SECONDS, "approvals.escalate_after") if self.escalate_after else 0.0
        if bool(after_s) != bool(self.escalate_roles):
            raise ConfigError("approvals.escalate_after and approvals.escalate_roles go together")
        if max(expires_s, strict_s) > _LONGEST_S:
            raise ConfigError("approvals.expires is longer than a day; what was approved should run soon")
        return Terms(
            expires_us=int(expires_s * 1e6),
            expires_strict_us=int(strict_s * 1e6),
            quorum=self.quorum,
            four_eyes_from=self.four_eyes_from,
            step_up_from=self.step_up_from,
            assurance=self.assurance,
            assurance_strict=self.assurance_tier_4,
            escalate_after_us=int(after_s * 1e6),
            escalate_roles=self.escalate_roles,
            channels=self.channels,
            wait_s=measure(self.wait, SECONDS, "approvals.wait"),
            by_token=by_token,
            by_person=by_person,
        )


class ApproverSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[approver]]`: the roles of one person, known by an account of this host or by the subject of a token."""

    roles: tuple[str, ...]
    account: str = ""
    issuer: str = ""
    subject: str = ""

    def check(self, number: int) -> None:
        """Raise ConfigError unless it names one person and a role."""
        by_token = bool(self.issuer and self.subject)
        if bool(self.account) == by_token or bool(self.issuer) != bool(self.subject):
            raise ConfigError(f"approver {number}: give an account, or an issuer and a subject")
        if not self.roles or not all(self.roles):
            raise ConfigError(f"approver {number}: roles is empty, so it says nothing")
