# SPDX-License-Identifier: Apache-2.0
"""`onrecord run`: wrap one stdio server."""

import gc
import os
from argparse import Namespace
from pathlib import PurePath

from onrecord import canary
from onrecord.cli.despite import stop_unless_sound
from onrecord.cli.terminal import say
from onrecord.config import build_recorder, review_when_due
from onrecord.doors import stdio
from onrecord.errors import CommandError, KeyFileError, LedgerError
from onrecord.ledger.place import Home
from onrecord.ledger.soundness import Unsound, is_quick
from onrecord.ledger.whereabouts import way_of
from onrecord.people import forget_tokens
from onrecord.proving import WEBHOOK_KEY, attach_webhook
from onrecord.rules.canary import SERVER_ID as CANARY
from onrecord.rules.server_id import fault_in
from onrecord.settings import RECORDED_BY, Loaded, home_folder, load
from onrecord.views.stores.address import PASSWORD

# Programs that start the server that their arguments name.
_LAUNCHERS = frozenset({"npx", "uvx", "uv", "pipx", "bunx", "pnpm", "yarn", "node", "bun", "deno", "env", "docker"})
_LAUNCHER_WORDS = frozenset({"run", "dlx", "exec", "tool", "x", "--", "-y", "--yes"})


def run(options: Namespace) -> int:
    """Start the server, and carry messages until it ends."""
    command: list[str] = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise CommandError("nothing to run; say: onrecord run -- COMMAND…", 2)
    home = Home(options.home.absolute()) if options.home else home_folder()
    loaded = load(home, options.config)
    server_id = options.server_id or name_of(command)
    if (why := fault_in(server_id)) and not (server_id == CANARY and command == canary.command()):
        raise CommandError(f"{why}; give another one with --server-id", 2)
    _stop_unless_sound(home, loaded, despite=options.despite_verdict)
    try:
        recorder, actor = build_recorder(home, loaded, say, asked_over=0)
        attach_webhook(home, loaded, recorder, say)
        # the server inherits what is there, and a token is none of its business
        forget_tokens(loaded.settings.policy.spicedb.token_env, WEBHOOK_KEY, PASSWORD)
        os.environ[RECORDED_BY] = str(home.path.resolve())
        server = stdio.Server(command)
    except LedgerError as e:
        raise KeyFileError(f"the home {home.path} cannot be used: {e}") from e
    review_when_due(home, loaded, say)
    gc.freeze()  # what was made so far lives as long as the process: the collector need not look at it again
    gc.set_threshold(50_000)  # a call makes some 200 objects and no cycles
    code = stdio.run(
        server,
        recorder,
        actor,
        server_id,
        command,
        max_message=loaded.settings.run.max_message_bytes,
        call_timeout_s=loaded.settings.run.call_timeout_s,
        say=say,
    )
    stdio.end_as(code)
    return code


def _stop_unless_sound(home: Home, loaded: Loaded, *, despite: bool) -> None:
    """Raise Unsound where the log that this process is to write contradicts what was signed.

    A long one is left to `onrecord watch`, and one that cannot even be opened to the recorder, which says so.
    """
    if way_of(home, named=loaded.settings.recorder.socket, environ=os.environ) is not None or not is_quick(home):
        return
    try:
        stop_unless_sound(home, loaded, "calls", despite=despite, doing="run")
    except Unsound:
        raise
    except (LedgerError, KeyFileError, OSError):
        return


def name_of(command: list[str]) -> str:
    """Return what to call the server that `command` starts, where nobody said."""
    words = [PurePath(word).name or word for word in command]
    program = words[0].removesuffix(".exe")
    if program.startswith("python") and "-m" in command[:-1]:
        return command[command.index("-m") + 1]
    if program.startswith("python") and "-c" in command:  # the code is no name
        return program
    if program in _LAUNCHERS or program.startswith("python"):
        named = [w for w in command[1:] if w.strip() and w not in _LAUNCHER_WORDS and not w.startswith("-")]
        if named:
            return _package(named[0])
    return program


def _package(word: str) -> str:
    """Return the last part of a package name or path, without its version or ending."""
    name = PurePath(word).name or word
    name = name.partition("@")[0] or name
    if name in ("index.js", "main.js", "cli.js", "__main__.py", "server.py", "main.py"):
        parents = [part for part in PurePath(word).parts[:-1] if part not in ("dist", "build", "src", "bin")]
        name = parents[-1] if parents else name
    return name
