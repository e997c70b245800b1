# SPDX-License-Identifier: Apache-2.0
"""A policy decision point elsewhere, asked over HTTP as AuthZEN says (Authorization API 1.0, `/access/v1/evaluation`).

It is asked with attributes only, and has until the deadline for the whole exchange. No answer, another
status than 200, or an answer that isn't one denies. An answer that allows but asks for something to be done
first denies as well: nothing here could do it (Obligations profile, draft 1). `approval_required` as the
reason of a denial means that an approval would lift it (Access Request and Approval profile, draft 1). An answer that
can be read in two ways, or that says more than a decision and its context, is none.

What it says in words is kept for the record, never handed to the caller; where it was told an argument or a URI not
even that, as its words could repeat it. It tells no version of its
policies, so the version here covers which point was asked, and the manifest.
"""

import hashlib
from typing import cast

import msgspec

from onrecord.errors import ConfigError, OnRecordError
from onrecord.identity.strict import NotStrict, strict_object
from onrecord.ledger.post import check_url, post
from onrecord.rules.policy import DENIED, LONGEST_REASON, UNAPPROVED, Question, Verdict, authzen, failed

_PATH = "/access/v1/evaluation"
_NEEDED = "approval_required"
_ANSWER = {"decision", "context"}
_TOLD = ("reason", "reason_admin")  # of an answer's context, for the record


class AuthZen:
    """An `Engine` that asks a decision point. Threads may share it."""

    name = "authzen"

    def __init__(self, url: str, manifest: bytes, *, timeout_s: float) -> None:
        """`url` is that of the point, without the path of the API. Raises ConfigError."""
        try:
            check_url(url, plain=False)
        except ConfigError as e:
            raise ConfigError(f"policy.url: {e}") from e
        self._url = url.rstrip("/") + _PATH
        self._timeout_s = timeout_s
        digests = [hashlib.sha256(part).digest() for part in (b"authzen", self._url.encode(), manifest)]
        self.version = hashlib.sha256(b"".join(digests)).hexdigest()

    def evaluate(self, question: Question) -> Verdict:
        """Return what the decision point says."""
        body = msgspec.json.encode(authzen(question))
        try:
            answer = post(self._url, body, "application/json", timeout_s=self._timeout_s)
        except OnRecordError as e:
            return failed(self.name, str(e))
        if answer.status != 200:
            return failed(self.name, f"it answered with status {answer.status}")
        try:
            said = strict_object(answer.body)
        except NotStrict as e:
            return failed(self.name, f"its answer {e}")
        allowed, context = said.get("decision"), said.get("context", {})
        if not isinstance(allowed, bool) or not isinstance(context, dict):
            return failed(self.name, "its answer holds no decision")
        if not said.keys() <= _ANSWER:
            return failed(self.name, "its answer holds more than a decision and its context")
        return _verdict(cast(dict[str, object], context), question, allowed=allowed)


def _verdict(context: dict[str, object], question: Question, *, allowed: bool) -> Verdict:
    why = _words(context, question)
    needs_approval = context.get("reason") == _NEEDED
    if allowed and (needs_approval or context.get("obligations", []) != []):
        what = "but says that an approval is required" if needs_approval else "with obligations that can't be met here"
        reason = f"permitted by the decision point, {what}{why}"
        return Verdict(decision="deny", reason=reason, safe=DENIED, id="authzen")
    if allowed:
        return Verdict(decision="allow", reason=f"permitted by the decision point{why}", id="authzen")
    if needs_approval:
        return Verdict(
            decision="needs_approval",
            reason=f"an approval is required by the decision point{why}",
            safe=UNAPPROVED,
            id="authzen",
            obligations=("approval",),
            error_type="needs_approval",
        )
    return Verdict(decision="deny", reason=f"forbidden by the decision point{why}", safe=DENIED, id="authzen")


def _words(context: dict[str, object], question: Question) -> str:
    """Return what is said in words, without the name of what was called; "" where it could repeat a value."""
    name, told = question.resource.id, [_text(context[key]) for key in _TOLD if context.get(key)]
    if not told or question.context.input.values or question.resource.type == "resource":
        return ""
    words = "; ".join(told)
    return f": {words.replace(name, '…') if name else words}"[:LONGEST_REASON]


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
