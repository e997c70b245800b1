# SPDX-License-Identifier: Apache-2.0
"""Every carrier, every kind of secret: each carries its own, so that one that reaches a file names its carrier.

A real server behind the real door says whatever a plan tells it. Afterwards each file of the home,
opened where it is compressed, what we said on standard error, and what our verbs print and export
are searched for each secret and its encodings.
"""

import base64
import fcntl
import html
import json
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.doors.session import Session, onrecord

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.requirement("B1", "B2")

SERVER = Path(__file__).with_name("planned_server.py")

# What the server says, by the tool that makes it say so, or else by method.
OF_SERVER = (
    *("content", "split blocks", "structured", "structured key", "embedded text", "embedded uri", "embedded blob"),
    *("image", "resource link", "result meta", "tool error", "traceback", "jsonrpc error", "log", "progress", "junk"),
    *("stderr", "elicitation", "sampling", "roots", "server method", "odd answer"),
)
BY_METHOD = (
    *("server name", "instructions", "tool description", "uri template", "resource list", "resource contents"),
    *("prompt messages", "completion values"),
)
OF_CLIENT = (
    *("argument", "key", "nested", "json in text", "request meta", "tool name", "uri", "prompt", "completion"),
    *("method", "request id", "client name", "cancelled", "client progress", "roots answer", "elicitation answer"),
    *("sampling answer", "ambiguous", "not json", "spooled", "access", "reopened", "command line"),
)
CARRIERS = (*OF_SERVER, *BY_METHOD, *OF_CLIENT)


def secrets_of(carrier: str) -> dict[str, str]:
    """A secret of each kind for one carrier."""
    number = CARRIERS.index(carrier)
    return {
        "vendor": "ghp_" + f"{number:02}dUmmYdUmmY{number:02}" * 3,
        "named": f"corr{number:02}ect-horse/bat{number:02}tery",
        "encoded": "ghp_" + f"dUmmYdUmmY{number:02}{number:02}" * 3,
        "marked": f"not a known {number:02} form, {number:02}",
    }


def said(carrier: str, *, marked: bool = False) -> list[str]:
    """What carries the secrets of a carrier: texts in which they can be found."""
    of = secrets_of(carrier)
    code = base64.b64encode(f"it is {of['encoded']} then".encode()).decode()
    texts = [f"take {of['vendor']} please", f'password="{of["named"]}"', code]
    return [*texts, of["marked"]] if marked else texts


def forms(secret: str) -> set[bytes]:
    """A secret as it might lie in a file."""
    ways = {secret, secret.upper(), quote(secret, safe=""), html.escape(secret), secret[::-1], secret[6:-6]}
    data = secret.encode()
    ways |= {data.hex(), data.hex().upper(), base64.b64encode(data).decode().rstrip("=")[:-1]}
    ways |= {base64.b64encode(b"\0" * skip + data).decode()[4:-4] for skip in (1, 2)}
    return {way.encode() for way in ways}


