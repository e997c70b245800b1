# SPDX-License-Identifier: Apache-2.0
"""A question in the words of a relationship system: has this subject that permission on this object? Pure.

Objects are `type:id`, and how a question becomes one is a template: `tool:{server}/{name}`. An id may hold
letters, digits and `/ _ | - = +` (SpiceDB's own rule), and what is called may hold anything. So what fills a
template is escaped: a byte that an id can't hold becomes `=2E`, and so does one that could be taken for the text
around it. No two names become one id.

Who asks is named by what their verified token says, or by their pseudonym. What a question doesn't hold is never
replaced by something else: then nothing is asked, and the call denied.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec
import re2

from onrecord.event.call import Json
from onrecord.rules import pointer, template
from onrecord.rules.pattern import glob, utf8
from onrecord.rules.pointer import Tokens
from onrecord.rules.policy import Question, circumstances
from onrecord.rules.template import Piece

LONGEST_ID = 1_024  # characters of an id in SpiceDB

PERMISSIONS = {"tools/call": "call", "resources/read": "read", "prompts/get": "get", "*": "use"}

_TYPE = re2.compile(r"(?:[a-z][a-z0-9_]{1,61}[a-z0-9]/)*[a-z][a-z0-9_]{1,62}[a-z0-9]")
_PERMISSION = re2.compile(r"[a-z][a-z0-9_]{1,62}[a-z0-9]")
_LITERAL = re2.compile(r"[A-Za-z0-9/_|+-]+")  # of a template; `=` begins what is escaped
_PARTS = re2.compile(r"[/|+]")  # of which one must stand between two values: no value beside another holds any
_OF_MANY = re2.compile(rb"[^A-Za-z0-9_-]")
_ALONE = re2.compile(rb"[^A-Za-z0-9/_|+-]")
_ENV = re2.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_WHO = frozenset({"subject", "user", "tenant"})
_WHAT = frozenset({"server", "name"})

Consistency: TypeAlias = Literal["fully_consistent", "at_least_as_fresh"]


class NotAsked(ValueError):
    """The question can't be put so; says why, without a name from outside."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Asked:
    """Has `subject_type:subject_id` the `permission` on `object_type:object_id`? `context` is for caveats."""

    object_type: str
    object_id: str
    permission: str
    subject_type: str
    subject_id: str
    context: dict[str, Json]


TOKEN_ENV = "ONRECORD_SPICEDB_TOKEN"  # noqa: S105 - where it is, unless the settings say another


