# SPDX-License-Identifier: Apache-2.0
"""Events in the forms of others: OCSF, ECS, CloudEvents, OpenTelemetry log records, the agent-audit-trail draft.

Each form is a function from an event to JSON. All that the event says is in it: where the standard has a place for it,
there, and else where the standard lets a producer put its own. Nothing is added that the event does not say, but for
what a standard demands: the word "unknown", or zero, stands there. What was redacted stays redacted.
"""
