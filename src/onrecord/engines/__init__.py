# SPDX-License-Identifier: Apache-2.0
"""What decides: one file an engine. Each brings a dependency or a network of its own, so each is optional."""