class Relations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[policy.spicedb]`: the words in which it is asked, where its token is, and how fresh an answer must be.

    The token itself is never a setting. `acts_on` asks about what a tool acts on, as `tool.resource` says, where it
    does. `permissions` names one for each method, or method and name, as in `"tools/call git_push*"`; the first that
    fits counts, and `PERMISSIONS` where none does.
    """

    token_env: str = TOKEN_ENV
    token_file: str = ""  # seen from the folder of onrecord.toml
    roots: str = ""  # file of certificates, seen from there too
    consistency: Consistency = "fully_consistent"
    subject: str = "user:{subject}"
    tool: str = "tool:{server}/{name}"
    resource: str = "resource:{server}/{name}"
    prompt: str = "prompt:{server}/{name}"
    server: str = "server:{server}"
    acts_on: bool = False
    permissions: dict[str, str] = {}

    def __post_init__(self) -> None:
        if not _ENV.fullmatch(self.token_env):
            raise ValueError(f"token_env: {self.token_env!r} is no name of a variable; never put the token itself here")
        for key, known in (("subject", _WHO), *((kind, _WHAT) for kind in ("tool", "resource", "prompt", "server"))):
            _check_object(getattr(self, key), key, known)
        for method, permission in self.permissions.items():
            if not _PERMISSION.fullmatch(permission):
                raise ValueError(f"permissions: {method!r}: {permission!r} is no name of a permission")

    def check_methods(self, known: Iterable[str]) -> None:
        """Raise ValueError where `permissions` names a method that is none of `known`."""
        methods = {*known, "*"}
        for pattern in self.permissions:
            method = pattern.partition(" ")[0]
            if method not in methods:
                near = get_close_matches(method, methods, n=1)
                raise ValueError(f"permissions: no method is called {method!r}" + (f"; {near[0]!r}?" if near else ""))

    def check_resources(self, resources: Iterable[str]) -> None:
        """Raise ValueError where `acts_on` is set and one of the manifest's `resource` templates is no object."""
        for text in resources if self.acts_on else ():
            if text:
                _check_object(text, "acts_on needs a resource", None)

    def types(self) -> list[str]:
        """Return the types of objects that are asked about, whatever the manifest says that a tool acts on."""
        templates = (self.subject, self.tool, self.resource, self.prompt, self.server)
        return list(dict.fromkeys(_object(text)[0] for text in templates))

    def asked(self, question: Question) -> Asked:
        """Return what is asked. Raises NotAsked."""
        kind, subject, resource = question.resource.type, question.subject, question.resource
        if kind == "tool" and self.acts_on and question.template:
            object_type, object_id = _filled(question.template, _of_arguments(question.arguments.open()))
        else:
            named = {"server": resource.server, "name": resource.id}
            object_type, object_id = _filled(getattr(self, kind), _of(named))
        verified = subject.name.open()
        who: dict[str, str] = {"user": subject.id, "tenant": subject.tenant}
        subject_type, subject_id = _filled(
            self.subject, _of({**who, "subject": verified} if isinstance(verified, str) else who)
        )
        return Asked(
            object_type=object_type,
            object_id=object_id,
            permission=self.permission(question.action, resource.id),
            subject_type=subject_type,
            subject_id=subject_id,
            context={
                **circumstances(question.context),
                "action": question.action,
                "server": resource.server,
                "tenant": subject.tenant,
                "source": subject.source,
                "assurance": subject.assurance,
                "level": subject.level,
            },
        )

    def permission(self, action: str, name: str) -> str:
        """Return the permission that `action` on `name` needs."""
        for words in (self.permissions, PERMISSIONS):
            for pattern, permission in words.items():
                method, _, of = pattern.partition(" ")
                if method in ("*", action) and (not of or glob(of).fits(utf8(name))):
                    return permission
        raise NotAsked(f"no permission is named for {action}")


_Value: TypeAlias = Callable[[Tokens], str]


def _of(values: Mapping[str, str]) -> _Value:
    def value(place: Tokens) -> str:
        found = values.get(place[0], "")
        if not found:
            raise NotAsked(_MISSING.get(place[0], f"{{{place[0]}}} is not known"))
        return found

    return value


_MISSING = {
    "subject": "no verified token says who asks, and {subject} is their name in it",
    "user": "nobody knows who asks, and {user} is their pseudonym",
}


def _of_arguments(arguments: Json) -> _Value:
    """Return what finds a value in the arguments of a call."""

    def value(place: Tokens) -> str:
        there = pointer.places(place, arguments, in_texts=False)
        found = pointer.value_at(arguments, there[0]) if len(there) == 1 else None
        if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
            raise NotAsked("the call does not name what it acts on")
        return str(found)

    return value


def _filled(text: str, value: _Value) -> tuple[str, str]:
    """Return type and id of the object that a template names."""
    kind, pieces = _object(text)
    alone = len(pieces) == 1
    parts = [piece.text if piece.place is None else _escaped(value(piece.place), alone=alone) for piece in pieces]
    found = "".join(parts)
    if len(found) > LONGEST_ID:
        raise NotAsked(f"a name is longer than the {LONGEST_ID} characters of an id")
    return kind, found


def _escaped(text: str, *, alone: bool) -> str:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise NotAsked("a name is no Unicode") from None
    if len(data) > LONGEST_ID:
        raise NotAsked(f"a name is longer than the {LONGEST_ID} characters of an id")
    return (
        (_ALONE if alone else _OF_MANY)
        .sub(lambda found: b"".join(b"=%02X" % one for one in found[0]), data)
        .decode("ascii")
    )


@lru_cache(maxsize=1_024)  # settings and manifest have few, and each call asks for its own
def _object(text: str) -> tuple[str, tuple[Piece, ...]]:
    """Return the type that a template names, and the pieces of its id. Raises ValueError where it is none."""
    kind, colon, rest = text.partition(":")
    if not colon or not _TYPE.fullmatch(kind):
        raise ValueError(f"{text!r} is no object; give type:id, as in 'tool:{{server}}/{{name}}'")
    pieces = template.parse(rest)
    if not pieces:
        raise ValueError(f"{text!r}: the id is empty")
    for piece in pieces:
        if piece.place is None and not _LITERAL.fullmatch(piece.text):
            raise ValueError(f"{text!r}: an id may hold letters, digits and / _ | + -")
    values = [number for number, piece in enumerate(pieces) if piece.place is not None]
    for first, second in pairwise(values):
        if not any(_PARTS.search(piece.text) for piece in pieces[first + 1 : second]):
            raise ValueError(f"{text!r}: put one of / | + between two values, so that they can be told apart")
    return kind, pieces


def _check_object(text: str, key: str, known: frozenset[str] | None) -> None:
    try:
        _, pieces = _object(text)
    except ValueError as e:
        raise ValueError(f"{key}: {e}") from e
    for piece in pieces:
        if piece.place is not None and known is not None and piece.place[0] not in known:
            raise ValueError(f"{key}: {{{piece.place[0]}}} is unknown; use {', '.join(sorted(known))}")
