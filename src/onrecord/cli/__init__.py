# SPDX-License-Identifier: Apache-2.0
"""The terminal: a function a verb, no logic of its own."""
