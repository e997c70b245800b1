# SPDX-License-Identifier: Apache-2.0
"""What should happen: classification, redaction, neutral text. Pure: no file, clock or network."""
