# SPDX-License-Identifier: Apache-2.0
"""`onrecord query`, `search` and `stats`: what the record says, by conditions, by words, in numbers.

What is answered is put on the access log before it is shown: what was asked, and how much came of it.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace

from onrecord.cli.accessed import accessed_in, answered
from onrecord.cli.asked import columns_of, question_of, told
from onrecord.cli.exported import check_exported, write_exported
from onrecord.cli.output import Form, write_rows
from onrecord.cli.sources import Source, check_asked, homes_of, is_plural, read_homes, source_of, where_of
from onrecord.cli.terminal import one_line, print_json, print_line, put, say
from onrecord.errors import OnRecordError
from onrecord.settings import home_folder
from onrecord.views.answers import Found
from onrecord.views.columns import BY_NAME, native_of, value_of
from onrecord.views.forms.offered import EXPORTS
from onrecord.views.question import FILTERS, Condition, Group, Grouping, Listing, Question
from onrecord.views.shipped import BY_ID as SHIPPED_BY_ID
from onrecord.views.shipped import LIST, SHIPPED, Shipped

_DEFAULT = ("timestamp", "seq", "event_type", "phase", "server_id", "tool_name", "user_id", "policy_decision")
_LAST_DAYS = 14
_WHOLE = 200  # characters: what a shipped question is about is not cut
_NOTHING = "nothing on the record is like that"
_NO_WORDS = (
    f"{_NOTHING}; of arguments and results only that has words which a [[tool]] lets onto the record: "
    'summary = ["/…"], or classification = "low"'
)
_RESULT = Condition(column="phase", values=("result",))
_ATTEMPT = Condition(column="phase", values=("attempt",))


def query(options: Namespace) -> int:
    """Show the events that are asked for, or count them, in groups if that is asked."""
    if options.shipped == LIST:
        rows = ((each.id, each.log, each.about) for each in SHIPPED)
        write_rows(("id", "log", "about"), rows, _plain_form(options), widest=_WHOLE)
        return 0
    if options.columns == LIST:
        return _list_columns(options)
    shipped = SHIPPED_BY_ID.get(options.shipped)
    if shipped is not None:
        options.log = shipped.log
        options.by = options.by or ",".join(shipped.by)
    return _answer(options, "query", "", shipped)


def _list_columns(options: Namespace) -> int:
    """Show the columns, and whether groups can be made by them."""
    listed = ((name, BY_NAME[name].kind, "yes" if name in FILTERS else "no") for name in BY_NAME)
    write_rows(("column", "kind", "by"), listed, _plain_form(options))
    return 0


def _plain_form(options: Namespace) -> Form:
    """Return the form of what is no event. Raises OnRecordError where that of a standard is asked for."""
    if options.format in EXPORTS:
        raise OnRecordError(f"--format {options.format} is of events; {LIST} has none")
    return options.format


def search(options: Namespace) -> int:
    """Show the events that have the words."""
    if options.columns == LIST:
        return _list_columns(options)
    words = " ".join(options.words)
    if not words.strip():
        raise OnRecordError("there is no word to look for; onrecord query asks without words")
    return _answer(options, "search", words, None)


def _answer(options: Namespace, verb: str, words: str, shipped: Shipped | None) -> int:
    _check_limit(options.limit)
    if options.measure and not options.by:
        raise OnRecordError(f"--measure {options.measure} is of groups; say of which with --by, as in --by tool_name")
    check_exported(options)
    check_asked(options)
    home = home_folder()
    asked = question_of(options, homes_of(options, home), words)
    asked = shipped.asked(asked) if shipped else asked
    recorded = {"log": options.log, "filter": told(asked), "where": where_of(options)}
    homes = read_homes(options, home)
    with source_of(options, home) as source:
        if options.by:
            by = columns_of(options.by, "--by", grouped=True)
            grouping = Grouping(question=asked, by=by, measure=options.measure or "count", limit=options.limit)
            recorded["by"] = options.by
            groups = answered(homes, verb, lambda: source.group(grouping), **recorded)
            accessed_in(homes, verb, **recorded, count=str(len(groups)))
            _write_groups(grouping, groups, options.format)
            say_remarks(source)
            if not groups:
                say(_NOTHING)
            return 0 if groups else 1
        if options.count:
            total = answered(homes, verb, lambda: source.count(asked), **recorded)
            accessed_in(homes, verb, **recorded, count=str(total))
            put(str(total))
            say_remarks(source)
            return 0
        listing = Listing(question=asked, limit=options.limit, oldest_first=options.oldest_first)
        found = answered(homes, verb, lambda: list(source.list(listing)), **recorded)
        form = options.format if options.format in EXPORTS else ""
        accessed_in(homes, verb, **recorded, count=str(len(found)), form=form)
        _write(found, options)
        _remark(source, found, options)
        return 0 if found else 1


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise OnRecordError(f"--limit {limit} asks for nothing; give a number of rows")


def say_remarks(source: Source) -> None:
    """Say what there is to say about how answers were found."""
    for remark in source.remarks:
        say(remark)


def _remark(source: Source, found: Sequence[Found], options: Namespace) -> None:
    say_remarks(source)
    if source.differing:
        wrong, remedy = "the index", "delete the folder of the index and ask again"
        if options.store:
            wrong, remedy = "what the store says", "send it again with: onrecord index --to … --rebuild"
        at = source.differing[0]
        say(f"{wrong} does not fit the record, at entry {at} for one; {remedy}, and run: onrecord verify")
    if rebuilt := sum(not each.line for each in found):
        say(f"{rebuilt:,} of these are as the store says; their lines are not here, so nothing proves them")
    if not found:
        say(_NO_WORDS if "words" in options else _NOTHING)
    elif len(found) == options.limit:
        say(f"there may be more; this is the limit of {options.limit} that --limit changes")


def _write(found: Sequence[Found], options: Namespace) -> None:
    if options.format in EXPORTS:
        write_exported([each.event for each in found], options)
        return
    names = columns_of(options.columns, "--columns") if options.columns else ()
    if is_plural(options):
        _write_plural(found, names, options.format)
    elif options.format == "table" and not names:
        for each in found:
            put(one_line(each.event))
    elif options.format == "ndjson" and not names:
        for each in found:
            print_line(each.line)
    else:
        names = names or (tuple(BY_NAME) if options.format == "json" else _DEFAULT)
        columns = [BY_NAME[name] for name in names]
        read = native_of if options.format == "json" else value_of
        rows = ([read(each.event, column) for column in columns] for each in found)
        write_rows(names, rows, options.format)


def _write_plural(found: Sequence[Found], names: Sequence[str], form: Form) -> None:
    """Write events, each with the name of its ledger, and whether its line was read or the row of a store."""
    names = names or (_DEFAULT if form in ("table", "csv") else tuple(BY_NAME))
    columns = [BY_NAME[name] for name in names]
    read = value_of if form in ("table", "csv") else native_of
    rows = (
        [each.ledger, "line" if each.line else "store", *(read(each.event, column) for column in columns)]
        for each in found
    )
    write_rows(("ledger", "source", *names), rows, form)


def _write_groups(grouping: Grouping, groups: Sequence[Group], form: Form) -> None:
    timed = grouping.measure != "count"
    names = (*grouping.by, "events", *([f"latency_us_{grouping.measure}"] if timed else []))
    rows = ((*group.key, group.count, *([group.value] if timed else [])) for group in groups)
    write_rows(names, rows, form)


def stats(options: Namespace) -> int:
    """Show the record in numbers: calls by how they ended and were decided, and the tools and people that have most."""
    _check_limit(options.limit)
    home = home_folder()
    asked = question_of(options, homes_of(options, home))
    ended = replace(asked, conditions=(*asked.conditions, _RESULT))
    begun = replace(asked, conditions=(*asked.conditions, _ATTEMPT))
    groupings = {
        "calls by day": Grouping(question=begun, by=("day",), limit=_LAST_DAYS),
        "decisions": Grouping(question=begun, by=("policy_decision",)),
        "results": Grouping(question=ended, by=("result_status",)),
        "errors": Grouping(question=_with(ended, "error_type"), by=("error_type",), limit=options.limit),
        "calls by tool": Grouping(question=begun, by=("server_id", "tool_name"), limit=options.limit),
        "calls by person": Grouping(question=begun, by=("user_id",), limit=options.limit),
        "slowest tools": Grouping(question=ended, by=("server_id", "tool_name"), measure="p95", limit=options.limit),
    }
    recorded = {"log": options.log, "filter": told(asked), "where": where_of(options)}
    homes = read_homes(options, home)
    with source_of(options, home) as source:
        found = answered(
            homes, "stats", lambda: {about: source.group(each) for about, each in groupings.items()}, **recorded
        )
        say_remarks(source)
    accessed_in(homes, "stats", **recorded, count=str(sum(map(len, found.values()))))
    if options.json:
        print_json({about: [_named(groupings[about], group) for group in groups] for about, groups in found.items()})
        return 0
    shown = {about: groups for about, groups in found.items() if groups}
    for number, (about, groups) in enumerate(shown.items()):
        if number:
            put("")
        put(about)
        ordered = sorted(groups, key=lambda group: str(group.key)) if about == "calls by day" else groups
        _write_groups(groupings[about], ordered, "table")
    if not shown:
        say(_NOTHING)
    return 0


def _with(question: Question, column: str) -> Question:
    return replace(question, conditions=(*question.conditions, Condition(column=column)))


def _named(grouping: Grouping, group: Group) -> dict[str, object]:
    said: dict[str, object] = dict(zip(grouping.by, group.key, strict=True))
    said["events"] = group.count
    if grouping.measure != "count":
        said[f"latency_us_{grouping.measure}"] = group.value
    return said
