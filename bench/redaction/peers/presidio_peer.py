# SPDX-License-Identifier: Apache-2.0
"""Presidio's pattern recognisers over lines of {"text"}: spans of each. Run by an interpreter that has it.

Its recognisers are called directly, so no language model is needed. A score below 0.4 is left out, as
its documentation advises; so are dates, links and UUIDs, which our labels don't call personal.
"""

from answering import answer

LEAST = 0.4
OTHERS = {"DATE_TIME", "URL", "UUID"}


def main() -> None:
    import tldextract
    from presidio_analyzer import RecognizerRegistry

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())  # the list in the package, not one from afar
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    recognisers = [one for one in registry.recognizers if one.name != "SpacyRecognizer"]

    def find(text: str) -> list[tuple[int, int, str]]:
        found = [
            result
            for one in recognisers
            for result in one.analyze(text, entities=one.supported_entities, nlp_artifacts=None) or []
        ]
        return [
            (result.start, result.end, "pii")
            for result in found
            if result.score >= LEAST and result.entity_type not in OTHERS
        ]

    answer(find)


if __name__ == "__main__":
    main()
