# SPDX-License-Identifier: Apache-2.0
"""`onrecord init` and `onrecord readiness`: rules for the tools that a server lists, and what they lack."""

import os
from argparse import Namespace
from pathlib import Path

from onrecord.cli.run import name_of
from onrecord.cli.terminal import print_json, put, say
from onrecord.doors.probe import Listed, ask
from onrecord.errors import CommandError, ConfigError, NotSupported
from onrecord.ledger.durable import make_folder, replace_file
from onrecord.rules.classify import Manifest
from onrecord.rules.neutral import neutral
from onrecord.settings import MAX_SETTINGS, home_folder, load, read
from onrecord.views.draft import Draft, drafted
from onrecord.views.readiness import Grade, graded

_WIDTH = 15  # of the longest name of an aspect


def init(options: Namespace) -> int:
    """Write rules for the tools of a server, or add those that are missing."""
    server, command = _server(options)
    home = home_folder()
    to_stdout = options.out == "-"
    file = Path(options.out) if options.out and not to_stdout else home.config
    there = not to_stdout and os.path.lexists(file)
    if there and not (options.merge or options.force):
        hint = "--merge adds what it leaves unsaid, --force writes it anew"
        raise CommandError(f"{file} is there already; {hint}", 2)
    merging = options.merge and there
    known: Manifest = load(home, file).settings.tool if merging else ()
    found = ask(command, timeout_s=options.timeout)
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
    server, command = _server(options)
    rules = load(home_folder(), options.config).settings.tool
    found = ask(command, timeout_s=options.timeout)
    _say_odd(found, Draft("", 0, ()))
    grades = [graded(server, definition, rules) for definition in found.tools]
    if options.json:
        counts = {grade: sum(one.grade == grade for one in grades) for grade in ("ready", "open", "not ready")}
        print_json({"server_id": server, "protocol_version": found.protocol_version, **counts, "tools": grades})
    else:
        _print(server, grades)
    return int(any(grade.grade == "not ready" for grade in grades))


def _server(options: Namespace) -> tuple[str, list[str]]:
    command: list[str] = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise CommandError("no server to ask; say: -- COMMAND…", 2)
    if len(command) == 1 and command[0].startswith(("http://", "https://")):
        raise CommandError("a server at a URL can't be asked yet; give the command of a stdio server", 2)
    if os.name == "nt":
        raise NotSupported("asking a server for its tools needs POSIX")
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
        replace_file(kept, target.read_bytes(), durable=True)
        say(f"{kept}: what stood there before")
    replace_file(target, text, durable=True)


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
