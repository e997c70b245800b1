# SPDX-License-Identifier: Apache-2.0
"""SQL over the record, read-only by construction: what may be asked, and what answers it."""
