# SPDX-License-Identifier: Apache-2.0
"""`onrecord recorder install`: an account of its own for the ledger, and a systemd unit that serves it.

Each step looks first whether it is done, says what it does, and can be repeated. What moves the data
is `ledger/moving.py`; here are the account, the group, the unit, and what must hold before any of that.
"""

import grp
import os
import pwd
import stat
import subprocess
import sys
from argparse import Namespace
from importlib.resources import files
from pathlib import Path
from string import Template

from onrecord.cli.terminal import say
from onrecord.errors import CommandError
from onrecord.ledger.durable import disk_error, replace_file
from onrecord.ledger.moving import Move, check_movable, files_of, make_move
from onrecord.ledger.place import Home
from onrecord.ledger.whereabouts import SYSTEM_SOCKET, UNIT, Moved, read_moved
from onrecord.settings import home_folder

_SYSTEMD = Path("/run/systemd/system")  # there while systemd runs (sd_booted)
_UNIT_MODE = 0o644
_HOMES = ("/home", "/root", "/run/user")  # what ProtectHome= hides


def install(options: Namespace) -> int:
    """Take each step, or with --dry-run only say it."""
    source = Home(options.home.absolute()) if options.home else home_folder()
    python: Path = options.python or Path(sys.executable)
    _check(source, python, options)
    steps = _Steps(dry=options.dry_run)
    account = steps.make_account(options.account, options.state)
    moved = Moved(account=options.account, home=str(options.state), socket=str(SYSTEM_SOCKET))
    move = Move(
        source=source,
        target=Home(options.state.absolute()),
        moved=moved,
        uid=account.pw_uid if account else -1,
        gid=account.pw_gid if account else -1,
    )
    steps.try_python(python, account)
    steps.move(move)
    steps.let_owner_in(source, options.account)
    steps.write_unit(options.units / UNIT, unit_text(options.account, options.state, python))
    steps.start()
    return 0


def unit_text(account: str, state: Path, python: Path) -> str:
    """Return the systemd unit of a service that keeps the ledger in `state` under `account`."""
    template = Template(files("onrecord.cli").joinpath(UNIT).read_text(encoding="utf-8"))
    return template.substitute(account=account, state=_escaped(str(state)), python=_escaped(str(python)))


def _escaped(path: str) -> str:
    if not path.isprintable() or any(character in path for character in "\"'\\$"):
        raise CommandError(f"{path!r} cannot stand in a systemd unit; choose another path", 2)
    return path.replace("%", "%%")


def _check(source: Home, python: Path, options: Namespace) -> None:
    """Raise CommandError where the separation could not hold, or not be set up."""
    if sys.platform != "linux":
        raise CommandError("an account of its own is set up on Linux; elsewhere start onrecord recorder run by hand", 2)
    if os.geteuid() != 0 and not options.dry_run:
        raise CommandError("only root can make accounts and give files away; try sudo, or --dry-run", 2)
    if not source.path.is_dir():
        raise CommandError(f"there is no home at {source.path}; name it with --home DIR", 2)
    if source.path == options.state.absolute():
        raise CommandError(f"{source.path} is the new place already; name the home of a user with --home DIR", 2)
    for path in (python, Path(__file__)):
        if open_at := _changeable(path):
            raise CommandError(
                f"{open_at} can be changed by other accounts than root, and the service would run what lies there; "
                "install onrecord for the whole system, such as with: sudo pipx install --global onrecord",
                2,
            )


def _changeable(path: Path) -> Path | None:
    """Return the first of a file and the folders above it that an account other than root could change."""
    real = path.resolve()
    for each in (real, *real.parents, *path.parents):
        found = each.stat()
        shared = stat.S_IMODE(found.st_mode) & 0o022 and not found.st_mode & stat.S_ISVTX
        if found.st_uid != 0 or shared:
            return each
    return None


class _Steps:
    """The steps, and whether they are only said."""

    def __init__(self, *, dry: bool) -> None:
        self._dry = dry

    def _will(self, text: str) -> bool:
        """Say a step, and return whether to take it."""
        say(f"would {text}" if self._dry else text)
        return not self._dry

    def make_account(self, name: str, state: Path) -> pwd.struct_passwd | None:
        """Return the account, made now if it is missing, or None where it only would be."""
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            if not self._will(f"make the system account {name}"):
                return None
            command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
            group = ["--gid", name] if any(each.gr_name == name for each in grp.getgrall()) else ["--user-group"]
            _command([*command, *group, "--home-dir", str(state), name])
            return pwd.getpwnam(name)
        if account.pw_uid == 0:
            raise CommandError(
                "root is no account of its own: what it keeps, any service that runs as root can change", 2
            )
        return account

    def try_python(self, python: Path, account: pwd.struct_passwd | None) -> None:
        """Check that the service can start: its account reads the interpreter and our code, also without homes."""
        hidden = any(python.resolve().is_relative_to(home) for home in _HOMES)
        if not hidden and account is not None and os.geteuid() == 0:
            tried = subprocess.run(
                [python, "-I", "-c", "import onrecord.cli.recorder"],
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                check=False,
            )
            hidden = tried.returncode != 0
        if hidden:
            raise CommandError(
                f"the account of the service can't run onrecord with {python}; install it for the whole system, "
                "or name another interpreter with --python",
                2,
            )

    def move(self, move: Move) -> None:
        """Move ledger, guard and signing keys."""
        if os.stat(move.source.path).st_uid == move.uid:
            raise CommandError(f"{move.source.path} belongs to {move.moved.account} itself; choose another account", 2)
        check_movable(move)
        if read_moved(move.source) is None:
            count = sum(1 for _ in files_of(move.source))
            self._will(f"move {count} files and folders from {move.source.path} to {move.target.path}")
        if not self._dry:
            make_move(move, say)

    def let_owner_in(self, source: Home, account: str) -> None:
        """Put the owner of the home into the group that may connect."""
        try:
            owner = pwd.getpwuid(os.stat(source.path).st_uid)
        except KeyError:
            return  # a number without a name can be in no group
        if owner.pw_uid == 0:
            return
        try:
            group = grp.getgrgid(pwd.getpwnam(account).pw_gid)
        except KeyError:
            group = None
        if group is not None and owner.pw_name in group.gr_mem:
            return
        name = group.gr_name if group else account
        if self._will(f"add {owner.pw_name} to the group {name}; it counts from the next log-in"):
            _command(["usermod", "--append", "--groups", name, owner.pw_name])

    def write_unit(self, path: Path, text: str) -> None:
        """Put the unit where systemd finds it."""
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        if self._will(f"write {path}"):
            replace_file(path, text.encode(), durable=True, theirs=True)
            try:
                path.chmod(_UNIT_MODE)
            except OSError as e:
                raise disk_error(e, "set the mode of", path) from e

    def start(self) -> None:
        """Start the service, or say how that is done where systemd does not run."""
        commands = [["systemctl", "daemon-reload"], ["systemctl", "enable", UNIT], ["systemctl", "restart", UNIT]]
        if not _SYSTEMD.is_dir():
            say("systemd does not run here; start the service with: " + " && ".join(map(" ".join, commands)))
            return
        for command in commands:
            if self._will(" ".join(command)):
                _command(command)


def _command(command: list[str]) -> None:
    """Run one command of the system. Raises CommandError with what it says."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as e:
        raise CommandError(f"cannot run {command[0]}: {os.strerror(e.errno or 0).lower()}", 2) from e
    if done.returncode != 0:
        raise CommandError(f"{' '.join(command)} failed: {done.stderr.strip()[:300]}", 2)
