# SPDX-License-Identifier: Apache-2.0
"""Signed tokens (JWS compact, RFC 7515; JWT, RFC 7519): is the signature that of the issuer, and what does it cover?

The algorithm is one of those allowed by the settings, whatever the token would like; the key is one that the issuer
shows, whatever keys or addresses the token brings along; and the key has to be of the algorithm's kind. What the
claims mean is in `rules/principal.py`. No message says what stood in a token.
"""

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry, deserialize_compact

from onrecord.errors import NotAuthenticated
from onrecord.identity.keys import MAX_KEY_ID, IssuerKeys
from onrecord.identity.strict import NotStrict, strict_object

if TYPE_CHECKING:
    from joserfc._rfc7515.model import JWSAlgModel  # it has no public name

MAX_TOKEN = 16 * 1024  # characters; more than any issuer puts into a header field
SAME_ID = 4  # keys of one id that are tried

_REFUSED = ("crit", "b64", "zip", "enc")  # extensions that would change what is signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a token says, once its signature holds, and the id of the key that it holds by."""

    claims: dict[str, object]
    key_id: str


def opened(token: str, keys: IssuerKeys, algorithms: Collection[str], *, types: Collection[str]) -> Opened:
    """Verify the signature of `token` and return what it covers. Raises NotAuthenticated.

    `types` are the media types that its header may name, in lower case and without `application/`.
    """
    head, body, _ = _parts(token)
    header = _object(head, "header")
    algorithm, key_id, kind = header.get("alg"), header.get("kid", ""), header.get("typ", "")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise NotAuthenticated("the token is signed by an algorithm that is not allowed")
    if any(name in header for name in _REFUSED):
        raise NotAuthenticated("the token's header asks for an extension that is not known")
    if not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID:
        raise NotAuthenticated("the token's key id is malformed")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in types:
        raise NotAuthenticated("the token is of another type")
    registry = _Registry(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = registry.max_payload_length = MAX_TOKEN  # that of the whole has been checked
    for known in keys.find(key_id, algorithm)[:SAME_ID]:
        try:
            deserialize_compact(token, known.key, registry=registry)
        except (JoseError, ValueError, TypeError, OverflowError):
            continue
        return Opened(claims=_object(body, "body"), key_id=known.key_id)
    raise NotAuthenticated("the token's signature does not hold")


class _Registry(JWSRegistry):
    """Knows the algorithm that was found to be allowed, and does not warn of names that are out of fashion."""

    def get_alg(self, name: str) -> "JWSAlgModel":
        if self.allowed is None or name not in self.allowed:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


def _parts(token: str) -> list[str]:
    if len(token) > MAX_TOKEN:
        raise NotAuthenticated(f"the token is longer than {MAX_TOKEN} characters")
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise NotAuthenticated("the token is no signed token of three parts")
    return parts


def _object(part: str, what: str) -> dict[str, object]:
    try:
        text = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        return strict_object(text)
    except NotStrict as e:
        raise NotAuthenticated(f"the token's {what} {e}") from e
    except (ValueError, binascii.Error) as e:
        raise NotAuthenticated(f"the token's {what} is not base64url") from e
