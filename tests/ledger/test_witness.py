# SPDX-License-Identifier: Apache-2.0
"""A witness and its client, each against the other over loopback, and the client against services that lie."""

import json
import shutil
import socket
import stat
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.ledger.logs import Log, log_in
from tests.ledger.outside import Running, running_witness, scripted

from onrecord.errors import ConfigError, Contradicted, KeyFileError, LedgerRefused, NotAnchored
from onrecord.ledger import witness_server
from onrecord.ledger.cosignature import Cosigner, verify_cosignatures
from onrecord.ledger.durable import make_folder
from onrecord.ledger.merkle import leaf_hash
from onrecord.ledger.note import Checkpoint, SignerKey, parse_note, sign_checkpoint, signature_line
from onrecord.ledger.submission import Submission, format_submission
from onrecord.ledger.tiles import EdgeTiles
from onrecord.ledger.tree import guard_of, read_tile, write_guard
from onrecord.ledger.witness import Cosigned, Witness, ask_witness
from onrecord.ledger.witness_server import WitnessServer
from onrecord.ledger.witness_state import WitnessState

pytestmark = pytest.mark.requirement("D2")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = log_in(tmp_path / "home")
    log.write(10)
    return log


@pytest.fixture
def outside(tmp_path: Path, log: Log):
    with running_witness(tmp_path / "witness", log) as running:
        yield running


def ask(log: Log, witness: Witness, **options: int) -> Cosigned:
    return ask_witness(log.folder, log.folder.checkpoint.read_bytes(), log.checkpoint(), witness, **options)  # type: ignore[arg-type]


def forked(log: Log, path: Path, entries: int) -> Log:
    """Return another log of the same key, with other lines."""
    shutil.copytree(log.home.keys, path / "keys")
    make_folder(path / "guard")
    write_guard(path / "guard/calls", guard_of(EdgeTiles(), log.signer.name), durable=False)  # as if the log were new
    fork = log_in(path)
    fork.write(entries)
    return fork


def test_a_checkpoint_is_cosigned_and_the_signature_holds_offline(log: Log, outside: Running) -> None:
    got = ask(log, outside.witness)
    (found,) = verify_cosignatures(parse_note(got.note), [outside.witness.key])
    assert found == got.cosignature
    assert got.note.startswith(log.folder.checkpoint.read_bytes())
    assert outside.state.latest(log.signer.name) == log.checkpoint()


def test_a_log_that_grows_is_cosigned_again_with_a_proof(log: Log, outside: Running) -> None:
    for more in (0, 1, 300, 7):
        if more:
            log.write(more)
        ask(log, outside.witness)  # not knowing where the witness stands
    size = log.checkpoint().size
    log.write(3)
    ask(log, outside.witness, known_size=size)
    ask(log, outside.witness, known_size=log.checkpoint().size)
    ask(log, outside.witness, known_size=5)
    assert outside.state.latest(log.signer.name) == log.checkpoint()


def test_a_log_that_was_rolled_back_is_told_so(log: Log, outside: Running, tmp_path: Path) -> None:
    shutil.copytree(log.home.path, tmp_path / "backup")
    log.write(5)
    ask(log, outside.witness)
    old = log_in(tmp_path / "backup")

    with pytest.raises(Contradicted, match="rolled back") as raised:
        ask(old, outside.witness)

    assert raised.value.verdict == "rolled back"
    with pytest.raises(NotAnchored, match="not published"):  # a power cut took back what was published
        ask_witness(
            old.folder,
            old.folder.checkpoint.read_bytes(),
            old.checkpoint(),
            outside.witness,
            signed_size=lambda: log.checkpoint().size,
        )


@pytest.mark.parametrize("entries", [9, 10, 30])
def test_a_fork_is_told_apart_and_the_witness_keeps_the_evidence(
    log: Log, outside: Running, tmp_path: Path, entries: int
) -> None:
    ask(log, outside.witness)
    fork = forked(log, tmp_path / "fork", entries)
    with pytest.raises(Contradicted) as raised:
        ask(fork, outside.witness)

    larger = fork.checkpoint().size >= log.checkpoint().size
    assert raised.value.verdict == ("forked" if larger else "rolled back")
    assert outside.state.latest(log.signer.name) == log.checkpoint()
    kept = list((tmp_path / "witness" / "evidence").iterdir())
    assert bool(kept) == larger
    if larger:
        same_size = fork.checkpoint().size == log.checkpoint().size
        assert kept[0].name.endswith(".unproven.ndjson") != same_size
        line = json.loads(kept[0].read_text())
        assert line["latest"].startswith(log.folder.checkpoint.read_text())
        assert line["submitted"] == fork.folder.checkpoint.read_text()
        assert any("evidence" in one for one in outside.said)


