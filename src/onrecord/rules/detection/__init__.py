# SPDX-License-Identifier: Apache-2.0
"""What secrets and personal data look like in text: rules as data, and the engine that applies them."""
