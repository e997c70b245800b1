# SPDX-License-Identifier: Apache-2.0
"""The figures that `bench/redact.py` prints mean what they say."""

import base64
import json

import pytest
from bench.redact import SAMPLE, found_lines, ours
from bench.redaction.encodings import FORMS
from bench.redaction.events import SIZE, events, hostile, traffic
from bench.redaction.scoring import Found, Labelled, Share, covered, kinds_of, percentile, read, score
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import DETECTORS

SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda at: (at[0], at[0] + at[1])), max_size=5)


def found(*spans, kind="secret"):
    return [Found(start=start, end=end, kind=kind) for start, end in spans]


def row(category, *spans, **more):
    return Labelled(**{"id": "r", "text": "x" * 40, "category": category, "kind": "k", "spans": spans, **more})


@given(SPANS, SPANS)
def test_what_is_covered_is_a_share_of_the_characters_that_must_be(wanted, masked):
    share = covered(wanted, found(*masked))
    assert 0 <= share <= 1
    assert covered(wanted, found(*wanted)) == 1
    assert share <= covered(wanted, found(*masked, *wanted[:1]))


def test_a_secret_counts_from_nine_tenths_on_over_all_its_places():
    rows = [row("secret", (0, 10)), row("secret", (0, 10), (20, 30))]
    assert score(rows, lambda _: found((0, 9))).secrets == Share(1, 2)
    assert score(rows, lambda _: found((0, 9), (20, 29))).secrets == Share(2, 2)
    assert score(rows, lambda _: found((0, 8), (20, 30))).secrets == Share(1, 2)


def test_kinds_that_rules_were_tuned_on_are_not_unseen():
    rows = [row("secret", (0, 4), kind="a"), row("secret", (0, 4), kind="b"), row("pii", (0, 4), kind="pii:EMAIL")]
    result = score(rows, lambda _: found((0, 4)), frozenset({"a"}))
    assert (result.secrets, result.unseen) == (Share(2, 2), Share(1, 1))
    assert (result.core, result.personal, result.kinds_found) == (Share(1, 1), Share(1, 1), Share(2, 2))
    assert kinds_of(rows) == {"a", "b", "pii:EMAIL"}


def test_false_positives_count_where_they_should():
    secret, personal = found((0, 4)), found((0, 4), kind="pii")
    clean = row("neg", negative="corpus")
    for one, by, corpus, strict, mistaken in (
        (clean, secret, Share(1, 1), Share(1, 1), Share(0, 1)),
        (clean, personal, Share(1, 1), Share(0, 1), Share(1, 1)),
        (clean, [], Share(0, 1), Share(0, 1), Share(0, 1)),
        (row("neg", negative="corpus", pii_free=False), personal, Share(0, 1), Share(0, 1), Share()),
        (row("neg", negative="corpus", counted=False), secret, Share(), Share(), Share()),
        (row("neg", negative="creddata"), secret, Share(), Share(1, 1), Share(0, 1)),
        (row("neg", negative="nearmiss"), secret, Share(), Share(), Share()),
    ):
        result = score([one], lambda _, by=by: by)
        assert (result.corpus, result.strict, result.personal_false) == (corpus, strict, mistaken)
    both = score([row("secret", (0, 4)), row("neg", negative="curated")], lambda _: secret)
    assert both.precision == 0.5


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_percentile_is_one_of_the_values_and_so_many_are_not_above_it(values):
    for share in (0.5, 0.99, 1.0):
        value = percentile(values, share)
        assert value in values
        assert sum(one <= value for one in values) >= share * len(values)
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0


@pytest.mark.parametrize("name", FORMS)
@given(before=st.text(max_size=9), secret=st.text(st.characters(codec="ascii"), min_size=13, max_size=50))
def test_a_form_says_where_the_secret_lies(name, before, secret):
    text = f"{before}{secret} after"
    made, (start, end) = FORMS[name](text, len(before), len(before) + len(secret))
    assert 0 <= start < end <= len(made)
    span = made[start:end]
    if name in ("plain", "in a traceback", "under a telling key", "in a command"):
        assert span == secret
    elif name == "base64":
        assert base64.b64decode(span).decode("utf-8", "replace") == text.encode("utf-8", "replace").decode()
    elif name == "JSON string":
        assert json.loads(f'"{span}"') == secret
    elif name == "hex":
        assert bytes.fromhex(span) == text.encode("utf-8", "replace")


def test_the_calls_are_of_the_size_that_is_promised_and_no_two_alike():
    made = [json.dumps(event) for event in events(240)]
    assert len(set(made)) == len(made)
    assert 0.8 * SIZE < sum(map(len, made)) / len(made) < 1.2 * SIZE
    assert made == [json.dumps(event) for event in events(240)]


def test_texts_are_of_the_length_that_was_asked_for():
    rows = read(SAMPLE)
    assert len(traffic(rows, 10_000)) == 10_000
    assert {len(text) for _, text in hostile(1_000)} == {1_000}


def test_the_sample_is_read_and_scored():
    rows = read(SAMPLE)
    lines = {line.measure: line.value for line in found_lines(rows, ours(DETECTORS), frozenset())}
    assert lines["secrets fully masked"].endswith(f"% of {sum(one.category == 'secret' for one in rows)}")
    assert all(lines.values())
