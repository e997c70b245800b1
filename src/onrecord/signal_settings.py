# SPDX-License-Identifier: Apache-2.0
"""`[signals]` of `onrecord.toml`: which rules find what somebody should look at, and where they do so otherwise."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from onrecord.errors import ConfigError
from onrecord.views.signals.rule import Rule, in_force, read_rules, tunings


class SignalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[signals]`: rules that are off, rules that are tuned, and files of rules of one's own."""

    off: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()  # files, seen from the folder of onrecord.toml
    tune: dict[str, dict[str, Any]] = {}

    def check(self) -> None:
        """Raise ConfigError for what can't work, whatever rules there are."""
        tunings(self.tune)

    def in_force(self, base: Path) -> tuple[Rule, ...]:
        """Return the rules of this package and of those files, as they are set. Raises ConfigError.

        `base` is the folder of onrecord.toml.
        """
        named = "the rules of this version"
        found = list(read_rules((files("onrecord.views.signals") / "rules.toml").read_text(encoding="utf-8"), named))
        for number, name in enumerate(self.rules, 1):
            where = f"signals.rules {number}: {base / name}"
            try:
                added = read_rules((base / name).read_text(encoding="utf-8"), where)
            except OSError as e:
                raise ConfigError(f"{where}: cannot be read: {os.strerror(e.errno or 0).lower()}") from e
            except UnicodeDecodeError as e:
                raise ConfigError(f"{where}: is not UTF-8") from e
            known = {rule.id for rule in found}
            for rule in added:
                if rule.id in known:
                    raise ConfigError(f"{where}: {rule.id}: another rule has this id")
            found += added
        return in_force(found, self.off, tunings(self.tune))
