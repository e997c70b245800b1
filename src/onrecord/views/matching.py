# SPDX-License-Identifier: Apache-2.0
"""Whether an event is one that a question is about: what every engine has to agree with.

An engine finds places; the line that stands there decides. So an index that is damaged, or was tampered with, can leave
something out, but it can't put anything into an answer.
"""

from onrecord.event.event import Event
from onrecord.ledger.clock import parse_time
from onrecord.views.columns import BY_NAME, text_of, value_of
from onrecord.views.question import Question
from onrecord.views.words import has


def fits(event: Event, question: Question) -> bool:
    """Say whether `event` is one of those that `question` is about."""
    for condition in question.conditions:
        if not condition.holds(value_of(event, BY_NAME[condition.column])):
            return False
    if question.since_us is not None or question.until_us is not None:
        at_us = parse_time(event.timestamp)
        if question.since_us is not None and at_us < question.since_us:
            return False
        if question.until_us is not None and at_us >= question.until_us:
            return False
    if question.phrases:
        words = text_of(event).split(" ")
        return all(has(words, phrase) for phrase in question.phrases)
    return True