def test_two_checkpoints_of_one_size_are_never_both_cosigned_whoever_is_first(log: Log, tmp_path: Path) -> None:
    signer = log.signer
    trees = [Checkpoint(origin=signer.name, size=1, root=leaf_hash(bytes([n]))) for n in range(16)]
    state = WitnessState(tmp_path / "w", "", {signer.name: [signer.vkey]})
    signed: list[int] = []
    start = threading.Barrier(len(trees))

    def submit(number: int) -> None:
        start.wait()
        try:
            state.cosign(Submission(old_size=0, path=(), note=sign_checkpoint(trees[number], signer)))
        except Exception:  # noqa: BLE001 - the refusals are of two kinds, by who was first
            return
        signed.append(number)

    threads = [threading.Thread(target=submit, args=[number]) for number in range(len(trees))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(signed) == 1
    assert state.latest(signer.name) == trees[signed[0]]
    state.close()


# the witness's memory


def test_a_witness_that_starts_again_remembers_and_keeps_its_key(log: Log, tmp_path: Path) -> None:
    with running_witness(tmp_path / "w", log, name="witness.test/w1") as first:
        ask(log, first.witness)
        key = first.witness.key
    with running_witness(tmp_path / "w", log) as second:
        assert second.witness.key == key
        assert key.name == "witness.test/w1"
        assert second.state.latest(log.signer.name) == log.checkpoint()
    for path in (tmp_path / "w").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077


def test_two_witnesses_never_run_on_one_memory(log: Log, tmp_path: Path) -> None:
    with running_witness(tmp_path / "w", log), pytest.raises(LedgerRefused, match="another witness"):
        WitnessState(tmp_path / "w", "", {})


@pytest.mark.parametrize("harm", ["key", "memory", "altered", "open", "renamed", "other kind"])
def test_a_witness_whose_memory_is_not_whole_does_not_start(log: Log, tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "w"
    with running_witness(folder, log) as first:
        ask(log, first.witness)
    (latest,) = (folder / "latest").iterdir()
    key = folder / "witness.key"
    match harm:
        case "key":
            key.unlink()
        case "memory":
            shutil.rmtree(folder / "latest")
        case "altered":
            latest.write_text(latest.read_text().replace("\n11\n", "\n10\n").replace("\n10\n", "\n9\n", 1))
        case "open":
            key.chmod(0o640)
        case "renamed":
            key.write_text(key.read_text().replace("onrecord/", "onrecorf/"))
        case _:
            shutil.copy(log.home.keys / "calls.key", key)

    with pytest.raises((KeyFileError, LedgerRefused)):
        WitnessState(folder, "", {log.signer.name: [log.signer.vkey]})


def test_a_witness_keeps_its_name(log: Log, tmp_path: Path) -> None:
    WitnessState(tmp_path / "w", "one", {}).close()
    with pytest.raises(KeyFileError, match="keeps its name"):
        WitnessState(tmp_path / "w", "two", {})


def test_a_log_whose_key_changed_goes_on_with_both_keys_and_then_with_the_new_one(log: Log, tmp_path: Path) -> None:
    successor = SignerKey(name=log.signer.name, private=Ed25519PrivateKey.generate())
    checkpoint = log.checkpoint()
    closing, opening = sign_checkpoint(checkpoint, log.signer), sign_checkpoint(checkpoint, successor)
    both = {log.signer.name: [log.signer.vkey, successor.vkey]}
    state = WitnessState(tmp_path / "w", "", both)
    state.cosign(Submission(old_size=0, path=(), note=closing))
    state.cosign(Submission(old_size=checkpoint.size, path=(), note=opening))
    state.close()
    state = WitnessState(tmp_path / "w", "", {log.signer.name: [successor.vkey]})
    state.cosign(Submission(old_size=checkpoint.size, path=(), note=opening))
    state.close()


def test_what_cannot_be_stored_is_not_signed(log: Log, outside: Running, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "witness" / "latest")
    with pytest.raises(NotAnchored, match="503"):
        ask(log, outside.witness)
    assert outside.state.latest(log.signer.name) is None
    assert any("not cosigned" in one for one in outside.said)


# who is refused


def test_an_unknown_log_and_an_unknown_key_are_told_apart(log: Log, outside: Running, tmp_path: Path) -> None:
    stranger = log_in(tmp_path / "stranger")
    stranger.write(1)
    with pytest.raises(NotAnchored, match="does not know the log"):
        ask(stranger, outside.witness)
    other = SignerKey(name=log.signer.name, private=Ed25519PrivateKey.generate())
    note = sign_checkpoint(log.checkpoint(), other)
    with pytest.raises(NotAnchored, match="does not know the key"):
        ask_witness(log.folder, note, log.checkpoint(), outside.witness)


def test_a_log_without_its_tiles_raises_no_alarm(log: Log, outside: Running) -> None:
    ask(log, outside.witness)
    log.write(300)
    tile = log.folder.path / "tile/0/000"
    whole = tile.read_bytes()
    tile.write_bytes(whole[:32] + bytes(32) + whole[64:])
    with pytest.raises(NotAnchored, match="tiles"):
        ask(log, outside.witness)
    tile.unlink()
    with pytest.raises(NotAnchored, match="tile"):
        ask(log, outside.witness)
    assert not list((outside.state._folder / "evidence").iterdir())
    tile.write_bytes(whole)
    assert read_tile(log.folder, 0, 0, 256) == whole
    ask(log, outside.witness)


# services that lie

KEY = Cosigner(name="witness.test", private=Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
SIZE = "text/x.tlog.size"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((200, "text/plain", b""), "does not hold"),
        ((200, "text/plain", b"<html>"), "does not hold"),
        ((200, "text/plain", b"\xff\n"), "does not hold"),
        ((200, "text/plain", KEY.cosign("another\n1\n", 5).encode()), "does not hold"),
        ((200, "text/plain", b"x" * 100_000), "more than"),
        ((409, "text/plain", b"5\n"), "not at which size"),
        ((409, SIZE, b"05\n"), "not at which size"),
        ((409, SIZE, b"0\n"), "names the size"),
        ((422, "text/plain", b""), "status 422"),
        ((404, "text/plain", b""), "does not know the log"),
        ((403, "text/plain", b""), "does not know the key"),
        ((301, "text/plain", b""), "status 301"),
        ((500, "text/plain", b""), "status 500"),
    ],
)
def test_an_answer_that_does_not_hold_counts_for_nothing(log: Log, reply: tuple[int, str, bytes], error: str) -> None:
    with scripted(lambda *_: reply) as url, pytest.raises(NotAnchored, match=error):
        ask(log, Witness(url=url, key=KEY.vkey))


def test_a_witness_that_names_another_size_each_time_is_left_after_some_tries(log: Log) -> None:
    sizes = iter(range(1, 100))
    with (
        scripted(lambda *_: (409, SIZE, f"{next(sizes)}\n".encode())) as url,
        pytest.raises(NotAnchored, match="each time"),
    ):
        ask(log, Witness(url=url, key=KEY.vkey))
    assert next(sizes) < 10


def test_a_draft_s_answer_to_another_tree_of_the_same_size_is_a_fork_too(log: Log) -> None:
    size = log.checkpoint().size
    with scripted(lambda *_: (409, SIZE, f"{size}\n".encode())) as url, pytest.raises(Contradicted, match="forked"):
        ask(log, Witness(url=url, key=KEY.vkey))


def test_lines_by_strangers_in_an_answer_are_left_out(log: Log) -> None:
    text = parse_note(log.folder.checkpoint.read_bytes()).text
    stranger = Cosigner(name="stranger", private=Ed25519PrivateKey.generate())
    answer = stranger.cosign(text, 1) + KEY.cosign(text, 7)
    with scripted(lambda *_: (200, "text/plain", answer.encode())) as url:
        got = ask(log, Witness(url=url, key=KEY.vkey))
    assert got.cosignature.at_s == 7
    assert b"stranger" not in got.note


def test_nobody_there_and_nobody_who_answers_end_in_time(log: Log) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NotAnchored, match="refused"):
            ask(log, Witness(url=url, key=KEY.vkey))
        silent.listen()
        with pytest.raises(NotAnchored, match="did not answer"):
            ask(log, Witness(url=url, key=KEY.vkey), timeout_s=0.2)  # type: ignore[arg-type]


