# SPDX-License-Identifier: Apache-2.0
"""What an answer that comes with a call means for it, before anybody looks at how its request stands. Pure."""

from dataclasses import replace

from onrecord.event.call import Call
from onrecord.rules.policy import Verdict

REFUSED = "approval_refused"  # an approval, or an answer, that does not count


def by_confirmation(call: Call, verdict: Verdict) -> Verdict:
    """Return `verdict`, or one by which `call` must not run: its answer does not hold, or says no.

    A policy that would let it run without an approval doesn't outweigh that: whoever was asked has said no, or
    somebody has changed what they were asked.
    """
    said = call.confirmation
    if said is None or verdict.decision == "deny":
        return verdict
    if said.fault:
        return _denied(verdict, said.fault, REFUSED)
    if said.answer == "rejected" and verdict.decision == "allow":
        return _denied(verdict, "the user has declined it", "approval_rejected")
    return verdict


def _denied(verdict: Verdict, why: str, error_type: str) -> Verdict:
    return replace(
        verdict, decision="deny", reason=why, safe=why, id="confirmation", determining=(), error_type=error_type
    )
