# SPDX-License-Identifier: Apache-2.0
"""Questions and policies made up for the tests of engines."""

from typing import Any

from onrecord.engines.cedar import Cedar
from onrecord.engines.cedar_files import PolicyFile
from onrecord.event.call import Raw
from onrecord.rules.policy import Context, Question, Resource, Subject
from onrecord.rules.policy_input import NOTHING_GIVEN

POLICIES = """
@id("everyday") @reason("tiers up to 2 are everyday work")
permit (principal, action == MCP::Action::"tools/call", resource) when { context.tier <= 2 };

@id("verified") permit (principal, action == MCP::Action::"tools/call", resource) when { principal.level >= 3 };

@id("approval") @obligation("approval") @approvers("finance, ops")
forbid (principal, action, resource) when { context.tier == 3 };

@id("tier-4") @safe_reason("nothing of tier 4 runs here")
forbid (principal, action, resource) when { context.tier == 4 };

@id("reads") permit (principal, action in MCP::Action::"read", resource in MCP::Server::"git");
"""


def cedar(*texts: str, manifest: bytes = b"") -> Cedar:
    files = [
        PolicyFile(name=f"{letter}.cedar", text=text) for letter, text in zip("abc", texts or (POLICIES,), strict=False)
    ]
    return Cedar(files, manifest)


def question(
    *,
    tier: int = 1,
    required: tuple[str, ...] = (),
    present: tuple[str, ...] = (),
    action: str = "tools/call",
    kind: Any = "tool",
    name: str = "status",
    server: str = "git",
    called: str | None = None,
    template: str = "",
    arguments: Any = None,
    input: Any = NOTHING_GIVEN,  # noqa: A002
    kind_of: Any = "unknown",
    **subject: Any,
) -> Question:
    """Return a question; `called` is the subject's name in a verified token."""
    who: dict[str, Any] = {"id": "u_1", "tenant": "acme", "assurance": "os_account", "kind": kind_of, **subject}
    who["name"] = Raw(called)
    return Question(
        subject=Subject(**who),
        action=action,
        resource=Resource(type=kind, id=name, server=server),
        context=Context(
            tier=tier, classification="medium", scope_required=required, scope_present=present, input=input
        ),
        template=template,
        arguments=Raw(arguments),
    )
