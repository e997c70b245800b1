# SPDX-License-Identifier: Apache-2.0
"""The version of this program, as the record names it. `pyproject.toml` says the same; a test compares them."""

__version__ = "0.1.0"
