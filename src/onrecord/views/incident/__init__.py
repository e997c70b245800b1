# SPDX-License-Identifier: Apache-2.0
"""An incident: one timeline across servers and ledgers, and what the record answers to six questions about it."""
