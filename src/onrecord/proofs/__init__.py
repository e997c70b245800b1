# SPDX-License-Identifier: Apache-2.0
"""What shows that a person approved a call: an authenticator's signature, or a signed decision of a service."""
