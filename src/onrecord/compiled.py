# SPDX-License-Identifier: Apache-2.0
"""Detectors that are ready at once: the rules of this package, read and compiled before, out of a cache.

Reading the rules takes a fifth of a second and compiling them for hyperscan takes seconds; a client
that starts a server must not wait for either. So both are kept in the user's cache folder. Where
nothing is kept yet, this start searches by keywords, which finds the same and is slower, and another
process compiles for the next one.

A compiled database is taken on trust by the library that runs it: a forged one could run code. So
what is kept is believed only where the folder and the file are this account's own and nobody else
may write them; anything else is as if it weren't there. The digest within finds what was torn or
damaged. Whatever goes wrong with the cache, what is found stays the same.
"""

import hashlib
import os
import platform
import stat
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen
from threading import Thread
from typing import Literal, NamedTuple

import msgspec
import platformdirs

from onrecord.errors import LedgerError
from onrecord.ledger.durable import make_folder, open_private, replace_file
from onrecord.rules.detection import gate as gates
from onrecord.rules.detection import rule as reading
from onrecord.rules.detection.detectors import Detectors, builtin_rules, builtin_texts, expressions
from onrecord.rules.detection.finding import Recogniser
from onrecord.rules.detection.gate import Expression, Gate, HyperscanGate, KeywordGate, compiled, has_hyperscan
from onrecord.rules.detection.own import read_own
from onrecord.rules.detection.rule import Rule
from onrecord.version import __version__

FORMAT = b"onrecord compiled rules 1\n"  # the first line of a kept file
LARGEST = 64 << 20  # bytes of one; those of some 400 rules take 3 MB
KEPT = 3  # files: of versions that are used side by side
AGAIN_S = 600  # after a compilation that came to nothing, or was killed
NICENESS = 10  # of the process that compiles

_PROCESSOR = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Ready:
    """Detectors, which gate they search with, and why it is not the faster one, if so."""

    detectors: Detectors
    gate: Literal["hyperscan", "keywords"]
    why: str = ""


class RuleText(NamedTuple):
    """A file of rules that somebody added: what to call it in errors, and what it says."""

    where: str
    text: str


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a kept file holds: the rules without their test strings, and the database; b"" without hyperscan."""

    rules: tuple[Rule, ...]
    digest: str
    expressions: str  # digest of what was compiled
    database: bytes


class _NotBelieved(Exception):
    """What is kept can't be used; the message says why."""


def ready(
    added: Sequence[RuleText] = (),
    environ: Mapping[str, str] = os.environ,
    *,
    recognisers: Sequence[Recogniser] = (),
    off: Sequence[str] = (),
) -> Ready:
    """Return the detectors that ship with this package, and those of the rules in `added`, without those in `off`.

    Takes milliseconds where this was done before. Raises ConfigError where a rule of `added` fails.
    """
    folder, name = cache_folder(environ), _name()
    kept, gate, why = None, None, "hyperscan is not installed"
    try:
        kept = _read(folder, name)
        gate = HyperscanGate(kept.database) if kept.database else None
    except (_NotBelieved, ValueError) as e:
        if _hyperscan_version():
            why = str(e)
            compile_later(folder, name)
        else:
            kept = _made()
            with suppress(OSError, LedgerError, _NotBelieved):
                _keep(folder, name, kept)
    rules, digest = (kept.rules, kept.digest) if kept else builtin_rules()
    detectors = _joined(rules, digest, gate, added, recognisers, off)
    return Ready(detectors, "keywords", why) if gate is None else Ready(detectors, "hyperscan")


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that ONRECORD_CACHE names, or the platform's cache folder."""
    named = environ.get("ONRECORD_CACHE")
    return Path(named).absolute() if named else Path(platformdirs.user_cache_dir("onrecord", appauthor=False))


def main() -> int:
    """Compile for the next start, which takes seconds; return 0 where that could be kept."""
    folder, name = cache_folder(), _name()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    try:
        _keep(folder, name, _made())
        _claim(folder, name).unlink(missing_ok=True)
    except (OSError, LedgerError, ValueError, _NotBelieved):
        return 1  # the claim stays, so that the next starts don't try again at once
    return 0


def compile_later(folder: Path, name: str) -> None:
    """Have another process compile, unless one does already, or did in vain not long ago."""
    if not Path(sys.executable or "").name.startswith("python"):
        return  # embedded in another program, which would be started in its place
    try:
        _make(folder)
        if not _claimed(_claim(folder, name)):
            return
        child = Popen(
            [sys.executable, "-P", "-m", "onrecord.compiled"],  # -P: nothing is imported from the current folder
            env={**os.environ, "ONRECORD_CACHE": str(folder)},
            cwd=folder,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,  # a Ctrl-C is not for it
        )
    except (OSError, _NotBelieved):
        return
    Thread(target=child.wait, name="onrecord-compiling", daemon=True).start()  # so that it is reaped


def _claim(folder: Path, name: str) -> Path:
    return folder / f"{name}.claim"


