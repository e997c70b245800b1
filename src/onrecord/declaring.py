# SPDX-License-Identifier: Apache-2.0
"""Settings to what clients may read of them, before they call; which keys that are is in `rules/declaration.py`."""

from contextlib import suppress

from onrecord.errors import KeyFileError
from onrecord.guard import Guard
from onrecord.ledger.keys import own_verifiers
from onrecord.ledger.note import VerifierKey
from onrecord.ledger.place import Home
from onrecord.recorder import Declared
from onrecord.rules import declaration
from onrecord.rules.declaration import CheckpointKey, Declaration, Ledger, Mode, OutputTerms, Policy, Product, Redaction
from onrecord.rules.redact import Redactor
from onrecord.settings import Loaded, Settings
from onrecord.version import __version__


def build_declared(home: Home | None, loaded: Loaded, redactor: Redactor, guard: Guard) -> Declared:
    """Return what clients may read; `home` has the keys of the log that is written, None where nobody here has them."""
    settings = loaded.settings
    mode: Mode = "none" if settings.policy.engine == "none" else settings.policy.mode

    def content() -> Declaration:
        return Declaration(
            product=Product(version=__version__),
            retention=declaration.retention(settings.tool),
            redaction=_redaction(settings, redactor.policy),
            tiers=declaration.tiers(),
            policy=Policy(
                mode=mode,
                engine=settings.policy.engine,
                version=guard.policy_version,
                changed_definitions=settings.definitions.changed,
                flagged_definitions=settings.definitions.flagged,
                verified_identity=settings.identity.required,
            ),
            approvals=declaration.approvals(settings.terms(), in_force=mode == "enforce"),
            output=OutputTerms(flags=settings.output.flags),
            ledger=_ledger(home, settings),
        )

    return Declared(content=content, listed=settings.policy_resource.listed)


def _redaction(settings: Settings, policy: str) -> Redaction:
    said = settings.redaction
    return Redaction(
        policy=policy,
        longest_text=said.cut,
        names=said.names,
        rules_off=said.off,
        own_rules=len(said.rules),
        actions=declaration.actions(said.actions),
        deadline_ms=said.deadline_ns // 1_000_000,
        kept=declaration.kept(),
    )


def _ledger(home: Home | None, settings: Settings) -> Ledger:
    keys: list[VerifierKey] = []
    if home is not None:
        with suppress(KeyFileError):  # then nobody here can tell
            keys = own_verifiers(home)
    return Ledger(
        origin=keys[-1].name if keys else "",
        keys=tuple(CheckpointKey(name=key.name, vkey=str(key)) for key in keys),
        witnesses=len(settings.witness),
        timestamps=len(settings.timestamp.urls),
    )
