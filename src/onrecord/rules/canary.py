# SPDX-License-Identifier: Apache-2.0
"""The canary of `onrecord selftest`: the name that is its own, the dummy secrets that it carries, and their disguises.

Each place in a message carries a secret of its own, so that one that gets out names the place it came by. Client and
server of a self-test make the same ones from the id of its run, so what the server says first is not in what it was
told. All of them have a known form, and open nothing.
"""

import base64
import hashlib
import html
from urllib.parse import quote

from onrecord.event.call import Json
from onrecord.rules.canonical import canonical

SERVER_ID = "onrecord-selftest"  # on each event of a canary, and of nothing else
TOOL = "echo"
NOTE = "onrecord.selftest/note"  # in `_meta`, of request and result
ASKED = ("argument", "nested value", "nested key", "request _meta")
ANSWERED = ("text", "structured value", "structured key", "result _meta")

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 36  # of what follows the prefix
_ENDS = 6  # characters at either end that may be shown without giving a secret away


def planted(run: str, place: str) -> str:
    """Return the dummy secret that `place` carries in a run."""
    number = int.from_bytes(hashlib.sha512(f"{run} {place}".encode()).digest())
    letters: list[str] = []
    for _ in range(_LENGTH):
        number, at = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[at])
    return "ghp_" + "".join(letters)


def arguments_of(run: str) -> dict[str, Json]:
    """Return what the canary of a run is called with."""
    value, key = planted(run, "nested value"), planted(run, "nested key")
    return {
        "run": run,
        "text": f"canary {planted(run, 'argument')} end",
        "nested": [{"deep": {"said": [f"it is {value}"], key: 1}}],
    }


def digest_of(arguments: Json, note: Json) -> str:
    """Return by what the server tells that it got exactly these values, as hex."""
    return hashlib.sha256(canonical([arguments, note])).hexdigest()


def disguises(secret: str) -> frozenset[bytes]:
    """Return how `secret`, or all but its ends, may lie in a file: as it is, escaped, encoded or turned round."""
    core = secret[_ENDS:-_ENDS]
    texts = {core, core.upper(), core[::-1], quote(core, safe=""), html.escape(core)}
    texts.add("".join(f"\\u{ord(character):04x}" for character in core))
    data = core.encode()
    texts |= {data.hex(), data.hex().upper()}
    for skip in range(3):  # base64 has another spelling for each place that a text may begin at
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            texts.add(encode(b"\0" * skip + data).decode().rstrip("=")[4 if skip else 0 : -1])
    return frozenset(text.encode() for text in texts)