def opened(data: bytes) -> bytes:
    """Return what is in a file of zstd frames, as far as it is written."""
    plain = b""
    while data:
        frame = zstd.ZstdDecompressor()
        plain += frame.decompress(data)
        data = frame.unused_data
    return plain


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, opened where it is compressed."""
    found: dict[str, bytes] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found[str(path)] = data
            if path.suffix == ".zst":
                found[f"{path}, opened"] = opened(data)
    return found


def leaks(places: dict[str, bytes]) -> list[str]:
    return [
        f"{carrier}: {kind} in {where}"
        for where, data in places.items()
        for carrier in CARRIERS
        for kind, secret in secrets_of(carrier).items()
        if any(form in data for form in forms(secret))
    ]


def answer_server(session: Session, carrier: str) -> None:
    """Call a tool that asks the client something; answer with secrets."""
    session.begin("tools/call", name=carrier, arguments={"n": 1})
    asked = session.receive()
    texts = said(f"{carrier} answer" if f"{carrier} answer" in CARRIERS else carrier)
    result = {
        "elicitation": {"action": "accept", "content": {"a": texts[0], "password": texts[1], "c": texts[2]}},
        "sampling": {"role": "assistant", "model": texts[2], "content": {"type": "text", "text": " ".join(texts)}},
        "roots": {"roots": [{"uri": f"file:///{text}", "name": text} for text in texts]},
    }.get(carrier, {})
    session.send({"jsonrpc": "2.0", "id": asked["id"], "result": result})
    assert session.receive()["id"] == session.next_id


def speak_as_client(session: Session) -> None:
    """Say what a client can say, with a secret of each kind in each."""

    def ask(carrier: str, method: str, **params: object) -> None:
        session.ask(method, **json.loads(json.dumps(params).replace("<marked>", secrets_of(carrier)["marked"])))

    def call(carrier: str, **arguments: object) -> None:
        ask(carrier, "tools/call", name="echo", arguments={**arguments, "code": "<marked>"})

    password = secrets_of("argument")["named"]
    call("argument", a=said("argument", marked=True), password=password)
    call("key", **dict.fromkeys(said("key", marked=True), 1))
    call("nested", a=[{"b": {"c": [said("nested", marked=True)]}}])
    call("json in text", a=json.dumps({"b": json.dumps(said("json in text", marked=True))}))
    meta = {"a": said("request meta"), "progressToken": said("request meta")[0]}
    ask("request meta", "tools/call", name="echo", arguments={}, _meta=meta)
    for carrier, method, field in (("tool name", "tools/call", "name"), ("uri", "resources/read", "uri")):
        for text in said(carrier):
            ask(carrier, method, **{field: f"x://{text}", "arguments": {"n": text}})
    ask("prompt", "prompts/get", name=said("prompt")[0], arguments=dict(enumerate(said("prompt"))))
    for text in said("completion"):
        ref = {"type": "ref/prompt", "name": text}
        ask("completion", "completion/complete", ref=ref, argument={"name": text, "value": text})
    for text in said("method"):
        ask("method", f"vendor/{text}", x=text)
    for text in said("request id"):
        session.send(
            {"jsonrpc": "2.0", "id": text, "method": "tools/call", "params": {"name": "echo", "arguments": {}}}
        )
        session.receive()
    for method, carrier in (("cancelled", "cancelled"), ("progress", "client progress")):
        params = {
            "requestId": 1,
            "progressToken": said(carrier)[0],
            "reason": " ".join(said(carrier)),
            "message": said(carrier),
        }
        session.send({"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params})
    doubled = json.dumps(" ".join(said("ambiguous"))).encode()
    session.send(b'{"jsonrpc":"2.0","id":990,"method":%s,"method":%s,"params":{"x":%s}}' % (doubled, doubled, doubled))
    session.receive()
    session.send(" ".join(said("not json")).encode())
    session.receive()


@pytest.mark.parametrize("classification", ["low", "medium", "critical"])
def test_no_secret_of_any_carrier_reaches_a_file_or_a_terminal(tmp_path, classification):
    home, plan = tmp_path / "home", tmp_path / "plan.json"
    home.mkdir()
    declared = 'summary = ["/*"]\noutput_summary = ["/*"]\n' if classification == "medium" else ""
    (home / "onrecord.toml").write_text(
        '[ledger]\nappend_deadline = "5s"\nsegment = "16KiB"\n'
        f'[[tool]]\nclassification = "{classification}"\ntier = 1\n{declared}'
    )
    plan.write_text(json.dumps({carrier: said(carrier) for carrier in (*OF_SERVER, *BY_METHOD)}))
    words = secrets_of("command line")
    command = [sys.executable, str(SERVER), str(plan), "--password", words["named"], f"--token={words['vendor']}"]
    command += [words["encoded"], "-e", f"DB_PASSWORD={words['marked']}"]
    with Session(home, command=command, listed=False) as session:
        info = {"name": f"client {' '.join(said('client name'))}", "version": said("client name")[0]}
        session.ask("initialize", protocolVersion="2025-11-25", clientInfo=info, capabilities={})
        for method in ("tools/list", "resources/list", "resources/templates/list"):
            session.ask(method)
        for carrier in OF_SERVER:
            if carrier in ("elicitation", "sampling", "roots", "server method"):
                answer_server(session, carrier)
                continue
            heard = session.ask("tools/call", name=carrier, arguments={"n": 1})
            while heard.get("id") != session.next_id:  # notifications that come before the answer
                heard = session.receive()
        for method in ("resources/read", "prompts/get", "completion/complete"):
            session.ask(method, uri="x://a", name="p", ref={"type": "ref/prompt", "name": "p"}, argument={})
        speak_as_client(session)
        with (home / "ledger" / "calls" / "writer.lock").open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            given = {"a": said("spooled"), "code": secrets_of("spooled")["marked"]}
            session.call("echo", **given)
            assert leaks(contents(home)) == []
        session.end()

    files = contents(home / "ledger" / "calls" / "log")
    lines = [line for name, data in files.items() if not name.endswith(".zst") for line in data.splitlines()]
    events = [json.loads(line) for line in lines]
    calls = [event for event in events if event.get("phase")]
    assert len(calls) > 2 * 30
    assert [event for event in calls if event.get("redaction_error")] == []
    assert all(event["redaction_policy"] for event in calls)
    assert {"github-token", "password"} <= {kind for event in calls for kind in event.get("data_kinds", ())}
    printed = session.errors.replace(b"failed for", b"")
    passed_on = [line for line in printed.split(b"\n") if secrets_of("stderr")["vendor"].encode() not in line]
    places = {"our standard error": b"\n".join(passed_on)}
    vendor = secrets_of("access")["vendor"]
    for verb in (["tail", "-n", "999"], ["tail", "--tool", vendor], ["show", vendor], ["tail", "--json"], ["doctor"]):
        done = onrecord(home, *verb)
        places[" ".join(verb[:2]).replace(vendor, "…")] = done.stdout.encode()
    onrecord(home, "ledger", "reopen", "--reason", " ".join(said("reopened")))
    assert onrecord(home, "export", str(tmp_path / "bundle"), "--all").returncode == 0
    assert leaks({**places, **contents(home), **contents(tmp_path / "bundle")}) == []
    assert onrecord(home, "verify", "--allow-unanchored").returncode == 0


def test_the_search_for_leaks_finds_each_secret_in_each_form():
    for carrier in CARRIERS:
        for kind, secret in secrets_of(carrier).items():
            for form in forms(secret):
                assert f"{carrier}: {kind} in x" in leaks({"x": b"a " + form + b" b"})
