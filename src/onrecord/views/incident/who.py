# SPDX-License-Identifier: Apache-2.0
"""Who started it, and how sure that is: what was verified is told apart from what a client says of itself."""

from collections.abc import Sequence

from onrecord.event.event import Event
from onrecord.views.incident.saying import Case, Saying, named, quoted, several, target
from onrecord.views.incident.seen import Seen

_FEW = 3  # traces that are named
_VERIFIED = frozenset({"token", "token_mfa", "phishing_resistant"})
_HOW = {
    "os_account": "the account under which the recording process ran",
    "peer_cred": "the account at the other end of the connection, by the kernel's word",
}
_NO_HUMAN = {
    "os_account": "an account of the operating system is known, and not who used it",
    "asserted": "nobody has verified what the client says",
}


def answer_who(case: Case, saying: Saying) -> None:
    """Say who asked for the calls, by which evidence, through which client."""
    asked = [one for one in case.attempts() if one.event.direction != "server_to_client"]
    for one in asked:
        _person(case, saying, one)
    for one in asked:
        _human(saying, one)
    for one in asked:
        _agent(saying, one)
        _client(case, saying, one)
    _traces(saying, asked)
    for one in case.attempts():
        if one.event.direction == "server_to_client":
            saying.fact("server", f"{target(one.event)} was asked for by the server, not by the client", one)
    if not case.attempts():
        _nobody_called(case, saying)
    _request(case, saying)


def _person(case: Case, saying: Saying, one: Seen) -> None:
    event = one.event
    source, assurance = event.identity_source, event.identity_assurance
    names = f"identity source {source or 'none'}, assurance {assurance or 'none'}"
    tenant = f" of the tenant {named(event.tenant_id)}" if event.tenant_id else ""
    who = event.user_id or event.agent_id
    if not who:
        why = f"no identity came with the call, or none that holds ({names})"
        saying.unknown("person", "who asked for it", why, one)
    elif assurance in _VERIFIED:
        what = "" if event.user_id else "a workload by itself, "
        by = (
            f"by a verified token of {named(event.identity_issuer)}" if event.identity_issuer else "by a verified token"
        )
        saying.fact("person", f"{named(who)}{tenant}: {what}{by} ({names})", one, *_verified(case, one))
        _login(saying, one)
    elif assurance == "os_account":
        how = _HOW.get(source, "an account of the operating system")
        saying.fact("person", f"{named(who)}{tenant}: {how} ({names})", one)
    else:
        saying.claim("person", f"{named(who)}{tenant}: the client says so, and nobody has verified it ({names})", one)


def _verified(case: Case, one: Seen) -> list[Seen]:
    """Return the events of the session that tell of the token of an attempt."""
    return [
        each
        for each in case.beside("authentication")
        if each.event.session_id == one.event.session_id and each.event.user_id == one.event.user_id
    ]


def _login(saying: Saying, one: Seen) -> None:
    event = one.event
    parts = [
        f"logged in at {event.auth_time}" if event.auth_time else "",
        f"by {several(event.auth_methods)}" if event.auth_methods else "",
        f"in the context {named(event.auth_context)}" if event.auth_context else "",
    ]
    if any(parts):
        saying.claim("login", f"the issuer says: {' '.join(filter(None, parts))}", one)


def _human(saying: Saying, one: Seen) -> None:
    event = one.event
    text = "whether a natural person gave the order"
    if event.principal_type == "human":
        saying.fact("human", "the verified token is that of a natural person, by the claim that the settings name", one)
    elif event.principal_type == "workload":
        saying.fact("human", "the verified token is that of a workload, by the claim that the settings name", one)
    elif event.identity_assurance in _VERIFIED:
        saying.unknown("human", text, "the token does not say, or the settings name no claim that does", one)
    else:
        saying.unknown("human", text, _NO_HUMAN.get(event.identity_assurance, "nobody is known behind it"), one)


def _agent(saying: Saying, one: Seen) -> None:
    event = one.event
    acting = tuple(dict.fromkeys(each for each in (event.agent_id, *event.act_chain) if each))
    if acting and event.user_id:
        verified = event.identity_assurance in _VERIFIED
        text = f"for them acts {several(acting)}" + (", by the verified token" if verified else "")
        saying.say("agent", "fact" if verified else "claim", text, one)
    if event.agent_name:
        saying.claim("agent", f"the client calls the agent that acts {quoted(event.agent_name)}", one)
    if event.client_id:
        saying.fact("client_id", f"the token names the client {named(event.client_id)}", one)


def _client(case: Case, saying: Saying, one: Seen) -> None:
    event = one.event
    opened = [
        each
        for each in case.beside("connection")
        if each.event.session_id == event.session_id and each.event.action == "open"
    ]
    if event.client_name:
        saying.claim("client", f"the client calls itself {_version(event)}", one, *opened)
    else:
        saying.unknown("client", "which client it was", "it gave no name", one)
    if event.client_ip:
        saying.fact("address", f"it came from {named(event.client_ip)}", one)


def _version(event: Event) -> str:
    return quoted(event.client_name) + (f", version {quoted(event.client_version)}" if event.client_version else "")


def _traces(saying: Saying, asked: Sequence[Seen]) -> None:
    said = [one for one in asked if one.event.trace_source == "client" and one.event.trace_id]
    traces = dict.fromkeys(one.event.trace_id for one in said)
    if len(traces) > _FEW:
        saying.claim("trace", f"the client says that they are parts of {len(traces)} traces", *said)
    for one in said if len(traces) <= _FEW else ():
        saying.claim("trace", f"the client says that it is part of the trace {named(one.event.trace_id)}", one)
    for one in asked:
        if one.event.trace_faults:
            faults = several(one.event.trace_faults)
            saying.fact("trace_faults", f"what it sent of its trace could not be read: {faults}", one)


def _nobody_called(case: Case, saying: Saying) -> None:
    for one in case.gathered.seen:
        if not one.beside and one.event.user_id:
            text = f"{named(one.event.user_id)} stands on the event, and no call is part of this"
            saying.fact("person", text, one)


def _request(case: Case, saying: Saying) -> None:
    """Say what nobody here can know: what the person asked their model for."""
    digests = [one for one in case.attempts() if one.event.prompt_hash]
    why = "of the prompt only a keyed digest is on the record" if digests else "a server is not told, so it is not here"
    saying.unknown("request", "what the person asked their model for", why, *digests)
