# SPDX-License-Identifier: Apache-2.0
"""What a verified identity costs a call, process CPU: by one ID token for all calls, and by a token for each.

A call is begun, redeemed and ended against a real ledger; the tool itself costs nothing. Rounds of each kind take
turns, and the best round counts. Tokens are signed beforehand, each for a call of its own, since it counts once. What
identity adds is the difference to the same call of an account.
"""

import os
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec
from bench.row import Row, cpu_us
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from onrecord.config import build_recorder
from onrecord.event.call import Actor, Call, Connection, Definition, Raw, Result
from onrecord.guard import Guard
from onrecord.ledger.place import Home
from onrecord.permits import Permit
from onrecord.recorder import Recorder
from onrecord.rules.canonical import request_digest
from onrecord.settings import load

CALLS, ROUNDS = 200, 7
ISSUER = "https://issuer.example"
KEYS = {
    "Ed25519": OKPKey.generate_key("Ed25519"),
    "ES256": ECKey.generate_key("P-256"),
    "RS256": RSAKey.generate_key(2048),
}
SETTINGS = f'[identity]\nissuer = "{ISSUER}"\naudience = "here"\njwks = "keys.json"\n'

_count = count()


def measure() -> list[Row]:
    """Return what a call costs with an identity that was verified, beside the same of an account."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bare, verified = _recorder(home / "bare", ""), _recorder(home / "verified", SETTINGS)
        standing = _recorder(home / "standing", SETTINGS + 'token_file = "token"\n')
        kinds: list[tuple[str, Callable[[], Callable[[], None]]]] = [
            ("of an account", lambda: _unsigned(bare.guard)),
            ("an ID token from a file", lambda: _unsigned(standing.guard)),
            *((f"a token a call, {name}", lambda name=name: _signed(verified.guard, name)) for name in KEYS),
        ]
        rounds = [[cpu_us(make(), CALLS) for _, make in kinds] for _ in range(ROUNDS)]
        for recorder in (bare, verified, standing):
            recorder.stop("measured", 0)
    best = [min(one[number] for one in rounds) for number in range(len(kinds))]
    return [
        Row(
            name=f"identity of a call, {name}: added CPU",
            value=cost - best[0],
            unit="µs",
            budget=None,
            ratio=cost / best[0],
            against=f"the same of an account ({best[0]:.0f} µs)",
        )
        for (name, _), cost in zip(kinds[1:], best[1:], strict=True)
    ]


def _recorder(folder: Path, text: str) -> Recorder:
    folder.mkdir()
    keys = [{**key.as_dict(private=False), "kid": name} for name, key in KEYS.items()]
    (folder / "keys.json").write_bytes(msgspec.json.encode({"keys": keys}))
    (folder / "onrecord.toml").write_text(text)
    (folder / "token").touch(0o600)
    (folder / "token").write_text(_token("Ed25519", {"aud": "here", "exp": int(time.time()) + 3600}, "JWT"))
    home = Home(folder)
    recorder, _ = build_recorder(home, load(home), lambda _: None, {})
    _unsigned(recorder.guard)()
    return recorder


def _token(algorithm: str, claims: dict[str, object], kind: str) -> str:
    now = int(time.time())
    said = {"iss": ISSUER, "sub": "ada", "iat": now, "exp": now + 300, "jti": os.urandom(16).hex(), **claims}
    head = {"alg": algorithm, "kid": algorithm, "typ": kind}
    return jws.serialize_compact(head, msgspec.json.encode(said), KEYS[algorithm], algorithms=[algorithm])


def _unsigned(guard: Guard) -> Callable[[], None]:
    calls = [_call(guard, next(_count), None) for _ in range(CALLS)]
    return lambda: _made(guard, calls)


def _signed(guard: Guard, algorithm: str) -> Callable[[], None]:
    calls: list[Call] = []
    for _ in range(CALLS):
        number = next(_count)
        about = {"aud": "files", "req": request_digest("tools/call", "read_file", _arguments(number))}
        calls.append(_call(guard, number, _token(algorithm, about, "mcp-id+jwt")))
    return lambda: _made(guard, calls)


def _arguments(number: int) -> dict[str, object]:
    return {"path": "/srv/data/report.txt", "text": "hello, world", "n": number}


_SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}, "text": {"type": "string"}}}
_DEFINITION = Definition(name="read_file", digest="1" * 64, input_schema=Raw(_SCHEMA), read_only=True)


def _call(guard: Guard, number: int, token: str | None) -> Call:
    actor = Actor(user_id="u_0123456789abcdef0123", identity_source="os_account", identity_assurance="os_account")
    connection = Connection(session_id=guard.new_id(), server_id="files", transport="stdio", actor=actor)
    return Call(
        event_type="tool_call",
        method="tools/call",
        name="read_file",
        arguments=Raw(_arguments(number)),
        meta=Raw({}),
        request_id=number,
        connection=connection,
        size_bytes=160,
        definition=_DEFINITION,
        identity=None if token is None else Raw(token),
    )


def _made(guard: Guard, calls: list[Call]) -> None:
    for call in calls:
        permit = guard.begin(call)
        assert isinstance(permit, Permit)
        permit.redeem()
        result = {"content": [{"type": "text", "text": "hello, world"}]}
        guard.end(permit, Result(status="succeeded", body=Raw(result), size_bytes=90)).redeem()
