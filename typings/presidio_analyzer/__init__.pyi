# SPDX-License-Identifier: Apache-2.0
# What we use of presidio-analyzer, which is an optional extra and may not be installed.

from presidio_analyzer.nlp_engine import NlpEngine

class RecognizerResult:
    entity_type: str
    start: int
    end: int

class AnalyzerEngine:
    def __init__(self, *, nlp_engine: NlpEngine, supported_languages: list[str]) -> None: ...
    def analyze(
        self, text: str, language: str, entities: list[str], *, score_threshold: float
    ) -> list[RecognizerResult]: ...
