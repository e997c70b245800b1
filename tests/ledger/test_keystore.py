# SPDX-License-Identifier: Apache-2.0
"""Pseudonyms: stable, apart for each tenant, and no way back from a file to a person."""

import sqlite3
import stat
from pathlib import Path

import pytest
from tests.ledger.logs import child, entry, log_in, said

from onrecord.errors import KeyFileError
from onrecord.ledger.keys import open_keys
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.place import Home

pytestmark = pytest.mark.requirement("B5")

SUBJECT = "rosalind.franklin@example.org"
TENANT = "kings-college-example"

ASKER = """
import sys
from pathlib import Path
from onrecord.ledger.keys import open_keys
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.place import Home
home = Home(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
store = Keystore(home, open_keys(home)[0].digest_key)
print(*(store.pseudonym(tenant="t", source="s", subject=str(n)) for n in range(20)), flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def store(home: Home) -> Keystore:
    return Keystore(home, open_keys(home)[0].digest_key)


def test_a_subject_keeps_its_pseudonym(home: Home, store: Keystore) -> None:
    pseudonym = store.pseudonym(tenant=TENANT, source="os_account", subject=SUBJECT)
    assert store.pseudonym(tenant=TENANT, source="os_account", subject=SUBJECT) == pseudonym
    assert store.find(tenant=TENANT, source="os_account", subject=SUBJECT) == pseudonym
    reopened = Keystore(home, open_keys(home)[0].digest_key)
    assert reopened.pseudonym(tenant=TENANT, source="os_account", subject=SUBJECT) == pseudonym


def test_a_pseudonym_is_apart_for_each_tenant_source_and_subject(store: Keystore) -> None:
    askings = [("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("x", "b", "c"), ("ab", "", "c"), ("", "ab", "c")]
    pseudonyms = {store.pseudonym(tenant=t, source=s, subject=u) for t, s, u in askings}
    assert len(pseudonyms) == len(askings)


def test_a_pseudonym_is_random_and_does_not_follow_from_the_key(home: Home, store: Keystore) -> None:
    first = store.pseudonym(tenant=TENANT, source="os_account", subject=SUBJECT)
    (home.keys / "keystore.db").unlink()
    again = Keystore(home, open_keys(home)[0].digest_key)
    assert again.pseudonym(tenant=TENANT, source="os_account", subject=SUBJECT) != first


def test_looking_somebody_up_makes_no_pseudonym(store: Keystore) -> None:
    assert store.find(tenant=TENANT, source="os_account", subject=SUBJECT) is None
    assert store.find(tenant=TENANT, source="os_account", subject=SUBJECT) is None


def test_without_the_key_nobody_is_found(home: Home, store: Keystore) -> None:
    store.pseudonym(tenant=TENANT, source="os_account", subject=SUBJECT)
    assert Keystore(home, bytes(32)).find(tenant=TENANT, source="os_account", subject=SUBJECT) is None


def test_no_file_of_the_home_holds_the_name_of_a_person(home: Home, store: Keystore) -> None:
    for number in range(50):
        store.pseudonym(tenant=TENANT, source="os_account", subject=f"{SUBJECT}-{number}")
    files = [path for path in home.path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    for part in (SUBJECT, SUBJECT.split("@", maxsplit=1)[0], "franklin", TENANT):
        for spelling in (part.encode(), part.encode("utf-16-le"), part.upper().encode(), part.encode().hex().encode()):
            assert [path for path in files if spelling in path.read_bytes()] == []


def test_erasing_an_entry_leaves_nothing_of_it_in_the_file(home: Home, store: Keystore) -> None:
    for number in range(200):
        store.pseudonym(tenant=TENANT, source="os_account", subject=f"neighbour {number}")
    pseudonym = store.pseudonym(tenant=TENANT, source="os_account", subject=SUBJECT)
    assert pseudonym.encode() in (home.keys / "keystore.db").read_bytes()
    with store._connect() as db:  # what an erasure does
        db.execute("delete from subjects where pseudonym = ?", (pseudonym,))
    assert pseudonym.encode() not in (home.keys / "keystore.db").read_bytes()
    assert store.find(tenant=TENANT, source="os_account", subject=SUBJECT) is None


def test_a_record_whose_person_was_erased_still_verifies(home: Home, store: Keystore) -> None:
    log = log_in(home.path)
    pseudonym = store.pseudonym(tenant=TENANT, source="os_account", subject=SUBJECT)
    ledger = log.open()
    ledger.append(entry(user_id=pseudonym))
    ledger.publish()
    before = log.lines()
    with store._connect() as db:
        db.execute("delete from subjects where pseudonym = ?", (pseudonym,))
    assert log.lines() == before
    assert log.verify(outside=[log.checkpoint()]).verdict == "intact"
    ledger.close()
    again = store.pseudonym(tenant=TENANT, source="os_account", subject=SUBJECT)
    assert again != pseudonym  # nobody can be led from the new one to the old


def test_the_store_is_private_and_leaves_no_other_files(home: Home, store: Keystore) -> None:
    store.pseudonym(tenant=TENANT, source="os_account", subject=SUBJECT)
    assert stat.S_IMODE((home.keys / "keystore.db").stat().st_mode) == 0o600
    assert [path.name for path in home.keys.glob("keystore.db*")] == ["keystore.db"]


def test_each_entry_has_a_key_of_its_own(home: Home, store: Keystore) -> None:
    for number in range(10):
        store.pseudonym(tenant=TENANT, source="os_account", subject=str(number))
    db = sqlite3.connect(home.keys / "keystore.db")
    try:
        keys = [key for (key,) in db.execute("select key from subjects")]
    finally:
        db.close()
    assert len(set(keys)) == 10
    assert {len(key) for key in keys} == {32}


def test_processes_that_ask_at_the_same_time_get_the_same_answers(home: Home) -> None:
    children = [child(ASKER, home.path) for _ in range(4)]
    processes = [each.__enter__() for each in children]
    try:
        assert [said(process) for process in processes] == ["ready"] * 4
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [said(process).split() for process in processes]
    finally:
        for each in children:
            each.__exit__(None, None, None)
    assert len(answers[0]) == len(set(answers[0])) == 20
    assert all(answer == answers[0] for answer in answers)


def test_a_store_that_is_no_database_is_a_typed_error(home: Home, store: Keystore) -> None:
    (home.keys / "keystore.db").write_bytes(b"not a database, and long enough to look like one" * 100)
    with pytest.raises(KeyFileError, match="keystore"):
        store.pseudonym(tenant=TENANT, source="os_account", subject=SUBJECT)
    with pytest.raises(KeyFileError, match="keystore"):
        store.find(tenant=TENANT, source="os_account", subject=SUBJECT)
    with pytest.raises(KeyFileError, match="keystore"):
        Keystore(home, bytes(32))
