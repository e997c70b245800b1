# SPDX-License-Identifier: Apache-2.0
"""Text, masked line by line: what was one line stays one, in its place.

A secret that was found once is masked in all lines that follow, also where nothing gives it away.
Where more were found than can be remembered, each line that follows is withheld: it may hold one.
"""

import sys
from collections.abc import Iterable

from onrecord.cli.inputs import inputs
from onrecord.cli.passages import passages, words_of
from onrecord.cli.terminal import say
from onrecord.cli.withheld import Withheld
from onrecord.rules.detection.detectors import Detectors
from onrecord.rules.detection.finding import Finding
from onrecord.rules.detection.labels import BUDGET, REASONS, Mask, label_only
from onrecord.rules.detection.masking import masked_whole
from onrecord.rules.echo import FOUND, Place, Secrets, replaced

MOST = 100_000  # different secrets that are remembered, in some 250 MB

PRIVATE_KEY = "private-key"
_WITHHELD = f"[WITHHELD:{BUDGET}]"


class Lines:
    """Masks lines of text, and remembers what it found for the lines that follow."""

    def __init__(self, detectors: Detectors, withheld: Withheld, *, low: bool, most: int = MOST) -> None:
        self._detectors = detectors
        self._withheld = withheld
        self._low = low
        self._secrets = Secrets(detectors.labels, most)

    def filter(self, files: list[str]) -> None:
        """Write what the files say to standard output, masked."""
        for _, lines in inputs(files):
            for data in passages(lines):
                sys.stdout.buffer.write(self.masked(data))
                sys.stdout.buffer.flush()

    def masked(self, data: bytes | None) -> bytes:
        """Return a line, or the lines of a private key, as they may be shown."""
        if data is None:
            self._withheld.count(BUDGET)
            return f"{_WITHHELD}\n".encode()
        if not self._secrets.complete:
            return self._nothing_of(data)
        text = data.decode("utf-8", "surrogateescape")
        _, findings = masked_whole(self._detectors, text, low=self._low)
        if data.count(b"\n") > 1:
            findings = _with_words(text, findings)
        if not findings and not self._secrets:
            return data
        self._remember(text, findings)
        if not self._secrets.complete:
            say("more secrets were found than can be remembered: from here on, each line is withheld")
            return self._nothing_of(data)
        shown = _in_place(text, [Place(one.start, one.end, label_only(one.label)) for one in findings])
        shown = _in_place(shown, self._secrets.places(shown))
        self._withheld.compare(text, shown)
        return shown.encode("utf-8", "surrogateescape")

    def _remember(self, text: str, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding.kind == "secret" and finding.label not in REASONS:
                for value in dict.fromkeys((finding.value, text[finding.start : finding.end])):
                    self._secrets.add(value, label_only(finding.label), FOUND)

    def _nothing_of(self, data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        for _ in lines:
            self._withheld.count(BUDGET)
        return b"".join(_WITHHELD.encode() + (b"\n" if line.endswith(b"\n") else b"") for line in lines)


def _in_place(text: str, places: Iterable[Place]) -> str:
    """Return `text` with what stands at `places` replaced; what follows stays on its line."""
    feeds = ((place, text.count("\n", place.start, place.end)) for place in places)
    return replaced(text, (place._replace(stand_in=Mask(place.stand_in + "\n" * lines)) for place, lines in feeds))


def _with_words(text: str, findings: list[Finding]) -> list[Finding]:
    """Return `findings`, and beside them what of the body of a private key is in none, as in one that was cut off."""
    words = [Finding(start, end, PRIVATE_KEY, PRIVATE_KEY, "secret") for start, end in words_of(text)]
    left = [word for word in words if not any(one.start < word.end and word.start < one.end for one in findings)]
    return sorted([*findings, *left], key=lambda finding: finding.start)
