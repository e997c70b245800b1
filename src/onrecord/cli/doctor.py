# SPDX-License-Identifier: Apache-2.0
"""`onrecord doctor`: what works, what doesn't, and what to do about it."""

import os
import shutil
import stat
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import msgspec

from onrecord import compiled
from onrecord.cli.behind import standing_of_gateway
from onrecord.cli.configured import standing as standing_of_clients
from onrecord.cli.terminal import print_json, put
from onrecord.config import build_engine, build_redactor
from onrecord.engines.cedar import Cedar
from onrecord.engines.spicedb import SpiceDb
from onrecord.errors import OnRecordError
from onrecord.event.event import UNREADABLE
from onrecord.ledger.keys import own_verifiers, read_keys
from onrecord.ledger.lines import Line, lines_from, segment_files
from onrecord.ledger.place import LOGS, Home, LogFolder
from onrecord.ledger.presence import count_living
from onrecord.ledger.signing import verifier_file
from onrecord.ledger.tree import read_guard
from onrecord.ledger.verify import SIGNING_S, verify
from onrecord.ledger.whereabouts import UNIT, answers, read_moved
from onrecord.logins import standing
from onrecord.rules.approval import STRICT
from onrecord.rules.classify import ToolRule
from onrecord.rules.neutral import neutral
from onrecord.settings import Loaded, home_folder, load
from onrecord.views.unasked import RISKY, Seen, Unasked, risky_tools, unasked

_ROOM_BYTES = 256 * 1024 * 1024  # some 250,000 events; less is worth a warning
_CANARY = "ghp_" + "0123456789abcdefghijABCDEFGHIJ" + "012345"  # a dummy of a known form
_SHOWN = 10  # rules that match nothing
_NAMES = (b'"tool_name":', b'"resource_uri":', b'"prompt_name":')
_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    state: str
    about: str
    text: str


def doctor(options: Namespace) -> int:
    """Look at everything, print what was found, and return 1 where something has failed."""
    home = home_folder()
    findings = [finding for check in _CHECKS for finding in _run(check, home)]
    if options.json:
        print_json(findings)
    else:
        for finding in findings:
            put(f"{_MARKS[finding.state]}  {finding.about:<10}  {finding.text}")
    return int(any(finding.state == "fail" for finding in findings))


def _run(check: Callable[[Home], Iterator[Finding]], home: Home) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(check(home))
    except OnRecordError as e:
        found.append(Finding("fail", check.__name__.removeprefix("_check_"), str(e)))
    except OSError as e:
        text = f"cannot read {e.filename}: {os.strerror(e.errno or 0).lower()}"
        found.append(Finding("fail", check.__name__.removeprefix("_check_"), text))
    return found


def _check_platform(_home: Home) -> Iterator[Finding]:
    if sys.platform == "win32":
        yield Finding("warn", "platform", "Windows: reading and verifying work; recording needs Linux or macOS")
    else:
        yield Finding("ok", "platform", f"{sys.platform}, Python {sys.version.split()[0]}")


