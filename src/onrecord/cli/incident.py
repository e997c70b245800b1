# SPDX-License-Identifier: Apache-2.0
"""`onrecord incident`: one timeline of a request, session, person or call, and what the record says to six questions.

It reads the logs `calls` and `security`, of one home or of several. What is shown is put on the access log first.
"""

import os
import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from onrecord.cli.accessed import accessed
from onrecord.cli.index import answers
from onrecord.cli.read import log_of, pseudonym
from onrecord.cli.terminal import put, say
from onrecord.cli.times import span_us
from onrecord.errors import KeyFileError, OnRecordError
from onrecord.ledger.durable import replace_file
from onrecord.ledger.lines import segment_files
from onrecord.ledger.place import Home, LogFolder
from onrecord.rules.neutral import neutral
from onrecord.rules.rendering import json_text
from onrecord.settings import home_folder
from onrecord.views.answers import Answers
from onrecord.views.incident import markdown, page, plain
from onrecord.views.incident.answering import incident_of
from onrecord.views.incident.gathering import Asked, Source, deleted, gather
from onrecord.views.incident.model import Incident
from onrecord.views.scan import Scan

LOGS = ("calls", "security")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a ledger is, and what it is called. A home has keys; of a copy there may be no more than its logs."""

    name: str
    home: Home
    ledger: Path
    is_home: bool


def incident(options: Namespace) -> int:
    """Show what the record says of what is asked for."""
    if options.limit < 1:
        raise OnRecordError(f"--limit {options.limit} asks for nothing; give a number of events")
    if options.out not in (None, "-") and os.path.lexists(options.out):
        raise OnRecordError(f"{options.out} is there already; name another file with --out")
    places = _places(options.home)
    asked = _asked(options, places)
    with ExitStack() as opened:
        sources = [source for place in places for source in _sources(place, opened)]
        try:
            gathered = gather(sources, asked)
        except BaseException:
            _note(places, asked, None)
            raise
        gone = deleted(sources) if gathered is None else 0
        found = 0 if gathered is None else len(gathered.seen)
        _note(places, asked, found)
        _remark(sources)
    if gathered is None:
        within = " in this time" if options.since or options.until else ""
        say(
            f"nothing on the record is called {options.which[:80]!r}{within}: no request, trace, session, person, "
            "approval, call or event"
        )
        if gone:
            say(f"{gone} lines were deleted on the record; whether it was among them is not known")
        return 1
    _write(incident_of(gathered), options)
    return 0


def _places(given: Sequence[Path]) -> list[_Place]:
    """Return the ledgers to be read: this home's, or those at the folders that were given."""
    if not given:
        home = home_folder()
        log_of(home, "calls")
        return [_Place(name="", home=home, ledger=home.path / "ledger", is_home=True)]
    return [_place(path, several=len(given) > 1) for path in dict.fromkeys(path.absolute() for path in given)]


def _place(path: Path, *, several: bool) -> _Place:
    for ledger in (path / "ledger", path):
        if segment_files(LogFolder(ledger / "calls")):
            is_home = ledger != path and (path / "keys").is_dir()
            return _Place(name=str(path) if several else "", home=Home(path), ledger=ledger, is_home=is_home)
    raise OnRecordError(f"there is no log of calls in {path}; give a home, or the ledger folder of one")


def _sources(place: _Place, opened: ExitStack) -> Iterator[Source]:
    """Yield the logs of a ledger with what answers for them: an index where it is a home, the lines of a copy."""
    for log in LOGS:
        folder = LogFolder(place.ledger / log)
        if not segment_files(folder):
            continue  # nothing was put on it yet
        if place.is_home:
            answering = opened.enter_context(answers(place.home, log))
        else:
            answering = Answers(folder, [Scan(folder)])
        yield Source(ledger=place.name, log=log, answers=answering)


def _asked(options: Namespace, places: Sequence[_Place]) -> Asked:
    which: str = options.which
    if any("\ud800" <= letter <= "\udfff" for letter in which):
        raise OnRecordError(f"{which[:80]!r} is no text: it has bytes that are not UTF-8")
    users: list[str] = [which] if which.startswith("u_") else []
    if not users and not _ID.fullmatch(which):
        for place in places:
            with suppress(KeyFileError):
                users.append(pseudonym(place.home, which))
    since_us, until_us = span_us(options.since, options.until)
    return Asked(
        which=which,
        users=tuple(dict.fromkeys(users)),
        since_us=since_us,
        until_us=until_us,
        limit=options.limit,
    )


def _note(places: Sequence[_Place], asked: Asked, found: int | None) -> None:
    """Put on the access log of each home that was read what was asked for; of a copy, on that of our own home.

    Without `found` there is no answer.
    """
    said: dict[str, object] = {"user_id": list(asked.users)} if asked.users else {"which": asked.which}
    if not asked.users and not found and not _ID.fullmatch(asked.which):
        said = {"which": "a name that is not on the record"}  # which may be that of a person
    if asked.since_us is not None:
        said["since_us"] = asked.since_us
    if asked.until_us is not None:
        said["until_us"] = asked.until_us
    homes = [place.home for place in places if place.is_home]
    own = home_folder()
    if not homes and own.keys.is_dir():
        homes = [own]
    came = {"answered": "no"} if found is None else {"count": str(found)}
    for home in homes:
        accessed(home, "incident", log=",".join(LOGS), filter=msgspec.json.encode(said).decode(), **came)
    if not homes:
        say("this look is on no access log: none of these folders is a home")


def _remark(sources: Sequence[Source]) -> None:
    for source in sources:
        if not isinstance(source.answers, Answers):
            continue
        for remark in source.answers.remarks:
            say(f"{source.log}: {remark}")
        if source.answers.differing:
            say(
                f"the index does not fit the record, at entry {source.answers.differing[0]} of the log {source.log} "
                "for one; delete the folder of the index and ask again, and run: onrecord verify"
            )


def _write(found: Incident, options: Namespace) -> None:
    if options.out in (None, "-"):
        for line in _lines(found, options.format):
            put(line)
        return
    out = Path(options.out)
    text = "".join(f"{neutral(line)}\n" for line in _lines(found, options.format))
    replace_file(out, text.encode(errors="backslashreplace"), durable=True, theirs=True)
    put(str(out))


def _lines(found: Incident, form: str) -> Iterator[str]:
    """Yield the report, line by line. What they hold is fit for their form, and stays so when it is made neutral."""
    if form == "json":
        yield json_text(msgspec.to_builtins(found))
    elif form == "text":
        yield from plain.lines(found)
    else:
        text = markdown.text(found) if form == "markdown" else page.text(found)
        yield from text.removesuffix("\n").split("\n")
