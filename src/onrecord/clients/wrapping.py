# SPDX-License-Identifier: Apache-2.0
"""How one configured server is put on the record, and taken off again, as edits of the text that it stands in.

A server that a client starts is started by `onrecord run` instead; one that it asks over HTTP is asked through the
gateway, where that has a route. What was there before stays in the text: the command becomes the first of the words
after `--`, as it is written. So an undoing is the exact reverse, whatever else was edited since.
"""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from onrecord.clients.document import Edit, Entry, Form, Member, Value, gap_before, literal

State: TypeAlias = Literal[
    "wrap",  # it is started by the client, and bypasses the record
    "point",  # it is asked over HTTP, and the gateway has a route to it
    "passes",  # it is on the record
    "elsewhere",  # another onrecord than this one has it
    "bypasses",  # it can't be put on the record; the reason says why
    "unfit",  # its entry has no single reading, or no client could start it
]
Was: TypeAlias = Literal["there", "missing", "null"]

_URLS = ("url", "serverUrl", "httpUrl")
_CREDENTIALS = ("headers", "http_headers", "env_http_headers", "bearer_token_env_var", "headersHelper", "oauth")
_REMOTE = ("http", "sse", "ws", "streamable-http", "streamableHttp", "streamable_http")


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was made of one server: enough to find it as it was written, and to undo it.

    `command` and `words` are what it is started with since; the last of `words` is the command that was there, which
    stood as `moved`. `args` says whether it had arguments, and `added` is the member that was put in where not. Of a
    server behind the gateway, `key` names the member that had `moved` as its value, and now says `command`.
    """

    path: tuple[str, ...]
    command: str
    moved: str
    words: tuple[str, ...] = ()
    args: Was = "there"
    added: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """How a configuration starts this onrecord: its command, and the home where that is no default."""

    command: str
    home: str = ""

    def words(self, name: str) -> list[str]:
        """Return the words between the command and that of the server."""
        named = [f"--server-id={name}"] if name.startswith("-") else ["--server-id", name]
        return ["run", *named, *(["--home", self.home] if self.home else []), "--"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was found of one server, and what is to be done; `reason` is for a person."""

    entry: Entry
    state: State
    reason: str = ""
    off: bool = False  # the client does not start it as it stands
    program: str = ""  # of one that is on the record: the onrecord that starts it
    edits: tuple[Edit, ...] = ()
    done: Done | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The gateway, as far as configurations are concerned: where a URL is reached through it, and which are its own."""

    url_for: Callable[[str], str | None]
    is_own: Callable[[str], bool]


def look(form: Form, text: str, entry: Entry, wrapper: Wrapper, gateway: Gateway) -> Look:
    """Say of one server how it stands to the record, and how to put it there."""
    members = entry.value.members
    why = _unreadable(entry)
    if why:
        return Look(entry=entry, state="unfit", reason=why)
    off = any(
        key in members and text[members[key].value.start : members[key].value.end] == word
        for key, word in (("disabled", "true"), ("enabled", "false"))
    )
    urls = [key for key in _URLS if key in members]
    remote = "type" in members and members["type"].value.text in _REMOTE
    if "command" in members and (urls or remote):
        return Look(
            entry=entry, state="unfit", reason="has a command and a URL; which one counts is the client's choice"
        )
    if "command" in members:
        return _look_at_command(form, text, entry, wrapper, off=off)
    if urls:
        return _look_at_url(text, entry, urls, gateway, off=off)
    if "source" in members or "settings" in members:
        reason = "is started by an extension of the client, which names no command here"
        return Look(entry=entry, state="bypasses", reason=reason, off=off)
    return Look(entry=entry, state="unfit", reason="has neither a command nor a URL")


def _unreadable(entry: Entry) -> str:
    """Return why an entry can't be read, or ""."""
    if entry.value.kind != "table":
        return "is not an object"
    if entry.value.twice:
        return "has a key twice, and readers differ on which counts"
    command = entry.value.members.get("command")
    if command is not None and command.value.twice:
        return "has a key of its command twice, and readers differ on which counts"
    return ""


def _parts(entry: Entry) -> tuple[Member | None, Member | None]:
    """Return the members that say the program and its arguments; in older files of Zed they stand under `command`."""
    members = entry.value.members
    command = members.get("command")
    if command is not None and command.value.kind == "table":
        return command.value.members.get("path"), command.value.members.get("args")
    return command, members.get("args")


def _look_at_command(form: Form, text: str, entry: Entry, wrapper: Wrapper, *, off: bool) -> Look:
    command, args = _parts(entry)
    if command is None or command.value.kind != "text" or not command.value.text.strip():
        return Look(entry=entry, state="unfit", reason="has a command that is no text", off=off)
    null = args is not None and text[args.value.start : args.value.end] == "null"
    words = list(args.value.items) if args is not None else []
    if args is not None and not null and (args.value.kind != "list" or any(word.kind != "text" for word in words)):
        return Look(entry=entry, state="unfit", reason="has arguments that are no list of texts", off=off)
    said = [command.value.text, *(word.text for word in words)]
    program = passing(said)
    if program:
        mine = program == wrapper.command
        reason = "" if mine else "another onrecord starts it"
        state: State = "passes" if mine else "elsewhere"
        return Look(entry=entry, state=state, reason=reason, off=off, program=program)
    if _is_onrecord(said[0]):
        return Look(entry=entry, state="passes", reason="is onrecord itself", off=off, program=said[0])
    if why := _unwrappable(entry.name, said):
        return Look(entry=entry, state="unfit", reason=why, off=off)
    edits, done = _wrapped(form, text, entry, wrapper, (command, args), null=null)
    return Look(entry=entry, state="wrap", off=off, edits=edits, done=done)