def _check_home(home: Home) -> Iterator[Finding]:
    if not home.path.is_dir():
        if os.path.lexists(home.path):
            yield Finding("fail", "home", f"{home.path} is no folder")
            return
        yield Finding("ok", "home", f"{home.path} is not there yet; the first onrecord run makes it")
        return
    open_to_others = [path for path in _private_parts(home) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    for path in open_to_others:
        mode = stat.S_IMODE(path.stat().st_mode)
        yield Finding("warn", "home", f"{path} is open to other accounts (mode {mode:04o}); chmod go= it")
    if not open_to_others:
        yield Finding("ok", "home", f"{home.path}, private")
    room = shutil.disk_usage(home.path).free
    state = "ok" if room > _ROOM_BYTES else "warn"
    yield Finding(state, "room", f"{room // 1024**2} MiB free on the device of the ledger")
    yield Finding("ok", "recorders", f"{count_living(home)} running")


def _private_parts(home: Home) -> list[Path]:
    parts = [home.path, home.login, home.keys, home.path / "ledger", home.path / "guard", home.running]
    return [path for path in [*parts, *home.keys.glob("*")] if path.exists()]


def _check_settings(home: Home) -> Iterator[Finding]:
    loaded = load(home)
    if loaded.path is None:
        yield Finding("ok", "settings", f"no {home.config}: everything is recorded, nothing is denied")
    else:
        yield Finding("ok", "settings", f"{loaded.path}: {len(loaded.settings.tool)} tool rules")


class _Named(msgspec.Struct):
    """What an event says of what was called or listed."""

    server_id: str = ""
    tool_name: str = ""
    resource_uri: str = ""
    prompt_name: str = ""

    @property
    def name(self) -> str:
        return self.tool_name or self.resource_uri or self.prompt_name


def _check_rules(home: Home) -> Iterator[Finding]:
    rules = load(home).settings.tool
    if not rules:
        return
    seen: set[tuple[str, str]] = set()
    for line in _lines(home.log()):
        if b'"server_id":' in line.data and any(field in line.data for field in _NAMES):
            with suppress(*UNREADABLE):  # verify says what became of such a line
                named = msgspec.json.decode(line.data, type=_Named)
                seen.add((named.server_id, named.name))
    if not seen:
        yield Finding("ok", "rules", f"{len(rules)} for tools; no call is on the record yet to try them on")
        return
    idle = [(i, rule) for i, rule in enumerate(rules, 1) if not any(rule.matches(*one) for one in seen)]
    for i, rule in idle[:_SHOWN]:
        text = f"tool {i} (server {rule.server!r}, tool {rule.tool!r}) matches nothing that is on the record"
        yield Finding("warn", "rules", text + _meant(rule, seen))
    if len(idle) > _SHOWN:
        yield Finding("warn", "rules", f"and {len(idle) - _SHOWN} more that match nothing")
    if not idle:
        yield Finding("ok", "rules", f"{len(rules)} for tools; each matches something that is on the record")


def _meant(rule: ToolRule, seen: Collection[tuple[str, str]]) -> str:
    """Return what else a rule that matches nothing may mean."""
    anything = msgspec.structs.replace(rule, tool="*")
    here = sorted({tool for server, tool in seen if anything.matches(server, tool)})
    if here:
        near, of = get_close_matches(rule.tool, here, n=1), "tool"
    else:
        near, of = get_close_matches(rule.server, sorted({server for server, _ in seen}), n=1), "server"
    return f"; did you mean {of} {near[0]!r}?" if near else ""


def _check_policy(home: Home) -> Iterator[Finding]:
    loaded = load(home)
    engine = build_engine(loaded)
    if engine is None:
        yield Finding("ok", "policy", "none: no call is denied by one")
        return
    if isinstance(engine, SpiceDb):
        for kind in engine.look():
            yield Finding(
                "warn", "policy", f"the schema of SpiceDB has no definition {kind!r}: what asks for it is denied"
            )
        engine.close()
    yield Finding("ok", "policy", f"{engine.name}, {loaded.settings.policy.mode}: policy_version {engine.version}")


def _check_approvals(home: Home) -> Iterator[Finding]:
    loaded = load(home)
    said = loaded.settings.policy
    if said.engine == "none":
        return
    yield from _check_reach(loaded)
    if said.engine != "cedar":
        text = "what the decision point asks an approval for is not tried here; see: onrecord policy check"
        yield Finding("ok", "approvals", text)
        return
    engine = build_engine(loaded)
    assert isinstance(engine, Cedar)
    if said.mode == "observe":
        yield Finding("warn", "approvals", "policies are only observed: no call waits for anybody")
    tools = risky_tools(_seen(home.log()), loaded.settings.tool)
    found = unasked(tools, loaded.settings.tool, engine.evaluate, engine.reads_input_of)
    for one in found[:_SHOWN]:
        yield _unasked(one)
    if len(found) > _SHOWN:
        yield Finding("warn", "approvals", f"and {len(found) - _SHOWN} more that nobody is asked about")
    if tools and not found:
        yield Finding("ok", "approvals", f"{len(tools)} tools of tier 3 and 4; none is allowed without an approval")


def _check_reach(loaded: Loaded) -> Iterator[Finding]:
    """Yield for which tiers nobody can give an approval, and by which settings."""
    terms = loaded.settings.terms()
    for tier in (RISKY, STRICT) if terms.channels else ():
        if (why := terms.out_of_reach(tier)) and not terms.is_confirmable(tier):
            text = f"a call of tier {tier} that needs an approval is refused: nobody here can approve it: {why}"
            yield Finding("warn", "approvals", text)


def _unasked(one: Unasked) -> Finding:
    name = neutral(f"{one.tool} of {one.server or 'any server'}", limit=160)
    about, read = f"{name}, tier {one.tier}", ", ".join(one.inputs)
    if not one.assurance:
        text = f"{about}: whether an approval is asked for may depend on {read}; no call that was tried goes without"
        return Finding("ok", "approvals", f"{text}; see: onrecord policy check")
    whom = "anybody" if one.assurance == "none" else f"somebody who is known by {one.assurance}"
    if one.inputs:
        text = (
            f"{about}: depending on {read}, no policy asks for an approval; then {whom}, with its scopes, may call it"
        )
    else:
        text = f"{about}: no policy asks for an approval; {whom}, with its scopes, may call it"
    return Finding("warn", "approvals", text)


def _seen(folder: LogFolder) -> Iterator[Seen]:
    """Yield what attempts of tool calls say of their tools."""
    for line in _lines(folder):
        if b'"tool_name":' in line.data and b'"risk_tier":' in line.data:
            with suppress(*UNREADABLE):  # verify says what became of such a line
                seen = msgspec.json.decode(line.data, type=Seen)
                if seen.phase == "attempt":
                    yield seen


def _check_redaction(home: Home) -> Iterator[Finding]:
    searching = compiled.ready()
    if searching.gate == "hyperscan":
        text = f"{len(searching.detectors.rules)} rules, compiled for hyperscan, in {compiled.cache_folder()}"
        yield Finding("ok", "detectors", text)
    else:
        text = f"{len(searching.detectors.rules)} rules, searched by keywords: same findings, slower; {searching.why}"
        yield Finding("ok", "detectors", text)
    redactor = build_redactor(os.urandom(32), load(home))
    yield Finding("ok", "redaction", f"new events say redaction_policy {redactor.policy}")
    shown = redactor.text(f"token {_CANARY} end")
    if _CANARY in shown:
        yield Finding("fail", "redaction", "a planted secret was not found")
    else:
        yield Finding("ok", "redaction", f"a planted secret becomes: {shown}")
    failed = sum(b'"redaction_error":true' in line.data for line in _lines(home.log()))
    if failed:
        yield Finding("warn", "redaction", f"it failed for {failed} events, whose values are withheld")


def _check_identity(home: Home) -> Iterator[Finding]:
    for state, text in standing(home, load(home)):
        yield Finding(state, "identity", text)


def _check_clients(home: Home) -> Iterator[Finding]:
    for state, text in standing_of_clients(home):
        yield Finding(state, "clients", text)


def _check_gateway(home: Home) -> Iterator[Finding]:
    for state, text in standing_of_gateway(load(home)):
        yield Finding(state, "gateway", text)


def _lines(folder: LogFolder) -> Iterator[Line]:
    if segment_files(folder):
        yield from lines_from(folder)


def _check_ledger(home: Home) -> Iterator[Finding]:
    if moved := read_moved(home):
        up = answers(Path(moved.socket))
        text = f"kept by {moved.account} in {moved.home}; its service at {moved.socket} "
        more = "answers" if up else f"does not answer: systemctl status {UNIT}, and is this account in its group?"
        yield Finding("ok" if up else "fail", "ledger", text + more)
        return
    if not verifier_file(home).is_file():
        yield Finding("ok", "ledger", "no key and no record yet")
        return
    for log in LOGS:
        if verifier_file(home, log).is_file():
            yield _look_at(home, log)


def _look_at(home: Home, log: str) -> Finding:
    try:
        read_keys(home, log)
        began = time.monotonic()
        keys = own_verifiers(home, log)
        report = verify(home.log(log), keys, guard=read_guard(home.guard(log)), wait_s=SIGNING_S)
    except OnRecordError as e:
        return Finding("fail", "ledger", f"{log}: {e}")
    took_s = time.monotonic() - began
    text = f"{log}: {report.verdict}, {report.entries} entries, {took_s:.1f} s; {'; '.join(report.reasons)}"
    begun = report.verdict != "empty" or bool(report.signed) or log == "calls"  # else a key and no event yet
    good = report.verdict in ("intact", "unanchored") or not begun
    return Finding("ok" if good else "fail", "ledger", text if begun else f"{log}: a key and no event yet")


_CHECKS = (
    _check_platform,
    _check_home,
    _check_settings,
    _check_rules,
    _check_identity,
    _check_policy,
    _check_approvals,
    _check_redaction,
    _check_clients,
    _check_gateway,
    _check_ledger,
)
