# SPDX-License-Identifier: Apache-2.0
"""The past of a log for analysis: one Parquet file a sealed segment, asked by DuckDB in memory."""
