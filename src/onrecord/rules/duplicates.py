# SPDX-License-Identifier: Apache-2.0
"""Whether a call was made before: by the same person, to the same tool, with the same arguments, a short while ago.

A client that retries doesn't say so: to the protocol a retry is a new request. Two calls are the same here where
who asks (person, agent and client), server, tool and arguments are, whatever answers to a server's questions come
along. Where the manifest names an idempotency key and a call brings one, the key stands for the arguments: calls with
different keys are different even if nothing else is, and a key that comes back with other arguments is a sign of its
own.

A repeated call is flagged. One of tier 4 is refused, unless the manifest allows it: what was paid twice stays paid
twice. The rounds of one call have one call id, and are never duplicates of each other. A call counts from the moment
it is asked for, so that a policy can be told of it, and however it ends, because a call that failed may have taken
effect; one that was not made is forgotten.

Memory is bounded. Of calls below tier 4 the oldest are forgotten; of tier 4 none is forgotten before its time, and
where there are too many to remember, further ones are refused. It is the memory of one process: what another
process made, or this one before it was started anew, is not seen. Nothing here locks.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from msgspec.structs import replace as replaced

from onrecord.event.call import Call, Json
from onrecord.event.event import Event
from onrecord.rules import pointer
from onrecord.rules.classify import Treatment
from onrecord.rules.memory import short
from onrecord.rules.policy import Verdict

REMEMBERED = 10_000  # calls of tier 4, and as many of the others
REFUSED_FROM = 4  # the tier from which a duplicate is refused
_UNTOLD = "whether it is a duplicate can't be told"
_FOR, _UNLESS = "duplicates.window says for how long", "tool.allow_duplicates lifts that"  # the settings
LONGEST_KEY = 256  # characters of an idempotency key; a longer value is none

REPEATED = "repeated-call"
REUSED = "idempotency-key-reused"

_META = "_meta"
_ASKED = frozenset({"tool_call", "request"})  # the others read or ask; only of tier 4 are they compared

_Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Asked:
    """What makes a call the same as another: `key` says which operation it is, `digest` with what arguments."""

    call_id: str
    key: _Key
    digest: str
    risky: bool
    allowed: bool  # to be made twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is to be said of a call: which call it repeats, and why it must not run; empty where there is nothing.

    `refusal` holds no value of the call: the caller may see it.
    """

    repeats: str = ""
    signals: tuple[str, ...] = ()
    refusal: str = ""
    remembered: bool = field(default=False, compare=False)  # as the first of its kind

    def on(self, event: Event) -> Event:
        """Return `event`, an attempt, with which call it repeats."""
        if not self.repeats:
            return event
        return replaced(event, repeats=self.repeats, suspicious_signals=(*event.suspicious_signals, *self.signals))

    def verdict(self, policy: Verdict) -> Verdict:
        """Return `policy`, by which the call may run, or that it must not."""
        if not self.refusal:
            return policy
        return replace(
            policy, decision="deny", reason=self.refusal, safe=self.refusal, id="duplicates", error_type="duplicate"
        )


NEW = Comparison()
FIRST = Comparison(remembered=True)


def idempotency_key(call: Call, treatment: Treatment) -> str:
    """Return the key that the manifest names for calls of this tool; "" where it names none or the call has none.

    The pointer leads into the arguments or, where it begins with `/_meta/`, into `_meta`. A key is a text, or a
    whole number.
    """
    if not treatment.idempotency_key:
        return ""
    tokens = pointer.parse(treatment.idempotency_key)
    inside: Json = call.arguments.open()
    if tokens[0] == _META:
        inside, tokens = call.meta.open(), tokens[1:]
    found = pointer.places(tokens, inside, in_texts=False)
    value = pointer.value_at(inside, found[0]) if found else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
        value = str(value)
    return value if isinstance(value, str) and len(value) <= LONGEST_KEY else ""


def asked(call: Call, call_id: str, treatment: Treatment, digest: str) -> Asked | None:
    """Return what `call` is compared by; None where it is of a kind that may be repeated at will.

    `digest` is that of its arguments, "" where they have none.
    """
    risky = treatment.tier >= REFUSED_FROM
    if call.direction != "client_to_server" or not (risky or call.event_type in _ASKED):
        return None
    at = call.connection
    about = (*at.owner, at.server_id, short(call.method), short(call.name))
    named = idempotency_key(call, treatment)
    return Asked(
        call_id=call_id,
        key=(*about, "key", named) if named else (*about, "arguments", digest),
        digest=digest,
        risky=risky,
        allowed=treatment.allow_duplicates,
    )


class Duplicates:
    """The calls of one process within the window."""

    __slots__ = ("_others", "_risky", "_window_s")

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._risky: OrderedDict[_Key, tuple[str, str, float]] = OrderedDict()  # → call id, digest, when; oldest first
        self._others: OrderedDict[_Key, tuple[str, str, float]] = OrderedDict()

    def judge(self, asked: Asked, now_s: float) -> Comparison:
        """Return what is to be said of a call that is asked for at `now_s`, and remember it where it may run.

        `now_s` never goes back. Where the call is then not made, `forget` it.
        """
        table = self._risky if asked.risky else self._others
        self._expire(table, now_s)
        known = table.get(asked.key)
        if known is not None:
            return self._repeated(asked, *known, now_s)
        if asked.risky and not asked.digest and not asked.allowed:
            return Comparison(refusal=f"{_UNTOLD}: its arguments can't be compared; {_UNLESS}")
        if not asked.digest:
            return NEW
        if len(table) >= REMEMBERED:
            if asked.risky and not asked.allowed:
                return Comparison(refusal=f"{_UNTOLD}: too many calls of this tier to remember; {_UNLESS}")
            table.popitem(last=False)
        table[asked.key] = (asked.call_id, asked.digest, now_s)
        return FIRST

    def _repeated(self, asked: Asked, first: str, digest: str, at_s: float, now_s: float) -> Comparison:
        if first == asked.call_id:
            return NEW  # a further round of the same call
        since = f"within {self._window_s:g} s (call {first}, {max(0, now_s - at_s):.0f} s ago)"
        if asked.digest != digest:
            refusal = f"its idempotency key was used for other arguments {since}; {_FOR}" if asked.risky else ""
            return Comparison(repeats=first, signals=(REUSED,), refusal=refusal)
        refusal = f"an identical call was made {since}; {_FOR}, {_UNLESS}" if asked.risky and not asked.allowed else ""
        return Comparison(repeats=first, signals=(REPEATED,), refusal=refusal)

    def forget(self, asked: Asked) -> None:
        """Forget a call that was not made."""
        table = self._risky if asked.risky else self._others
        known = table.get(asked.key)
        if known is not None and known[0] == asked.call_id:
            del table[asked.key]

    def _expire(self, table: OrderedDict[_Key, tuple[str, str, float]], now_s: float) -> None:
        while table and now_s - next(iter(table.values()))[2] > self._window_s:
            table.popitem(last=False)