def _claimed(claim: Path) -> bool:
    """Say whether this process is the one that has the work done. Raises OSError."""
    try:
        if time.time() - claim.stat().st_mtime < AGAIN_S:
            return False
        claim.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    try:
        os.close(open_private(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


# what is kept


def _name() -> str:
    """Return the name of the file that holds what this program would make on this machine."""
    parts: list[bytes] = [FORMAT, __version__.encode(), _hyperscan_version().encode(), platform.machine().encode()]
    parts += [_processor(), _source(gates.__file__), _source(reading.__file__)]
    for name, text in builtin_texts().items():
        parts += [name.encode(), text.encode()]
    return f"rules-{_digest(parts)[:32]}.bin"


def _digest(parts: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _hyperscan_version() -> str:
    """Return the version of hyperscan, or "" where it is missing or can't be loaded."""
    if not has_hyperscan():
        return ""
    try:
        import hyperscan
    except (ImportError, OSError):
        return ""
    return hyperscan.__version__


def _processor() -> bytes:
    """Return what the processor can do, as far as this system says it in a file."""
    with suppress(OSError), _PROCESSOR.open("rb") as file:
        for line in file:
            if line.startswith((b"flags", b"Features")):
                return line
    return platform.processor().encode()


def _source(file: str | None) -> bytes:
    """Return the source of a module: a change of it changes what is compiled, whatever the version says."""
    try:
        return Path(file or "").read_bytes()
    except OSError:
        return b""


def _read(folder: Path, name: str) -> Kept:
    """Return what is kept under `name`. Raises _NotBelieved."""
    try:
        with _own(folder, os.O_DIRECTORY) as inside, _own(folder / name, os.O_NOFOLLOW, inside) as fd:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise _NotBelieved(f"{folder / name} is not a file")
            with open(fd, "rb", closefd=False) as file:
                data = file.read(LARGEST)  # a longer one was not written here, and its digest will be wrong
    except FileNotFoundError:
        raise _NotBelieved("nothing is compiled yet") from None
    except OSError as e:
        raise _NotBelieved(f"cannot read {folder / name}: {os.strerror(e.errno or 0).lower()}") from e
    head = len(FORMAT) + 32
    if not data.startswith(FORMAT) or hashlib.sha256(data[head:]).digest() != data[len(FORMAT) : head]:
        raise _NotBelieved(f"{folder / name} is damaged")
    try:
        kept = msgspec.msgpack.decode(data[head:], type=Kept)
    except msgspec.MsgspecError as e:
        raise _NotBelieved(f"{folder / name} is not of this version") from e
    if kept.expressions != _compiled_from(expressions(kept.rules)):
        raise _NotBelieved(f"{folder / name} is not of this version")
    return kept


@contextmanager
def _own(path: Path, flags: int, inside: int | None = None) -> Generator[int]:
    """Open `path`, below the folder that is open as `inside`, and close it.

    Raises _NotBelieved where it is not this account's own, or others may write it; OSError.
    """
    if not hasattr(os, "geteuid"):
        raise _NotBelieved("nothing is kept on this system, which does not say who owns a file")
    flags |= os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # non-blocking: a pipe in its place must not hold us up
    fd = os.open(path if inside is None else path.name, flags, dir_fd=inside)
    try:
        about = os.fstat(fd)
        if about.st_uid != os.geteuid():
            raise _NotBelieved(f"{path} belongs to another account")
        if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _NotBelieved(f"{path} can be written by other accounts (mode {stat.S_IMODE(about.st_mode):04o})")
        yield fd
    finally:
        os.close(fd)


def _made() -> Kept:
    """Read and compile the rules. Raises ValueError where hyperscan can't be had for one of them."""
    rules, digest = builtin_rules()
    wanted = expressions(rules)
    return Kept(
        rules=tuple(msgspec.structs.replace(rule, positive=(), negative=()) for rule in rules),
        digest=digest,
        expressions=_compiled_from(wanted),
        database=compiled(wanted) if _hyperscan_version() else b"",
    )


def _compiled_from(wanted: Sequence[Expression]) -> str:
    return _digest([part.encode() for one in wanted for part in (one.regex, *one.keywords)])


def _keep(folder: Path, name: str, kept: Kept) -> None:
    """Put `kept` where `_read` finds it. Raises OSError, LedgerError, _NotBelieved."""
    _make(folder)
    data = msgspec.msgpack.encode(kept)
    replace_file(folder / name, FORMAT + hashlib.sha256(data).digest() + data, durable=False)
    files = sorted(folder.glob("rules-*.bin"), key=lambda file: -file.stat().st_mtime)
    for old in files[KEPT:]:
        old.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    """Make the folder if it is missing. Raises OSError, and _NotBelieved where it is not this account's own."""
    make_folder(folder, durable=False)
    with _own(folder, os.O_DIRECTORY):
        pass


# rules that somebody added


def _joined(
    rules: Sequence[Rule],
    digest: str,
    gate: Gate | None,
    added: Sequence[RuleText],
    recognisers: Sequence[Recogniser],
    off: Sequence[str],
) -> Detectors:
    """Return the detectors of `rules`, which `gate` searches for, and of those added. Raises ConfigError."""
    more: list[Rule] = []
    for where, text in added:
        more.extend(read_own(text, where, more))
    every = [*more, *rules]
    if added or off:
        digest = _digest([digest.encode(), *(text.encode() for _, text in added), *map(str.encode, sorted(off))])
    if gate and more:
        gate = _Beside(gate, expressions(rules), expressions(every))
    return Detectors(every, digest=digest, gate=gate, recognisers=recognisers, off=off)


class _Beside:
    """A gate for the expressions of this package, and one beside it for those that were added."""

    def __init__(self, gate: Gate, known: Sequence[Expression], every: Sequence[Expression]) -> None:
        """`gate` knows the places of expressions in `known`; `hits` says those in `every`."""
        places = {expression: i for i, expression in enumerate(every)}
        self._gate = gate
        self._known = [places[expression] for expression in known]
        self._new = sorted(set(range(len(every))) - set(self._known))
        self._added = KeywordGate([every[i] for i in self._new])

    def hits(self, data: bytes) -> list[int]:
        """See `Gate`."""
        found = [self._known[i] for i in self._gate.hits(data)]
        return sorted({*found, *(self._new[i] for i in self._added.hits(data))})


if __name__ == "__main__":
    sys.exit(main())
