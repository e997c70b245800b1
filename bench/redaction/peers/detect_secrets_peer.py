# SPDX-License-Identifier: Apache-2.0
"""detect-secrets over lines of {"text"}: spans of each, and what it took. Run by an interpreter that has it."""

import tempfile
from pathlib import Path

from answering import answer, everywhere


def main() -> None:
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import default_settings

    with tempfile.TemporaryDirectory() as folder, default_settings():
        file = Path(folder) / "text.txt"

        def find(text: str) -> list[tuple[int, int, str]]:
            file.write_text(text, encoding="utf-8", errors="replace")
            values = {secret.secret_value for secret in scan_file(str(file)) if secret.secret_value}
            return [(start, end, "secret") for value in values for start, end in everywhere(text, value)]

        answer(find)


if __name__ == "__main__":
    main()
