# SPDX-License-Identifier: Apache-2.0
"""Who is behind a call, and how that is known: tokens, the keys they are verified with, and accounts."""
