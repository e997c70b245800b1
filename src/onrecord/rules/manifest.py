# SPDX-License-Identifier: Apache-2.0
"""The tool manifest: what the operator says about tools, and what is wrong with a rule that can't be meant.

A rule is data: what each word of it leads to is decided elsewhere (`classify.py` joins the rules that
match, `depth.py` records, a policy decides). A rule that could never do what it says is refused when
it is read, with one error that names the key.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from onrecord.errors import ConfigError
from onrecord.rules import pointer, template
from onrecord.rules.actions import check_actions
from onrecord.rules.canary import SERVER_ID as CANARY
from onrecord.rules.pattern import Pattern, glob, utf8
from onrecord.rules.policy_input import Kind, check

Class: TypeAlias = Literal["low", "medium", "high", "critical"]
Output: TypeAlias = Literal["annotate", "strip", "label", "block"]

LONGEST_REFERENCE = 256  # characters of a template, or of a rollback that is told in words

_SCOPE = Pattern(r"[\x21\x23-\x5B\x5D-\x7E]{1,256}\z")  # RFC 6749, 3.3
_NAME = Pattern(r"[A-Za-z0-9._:-]{1,64}\z")  # of a role or a retention class
_LARGEST = 2**53  # past this, readers of JSON round

_MANY = ("summary", "output_summary", "sensitive", "sensitive_output", "before", "after")  # pointers
_ONE = ("recipient", "result_id", "idempotency_key")


class ToolRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator says about tools whose server and name match. A rule may say as little as it likes.

    `server` is matched with the name of the server in this recorder's configuration, `tool` with
    the name of the tool or prompt, or the URI of the resource. Pointers are JSON Pointers (RFC
    6901) in which the token `*` stands for any key or index: `summary`, `sensitive`, `recipient`,
    `idempotency_key` and the keys of `limits` into the arguments; `output_summary`,
    `sensitive_output`, `result_id`, `before` and `after` into `structuredContent`, and so does a
    `rollback` that begins with `/`; any other is a reference in words. Where a result has none, the
    last four look into its text, if that is JSON. `resource` is a template (see
    `template.py`). `limits` are the largest numbers that arguments should have, `policy_input` the types of those that
    policies read (see `policy_input.py`). `actions` says what is
    done with what is found (see `actions.py`).
    """

    server: str = "*"
    tool: str = "*"
    tier: Annotated[int, Meta(ge=0, le=4)] | None = None
    classification: Class | None = None
    scope: tuple[str, ...] | None = None
    approver_roles: tuple[str, ...] | None = None
    limits: dict[str, float] = {}
    policy_input: dict[str, Kind] = {}
    summary: tuple[str, ...] | None = None
    output_summary: tuple[str, ...] | None = None
    sensitive: tuple[str, ...] = ()
    sensitive_output: tuple[str, ...] = ()
    resource: str = ""
    recipient: str = ""
    result_id: str = ""
    before: tuple[str, ...] | None = None
    after: tuple[str, ...] | None = None
    rollback: str = ""
    idempotency_key: str = ""
    allow_duplicates: bool | None = None
    actions: dict[str, str] = {}
    retention_class: str = ""
    output: Output | None = None

    def __post_init__(self) -> None:
        for key in _MANY:
            for text in getattr(self, key) or ():
                _check_pointer(text, self._at(key))
        for key in _ONE:
            if text := getattr(self, key):
                _check_pointer(text, self._at(key))
        self._check_names()
        self._check_references()
        try:
            check_actions(self.actions, self._at("actions"))
        except ConfigError as e:
            raise ValueError(str(e)) from e  # msgspec says where in the file

    def _at(self, key: str) -> str:
        return f"tool '{self.tool}': {key}"

    def _check_names(self) -> None:
        if not self.server or not self.tool:
            raise ValueError(f"{self._at('server' if self.tool else 'tool')}: is empty; '*' means any")
        if self.server == CANARY:
            raise ValueError(f"{self._at('server')}: {CANARY} is kept for onrecord selftest, and no rule applies to it")
        for one in self.scope or ():
            if not _SCOPE.fits(utf8(one)):
                raise ValueError(f"{self._at('scope')}: {one!r} is no scope; give words without blanks, as 'mail:send'")
        names = [("approver_roles", one) for one in self.approver_roles or ()]
        for key, name in [*names, ("retention_class", self.retention_class or "-")]:
            if not _NAME.fits(utf8(name)):
                raise ValueError(f"{self._at(key)}: {name!r} is no name; use letters, digits and ._:- , at most 64")

    def _check_references(self) -> None:
        for text, most in self.limits.items():
            _check_pointer(text, self._at("limits"))
            if not -_LARGEST <= most <= _LARGEST:  # false for what is no number too
                raise ValueError(f"{self._at('limits')}: {text}: {most} is no limit; give a number of at most 2**53")
        for text in self.policy_input:
            _check_pointer(text, self._at("policy_input"))
        check(self.policy_input, self._at("policy_input"))
        for key in ("resource", "rollback"):
            if len(getattr(self, key)) > LONGEST_REFERENCE or not getattr(self, key).isprintable():
                raise ValueError(f"{self._at(key)}: give at most {LONGEST_REFERENCE} printable characters")
        if self.rollback.startswith("/"):
            _check_pointer(self.rollback, self._at("rollback"))
        try:
            template.parse(self.resource)
        except ValueError as e:
            raise ValueError(f"{self._at('resource')}: {e}") from e

    def matches(self, server: str, tool: str) -> bool:
        """Say whether this rule speaks about `tool` of `server`."""
        return _matches(self.server, server) and _matches(self.tool, tool)


Manifest: TypeAlias = Sequence[ToolRule]


def _check_pointer(text: str, where: str) -> None:
    if not text.startswith("/"):
        raise ValueError(f"{where}: {text!r} is not a JSON Pointer; it must start with '/', as in '/account/id'")
    try:
        pointer.parse(text)
    except ValueError as e:
        raise ValueError(f"{where}: {e}") from e


def _matches(pattern: str, name: str) -> bool:
    return pattern in ("*", name) or glob(pattern).fits(utf8(name))
