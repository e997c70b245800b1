# SPDX-License-Identifier: Apache-2.0
"""What is found plain is found in each form, what is masked covers it, and no text takes long."""

import base64
import gzip
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import AWS, DETECTORS, GITHUB, STRIPE
from tests.rules.detection.forms import WHOLE

from onrecord.rules.detection import blocks, decoding, joins, runs
from onrecord.rules.detection.decoding import Edits
from onrecord.rules.detection.detectors import masked
from onrecord.rules.detection.offsets import View, merged

SECRETS = (
    f"token={GITHUB}",
    f"api_key: {STRIPE}",
    f"aws_access_key_id={AWS}",
    'password = "hunter2secret99"',
    "Authorization: Bearer abc123def456ghi789jkl",
    "postgres://app:hunter2pass77@db.test/x",
    "DB_PASSWORD=hunter2hunter2x9",
    f"{GITHUB} is the key of the build, and it is old",
    f"export AWS_ACCESS_KEY_ID={AWS} && make deploy ARGS=--all",
    f'{{"user": "bob", "token": "{GITHUB}", "n": 5}}',
)
PIECES = (
    *(
        "65",
        "66, ",
        "0x41",
        "x41",
        "\\x41",
        "$43",
        "U+0045",
        "41",
        "4a",
        " ",
        ",",
        "\n",
        ")+chr(",
        "chr(",
        "[",
        "]",
        ")",
        "}",
    ),
    *(
        '{"type":"Buffer","data":[',
        '"',
        "'",
        "\\",
        '"text":"',
        '"},{',
        "[char]65",
        "+[char]66",
        "(byte)67, ",
        "`",
        '""',
        "a1",
    ),
    *(
        '"".join(["',
        '", "',
        '.append("',
        '")',
        "//",
        "+",
        "> ",
        "# ",
        "-",
        "data: {",
        '{"chunk":"',
        "\n\ndata: ",
        "é",
        "://b",
    ),
)
LEAST = 0.95
HARD = {  # what has less, and why
    **dict.fromkeys(("wrapped and indented", "wrapped and quoted", "wrapped in comments", "wrapped in a patch"), 0.8),
    **dict.fromkeys(("wrapped", "wrapped, escaped", "a letter a line"), 0.9),  # the word after is joined too
    **dict.fromkeys(("base64 in short indented lines", "binary"), 0.9),  # the same
}


def share(form: str) -> float:
    found = [DETECTORS.find(f"log:\n{WHOLE[form](secret)}\nend") for secret in SECRETS]
    return sum(any(finding.label != "overflow" for finding in findings) for findings in found) / len(SECRETS)


@pytest.mark.parametrize("form", WHOLE)
def test_what_is_found_plain_is_found_in_each_form(form: str) -> None:
    assert all(DETECTORS.find(secret) for secret in SECRETS)
    assert share(form) >= HARD.get(form, LEAST)


@pytest.mark.parametrize("form", ["base64", "hex", "base32", "base64 twice", "base64 of gzip", "hex with colons"])
def test_a_run_is_masked_from_end_to_end(form: str) -> None:
    encoded = WHOLE[form](f"token={GITHUB}")
    findings = DETECTORS.find(f"see {encoded} there")
    assert findings[0].start <= 4
    assert findings[-1].end >= 4 + len(encoded.rstrip("="))


def test_a_finding_says_how_it_was_written() -> None:
    (finding,) = DETECTORS.find("see " + base64.b64encode(f"the key {GITHUB} is old".encode()).decode())
    assert finding.view == "base64"


def test_a_value_found_plain_is_masked_where_it_is_encoded() -> None:
    encoded = base64.b64encode(b"it is hunter2secret99, he said").decode()
    found = DETECTORS.find(f'password = "hunter2secret99"; later {encoded}')
    assert len(found) == 2
    assert found[1].end >= len(f'password = "hunter2secret99"; later {encoded}'.rstrip("="))


def test_a_value_found_encoded_is_masked_where_it_is_plain() -> None:
    encoded = base64.b64encode(b'password = "hunter2secret99"').decode()
    text = f"later {encoded}, and plain hunter2secret99 too"
    at = text.index("hunter2secret99")
    assert any(finding.start <= at and finding.end >= at + 15 for finding in DETECTORS.find(text))


def test_what_is_packed_too_small_for_what_it_holds_is_withheld() -> None:
    bomb = base64.b64encode(gzip.compress(b"all work and no play " * 100_000)).decode()
    (finding,) = DETECTORS.find(f"see {bomb}")
    assert finding.label == "overflow"


def test_what_is_nested_too_deep_is_withheld() -> None:
    raw = f"token={GITHUB} ".encode() * 4
    for _ in range(9):
        raw = base64.b64encode(raw)
    assert DETECTORS.find(f"see {raw.decode()}")[0].label == "overflow"


@pytest.mark.parametrize("text", ["iVBORw0KGgoAAAANSUhEUgAAAAUA" * 900, "sha512-" + "q1w2E3r4T5y6U7i8O9p0" * 900])
def test_images_and_hashes_are_left_alone(text: str) -> None:
    assert DETECTORS.find(f"data:image/png;base64,{text}") == []


