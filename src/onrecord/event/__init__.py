# SPDX-License-Identifier: Apache-2.0
"""What happened: raw calls in memory, events for the record, and the published schema. Pure."""
