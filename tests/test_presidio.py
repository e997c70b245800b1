# SPDX-License-Identifier: Apache-2.0
"""Names and places by Presidio. The model itself runs only where the extra and a model of spaCy's are installed."""

from importlib.util import find_spec

import pytest

from onrecord.errors import ConfigError
from onrecord.presidio import MODELS, Presidio
from onrecord.rules.detection.detectors import Detectors, builtin_rules
from onrecord.rules.detection.finding import Finding

HAS_PRESIDIO = find_spec("presidio_analyzer") is not None
HAS_MODEL = any(find_spec(name) is not None for name in MODELS)


class OneName:
    """A recogniser of one name."""

    labels = frozenset({"person"})

    def recognised(self, text: str) -> list[Finding]:
        at = text.find("Ada Dummy")
        return [Finding(at, at + 9, "person", "one-name", "pii")] if at >= 0 else []


def test_what_a_recogniser_finds_is_masked_like_the_rest_and_kept_in_class_low():
    detectors = Detectors(builtin_rules()[0], recognisers=[OneName()])
    text = "Ada Dummy paid with 4111111111111111"
    assert [one.label for one in detectors.find(text)] == ["person", "card-number"]
    assert [one.label for one in detectors.find(text, low=True)] == ["card-number"]
    assert detectors.suspect("nothing that a rule knows")


@pytest.mark.skipif(HAS_PRESIDIO and HAS_MODEL, reason="the extra is installed")
def test_without_the_extra_the_start_fails_and_says_what_to_install():
    with pytest.raises(ConfigError, match=r"redaction\.names needs"):
        Presidio()


@pytest.mark.skipif(not (HAS_PRESIDIO and HAS_MODEL), reason="needs presidio-analyzer and a model of spaCy's")
def test_presidio_finds_a_person_and_a_place():
    text = "My name is John Smith and I live in Berlin."
    found = {text[one.start : one.end]: one.label for one in Presidio().recognised(text)}
    assert found == {"John Smith": "person", "Berlin": "location"}
