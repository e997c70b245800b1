# SPDX-License-Identifier: Apache-2.0
"""What an install, or an uninstall, makes of one configuration: worked out and checked, and nothing written yet.

A change is only offered where undoing it gives back the very text that was there.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from onrecord.clients.document import Edit, Form, Member, NotReadable, edited
from onrecord.clients.files import Text, check_writable, read
from onrecord.clients.finding import Configuration
from onrecord.clients.jsonc import JSONC
from onrecord.clients.kept import State, digest
from onrecord.clients.known import Client, Keys, client_of
from onrecord.clients.tables import TOML
from onrecord.clients.wrapping import Done, Gateway, Look, Wrapper, is_passing, look, undone

_FORMS: dict[str, Form] = {form.name: form for form in (JSONC, TOML)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """A configuration that was read, and how each of its servers stands to the record."""

    configuration: Configuration
    old: Text
    looks: tuple[Look, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A configuration as it is to be, with what is then kept of it: a state and the file without what was done.

    `servers` are those that change, `left` those that an uninstall can't undo, as they were edited since.
    """

    client: Client
    old: Text
    new: bytes
    servers: tuple[Keys, ...]
    state: State | None
    before: bytes = b""
    left: tuple[Keys, ...] = ()

    @property
    def form(self) -> Form:
        return _FORMS[self.client.form]


def survey(configuration: Configuration, wrapper: Wrapper, gateway: Gateway) -> Surveyed:
    """Read a configuration, and look at its servers. Raises ConfigError, and FileNotFoundError."""
    old = read(configuration.path)
    form, client = _FORMS[configuration.client.form], configuration.client
    looks = [look(form, old.text, entry, wrapper, gateway) for entry in form.entries(old.text, client.servers)]
    return Surveyed(configuration=configuration, old=old, looks=tuple(looks))


def installed(surveyed: Surveyed, chosen: Callable[[Look], bool], state: State | None) -> Change | None:
    """Return the change that puts the chosen servers on the record, or None where there is nothing to do.

    `state` is what an earlier install has kept. Raises ConfigError where it can't be done.
    """
    client, old = surveyed.configuration.client, surveyed.old
    looks = [one for one in surveyed.looks if one.done is not None and chosen(one)]
    if not looks:
        return None
    check_writable(old.file)
    done = [one.done for one in looks if one.done is not None]
    new = edited(old.text, [edit for one in looks for edit in one.edits])
    if _without(client, new, done) != (old.text, tuple(done)):
        raise NotReadable("could not be restored exactly afterwards, so it is left as it is")
    mine = {one.path for one in done}
    kept = [one for one in state.servers if one.path not in mine] if state else []
    servers = (*_passing(client, new, kept), *done)
    before, _ = _without(client, new, servers)
    return Change(
        client=client,
        old=old,
        new=new.encode(),
        servers=tuple(one.path for one in done),
        state=State(file=str(old.file), client=client.name, after=digest(new.encode()), servers=servers),
        before=before.encode(),
    )


def uninstalled(old: Text, state: State, before: bytes, chosen: Callable[[Keys], bool]) -> Change:
    """Return the change that takes the chosen servers off the record. Raises ConfigError where it can't be done."""
    try:
        client = client_of(state.client)
    except KeyError:
        raise NotReadable("was installed by another version of onrecord, for a client that is not known here") from None
    check_writable(old.file)
    wanted = [one for one in state.servers if chosen(one.path)]
    new, gone = _without(client, old.text, wanted)
    undone_ones = {one.path for one in gone}
    rest = [one for one in state.servers if one.path not in undone_ones]
    data = new.encode()
    if not rest and digest(old.data) == state.after:
        data = before  # it is as it was left, so it becomes what it was
    _passing(client, data.decode(), ())  # it can still be read
    remaining = _passing(client, new, rest)
    kept, _ = _without(client, new, remaining)
    stays = {one.path for one in remaining}
    return Change(
        client=client,
        old=old,
        new=data,
        servers=tuple(one.path for one in gone),
        state=State(file=state.file, client=state.client, after=digest(data), servers=remaining) if remaining else None,
        before=kept.encode(),
        left=tuple(one.path for one in wanted if one.path in stays),
    )


def _without(client: Client, text: str, servers: Iterable[Done]) -> tuple[str, tuple[Done, ...]]:
    """Return `text` with what was done to `servers` undone, and those of them that stood there as they were written."""
    by_path = {one.path: one for one in servers}
    edits: list[Edit] = []
    gone: set[Keys] = set()
    for entry in _FORMS[client.form].entries(text, client.servers):
        done = by_path.get(entry.path)
        back = undone(text, entry, done) if done is not None else None
        if done is not None and back is not None:
            edits += back
            gone.add(done.path)
    return edited(text, edits), tuple(one for path, one in by_path.items() if path in gone)


def _passing(client: Client, text: str, servers: Sequence[Done]) -> tuple[Done, ...]:
    """Return those of `servers` that are still on the record in `text`. Raises NotReadable where it can't be read."""
    entries = _FORMS[client.form].entries(text, client.servers)
    paths = {entry.path for entry in entries if is_passing(entry)}
    said = {entry.path: entry.value.members for entry in entries}
    return tuple(one for one in servers if one.path in paths or _is_pointed(said.get(one.path, {}), one))


def _is_pointed(members: Mapping[str, Member], done: Done) -> bool:
    return bool(done.key) and done.key in members and members[done.key].value.text == done.command
