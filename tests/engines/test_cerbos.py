# SPDX-License-Identifier: Apache-2.0
"""A decision point that we did not write: Cerbos, over AuthZEN. `make cerbos` fetches it; without it these skip."""

import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from tests.engines.questions import question
from tests.services import free_port

from onrecord.engines.authzen import AuthZen
from onrecord.rules.policy import Policy

BINARY = Path(__file__).parents[2] / ".cerbos/node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64"

POLICY = """
apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: tool
  version: default
  rules:
    - actions: ["tools/call"]
      effect: EFFECT_ALLOW
      roles: ["*"]
      condition:
        match:
          expr: P.attr.level >= 3 && R.attr.server == "git"
"""

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="Cerbos is not at hand: make cerbos")


@pytest.fixture(scope="module")
def cerbos(tmp_path_factory):
    """A running Cerbos with one policy; its process and its URL."""
    folder = tmp_path_factory.mktemp("cerbos")
    (folder / "policies").mkdir()
    (folder / "policies" / "tool.yaml").write_text(POLICY)
    http, grpc = free_port(), free_port()
    (folder / "conf.yaml").write_text(
        f'server: {{httpListenAddr: "127.0.0.1:{http}", grpcListenAddr: "127.0.0.1:{grpc}"}}\n'
        f"storage: {{driver: disk, disk: {{directory: {folder}/policies}}}}\n"
        "telemetry: {disabled: true}\n"
    )
    child = subprocess.Popen(
        [BINARY, "server", f"--config={folder}/conf.yaml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url, until = f"http://127.0.0.1:{http}", time.monotonic() + 60
    try:
        while True:
            try:
                urllib.request.urlopen(f"{url}/_cerbos/health", timeout=20).close()
                break
            except OSError:
                assert child.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
        yield child, url
    finally:
        child.kill()
        child.wait()


@pytest.mark.requirement("C2")
def test_cerbos_decides_and_where_it_is_gone_calls_are_denied(cerbos):
    child, url = cerbos
    policy = Policy(AuthZen(url, b"", timeout_s=60), enforce=True, deadline_ns=10**11, clock=time.monotonic_ns)

    asked = [
        question(assurance="token"),
        question(assurance="os_account"),
        question(assurance="token", server="other"),
        question(assurance="token", action="request", kind="server", name="git"),
    ]
    assert [policy.decide(one).decision for one in asked] == ["allow", "deny", "deny", "deny"]
    assert policy.decide(asked[1]).errors == ()

    child.kill()
    child.wait()
    assert policy.decide(asked[0]).error_type == "policy_failed"
