# SPDX-License-Identifier: Apache-2.0
"""What can be seen: computed from definitions, rules and events, never the other way round."""
