# SPDX-License-Identifier: Apache-2.0
"""Opens the store at an address. What speaks to it is imported only then, and is an extra of this package."""

from onrecord.errors import NotSupported
from onrecord.views.stores.address import Address
from onrecord.views.stores.store import Store


def open_store(address: Address) -> Store:
    """Return the store at an address, open. Raises StoreAway, NotSupported where its library is not installed."""
    try:
        if address.kind == "clickhouse":
            from onrecord.views.stores.clickhouse import open_clickhouse

            return open_clickhouse(address)
        from onrecord.views.stores.postgres import open_postgres

        return open_postgres(address)
    except ModuleNotFoundError as e:
        extra = "clickhouse" if address.kind == "clickhouse" else "postgres"
        raise NotSupported(f"a store in {address.kind} needs {e.name}; install onrecord[{extra}]") from e
