# SPDX-License-Identifier: Apache-2.0
"""`onrecord login` and `onrecord logout`: a person logs in at the issuer, stays logged in, and logs out."""

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from onrecord.cli.ending import Ends, heeding
from onrecord.cli.terminal import print_json, put, say
from onrecord.errors import IssuerAway, LedgerError, NotAuthenticated, NotLoggedIn
from onrecord.logins import Parts, Status, build_login, status
from onrecord.settings import home_folder, load

if TYPE_CHECKING:
    from onrecord.identity.device import Shown
    from onrecord.identity.login import Holding

_SOONEST_S, _LATEST_S = 5.0, 3600.0  # between two refreshes
_EARLY_S = 60.0  # before the ID token expires, at the latest
_AGAIN_S, _SLOWEST_S = 5.0, 120.0  # between two tries of one
_LOOK_S = 15.0  # at the clock: a machine that slept has lost time


def login(options: Namespace) -> int:
    """Log in, refresh, keep refreshing, or say how it stands. Returns 1 where a person has to log in."""
    home = home_folder()
    loaded = load(home, options.config)
    parts = build_login(home, loaded, say)
    try:
        if options.keep:
            return _keep(parts)
        if options.refresh:
            parts.login.refresh()
        elif not options.status:
            parts.login.begin(show=_show, sleep=time.sleep, ticks=time.monotonic)
    except NotLoggedIn as e:
        say(str(e))
        return 1
    found = status(home, loaded, parts)
    if options.json:
        print_json(found)
    else:
        _print(found)
    return 0 if found.holds else 1


def logout(options: Namespace) -> int:
    """Forget the log-in, and return 1 where the issuer could not be told."""
    home = home_folder()
    parts = build_login(home, load(home, options.config), say)
    told = parts.login.end()
    say("logged out; what the log-in left here is removed")
    if not told:
        say("the issuer could not be told; there, the log-in may go on until it expires")
    return 0 if told else 1


def _keep(parts: Parts) -> int:
    """Refresh the ID token before it expires, until this process is told to end. Raises NotLoggedIn."""
    with heeding() as ended:
        _keep_until(ended, parts)  # a refresh that was begun is brought to its end
    return 0


def _keep_until(ended: Ends, parts: Parts) -> None:
    wait_s = _AGAIN_S
    while not ended.is_set():
        try:
            holding = parts.login.refresh()
            due_s, wait_s = _due(holding, time.time()), _AGAIN_S
            say(f"refreshed; the ID token holds until {_time(holding.expires_s)}")
        except (IssuerAway, NotAuthenticated, LedgerError) as e:
            say(f"{e}; the next try is in {wait_s:.0f} s")
            due_s, wait_s = time.time() + wait_s, min(wait_s * 2, _SLOWEST_S)
        _until(due_s, ended, time.time)


def _due(holding: "Holding", now_s: float) -> float:
    """Return when to refresh: after half of what is left, and in time."""
    left_s = holding.expires_s - now_s
    return now_s + min(max(min(left_s / 2, left_s - _EARLY_S), _SOONEST_S), _LATEST_S)


def _until(due_s: float, ended: Ends, clock: Callable[[], float]) -> None:
    while (left_s := due_s - clock()) > 0 and not ended.wait(min(left_s, _LOOK_S)):
        pass


def _show(shown: "Shown") -> None:
    minutes = max(1, round(shown.expires_s / 60))
    say(f"open {shown.url} in a browser and enter the code {shown.code} within {minutes} min")
    if shown.complete:
        say(f"or open {shown.complete} and see that it shows that code")
    sys.stderr.flush()


def _print(found: Status) -> None:
    put(f"issuer         {found.issuer}, as client {found.client_id}")
    if found.holds:
        put(f"ID token       holds until {_time(found.expires_s)}; {found.token_file}")
    else:
        put(f"ID token       calls are refused: {found.why}; {found.token_file}")
    if found.user_id:
        put(f"on the record  {found.user_id}")
    if found.refreshable:
        put(
            f"refresh token  in {found.kept_in}, which only this account can read; refreshed {_time(found.refreshed_s)}"
        )
    else:
        put("refresh token  none: when the ID token expires, a person has to log in")
    if found.cut_off_s:
        put(
            f"               a refresh of {_time(found.cut_off_s)} was cut off; the next one will show whether it holds"
        )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
