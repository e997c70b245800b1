# SPDX-License-Identifier: Apache-2.0
"""What looks for signals in a home: its rules, its logs, and the log `security` that findings are put on."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from onrecord.config import build_redactor
from onrecord.errors import ConfigError
from onrecord.event.event import Event
from onrecord.ledger.keys import open_keys
from onrecord.ledger.ledger import Ledger
from onrecord.ledger.place import Home
from onrecord.rules.redact import Redactor
from onrecord.settings import Loaded
from onrecord.views.signals.evaluation import FOUND_IN, Evaluation
from onrecord.views.signals.rule import Rule

_AT_ONCE = 100  # findings that are written under one lock, which whoever records an alarm waits for


def rules_of(loaded: Loaded) -> tuple[Rule, ...]:
    """Return the rules in force. Raises ConfigError."""
    try:
        return loaded.settings.signals.in_force(loaded.path.parent if loaded.path else Path())
    except ConfigError as e:
        raise ConfigError(f"{loaded.path}: {e}" if loaded.path else str(e)) from e


@contextmanager
def evaluation_of(
    home: Home, loaded: Loaded, rules: Sequence[Rule], *, deadline_s: float = 0.0
) -> Generator[Evaluation]:
    """Give what evaluates the logs of `home`. Raises LedgerBusy where another process does, all that time."""
    security = _Security(home, loaded)
    try:
        with Evaluation(home, rules, security.put, deadline_s=deadline_s) as evaluation:
            yield evaluation
    finally:
        security.close()


class _Security:
    """The log of findings, opened with the first of them."""

    def __init__(self, home: Home, loaded: Loaded) -> None:
        self._home = home
        self._loaded = loaded
        self._open: tuple[Ledger, Redactor] | None = None

    def put(self, events: Sequence[Event]) -> None:
        """Put findings on the log, signed. They are nobody's doing, so nobody is named. Raises OnRecordError."""
        ledger, redactor = self._opened()
        deadline_s = self._loaded.settings.ledger.append_deadline_s
        for at in range(0, len(events), _AT_ONCE):
            entries = [redactor.fact(event, {}) for event in events[at : at + _AT_ONCE]]
            ledger.append_all(entries, deadline_s=deadline_s)
        ledger.publish(deadline_s=deadline_s)

    def _opened(self) -> tuple[Ledger, Redactor]:
        if self._open is None:
            keys, _ = open_keys(self._home, FOUND_IN)
            redactor = build_redactor(keys.digest_key, self._loaded)
            deadline_s = self._loaded.settings.ledger.append_deadline_s
            ledger = Ledger.open(self._home, keys.signer, log=FOUND_IN, deadline_s=deadline_s)
            self._open = ledger, redactor
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open[0].close()
            self._open = None
