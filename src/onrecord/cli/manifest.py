# SPDX-License-Identifier: Apache-2.0
"""`onrecord init` and `onrecord readiness`: rules for the tools that a server lists, and what they lack."""

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from onrecord.cli.run import name_of
from onrecord.cli.terminal import print_json, put, say
from onrecord.cli.tokens import token_of
from onrecord.doors.listed import Listed
from onrecord.doors.probe import ask
from onrecord.doors.probe_http import ask_url
from onrecord.errors import CommandError, ConfigError, NotSupported
from onrecord.ledger.durable import make_folder, replace_file
from onrecord.ledger.post import check_url
from onrecord.people import forget_tokens
from onrecord.rules.classify import Manifest
from onrecord.rules.neutral import neutral
from onrecord.rules.relations import TOKEN_ENV
from onrecord.settings import MAX_SETTINGS, home_folder, load, read
from onrecord.views.draft import Draft, drafted
from onrecord.views.readiness import Grade, graded

_WIDTH = 15  # of the longest name of an aspect


def init(options: Namespace) -> int:
    """Write rules for the tools of a server, or add those that are missing."""
    server, asked = _asked(options)
    home = home_folder()
    to_stdout = options.out == "-"
    file = Path(options.out) if options.out and not to_stdout else home.config
    there = not to_stdout and os.path.lexists(file)
    if there and not (options.merge or options.force):
        hint = "--merge adds what it leaves unsaid, --force writes it anew"
        raise CommandError(f"{file} is there already; {hint}", 2)
    merging = options.merge and there
    known: Manifest = load(home, file).settings.tool if merging else ()
    found = asked()
    draft = drafted(server, found.tools, known)
    _say_odd(found, draft)
    if not draft.rules:
        say(f"{server}: {len(found.tools)} tools, and no rule to add; {'nothing' if merging else 'no file'} is written")
        return 0
    old = file.read_bytes() if merging else b""
    text = _joined(old, _head(server, found) + draft.text)
    _check(text, file)
    if to_stdout:
        for line in text.decode().splitlines():
            put(line)
        return 0
    _write(file, text, keep=bool(there and options.force))
    say(f"{file}: {draft.rules} rules for {server}; review each: what stands there outweighs what the server says")
    return 0


def readiness(options: Namespace) -> int:
    """Grade the tools of a server, and return 1 where one of tier 3 or 4 lacks something."""
    server, asked = _asked(options)
    rules = load(home_folder(), options.config).settings.tool
    found = asked()
    _say_odd(found, Draft("", 0, ()))
    grades = [graded(server, definition, rules) for definition in found.tools]
    if options.json:
        counts = {grade: sum(one.grade == grade for one in grades) for grade in ("ready", "open", "not ready")}
        print_json({"server_id": server, "protocol_version": found.protocol_version, **counts, "tools": grades})
    else:
        _print(server, grades)
    return int(any(grade.grade == "not ready" for grade in grades))


def _asked(options: Namespace) -> tuple[str, Callable[[], Listed]]:
    """Return what to call the server, and what asks it."""
    words: list[str] = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not words or not words[0].startswith(("http://", "https://")):
        if options.token_env or options.token_file or options.allow_http:
            raise CommandError("--token-env, --token-file and --allow-http are for a server at a URL", 2)
        server, command = _server(options)
        return server, lambda: ask(command, timeout_s=options.timeout)
    url = words[0]
    if words[1:]:
        options.again(words[1:], options)
        if options.command:
            raise CommandError("give one URL, or -- COMMAND…", 2)
    try:
        check_url(url, plain=options.allow_http)
    except ConfigError as e:
        raise ConfigError(f"{e}; --allow-http goes elsewhere" if url.startswith("http:") else str(e)) from e
    token = token_of(options)
    server = options.server_id or urlsplit(url).netloc.lower()
    return server, lambda: ask_url(url, timeout_s=options.timeout, token=token, plain=options.allow_http)


def _server(options: Namespace) -> tuple[str, list[str]]:
    command: list[str] = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise CommandError("no server to ask; say: URL, or -- COMMAND…", 2)
    if os.name == "nt":
        raise NotSupported("asking a server for its tools needs POSIX")
    forget_tokens(TOKEN_ENV)  # the server inherits what is there
    return options.server_id or name_of(command), command


def _say_odd(found: Listed, draft: Draft) -> None:
    for text in dict.fromkeys(found.odd):
        say(text)
    for name in draft.left_out:
        say(f"no rule can name the tool {neutral(name, limit=80)}: give its tools a rule with a pattern")


def _head(server: str, found: Listed) -> str:
    said = neutral(f"{found.name} {found.version}, MCP {found.protocol_version}", limit=200)
    return (
        f"# Tools of {neutral(server, limit=80)}, as it listed them ({said}).\n"
        "# Review each rule: what stands here outweighs what the server says of its tools. The values are those that\n"
        "# hold without it. A proposal is a comment that begins with a key: it does nothing until you uncomment it.\n\n"
    )


def _joined(old: bytes, new: str) -> bytes:
    if not old:
        return new.encode()
    return old + (b"" if old.endswith(b"\n") else b"\n") + b"\n" + new.encode()


def _check(text: bytes, file: Path) -> None:
    """Raise ConfigError unless `text` would be read back."""
    try:
        if len(text) > MAX_SETTINGS:
            raise ConfigError(f"{file}: would hold {len(text)} bytes, more than {MAX_SETTINGS}; give patterns instead")
        read(text, file)
    except ConfigError as e:
        raise ConfigError(f"nothing is written: {e}") from e


def _write(file: Path, text: bytes, *, keep: bool) -> None:
    make_folder(file.absolute().parent)
    target = file.resolve()  # of a link, what it leads to
    if keep:
        kept = target.with_name(f"{target.name}.old")
        replace_file(kept, target.read_bytes(), durable=True, theirs=True)
        say(f"{kept}: what stood there before")
    replace_file(target, text, durable=True, theirs=True)


def _print(server: str, grades: list[Grade]) -> None:
    counts = [f"{sum(one.grade == grade for one in grades)} {grade}" for grade in ("ready", "open", "not ready")]
    put(f"{server}: {len(grades)} tools; {', '.join(counts)}")
    for grade in grades:
        put("")
        put(f"{grade.tool}  tier {grade.tier}  {grade.grade.upper() if grade.grade == 'not ready' else grade.grade}")
        for aspect in grade.aspects:
            shown = aspect.value + (f" ({aspect.why})" if aspect.why and aspect.value else aspect.why)
            put(f"  {aspect.state:<8}  {aspect.name:<{_WIDTH}}  {shown}".rstrip())
        if grade.missing:
            put("  write:")
            for line in [*grade.rule.splitlines(), *(aspect.write for aspect in grade.missing)]:
                put(f"    {line}")
