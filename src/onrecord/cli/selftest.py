# SPDX-License-Identifier: Apache-2.0
"""`onrecord selftest`: a canary through each real door, which must come out recorded, redacted, indexed and verified.

Starts each door as a host would, in the home and with the settings in force, with a server of ours behind it, and calls
its tool as a client of either era. The calls are real and on the real record, under a name that is theirs alone.

    canary_doors.py    which doors can be tried here, and how each is started
    canary_talk.py     what is said to a door, and what must come back
    canary_record.py   what must be on the record of it, redacted and proven
    canary_files.py    where no secret may be
    canary_index.py    whether a question finds it
    canary_store.py    whether it reaches the store of the settings, where there is one
"""

import sys
import time
from argparse import Namespace
from dataclasses import replace

from onrecord.cli.canary_checks import Check, Latency, Spoken
from onrecord.cli.canary_doors import WAYS, NotHere, shut_out
from onrecord.cli.canary_record import Before, examine
from onrecord.cli.canary_talk import Door, answered, speak
from onrecord.cli.terminal import print_json, put
from onrecord.cli.tokens import token_of
from onrecord.errors import NotSupported
from onrecord.ledger.place import Home
from onrecord.settings import Loaded, home_folder, load

_MARKS = {"ok": "ok  ", "fail": "FAIL", "none": "--  "}


def selftest(options: Namespace) -> int:
    """Send the canaries, say what holds, and return 1 where something does not."""
    if sys.platform == "win32":
        raise NotSupported("onrecord selftest needs POSIX, as onrecord run does")
    home = home_folder()
    loaded = load(home, options.config)
    token = token_of(options)
    latency: dict[str, Latency] = {}
    checks: list[Check] = []
    for name in options.door or WAYS:
        try:
            door = WAYS[name](loaded, options.config, "" if token is None else token.text)
        except NotHere as e:
            found = [Check("fail" if options.door else "none", "door", str(e))]
        else:
            found = _tried(door, home, loaded, options, latency)
        if name == "gateway":
            found += _shut_out(home, loaded, options)
        checks += [replace(check, door=name) for check in found]
    holds = all(check.state != "fail" for check in checks)
    if options.json:
        print_json({"holds": holds, "checks": checks, "latency": latency})
    else:
        for check in checks:
            put(f"{_MARKS[check.state]}  {check.door:<7}  {check.about:<11}  {check.text}")
    return int(not holds)


def _tried(door: Door, home: Home, loaded: Loaded, options: Namespace, latency: dict[str, Latency]) -> list[Check]:
    """Send a canary of each era through a door, and say what holds; what a call takes goes into `latency`."""
    ends = time.monotonic() + options.deadline
    before = Before(home, loaded)
    spoken: list[Spoken] = []
    for era in door.eras:
        one, took = speak(door, era, ends, options.calls if era == door.eras[-1] else 0)
        spoken.append(one)
        latency |= {} if took is None else {door.name: took}
    checks = [*map(answered, spoken), *examine(before, spoken, ends), _costs(options.calls, latency.get(door.name))]
    if any(check.state == "fail" for check in checks):
        checks += [Check("none", "door said", one.told) for one in spoken if one.told and not one.fault]
    return checks


def _shut_out(home: Home, loaded: Loaded, options: Namespace) -> list[Check]:
    found = shut_out(Before(home, loaded), options.config, time.monotonic() + options.deadline)
    return [] if found is None else [found]


def _costs(calls: int, took: Latency | None) -> Check:
    """Say what being on the record cost in this run."""
    if took is None:
        return Check(
            "none",
            "latency",
            "no calls were asked for" if not calls else "not measured, as the canary got no answer",
        )
    added = (took.recorded_us - took.direct_us) / 1000
    text = (
        f"{took.direct_us / 1000:.2f} ms straight, {took.recorded_us / 1000:.2f} ms on the record: {added:.2f} ms "
        f"more, {took.recorded_us / took.direct_us:.1f} times (median of {took.calls}; "
        "the attempt is on the device before the tool runs)"
    )
    return Check("ok", "latency", text)
