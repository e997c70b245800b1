# SPDX-License-Identifier: Apache-2.0
"""What can be proven: the append-only log, its tree, its signatures, and their verifier."""
