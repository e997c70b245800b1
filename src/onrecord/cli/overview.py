# SPDX-License-Identifier: Apache-2.0
"""What `onrecord --help` shows: every verb in one line, in groups by what a person wants."""

import argparse

from onrecord.cli.terminal import Parser
from onrecord.cli.verbs import Verbs

GROUPS = (
    ("put calls on the record", "run gateway install uninstall init readiness"),
    ("ask the record", "tail show query search stats sql incident alerts tag"),
    ("decide on calls", "policy approvals authenticators tools login logout"),
    ("prove and keep", "verify prove export anchor witness keys recorder ledger"),
    ("look after it", "doctor selftest watch index redact"),
)
_WIDTH = 16  # of the column of names
_BEGIN = """\
new here? put a server on the record with
  onrecord run -- COMMAND…
and see what it was asked with
  onrecord tail"""
_MORE = """\
onrecord VERB --help says what a verb takes. ONRECORD_HOME, or --home of a verb,
names the folder of ledger and keys (default: the platform's data folder),
ONRECORD_CACHE that of compiled rules (default: its cache folder)."""


class Overview(Parser):
    """The command line as a whole."""

    def __init__(self, prog: str) -> None:
        """Begin with no verb."""
        super().__init__(
            prog=prog,
            usage=f"{prog} [-h] [--version] VERB …",
            description="The audit layer for MCP: every call on the record, redacted, chained, signed.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._about: dict[str, str] = {}

    def verbs(self) -> Verbs:
        """Return where verbs are added."""
        # its own list of them would be one without groups
        added: Verbs = self.add_subparsers(metavar="VERB", prog=self.prog, help=argparse.SUPPRESS, parser_class=Parser)
        return _Listed(added, self._about)

    def format_help(self) -> str:
        """Return the help, with the verbs in their groups."""
        groups = [(title, names.split()) for title, names in GROUPS]
        grouped = {name for _, names in groups for name in names}
        if left := [name for name in self._about if name not in grouped]:
            groups.append(("what is in no group", left))
        self.epilog = "\n\n".join([*(self._group(title, names) for title, names in groups), _BEGIN, _MORE])
        return super().format_help()

    def _group(self, title: str, names: list[str]) -> str:
        return "\n".join([f"{title}:", *(f"  {name:<{_WIDTH}}{self._about[name]}" for name in names)])


class _Listed:
    """Adds verbs, and keeps what each is about."""

    def __init__(self, verbs: Verbs, about: dict[str, str]) -> None:
        self._verbs = verbs
        self._about = about

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser:  # noqa: A002
        self._about[name] = help
        return self._verbs.add_parser(name, help=help, description=description)
