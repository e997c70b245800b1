# SPDX-License-Identifier: Apache-2.0
"""What people see: talk on standard error, lines on standard output, and nothing in either that acts.

Whatever a verb prints goes through here, and is made neutral whoever chose it: names of files and logs
come from outside as often as events do.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

import msgspec

from onrecord.event.event import Event
from onrecord.rules.neutral import neutral
from onrecord.rules.rendering import json_text

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

_WIDTH = 240  # characters of a timeline's line; `show` has the rest
_MOST_CHOICES = 12  # verbs that an error names; --help lists more
_MOST_USAGE = 5  # lines of it that stand above an error; --help has the rest


def say(text: str) -> None:
    """Tell the person something, on standard error."""
    print(f"onrecord: {neutral(text)}", file=sys.stderr, flush=True)


def put(text: str, *, flush: bool = False) -> None:
    """Print one line on standard output."""
    print(neutral(text), flush=flush)


def write(text: str) -> None:
    """Print a part of a table or of JSON that `rules.rendering` has made neutral."""
    sys.stdout.write(text)


def ask(text: str) -> str:
    """Ask the person at the terminal, and return the line that they type, without the blanks around it."""
    print(f"onrecord: {neutral(text)} ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def print_json(value: object) -> None:
    """Print a value as one line of JSON, in which escapes stand for all that could act."""
    sys.stdout.write(json_text(msgspec.to_builtins(value)) + "\n")


class Parser(argparse.ArgumentParser):
    """Reads a command line, and repeats nothing of it that could act."""

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Read the command line of a verb, and leave nothing of it to be complained of by who knows no verb."""
        options, left = super().parse_known_args(args, namespace or argparse.Namespace())
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}{self._meant(left)}")
        return options, left

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        """Print help, a usage or the version, and don't pass over it where standard output takes none."""
        if file is sys.stdout:
            sys.stdout.write(message)
        else:
            super()._print_message(message, file)

    def _meant(self, left: Sequence[str]) -> str:
        """Return the option that the first of those that are none nearly is, as what follows in a message."""
        typed = next((each.partition("=")[0] for each in left if each.startswith("--")), None)
        if typed is None:
            return ""
        import re
        from difflib import get_close_matches  # takes its time, and few need it

        near = get_close_matches(typed, re.findall(r"--[a-z][a-z-]*", self.format_usage()), n=1)
        return f"; did you mean {near[0]}?" if near else ""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, under a usage of a few lines, and end."""
        usage = self.format_usage()
        if usage.count("\n") > _MOST_USAGE:
            usage = f"usage: {self.prog} [-h] …; what it takes: {self.prog} --help\n"
        self.exit(2, f"{usage}{self.prog}: error: {neutral(message)}\n")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Refuse what is no choice, and name the choice that it is nearly."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as e:
            from difflib import get_close_matches  # takes its time, and few need it

            near = get_close_matches(str(value), [str(choice) for choice in action.choices or ()], n=1)
            said, listed, choices = e.message.rpartition(" (choose from")
            meant = f"; did you mean {near[0]}?" if near else ""
            if len(list(action.choices or ())) > _MOST_CHOICES and action.nargs == argparse.PARSER:
                listed, choices = "" if meant else ";", f" {self.prog} --help lists them"
            raise argparse.ArgumentError(action, f"{said}{meant}{listed}{choices}") from None


def print_line(data: bytes) -> None:
    """Print a line of the record as it is: JSON escapes what could act."""
    sys.stdout.write(_ascii(data) + "\n")


def _ascii(data: bytes) -> str:
    text = data.decode(errors="replace")
    return text if text.isascii() and text.isprintable() else "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2))


def one_line(event: Event) -> str:
    """Return an event as one line of a timeline."""
    when = event.timestamp[:23].replace("T", " ")
    return neutral(f"{when}  {event.seq:>6}  {_what(event):<32}  {_how(event)}".rstrip(), limit=_WIDTH)


def _what(event: Event) -> str:
    name = event.tool_name or event.resource_uri or event.prompt_name or event.method
    if event.phase:
        arrow = {"attempt": "→", "result": "←"}.get(event.phase, "·")
        return f"{arrow} {event.server_id}/{name or event.event_type}"
    return f"· {event.event_type}{' ' + event.action if event.action else ''}"


def _how(event: Event) -> str:
    return "  ".join(part for part in _facts(event) if part)


def _facts(event: Event) -> Iterator[str]:
    if event.phase == "attempt":
        yield f"{event.policy_decision}{_observed(event)}  tier {event.risk_tier} {event.data_classification}"
        yield _why(event)
        yield event.input_summary or ("args " + ", ".join(event.arg_keys) if event.arg_keys else "")
    elif event.phase == "result":
        yield event.result_status + (f" ({event.error_type})" if event.error_type else "")
        yield from _seen(event)
        yield f"{event.latency_us / 1000:.1f} ms" if event.latency_us is not None else ""
        yield (event.error_summary or event.output_summary or ", ".join((*event.output_type, *event.fields_returned)))
    elif event.event_type == "approval":
        yield f"{event.action} by {event.approval_approver}" if event.approval_approver else event.action
        yield event.approval_role
        yield _approval(event)
    elif event.phase == "decision":
        yield f"{event.policy_decision}, approved by {event.approval_approver}"
        yield _approval(event)
    elif event.policy_reason:
        yield from _refused(event)
    elif event.event_type == "connection" and event.detail:
        yield event.server_id
        yield event.error_type
        yield _detail(event)
    elif event.event_type == "connection":
        yield f"{event.client_name or 'a client'} to {event.server_name or event.server_id}"
        yield event.protocol_version
    else:
        yield _detail(event)
    if event.sensitive_fields:
        yield "withheld " + ", ".join(event.sensitive_fields)
    if event.suspicious_before:
        yield "after flagged output"
    if event.redaction_error:
        yield "REDACTION FAILED, values withheld"


def _detail(event: Event) -> str:
    return " ".join(f"{key}={value}" for key, value in event.detail.items())


def _refused(event: Event) -> Iterator[str]:
    """Yield what was refused beside calls: at which server, of which kind, why, and from where it came."""
    yield event.server_id
    yield event.error_type
    yield event.policy_reason
    yield f"from {event.client_ip}" if event.client_ip else ""


def _why(event: Event) -> str:
    """Return by which rule, and why, a call was not simply allowed, and the approval that it waits for."""
    if event.policy_decision in ("", "allow"):
        return ""
    rule = "" if event.policy_id in event.policy_reason else event.policy_id
    return "  ".join(part for part in (_approval(event), rule, event.policy_reason) if part)


def _approval(event: Event) -> str:
    return f"approval {event.approval_id}" if event.approval_id else ""


def _observed(event: Event) -> str:
    """Return what an observed policy decided on a call that it did not stop."""
    if not event.policy_observed:
        return ""
    would = "would need an approval" if event.policy_observed == "needs_approval" else "would be denied"
    return f" ({would}: {event.policy_id})"


def _seen(event: Event) -> Iterator[str]:
    """Yield what the caller did not get of a result, and what looked like an attack in it."""
    if event.policy_decision == "deny":
        yield "WITHHELD FROM THE CALLER"
    elif event.output_sanitised:
        yield "changed before the caller got it"
    if event.suspicious_signals:
        yield "flagged " + ", ".join(event.suspicious_signals)


def full(event: Event) -> Iterator[str]:
    """Yield an event as lines of `key  value`, leaving out what it does not say."""
    fields = msgspec.to_builtins(event)
    width = max(map(len, fields))
    for key, value in fields.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        yield f"{key:<{width}}  {neutral(text)}"
