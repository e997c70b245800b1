# SPDX-License-Identifier: Apache-2.0
"""The settings of what is asked beyond this home: a store that holds the events of several, and other homes.

They are parts of `onrecord.toml`, which `settings.py` reads. Nothing is built here.
"""

import msgspec

from onrecord.errors import ConfigError
from onrecord.views.stores.address import read_address


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[store]`: where events are sent by `onrecord index --to store`, and asked for by `--from store`."""

    url: str = ""
    password_file: str = ""  # seen from the folder of onrecord.toml
    ca_file: str = ""  # the same; empty means the authorities that the system believes

    def check(self) -> None:
        """Raise ConfigError for what can't work, whatever is on disk."""
        if not self.url:
            if self != StoreSettings():
                raise ConfigError("store.url is empty; give clickhouse://… or postgresql://…")
            return
        try:
            read_address(self.url)
        except ConfigError as e:
            raise ConfigError(f"store.url: {e}") from e


class FederationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[federation]`: other homes, or copies of them, that `--federated` asks too."""

    homes: tuple[str, ...] = ()  # seen from the folder of onrecord.toml

    def check(self) -> None:
        """Raise ConfigError for what can't work, whatever is on disk."""
        if not all(self.homes):
            raise ConfigError("federation.homes: a folder has no name")
