# SPDX-License-Identifier: Apache-2.0
"""What is found, in the form of a standard: one JSON object a line, in which escapes stand for all that could act."""

from argparse import Namespace
from collections.abc import Sequence

from onrecord.cli.terminal import print_json
from onrecord.errors import OnRecordError
from onrecord.event.event import Event
from onrecord.views.forms.offered import CHAINED, EXPORTS, exported


def check_exported(options: Namespace) -> None:
    """Raise OnRecordError where a form of whole events is asked for, and something else than those."""
    if options.format not in EXPORTS:
        return
    for option in ("by", "count", "columns"):
        if getattr(options, option):
            raise OnRecordError(f"--format {options.format} gives out whole events; leave out --{option}, or the form")


def write_exported(events: Sequence[Event], options: Namespace) -> None:
    """Write events in the form that is asked for; those of a chain are in their order, whichever way was asked for."""
    newest_first = not options.oldest_first
    for each in exported(events[:: -1 if options.format in CHAINED and newest_first else 1], options.format):
        print_json(each)
