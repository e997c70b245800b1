# SPDX-License-Identifier: Apache-2.0
"""Whether it was allowed: each decision with its rule and reason, the version of the policy, scopes and roles."""

from onrecord.event.event import Event
from onrecord.views.incident.saying import Case, Saying, named, quoted, several
from onrecord.views.incident.seen import Seen


def answer_allowed(case: Case, saying: Saying) -> None:
    """Say what was decided on each call, by what, and why."""
    decided = [one for told in case.calls for one in (*told.of("attempt"), *told.of("decision"))]
    for one in sorted(decided, key=lambda one: (one.event.timestamp, one.place)):
        _decision(saying, one)
    _versions(case, saying, decided)
    for one in case.attempts():
        _scopes(saying, one)


def _decision(saying: Saying, one: Seen) -> None:
    event = one.event
    if not event.policy_decision:
        saying.unknown("decision", "what was decided on it", "the event does not say", one)
        return
    by = "" if event.policy_id in ("", "none") else f" by {named(event.policy_id)}"
    others = [rule for rule in event.policy_determining if rule != event.policy_id]
    more = f", with {several(others)}" if others else ""
    why = f": {quoted(event.policy_reason)}" if event.policy_reason else ""
    saying.fact("decision", f"{event.policy_decision}{by}{more}{why}", one)
    if event.policy_observed:
        saying.fact("observed", f"the policy was only watched; it would have said {event.policy_observed}", one)


def _versions(case: Case, saying: Saying, decided: list[Seen]) -> None:
    for version in dict.fromkeys(one.event.policy_version for one in decided if one.event.policy_version):
        of = [one for one in decided if one.event.policy_version == version]
        loaded = [one for one in case.beside("configuration") if one.event.policy_version == version]
        if loaded:
            text = f"version {named(version)} of policy and settings, loaded at {loaded[0].event.timestamp}"
            saying.fact("policy", text, loaded[0])
        else:
            saying.fact("policy", f"version {named(version)} of policy and settings", *of)
            why = "no event that was found says so: an engine elsewhere gives its version with the answer"
            saying.unknown("loaded", f"when version {named(version)} was loaded", why, *of)
    if silent := [one for one in decided if not one.event.policy_version]:
        saying.unknown("policy", "by which version of the policy", "the event does not say", *silent)


def _scopes(saying: Saying, one: Seen) -> None:
    event = one.event
    if event.scope_required or event.scope_present:
        saying.fact("scope", _compared(event), one)
    if event.roles_present:
        saying.fact("roles", f"the caller had the roles {several(event.roles_present)}", one)


def _compared(event: Event) -> str:
    lacking = [scope for scope in event.scope_required if scope not in event.scope_present]
    beyond = [scope for scope in event.scope_present if scope not in event.scope_required]
    asked = f"asks for {several(event.scope_required)}" if event.scope_required else "names no scope"
    had = f"had {several(event.scope_present)}" if event.scope_present else "had none"
    name = named(event.tool_name or event.resource_uri or event.prompt_name or event.method)
    text = f"{name} {asked}; the caller {had}"
    text += f"; lacking: {several(lacking)}" if lacking else ""
    return text + (f"; beyond what it asks for: {several(beyond)}" if beyond else "")
