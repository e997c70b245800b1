# SPDX-License-Identifier: Apache-2.0
"""detect-secrets over lines of {"text"}: spans of each. Run by an interpreter that has it.

Its public functions scan files, or a line without filters. What a scan of a file does with its lines
is called directly, so that no disk is measured.
"""

from answering import answer, everywhere


def main() -> None:
    from detect_secrets.core.scan import _process_line_based_plugins
    from detect_secrets.settings import default_settings

    def find(text: str) -> list[tuple[int, int, str]]:
        lines = list(enumerate(text.splitlines(), 1))
        values = {secret.secret_value for secret in _process_line_based_plugins(lines, "text.txt")}
        return [(start, end, "secret") for value in values if value for start, end in everywhere(text, value)]

    with default_settings():
        answer(find)


if __name__ == "__main__":
    main()