def test_a_service_that_drips_its_answer_is_cut_off(log: Log) -> None:
    stop = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"X-Drip: 1\r\n")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=[server], daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(NotAnchored, match="did not answer"):
            ask(log, Witness(url=url, key=KEY.vkey), timeout_s=0.5)  # type: ignore[arg-type]
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "witness.test",
        "ftp://witness.test",
        "http://witness.test/",
        "https://",
        "https://u:p@witness.test/",
        "https://a b/",
    ],
)
def test_a_url_that_is_not_private_or_not_one_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Witness(url=url, key=KEY.vkey)


@pytest.mark.parametrize(
    "url", ["https://witness.test/x", "http://localhost:1", "http://127.0.0.1:1/", "http://[::1]:1"]
)
def test_a_url_that_is_private_is_taken(url: str) -> None:
    assert Witness.parse(f"{url}={KEY.vkey}") == Witness(url=url, key=KEY.vkey)


# what a stranger can cost


def talk(server: WitnessServer, *parts: bytes) -> bytes:
    host, port = server.server_address[:2]
    with socket.create_connection((str(host), int(port)), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    return answer


POST = b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"501"),
        (b"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"404"),
        (POST + b"\r\n", b"411"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (POST + b"Content-Length: -1\r\n\r\n", b"411"),
        (POST + b"Content-Length: 65537\r\n\r\n", b"413"),
        (POST + b"Content-Length: 99999999999999999999\r\n\r\n", b"413"),
        (POST + b"Content-Length: 4\r\n\r\nold\n", b"400"),
        (b"rubbish\r\n\r\n", b"400"),
    ],
)
def test_a_malformed_request_is_refused(outside: Running, request_: bytes, status: bytes) -> None:
    answer = talk(outside.server, request_)
    assert status in answer.splitlines()[0]