def passing(words: Sequence[str]) -> str:
    """Return the onrecord that a command line starts a server with, or "" where it starts one without."""
    for i, word in enumerate(words):
        if word == "--":
            return ""
        behind = words[i + 1 : i + 2]
        if behind == ["run"] and (_is_onrecord(word) or word == "onrecord.cli.main"):
            return word if _is_onrecord(word) else words[0]
    return ""


def is_passing(entry: Entry) -> bool:
    """Whether some onrecord starts the server of an entry."""
    command, args = _parts(entry)
    return command is not None and bool(
        passing([command.value.text, *(w.text for w in (args.value.items if args else ()))])
    )


def _is_onrecord(word: str) -> bool:
    name = posixpath.basename(word.replace("\\", "/")).lower()
    return name.removesuffix(".exe") == "onrecord"


def _unwrappable(name: str, said: list[str]) -> str:
    """Return why a command can't be started by onrecord, or ""."""
    if any("\0" in word or _has_surrogate(word) for word in (name, *said)):
        return "has a text that no command line can hold"
    if "${" in name:
        return "has a name with a placeholder, which the client would fill in"
    if said[0].startswith("~"):
        return "has a command that begins with ~, which the client may expand and a program does not: write it out"
    first, blank, _ = said[0].partition(" ")
    if blank and len(said) == 1 and not any(mark in first for mark in "/\\"):
        return "has a command line in place of a command: put its words into args"
    return ""


def _has_surrogate(text: str) -> bool:
    return any(0xD800 <= ord(char) <= 0xDFFF for char in text)


def _wrapped(
    form: Form,
    text: str,
    entry: Entry,
    wrapper: Wrapper,
    parts: tuple[Member, Member | None],
    *,
    null: bool,
) -> tuple[tuple[Edit, ...], Done]:
    command, args = parts
    moved = text[command.value.start : command.value.end]
    words = wrapper.words(entry.name)
    raw = [*map(literal, words), moved]
    whole = f"[{', '.join(raw)}]"
    was: Was = "there"
    added = ""
    if args is None:
        was, added = "missing", f"{command.before}{form.key('args')}{whole}{command.joint}"
        edit = Edit(command.start, command.start, added)
    elif null:
        was, edit = "null", Edit(args.value.start, args.value.end, whole)
    elif not args.value.items:
        at = args.value.start + 1
        edit = Edit(at, at, ", ".join(raw))
    else:
        at = args.value.items[0].start
        gap = gap_before(text, at)
        edit = Edit(at, at, "".join(f"{one},{gap}" for one in raw))
    done = Done(
        path=entry.path,
        command=wrapper.command,
        moved=moved,
        words=(*words, command.value.text),
        args=was,
        added=added,
    )
    return (edit, Edit(command.value.start, command.value.end, literal(wrapper.command))), done


def _look_at_url(text: str, entry: Entry, urls: list[str], gateway: Gateway, *, off: bool) -> Look:
    members = entry.value.members
    if len(urls) > 1:
        return Look(entry=entry, state="unfit", reason="has more than one URL", off=off)
    value = members[urls[0]].value
    if value.kind != "text":
        return Look(entry=entry, state="unfit", reason="has a URL that is no text", off=off)
    if gateway.is_own(value.text):
        return Look(entry=entry, state="passes", off=off)
    instead = gateway.url_for(value.text)
    if instead is None:
        reason = "is asked over HTTP, and no gateway with credentials of its own has a route to it"
        return Look(entry=entry, state="bypasses", reason=reason, off=off)
    if any(key in members for key in _CREDENTIALS):
        reason = "brings credentials or headers of its own, which are not for the gateway: take them out first"
        return Look(entry=entry, state="bypasses", reason=reason, off=off)
    if "type" in members and members["type"].value.text in ("sse", "ws"):
        reason = "speaks a transport that the gateway does not: make it http, if the server can"
        return Look(entry=entry, state="bypasses", reason=reason, off=off)
    done = Done(path=entry.path, key=urls[0], command=instead, moved=text[value.start : value.end])
    return Look(entry=entry, state="point", off=off, edits=(Edit(value.start, value.end, literal(instead)),), done=done)


def undone(text: str, entry: Entry, done: Done) -> tuple[Edit, ...] | None:
    """Return the edits that undo `done`; None where the server does not stand there as it was written."""
    if done.key:
        member = entry.value.members.get(done.key)
        if member is None or member.value.text != done.command:
            return None
        return (Edit(member.value.start, member.value.end, done.moved),)
    command, args = _parts(entry)
    if command is None or args is None or command.value.text != done.command:
        return None
    items, count = args.value.items, len(done.words)
    if tuple(item.text for item in items[:count]) != done.words:
        return None
    back = Edit(command.value.start, command.value.end, done.moved)
    return back, _without_words(text, command, args, done)


def _without_words(text: str, command: Member, args: Member, done: Done) -> Edit:
    """Return the edit that takes the words of `done` out of the arguments."""
    items, count = args.value.items, len(done.words)
    if len(items) > count:  # somebody's own follow
        return Edit(items[0].start, items[count].start, "")
    if done.args == "missing" and text[args.start : command.start] == done.added:
        return Edit(args.start, command.start, "")
    if done.args == "null":
        return Edit(args.value.start, args.value.end, "null")
    return Edit(items[0].start, _behind_comma(text, items[-1], args.value), "")


def _behind_comma(text: str, last: Value, whole: Value) -> int:
    """Return where the last item ends, with the comma that may follow it."""
    rest = text[last.end : whole.end].lstrip()
    return text.index(",", last.end) + 1 if rest.startswith(",") else last.end
