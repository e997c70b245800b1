# SPDX-License-Identifier: Apache-2.0
"""Rules of a user's own beside those that ship with this package.

They have the same form and are proven when they are loaded. They come first: where a rule of each
finds overlapping text, it bears the label that the user chose.
"""

from collections.abc import Sequence

from onrecord.errors import ConfigError
from onrecord.rules import names
from onrecord.rules.detection.detectors import Detectors, builtin_rules
from onrecord.rules.detection.rule import Rule, prove, read_rules


def read_own(text: str, where: str, others: Sequence[Rule] = ()) -> tuple[Rule, ...]:
    """Return the rules that the file `where` describes, proven, `others` beside them.

    Raises ConfigError, which names the file, the rule, and what is wrong with it.
    """
    rules = read_rules(text, where)
    try:
        prove([*others, *rules])
        ours = {rule.id for rule in builtin_rules()[0]}
        for rule in rules:
            if rule.id in ours:
                raise ConfigError(f"detector rule '{rule.id}': a rule that ships with this package has that id")
    except ConfigError as e:
        raise ConfigError(f"{where}: {e}") from e
    return rules


def labels(detectors: Detectors) -> frozenset[str]:
    """Return every label that these detectors, or a telling name, may give."""
    pairs = (*names.WORDS.values(), *names.PAIRS.values(), *names.WHOLE.values(), *names.LAST.values())
    return frozenset({"sensitive", *pairs, *(rule.label for rule in detectors.rules)})
