# SPDX-License-Identifier: Apache-2.0
"""What may come between a call that needs an approval and its end: who decides, and what changes meanwhile.

Each scene asks for a call that waits, and ends it as a door would. `later` is what goes wrong with the engine when the
call is decided on again.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from tests.deciding_world import HOUR_US, Scene

from onrecord.event.call import Definition, Raw

Act = Callable[[Scene, str], None]


def _votes(*votes) -> Act:
    """Return the scene in which `votes` are cast while the call waits."""

    def act(scene: Scene, later: str) -> None:
        held = scene.wait()
        for vote in votes:
            scene.vote(held, **vote)
        scene.trouble(later)
        scene.look(held)

    return act


def _approved(scene: Scene):
    """Return a call that waits, and was approved."""
    held = scene.wait()
    assert scene.vote(held)
    return held


def _late(*, approved: bool) -> Act:
    def act(scene: Scene, later: str) -> None:
        held = _approved(scene) if approved else scene.wait()
        scene.world.us += 2 * HOUR_US
        scene.look(held)

    return act


def _expired_when_used(scene: Scene, later: str) -> None:
    held = _approved(scene)
    assert held.look() == "approved"
    scene.world.us += 2 * HOUR_US
    scene.trouble(later)
    scene.make(held)


def _approved_once_nobody_waited(scene: Scene, later: str) -> None:
    held = scene.wait()
    scene.look(held)
    assert scene.vote(held)
    again = scene.wait()
    assert again.statement == held.statement
    scene.trouble(later)
    scene.look(again)


def _used_by_another(scene: Scene, later: str) -> None:
    one, other = scene.wait(), scene.wait()
    assert one.statement == other.statement
    assert scene.vote(one)
    assert one.look() == other.look() == "approved"
    scene.make(one)
    scene.make(other)


def _asked_again(scene: Scene, later: str) -> None:
    held = _approved(scene)
    scene.look(held)
    again = scene.ask()
    if again is not None:
        assert again.statement.id != held.statement.id
        scene.look(again)


def _put_back(scene: Scene, later: str) -> None:
    one, other = scene.wait(), scene.wait()
    assert scene.vote(one)
    file = scene.world.file(one)
    before = file.read_bytes()
    scene.look(one)
    file.write_bytes(before)
    assert other.look() == "approved"
    scene.make(other)


def _failed_once(scene: Scene, later: str) -> None:
    held = _approved(scene)
    scene.trouble("raises")
    scene.look(held)
    scene.trouble("well")
    again = scene.wait()
    assert again.statement == held.statement
    scene.look(again)


def _another_policy(scene: Scene, later: str) -> None:
    held = _approved(scene)
    refusal = scene.guard.abandon(held, "blocked", "approval_pending", "the process ends")
    assert refusal is not None
    scene.settle(held.call, refusal)
    scene.under("another policy")
    again = scene.wait()
    assert again.statement.id != held.statement.id
    scene.look(again)


def _deleted(*, when_used: bool) -> Act:
    def act(scene: Scene, later: str) -> None:
        held = _approved(scene)
        scene.world.file(held).unlink()
        scene.make(held) if when_used else scene.look(held)

    return act


def _altered(scene: Scene, later: str) -> None:
    held = _approved(scene)
    file = scene.world.file(held)
    file.write_bytes(file.read_bytes().replace(b'"quorum":1', b'"quorum":0'))
    scene.look(held)


def _changed(what: str) -> Act:
    """Return the scene in which the call that was approved is not the call that would be made."""

    def act(scene: Scene, later: str) -> None:
        held = _approved(scene)
        connection, actor = held.call.connection, held.call.connection.actor
        changes = {
            "arguments": {"arguments": Raw({"planted_key": "planted-other"})},
            "definition": {"definition": Definition(name=scene.tool, digest="e" * 64)},
            "refused": {"definition": Definition(name=scene.tool, digest="d" * 64, refused="it is flagged")},
        }
        actors = {
            "person": {"user_id": "u_other"},
            "agent": {"act_chain": ("u_agent", "u_other")},
            "tenant": {"tenant_id": "other"},
            "scope": {"scopes": ("files:read",)},
            "scope gained": {"scopes": (*actor.scopes, "abroad")},
        }
        if what in actors:
            scene.make(held, connection=replace(connection, actor=replace(actor, **actors[what])))
        else:
            scene.make(held, **changes[what])

    return act


def _decided_otherwise(how: str) -> Act:
    """Return the scene in which the engine says something else once the call is approved."""

    def act(scene: Scene, later: str) -> None:
        held = _approved(scene)
        scene.trouble(how)
        scene.look(held)

    return act


def _under(mode: str) -> Act:
    def act(scene: Scene, later: str) -> None:
        scene.under(mode)
        assert scene.ask() is None

    return act


def _unknown(scene: Scene, later: str) -> None:
    scene.actor = replace(scene.actor, user_id="", act_chain=())
    assert scene.ask() is None


OF_MORE_THAN_ONE = {
    "used by a call that waited too": _used_by_another,
    "used, and asked for again": _asked_again,
    "put back as it was before it was used": _put_back,
    "approved, and the engine fails once": _failed_once,
    "another policy, in a new process": _another_policy,
}

SCENES: Mapping[str, Act] = {
    "nobody decides": _votes(),
    "nobody decides until it expires": _late(approved=False),
    "approved by another": _votes({}),
    "approved by another, known by an account": _votes({"known": "os_account"}),
    "approved by another, not stepped up": _votes({"stepped_up": False}),
    "approved by the requester": _votes({"by": "u_asker"}),
    "approved by who acts for the requester": _votes({"by": "u_agent"}),
    "approved by nobody known": _votes({"by": ""}),
    "approved from another tenant": _votes({"tenant": "other"}),
    "rejected by another": _votes({"decision": "rejected"}),
    "rejected, then approved": _votes({"decision": "rejected"}, {"by": "u_chief"}),
    "withdrawn by the requester": _votes({"by": "u_asker", "decision": "rejected"}, {}),
    "approved, and rejected too late": _votes({}, {"by": "u_chief", "decision": "rejected"}),
    "approved, and expired": _late(approved=True),
    "expired when it was to be used": _expired_when_used,
    "approved once nobody waited": _approved_once_nobody_waited,
    **OF_MORE_THAN_ONE,
    "the request is deleted": _deleted(when_used=False),
    "the request is deleted when it was to be used": _deleted(when_used=True),
    "the request is altered": _altered,
    "other arguments": _changed("arguments"),
    "another definition": _changed("definition"),
    "another person": _changed("person"),
    "another agent": _changed("agent"),
    "another tenant": _changed("tenant"),
    "the scope is lost": _changed("scope"),
    "others must be asked by now": _changed("scope gained"),
    "the definition is refused": _changed("refused"),
    "another version of the policy": _decided_otherwise("another version"),
    "no approval is needed by now": _decided_otherwise("no approval by now"),
    "an approval is asked for again": _decided_otherwise("an approval again"),
    "no channel": _under("no channel"),
    "no approvals": _under("no approvals"),
    "nobody knows who asks": _unknown,
}
