# SPDX-License-Identifier: Apache-2.0
"""The hot index: SQLite files beside the ledger that make questions quick, and that can be deleted at any time."""
