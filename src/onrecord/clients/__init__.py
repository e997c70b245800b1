# SPDX-License-Identifier: Apache-2.0
"""The configurations of MCP clients: where they lie, which servers they name, and how a server is put on the record."""
