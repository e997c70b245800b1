# SPDX-License-Identifier: Apache-2.0
"""Rules of a user's own beside those that ship with this package.

They have the same form and are proven when they are loaded. They come first: where a rule of each
finds overlapping text, it bears the label that the user chose.
"""

from collections.abc import Sequence
from difflib import get_close_matches

from onrecord.errors import ConfigError
from onrecord.rules.detection.detectors import WITHOUT_RULE, builtin_rules
from onrecord.rules.detection.rule import Rule, prove, read_rules


def read_own(text: str, where: str, others: Sequence[Rule] = ()) -> tuple[Rule, ...]:
    """Return the rules that the file `where` describes, proven, `others` beside them.

    Raises ConfigError, which names the file, the rule, and what is wrong with it.
    """
    rules = read_rules(text, where)
    try:
        for rule in rules:
            if rule.kind == "flag":
                raise ConfigError(f"detector rule '{rule.id}': class is 'flag'; use secret or pii")
        prove([*others, *rules])
        ours = {rule.id for rule in builtin_rules()[0]}
        for rule in rules:
            if rule.id in ours:
                raise ConfigError(f"detector rule '{rule.id}': a rule that ships with this package has that id")
    except ConfigError as e:
        raise ConfigError(f"{where}: {e}") from e
    return rules


def check_off(off: Sequence[str], rules: Sequence[Rule]) -> None:
    """Raise ConfigError where `off` names what is no rule, and nothing that is found without one."""
    known = [*(rule.id for rule in rules), *WITHOUT_RULE]
    for name in off:
        if name not in known:
            near = get_close_matches(name, known, 1, 0.5)
            raise ConfigError(
                f"redaction.off: no rule is called '{name}'{f'; did you mean {near[0]}?' if near else ''}"
                " (onrecord redact --list-rules prints all)"
            )