def test_a_body_that_is_cut_off_is_not_answered(outside: Running) -> None:
    assert talk(outside.server, POST + b"Content-Length: 400\r\n\r\nold 0\n") == b""


def test_a_connection_is_kept_for_more_than_one_call(log: Log, outside: Running) -> None:
    note = log.folder.checkpoint.read_bytes()
    body = format_submission(Submission(old_size=0, path=(), note=note))
    request = POST + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    answer = talk(outside.server, request, request)
    assert [line for line in answer.splitlines() if line.startswith(b"HTTP/")] == [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 409 Conflict",
    ]
    assert b"Content-Type: text/x.tlog.size" in answer
    assert answer.endswith(f"{log.checkpoint().size}\n".encode())


@pytest.mark.parametrize("limit", ["MAX_CONNECTIONS", "MAX_OF_A_PEER"])
def test_where_too_many_connections_are_open_the_oldest_makes_way(
    outside: Running, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(witness_server, limit, 1)
    address = outside.server.server_address
    with socket.create_connection((str(address[0]), int(address[1])), timeout=10) as first:
        first.sendall(b"P")
        with socket.create_connection((str(address[0]), int(address[1])), timeout=10) as second:
            second.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert second.recv(5) == b"HTTP/"
            assert first.recv(10) == b""


def test_idle_connections_lock_nobody_out(log: Log, outside: Running) -> None:
    address = outside.server.server_address
    with ExitStack() as idle:
        for _ in range(100):
            sock = idle.enter_context(socket.create_connection((str(address[0]), int(address[1])), timeout=10))
            sock.sendall(b"P")
        ask(log, outside.witness)
        assert len(outside.server._open) <= witness_server.MAX_OF_A_PEER
    assert outside.state.latest(log.signer.name) == log.checkpoint()


def test_evidence_does_not_fill_the_disk(
    log: Log, outside: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("onrecord.ledger.witness_state.MAX_EVIDENCE", 2000)
    ask(log, outside.witness)
    size = log.checkpoint().size
    other = sign_checkpoint(Checkpoint(origin=log.signer.name, size=size, root=bytes(32)), log.signer)
    body = format_submission(Submission(old_size=size, path=(), note=other))
    for _ in range(10):
        talk(outside.server, POST + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    (file,) = (tmp_path / "witness" / "evidence").iterdir()
    assert 0 < file.stat().st_size <= 2000


@pytest.mark.parametrize("strangers", ["99 lines", "a line in the name of the witness"])
def test_what_strangers_add_under_a_checkpoint_is_not_kept_and_keeps_no_witness_from_starting_again(
    log: Log, tmp_path: Path, strangers: str
) -> None:
    keys = {log.signer.name: [log.signer.vkey]}
    state = WitnessState(tmp_path / "w", "w", keys)
    note = log.folder.checkpoint.read_bytes()
    if strangers == "99 lines":
        note += b"".join(signature_line(f"x{number}", b"abcd", b"z" * 64).encode() for number in range(99))
    else:
        note += signature_line("w", state.cosigner.vkey.key_id, bytes(8) + b"z" * 64).encode()
    state.cosign(Submission(old_size=0, path=(), note=note))
    state.close()
    again = WitnessState(tmp_path / "w", "w", keys)
    assert again.latest(log.signer.name) == log.checkpoint()
    again.close()
