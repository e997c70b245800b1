# SPDX-License-Identifier: Apache-2.0
"""docs/redaction.md: its rule works as it says, and it names every key of a rule and every option."""

import json
import re
from pathlib import Path

import msgspec
from tests.cli.test_redact import answers, redact

from onrecord.rules.detection.labels import REASONS
from onrecord.rules.detection.rule import Rule

PAGE = (Path(__file__).parents[2] / "docs" / "redaction.md").read_text(encoding="utf-8")


def test_the_rule_on_the_page_does_what_the_page_shows(tmp_path):
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (given, shown) = re.findall(r"\$ echo '(.+)' \| onrecord redact --rules acme\.toml\n(.+\n)", PAGE)[0]
    (tmp_path / "acme.toml").write_text(toml)
    done = redact("--rules", tmp_path / "acme.toml", given=f"{given}\n")
    assert (done.stdout.decode(), done.stderr) == (shown, b"")
    (said,) = re.findall(r"\$ onrecord redact --check --rules acme\.toml\n(.+\n)", PAGE)
    assert redact("--check", "--rules", "acme.toml", cwd=tmp_path).stdout.decode() == said


def test_the_answer_on_the_page_is_the_one_that_is_given():
    (answer,) = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)
    assert answers({"id": 7, "text": "mail someone@example.test"}) == [json.loads(answer)]


def test_every_key_of_a_rule_and_every_option_is_on_the_page():
    for field in msgspec.structs.fields(Rule):
        assert f"`{field.encode_name}`" in PAGE
    options = set(re.findall(r"--[a-z-]+", redact("--help").stdout.decode())) - {"--help"}
    assert {option for option in options if option not in PAGE} == set()


def test_every_reason_why_something_is_withheld_is_on_the_page():
    assert {reason for reason in REASONS if f"| `[WITHHELD:{reason}]` |" not in PAGE} == set()
