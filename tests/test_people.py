# SPDX-License-Identifier: Apache-2.0
"""Who asks is who the kernel says, where calls come over a socket; else the account that this process runs under."""

import json
import os
import pwd
import socket
import subprocess
import sys

import pytest
from tests.doors.session import ONRECORD, SERVER, record

from onrecord.ledger.keys import read_digest_key
from onrecord.ledger.keystore import Keystore
from onrecord.ledger.place import Home
from onrecord.people import asking_account, forget_tokens, own_account

pytestmark = pytest.mark.requirement("C3")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who is at the other end")

NOBODY = 65534
MADE_BY = """
import os, socket, sys
os.setgid({uid}); os.setuid({uid})
ours, theirs = socket.socketpair()
with socket.socket(fileno=0) as back:
    socket.send_fds(back, [b"x"], [ours.fileno(), theirs.fileno()])
    back.recv(1)
"""


@pytest.fixture
def keystore(tmp_path):
    return Keystore(Home(tmp_path), b"k" * 32)


def pair_of(uid):
    """Return two ends of a socket that a process of another account made: the kernel remembers that."""
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen([sys.executable, "-c", MADE_BY.format(uid=uid)], stdin=theirs.fileno()) as child:
        theirs.close()
        _, found, _, _ = socket.recv_fds(ours, 1, 2)
        ours.send(b"x")
        assert child.wait(60) == 0
    return [socket.socket(fileno=fd) for fd in found]


@LINUX
def test_the_other_end_of_a_socket_is_named_by_the_kernel(keystore):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        asking, own = asking_account(keystore, "t", theirs.fileno()), own_account(keystore, "t")
    assert (asking.identity_source, asking.identity_assurance) == ("peer_cred", "os_account")
    assert asking.user_id == own.user_id
    assert own.identity_source == "os_account"


def test_where_the_kernel_names_nobody_the_own_account_counts(keystore):
    own = own_account(keystore, "t")
    reading, writing = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as tcp:
        for fd in (None, reading, tcp.fileno(), 9_999):
            assert asking_account(keystore, "t", fd) == own
    os.close(reading)
    os.close(writing)


@LINUX
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another account")
def test_a_client_of_another_account_is_recorded_as_that_account(tmp_path, keystore):
    ours, theirs = pair_of(NOBODY)
    with ours, theirs:
        asking = asking_account(keystore, "", theirs.fileno())
        name = pwd.getpwuid(NOBODY).pw_name
        assert asking.user_id == keystore.find(tenant="", source="os_account", subject=name)
        assert asking.user_id != own_account(keystore, "").user_id
        command = [*ONRECORD, "run", "--server-id", "scripted", "--", *SERVER]
        env = {**os.environ, "ONRECORD_HOME": str(tmp_path / "home")}
        with subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.PIPE, env=env) as child:
            theirs.close()
            call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "store"}}
            ours.sendall(json.dumps(call).encode() + b"\n")
            assert child.stdout is not None
            assert child.stdout.readline()
            ours.close()
            child.wait(60)
    made = [e for e in record(tmp_path / "home") if e["event_type"] == "tool_call"]
    assert {(e["identity_source"], e["identity_assurance"]) for e in made} == {("peer_cred", "os_account")}
    home = Home(tmp_path / "home")
    theirs_there = Keystore(home, read_digest_key(home)).find(tenant="", source="os_account", subject=name)
    assert {e["user_id"] for e in made} == {theirs_there}


def test_a_mapping_of_variables_is_left_without_tokens():
    environ = {"ONRECORD_ID_TOKEN": "a", "ONRECORD_ID_TOKEN_FILE": "b", "ONRECORD_HOME": "c"}
    forget_tokens(environ=environ)
    assert environ == {"ONRECORD_HOME": "c"}
