# SPDX-License-Identifier: Apache-2.0
"""What the gateway adds to a call over HTTP, and how much gets through it beside a proxy that only hands bytes on.

One client makes the same calls of the same server, directly, through a bare reverse proxy in the same stack, and
through `onrecord gateway`; they take turns, and the best round counts. Client and server cost next to nothing, which is
the hardest measure: beside an SDK's client and server all three differ less.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.http_load import Load, calls
from bench.row import Row

HERE = Path(__file__).parent.parent
ONRECORD = Path(sys.executable).with_name("onrecord")
ONE_BY_ONE, MANY, AT_ONCE, ROUNDS = 300, 1_200, 16, 5
ADDED_MS, SHARE = 1.5, 0.7
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
POLICY = "permit (principal, action, resource);\n"


def measure() -> list[Row]:
    """Return what a call of tier 1 takes longer, and what share of a bare proxy's calls gets through."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = stack.enter_context(_served("bench.http_server:app", {}))
        proxy = stack.enter_context(_served("bench.byte_proxy:app", {"BENCH_UPSTREAM": server}))
        gateway = stack.enter_context(behind_gateway(Path(folder), server))
        urls = {"direct": server, "proxy": proxy, "gateway": gateway}
        for url in urls.values():
            calls(url, "echo", 50, AT_ONCE, META)
        slow, fast = ({name: [] for name in urls} for _ in range(2))
        for _ in range(ROUNDS):
            for name, url in urls.items():
                slow[name].append(_median_ms(calls(url, "echo", ONE_BY_ONE, 1, META)))
                fast[name].append(MANY / calls(url, "echo", MANY, AT_ONCE, META).all_s)
        best = {name: min(found) for name, found in slow.items()}
        most = {name: max(found) for name, found in fast.items()}
    return [
        Row(
            name="gateway, a call of tier 1: added wall time, median",
            value=best["gateway"] - best["direct"],
            unit="ms",
            budget=ADDED_MS,
            ratio=best["gateway"] / best["direct"],
            against=f"the same call made directly ({best['direct']:.2f} ms; bare proxy {best['proxy']:.2f} ms)",
        ),
        Row(
            name=f"gateway, {AT_ONCE} calls at once, in a second",
            value=most["gateway"],
            unit="calls",
            budget=None,
            ratio=most["gateway"] / most["proxy"],
            at_least=SHARE,
            against=f"those through a bare proxy ({most['proxy']:.0f}; directly {most['direct']:.0f})",
        ),
    ]


def _median_ms(load: Load) -> float:
    return statistics.median(load.each_s) * 1000


@contextmanager
def behind_gateway(home: Path, upstream: str) -> Iterator[str]:
    """Run the gateway in front of `upstream`, under a policy that permits everything; yield where clients call."""
    (home / "policies").mkdir()
    (home / "policies" / "all.cedar").write_text(POLICY)
    port = free_port()
    settings = f'[policy]\nengine = "cedar"\n[gateway]\nlisten = "127.0.0.1:{port}"\ntokens = "off"\n'
    rule = '[[tool]]\ntool = "echo"\ntier = 1\n'
    (home / "onrecord.toml").write_text(f'{settings}[[upstream]]\nname = "echo"\nurl = "{upstream}"\n{rule}')
    with running([str(ONRECORD), "gateway"], port, {"ONRECORD_HOME": str(home)}):
        yield f"http://127.0.0.1:{port}/echo"


@contextmanager
def _served(app: str, environ: Mapping[str, str]) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    with running(command, port, environ):
        yield f"http://127.0.0.1:{port}/mcp"


@contextmanager
def running(command: list[str], port: int, environ: Mapping[str, str]) -> Iterator[None]:
    """Run `command`, once it listens at `port`. Raises RuntimeError where it does not."""
    env = {**os.environ, **environ, "PYTHONPATH": str(HERE)}
    with subprocess.Popen(command, cwd=HERE, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command} does not listen")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
