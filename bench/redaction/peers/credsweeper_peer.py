# SPDX-License-Identifier: Apache-2.0
"""CredSweeper with its model over lines of {"text"}: spans of each. Run by an interpreter that has it."""

import warnings

from answering import answer, everywhere


def main() -> None:
    warnings.simplefilter("ignore")
    from credsweeper import CredSweeper
    from credsweeper.file_handler.string_content_provider import StringContentProvider

    sweeper = CredSweeper()

    def find(text: str) -> list[tuple[int, int, str]]:
        sweeper.credential_manager.set_credentials(sweeper.file_scan(StringContentProvider(text.split("\n"))))
        sweeper.post_processing(None)  # the model
        values = {
            line.value
            for candidate in sweeper.credential_manager.get_credentials()
            for line in candidate.line_data_list
            if line.value
        }
        return [(start, end, "secret") for value in values for start, end in everywhere(text, value)]

    answer(find)


if __name__ == "__main__":
    main()
