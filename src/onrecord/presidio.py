# SPDX-License-Identifier: Apache-2.0
"""Names and places, found by Presidio: an optional extra, since it brings a language model along.

Rules can't say what a name is; a model can guess, at a thousandth of their speed. So it is off unless
the settings say `redaction.names = true`. Nothing is fetched: where no model of spaCy's is installed
the start fails with what is to be installed, rather than download one.
"""

from importlib.util import find_spec

from onrecord.errors import ConfigError
from onrecord.rules.detection.finding import Finding

MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm")  # the first that is installed
PIECE = 50_000  # characters that the model reads at once; its memory grows with them
LEAST = 0.4  # Presidio's score, of 1, under which more is wrong than right
_LABELS = {"PERSON": "person", "LOCATION": "location"}


class Presidio:
    """A `Recogniser` of people and places in English text."""

    labels = frozenset(_LABELS.values())

    def __init__(self) -> None:
        """Load the model, which takes seconds. Raises ConfigError where the extra or a model is missing."""
        if find_spec("presidio_analyzer") is None:
            raise ConfigError("redaction.names needs Presidio: pip install 'onrecord[names]', and a model of spaCy's")
        model = next((name for name in MODELS if find_spec(name) is not None), None)
        if model is None:
            raise ConfigError(f"redaction.names needs a model of spaCy's; install one of {', '.join(MODELS)}")
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider

        models = [{"lang_code": "en", "model_name": model}]
        provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
        self._engine = AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=["en"])

    def recognised(self, text: str) -> list[Finding]:
        """See `Recogniser`."""
        return [
            Finding(at + one.start, at + one.end, _LABELS[one.entity_type], "presidio", "pii")
            for at in range(0, len(text), PIECE)
            for one in self._engine.analyze(
                text[at : at + PIECE], language="en", entities=list(_LABELS), score_threshold=LEAST
            )
        ]