@pytest.mark.parametrize(
    "text",
    [
        'password = "hunt" + "er2ab"',
        "token = 'hunt' 'er2ab'",
        "$secret = implode('', ['hunt', 'er2ab']);",
        "password = bytes([104, 117, 110, 116, 101, 114, 97, 98])",
        "password = chr(104) + chr(117) + chr(110) + chr(116) + chr(101) + chr(114) + chr(97) + chr(98)",
        '{"content":[{"type":"text","text":"password: "},{"type":"text","text":"hunter2ab"}]}',
        "# postgres://app:hunter\n# ab@db.test/x",
    ],
)
def test_a_name_announces_a_value_that_is_put_together(text: str) -> None:
    masked = {at for finding in DETECTORS.find(text) for at in range(finding.start, finding.end)}
    first, last = (104, 98) if "104" in text else ("hunt", "ab")
    assert {text.index(str(first)), text.rindex(str(last))} <= masked


@pytest.mark.parametrize(
    "text",
    [
        'run "first" "second" "third"',
        '[{"id": 1, "text": "all is well."}, {"id": 2, "text": "So it is."}]',
        '{"level":"info","message":"started worker 7"}\n{"level":"info","message":"started worker 8"}',
        "see `README` | `LICENSE` and `docs/a.md`",
        '_("Not all of it was read.\\n"\n  "The rest was left out.")',
    ],
)
def test_pieces_of_ordinary_text_are_left_alone(text: str) -> None:
    assert DETECTORS.find(text) == []


@given(st.lists(st.sampled_from(PIECES), min_size=8, max_size=40).map("".join))
def test_no_decoder_fails(text: str) -> None:
    data = text.encode("ascii", "replace")
    for decoder in (blocks.blocks, joins.concatenations, joins.lists, joins.wraps, runs.decimals, runs.hexadecimals):
        edits = Edits(10_000)
        decoder(data, edits)
        assert all(0 <= start < end <= len(data) for start, end, _ in edits.made)


ADVERSARIAL = (
    *(
        "\\",
        "\\n",
        "%25",
        "&amp;",
        "\u200b",
        "a\u200b",
        "\0",
        '"a1" + "b2" + ',
        "<b>",
        "\x1b[0m",
        "A ",
        "QUJDREVGR0hJSktMTU5P",
    ),
    *(
        "65,",
        "join('a','b'",
        '"text":"ab"},{',
        "a1b2c3\n> ",
        "=3D=\n",
        "0101 ",
        "\U0001d41a",
        "`a",
        '{"type":"text","text":"a1b2c3d4e5"},',
    ),
)


@pytest.mark.parametrize("piece", ADVERSARIAL)
def test_no_text_takes_long(piece: str) -> None:
    began = time.thread_time()
    DETECTORS.find(piece * (200_000 // len(piece)))
    assert time.thread_time() - began < 2  # on a quiet machine a fifth of this


PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=24, max_size=200)


@pytest.mark.parametrize(
    ("decoder", "form"),
    [
        (decoding.escapes, "u escapes"),
        (decoding.escapes, "x escapes"),
        (decoding.escapes, "octal escapes"),
        (decoding.percents, "url, every character"),
        (decoding.entities, "html decimal"),
        (decoding.entities, "html hexadecimal"),
    ],
)
@given(text=PLAIN)
def test_each_character_leads_back_to_where_it_was_written(decoder: object, form: str, text: str) -> None:
    encoded = WHOLE[form](text)
    edits = Edits(10_000)
    decoder(encoded, edits)  # type: ignore[operator]
    view = View(encoded, merged(edits.made), form)
    assert view.text == text
    for i in range(len(text)):
        start, end = view.span(i, i + 1)
        assert encoded[start:end] == WHOLE[form](text[i])


@pytest.mark.parametrize(
    ("decoder", "form"),
    [
        (runs.base64, "base64"),
        (runs.base64, "base64 url-safe, no padding"),
        (runs.hexadecimals, "hex"),
        (runs.base32, "base32"),
    ],
)
@given(text=PLAIN)
def test_a_run_leads_back_to_all_of_it(decoder: object, form: str, text: str) -> None:
    encoded = WHOLE[form](text)
    edits = Edits(10_000)
    decoder(encoded.encode(), edits)  # type: ignore[operator]
    view = View(encoded, merged(edits.made), form)
    assert view.text == text
    assert view.span(3, 9) == (0, len(encoded))


TOKEN = "ghp_" + "dUmmY0dUmmY1" * 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{TOKEN}\nnextline", "[REDACTED:github-token]\nnextline"),
        (f"token: {TOKEN}\n  README.md\n", "token: [REDACTED:github-token]\n  README.md\n"),
        (f"{TOKEN}\n{TOKEN}\nend", "[REDACTED:github-token]\n[REDACTED:github-token]\nend"),
        (f"# {TOKEN}\n# other", "# [REDACTED:github-token]\n# other"),
    ],
)
def test_what_follows_a_token_that_was_whole_at_the_end_of_its_line_stays(text: str, shown: str) -> None:
    assert masked(DETECTORS, text) == shown


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("width", [40, 44, 48, 64, 76, 80])
def test_a_token_that_was_whole_as_far_as_its_rule_can_tell_is_masked_to_its_end(width: int) -> None:
    long = "glpat-" + "dUmmY0dUmmY1dU3mY" * 8
    lines = "\n".join(long[i : i + width] for i in range(0, len(long), width))

    assert masked(DETECTORS, f"my {lines}\n") == "my [REDACTED:gitlab-token]\n"
