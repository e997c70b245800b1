# SPDX-License-Identifier: Apache-2.0
"""Cedar in this process, through cedarpy: the default engine.

Policies are validated strictly against our schema (`mcp.cedarschema`) when they are loaded, and the
schema goes with each question. That matters: without it a `forbid` that reads an attribute which isn't
there is skipped, and the call allowed. Any diagnostic of the engine denies. Cedar always ends, and what it is
asked is small, so it needs no clock of its own.

Its verdict depends on nothing but the question, and on nothing in that which no policy reads. So a verdict
is remembered under what the policies read, and asking the same again costs next to nothing.

A denial that rests on nothing but policies with an obligation becomes
"needs approval", but only where the others would permit the call: nobody is asked for an approval that changes nothing.
Once it was given, the others decide. One approval lifts them all, so who gives it must have a role that
each of them accepts; where they share none, the call is denied. Where a policy names none they are the manifest's.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from onrecord.engines.cedar_files import MAX_POLICIES, PolicyFile, Rule, context_read, may_speak_of, rules_in, set_of
from onrecord.errors import ConfigError
from onrecord.event.call import Json
from onrecord.rules.policy import (
    DENIED,
    UNAPPROVED,
    Context,
    Question,
    Resource,
    Subject,
    Verdict,
    attributes,
    circumstances,
    failed,
)
from onrecord.rules.policy_input import Kind, cedar_type

if TYPE_CHECKING:
    from cedarpy import Entities

REMEMBERED = 1_000  # pairs of who and what, as entities
VERDICTS = 10_000
_OWN = "onrecord.cedar"
_DIFFERENT_ROLES = f"{DENIED}: it would need approvals of different roles"
_CIRCUMSTANCES = "type Circumstances = {"
_INPUT = "type Input = {};"  # stands in the schema, for what the manifest declares
_TYPES = {"tool": "MCP::Tool", "resource": "MCP::Resource", "prompt": "MCP::Prompt", "server": "MCP::Server"}

_EVALUATING = re.compile(r"error while evaluating policy `([^`]*)`: ")
_KINDS = ("integer overflow", "type error", "recursion limit reached")  # of what Cedar says, as it begins

_encode = msgspec.json.Encoder().encode


class Cedar:
    """An `Engine` that evaluates Cedar policies. Threads may share it."""

    name = "cedar"

    def __init__(
        self, policies: Sequence[PolicyFile], manifest: bytes, declared: Mapping[str, Kind] | None = None
    ) -> None:
        """Load `policies` beside our own; `manifest`, encoded, is part of the version. Raises ConfigError.

        `declared` are the arguments that policies may read, by pointer.
        """
        if find_spec("cedarpy") is None:
            raise ConfigError("policy.engine is 'cedar', which needs cedarpy: pip install 'onrecord[cedar]'")
        from cedarpy import PolicySet, Schema

        folder = files("onrecord.engines")
        schema = folder.joinpath("mcp.cedarschema").read_text(encoding="utf-8")
        schema = schema.replace(_INPUT, f"type Input = {cedar_type(declared or {})};")
        self._schema = Schema.from_str(schema)
        own = PolicyFile(name=_OWN, text=folder.joinpath(_OWN).read_text(encoding="utf-8"))
        rules = [rule for file in (own, *policies) for rule in rules_in(file, self._schema)]
        if any(file.name == _OWN for file in policies):
            raise ConfigError(f"{_OWN}: this name is taken by the policies that come with OnRecord; rename the file")
        if all(rule.id.startswith(f"{_OWN}#") for rule in rules):
            raise ConfigError("the .cedar files hold no policy; an empty policy would deny every call")
        if len(rules) > MAX_POLICIES:
            raise ConfigError(f"{len(rules)} policies are more than {MAX_POLICIES}; merge some")
        self._rules = {rule.id: rule for rule in rules}
        text = set_of(rules)
        self._policies = PolicySet.from_json_str(text)
        self._unlifted = PolicySet.from_json_str(set_of([rule for rule in rules if not rule.obligation]))
        self._known: dict[tuple[Subject, Resource], Entities] = {}
        self._verdicts: dict[tuple[object, ...], Verdict] = {}
        read = context_read(rules)
        self._read = sorted(set(Context.__slots__) if read is None else read & set(Context.__slots__))
        self._asking = Schema.from_str(_of_what_is_read(schema, self._read))
        parts = [self.name, version("cedarpy").encode(), text.encode(), schema.encode(), manifest]
        hashes = [hashlib.sha256(part if isinstance(part, bytes) else part.encode()).digest() for part in parts]
        self.version = hashlib.sha256(b"".join(hashes)).hexdigest()

    @property
    def rules(self) -> Sequence[Rule]:
        """The policies that are in force, our own among them."""
        return tuple(self._rules.values())

    def reads_input_of(self, tool: str) -> bool:
        """Say whether policies that may speak of `tool` read arguments."""
        read = context_read([rule for rule in self._rules.values() if may_speak_of(rule, tool)])
        return read is None or "input" in read

    def evaluate(self, question: Question) -> Verdict:
        """Return what the policies decide."""
        context = question.context
        read = [getattr(context, name) for name in self._read]
        about = (
            question.subject,
            question.action,
            question.resource,
            bool(question.approval),
            context.approver_roles,
            *read,
        )
        verdict = self._verdicts.get(about)
        if verdict is None:
            verdict = self._evaluated(question)
            if not verdict.errors:
                if len(self._verdicts) >= VERDICTS:
                    self._verdicts.clear()
                self._verdicts[about] = verdict
        return verdict

    def _evaluated(self, question: Question) -> Verdict:
        from cedarpy import Decision, is_authorized

        subject, resource = question.subject, question.resource
        entities, said = self._entities(subject, resource), circumstances(question.context, _decimal)
        request: dict[str, object] = {
            "principal": _principal(subject),
            "action": {"type": "MCP::Action", "id": question.action},
            "resource": {"type": _TYPES[resource.type], "id": resource.id},
            # as text; cedarpy's own encoding is slower
            "context": _encode({name: said[name] for name in self._read}).decode(),
        }
        answer = is_authorized(request, self._policies, entities, self._asking)
        said = answer.diagnostics
        if said.errors or answer.decision is Decision.NoDecision:
            return failed(self.name, *(self._kind(error) for error in said.errors or ["no decision"]))
        ids = tuple(sorted(said.reasons))
        if answer.allowed:
            return Verdict(decision="allow", reason=self._why("permitted by", ids), id=ids[0], determining=ids)
        if not ids:
            return Verdict(decision="deny", reason="no policy permits it", safe=DENIED, id="default")
        rules = [self._rules[one] for one in ids]
        if all(rule.obligation for rule in rules):
            without = is_authorized(request, self._unlifted, entities, self._asking)
            if without.diagnostics.errors or not without.allowed:
                return Verdict(
                    decision="deny",
                    reason=f"no policy permits it, even if approved; {self._why('forbidden by', ids)}",
                    safe=DENIED,
                    id="default",
                    determining=ids,
                )
            needing = self._needing(ids, rules, question.context.approver_roles)
            if question.approval and needing.decision == "needs_approval":
                reason = self._why("approved, as is required by", ids)
                return replace(needing, decision="allow", reason=reason, safe="")
            return needing
        final = [rule for rule in rules if not rule.obligation]
        return Verdict(
            decision="deny",
            reason=self._why("forbidden by", ids),
            safe=next((f"{DENIED}: {rule.safe}" for rule in final if rule.safe), DENIED),
            id=final[0].id,
            determining=ids,
        )

    def _kind(self, error: str) -> str:
        """Return of which kind an error of Cedar is, and of which policy; what else it says may hold values."""
        found = _EVALUATING.match(error)
        if found is None or found[1] not in self._rules:
            return "it can't decide on this question"
        rest = error[found.end() :]
        return f"{next((kind for kind in _KINDS if rest.startswith(kind)), 'an error')} in {found[1]}"

    def _needing(self, ids: tuple[str, ...], rules: Sequence[Rule], roles: tuple[str, ...]) -> Verdict:
        """Return the need for an approval that lifts all of `rules`, or a denial where no role may give it for all.

        `roles` are those of a rule that names none.
        """
        accepted = {rule.id: rule.approvers or roles for rule in rules if rule.approvers or roles}
        shared = dict.fromkeys(
            role for role in chain(*accepted.values()) if all(role in one for one in accepted.values())
        )
        if accepted and not shared:
            asked = ", ".join(f"{one} ({', '.join(named)})" for one, named in accepted.items())
            return Verdict(
                decision="deny",
                reason=f"policies ask for the approval of different roles: {asked}",
                safe=_DIFFERENT_ROLES,
                id=ids[0],
                determining=ids,
            )
        return Verdict(
            decision="needs_approval",
            reason=self._why("an approval is required by", ids),
            safe=next((f"{UNAPPROVED}: {rule.safe}" for rule in rules if rule.safe), UNAPPROVED),
            id=ids[0],
            determining=ids,
            obligations=tuple(dict.fromkeys(rule.obligation for rule in rules)),
            approvers=tuple(shared),
            error_type="needs_approval",
        )

    def _why(self, verb: str, ids: Sequence[str]) -> str:
        told = [f"{one} ({self._rules[one].reason})" if self._rules[one].reason else one for one in ids]
        return f"{verb} {', '.join(told)}"

    def _entities(self, subject: Subject, resource: Resource) -> "Entities":
        """Return who and what as Cedar's entities; the same few come with each call."""
        known = self._known.get((subject, resource))
        if known is None:
            from cedarpy import Entities

            known = Entities.from_json_str(json.dumps([_user(subject), _thing(resource)]), self._schema)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[subject, resource] = known
        return known


def _of_what_is_read(schema: str, names: Collection[str]) -> str:
    """Return `schema` with those circumstances only that policies read, so that no others are told with a question."""
    before, begin, rest = schema.partition(_CIRCUMSTANCES)
    declared, end, after = rest.partition("  };")
    lines = [line for line in declared.splitlines() if line.partition(":")[0].strip() in names]
    return "\n".join([before + begin, *lines, end + after])


def _decimal(number: str) -> Json:
    return {"__extn": {"fn": "decimal", "arg": number}}


def _principal(subject: Subject) -> dict[str, str]:
    return {"type": "MCP::Workload" if subject.kind == "workload" else "MCP::User", "id": subject.id}


def _user(subject: Subject) -> dict[str, object]:
    return {
        "uid": _principal(subject),
        "attrs": attributes(subject),
        "parents": [{"type": "MCP::Tenant", "id": subject.tenant}],
    }


def _thing(resource: Resource) -> dict[str, object]:
    is_server = resource.type == "server"
    return {
        "uid": {"type": _TYPES[resource.type], "id": resource.id},
        "attrs": {"server": resource.server},
        "parents": [] if is_server else [{"type": "MCP::Server", "id": resource.server}],
    }
