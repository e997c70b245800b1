# SPDX-License-Identifier: Apache-2.0
"""detect-secrets over lines of {"text"}: spans of each. Run by an interpreter that has it.

It scans files alone, with all that it tries; so its times hold what a file in memory costs.
"""

import os
import tempfile
from pathlib import Path

from answering import answer, everywhere

MEMORY = "/dev/shm"


def main() -> None:
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import default_settings

    memory = MEMORY if os.path.isdir(MEMORY) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, default_settings():
        file = Path(folder) / "text.txt"

        def find(text: str) -> list[tuple[int, int, str]]:
            file.write_text(text, encoding="utf-8", errors="replace")
            values = {secret.secret_value for secret in scan_file(str(file))}
            return [(start, end, "secret") for value in values if value for start, end in everywhere(text, value)]

        answer(find)


if __name__ == "__main__":
    main()
