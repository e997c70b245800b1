# SPDX-License-Identifier: Apache-2.0
"""Questions that auditors ask again and again, each written once, for every engine.

Each says what it answers, and is a list of events or groups of them. Conditions and times of one's own narrow it. What
it can't say stands in its text: an answer is what the record holds, not whether that is as it should be.
"""

from dataclasses import dataclass, replace

from onrecord.errors import OnRecordError
from onrecord.views.question import Condition, Grouping, Listing, Question

LIST = "list"  # what shows them

_RISKY = (3, 4)
_ENDED_BADLY = ("failed", "timed_out", "cancelled", "unknown")
_LIFE = ("recorder_start", "recorder_stop", "degraded", "log_recovered", "gap", "delivery_failure")
_CHANGES = ("configuration", "tool_definition", "install", "uninstall", "key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A question by its id. With `by` it is answered in groups. `needs` is a column that must be asked for besides."""

    id: str
    about: str
    conditions: tuple[Condition, ...]
    log: str = "calls"
    by: tuple[str, ...] = ()
    needs: str = ""

    def asked(self, question: Question) -> Question:
        """Return the question, narrowed by somebody's own. Raises OnRecordError where that lacks what is needed."""
        if self.needs and all(condition.column != self.needs for condition in question.conditions):
            raise OnRecordError(f"{self.id} is about one {self.needs}; say which")
        return replace(question, conditions=(*self.conditions, *question.conditions))

    def listing(self, question: Question, *, limit: int, oldest_first: bool = False) -> Listing:
        """Return the list of events that it asks for."""
        return Listing(question=self.asked(question), limit=limit, oldest_first=oldest_first)

    def grouping(self, question: Question, *, limit: int) -> Grouping:
        """Return the groups that it asks for."""
        return Grouping(question=self.asked(question), by=self.by, limit=limit)


def _one_of(column: str, *values: str | int) -> Condition:
    return Condition(column=column, values=values)


_CALL = _one_of("phase", "attempt")
_END = _one_of("phase", "result")

SHIPPED: tuple[Shipped, ...] = (
    Shipped(
        id="denied",
        about="calls that were denied, by whom they were asked for, on which tool, and the rule that denied them",
        conditions=(_CALL, _one_of("policy_decision", "deny")),
        by=("user_id", "tool_name", "policy_id"),
    ),
    Shipped(
        id="failed-authentications",
        about="attempts to authenticate, and who was refused for what",
        conditions=(_one_of("event_type", "authentication"),),
        by=("action", "client_name", "client_ip", "error_type"),
    ),
    Shipped(
        id="who-called-what",
        about="who called which tool on which resource, and how often: what a review of access rights begins with",
        conditions=(_CALL,),
        by=("user_id", "server_id", "tool_name", "resource"),
    ),
    Shipped(
        id="risky-calls",
        about="calls of tier 3 and 4 by tool, decision and the version of the policy that decided",
        conditions=(_CALL, _one_of("risk_tier", *_RISKY)),
        by=("risk_tier", "tool_name", "policy_decision", "policy_version"),
    ),
    Shipped(
        id="assurance",
        about="how surely it is known who is behind calls, by their risk tier",
        conditions=(_CALL,),
        by=("risk_tier", "identity_assurance"),
    ),
    Shipped(
        id="flagged",
        about="results that looked like an attack, by what was seen in them and where they came from; signs, not proof",
        conditions=(_END, Condition(column="suspicious_signals")),
        by=("suspicious_signals", "server_id", "tool_name"),
    ),
    Shipped(
        id="changes",
        about="changes of settings, policies, keys, tool definitions and clients' configurations, each as it stands",
        conditions=(_one_of("event_type", *_CHANGES),),
    ),
    Shipped(
        id="record-read",
        about="who looked at the record, and how",
        conditions=(_one_of("event_type", "access"),),
        log="access",
        by=("user_id", "action"),
    ),
    Shipped(
        id="recording",
        about="starts and stops of recorders, gaps, full disks and recoveries: when the record may lack something",
        conditions=(_one_of("event_type", *_LIFE),),
    ),
    Shipped(
        id="deleted",
        about="what was deleted from the record, under which rule",
        conditions=(_one_of("event_type", "retention"),),
    ),
    Shipped(
        id="failures",
        about="calls that failed, timed out, were cancelled, or whose end is not known, by tool and kind of failure",
        conditions=(_END, _one_of("result_status", *_ENDED_BADLY)),
        by=("server_id", "tool_name", "result_status", "error_type"),
    ),
    Shipped(
        id="one-person",
        about="all that is on the record about one person, who is named with --user",
        conditions=(),
        needs="user_id",
    ),
    Shipped(
        id="approvals",
        about="how approvals went: who asked, who ruled, and on which tool",
        conditions=(_one_of("event_type", "approval"),),
        by=("action", "user_id", "approval_approver", "tool_name"),
    ),
)

BY_ID = {each.id: each for each in SHIPPED}
