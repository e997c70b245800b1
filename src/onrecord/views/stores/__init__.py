# SPDX-License-Identifier: Apache-2.0
"""Stores elsewhere that hold the events of several ledgers: how they are filled, and what they answer."""
