# SPDX-License-Identifier: Apache-2.0
"""How a question becomes one about objects and permissions: no two names become one id."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engines.questions import question

from onrecord.rules.relations import LONGEST_ID, NotAsked, Relations

pytestmark = pytest.mark.requirement("C4")

VALID_ID = re.compile(r"[a-zA-Z0-9/_|\-=+]{1,1024}")  # as SpiceDB's API has it
NAMES = st.text(min_size=1, max_size=40) | st.text(alphabet="ab/|+-_=.{}*", min_size=1, max_size=8)


def asked(words=None, **about):
    return (words or Relations()).asked(question(**{"called": "ann", **about}))


def test_unless_something_else_is_said_a_verified_person_calls_a_tool_of_a_server():
    found = asked(name="push")

    assert (found.object_type, found.object_id, found.permission) == ("tool", "git/push", "call")
    assert (found.subject_type, found.subject_id) == ("user", "ann")
    assert (found.context["tier"], found.context["level"], found.context["server"]) == (1, 2, "git")


@pytest.mark.parametrize(
    ("about", "meant"),
    [
        ({"kind": "resource", "action": "resources/read", "name": "file:///x"}, "resource:git/file=3A=2F=2F=2Fx#read"),
        ({"kind": "prompt", "action": "prompts/get", "name": "greet"}, "prompt:git/greet#get"),
        ({"kind": "server", "action": "completion/complete", "name": "git"}, "server:git#use"),
        ({"kind": "server", "action": "request", "name": "git"}, "server:git#use"),
    ],
)
def test_each_kind_of_call_has_an_object_and_a_permission(about, meant):
    found = asked(**about)

    assert f"{found.object_type}:{found.object_id}#{found.permission}" == meant


@given(NAMES, NAMES, NAMES, NAMES)
def test_no_two_calls_are_about_one_object_and_each_id_is_one(name, server, other_name, other_server):
    one, two = asked(name=name, server=server), asked(name=other_name, server=other_server)

    assert VALID_ID.fullmatch(one.object_id)
    assert (one.object_id == two.object_id) == ((name, server) == (other_name, other_server))


@given(NAMES, NAMES)
def test_no_two_people_are_one_subject(name, other):
    one, two = asked(called=name).subject_id, asked(called=other).subject_id

    assert VALID_ID.fullmatch(one)
    assert (one == two) == (name == other)


@given(NAMES, NAMES, NAMES, NAMES)
def test_no_two_sets_of_arguments_name_one_thing_that_is_acted_on(owner, repo, other_owner, other_repo):
    words = Relations(acts_on=True)

    def about(owner, repo):
        template = "vendor/repository:{owner}/x-{repo}"
        return asked(words, template=template, arguments={"owner": owner, "repo": repo}).object_id

    assert VALID_ID.fullmatch(about(owner, repo))
    assert (about(owner, repo) == about(other_owner, other_repo)) == ((owner, repo) == (other_owner, other_repo))


def test_a_name_that_stands_alone_keeps_what_an_id_may_hold():
    assert asked(called="auth0|5f/a+b-c_d").subject_id == "auth0|5f/a+b-c_d"
    assert asked(called="ann@example.com").subject_id == "ann=40example=2Ecom"
    assert asked(called="a=b").subject_id == "a=3Db"
    assert asked(called="*").subject_id == "=2A"  # else everybody


def test_the_pseudonym_can_stand_for_the_person():
    assert asked(Relations(subject="user:{tenant}/{user}"), called=None).subject_id == "acme/u_1"


def test_what_the_call_acts_on_is_asked_about_only_where_the_settings_say_so():
    about = {"name": "push", "template": "repository:{/repo/id}", "arguments": {"repo": {"id": 7}}}

    assert asked(**about).object_type == "tool"
    found = asked(Relations(acts_on=True), **about)
    assert (found.object_type, found.object_id) == ("repository", "7")
    assert asked(Relations(acts_on=True), name="push").object_type == "tool"
    assert asked(Relations(acts_on=True), **{**about, "kind": "prompt"}).object_type == "prompt"
    like_a_round = {"arguments": about["arguments"], "inputResponses": {}}
    with pytest.raises(NotAsked):
        asked(Relations(acts_on=True), **{**about, "arguments": like_a_round})


@pytest.mark.parametrize(
    "arguments", [None, {}, [], "x", {"id": None}, {"id": ""}, {"id": True}, {"id": 1.5}, {"id": {}}]
)
def test_a_call_that_does_not_name_what_it_acts_on_is_not_asked_about(arguments):
    with pytest.raises(NotAsked, match="does not name what it acts on"):
        asked(Relations(acts_on=True), template="repository:{id}", arguments=arguments)


@pytest.mark.parametrize(
    "about",
    [
        {"called": None},
        {"called": ""},
        {"name": ""},
        {"server": ""},
        {"name": "half \udc80"},
        {"name": "x" * LONGEST_ID},
        {"called": "é" * (LONGEST_ID // 2)},
    ],
)
def test_what_cannot_be_named_is_not_asked(about):
    with pytest.raises(NotAsked) as raised:
        asked(**about)
    assert not any(str(value) in str(raised.value) for value in about.values() if value)


def test_the_first_permission_that_fits_counts():
    words = Relations(permissions={"tools/call git_*": "push", "tools/call": "run", "*": "other"})

    assert words.permission("tools/call", "git_commit") == "push"
    assert words.permission("tools/call", "echo") == "run"
    assert words.permission("resources/read", "git_x") == "other"
    assert Relations(permissions={"tools/call x": "run"}).permission("tools/call", "y") == "call"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"tool": "tool"}, "give type:id"),
        ({"tool": "Tool:{name}"}, "give type:id"),
        ({"tool": "t:{name}"}, "give type:id"),
        ({"tool": "tool:"}, "the id is empty"),
        ({"tool": "tool:{server}{name}"}, "can be told apart"),
        ({"tool": "tool:{server}-{name}"}, "can be told apart"),
        ({"tool": "tool:{server}=2F{name}"}, "an id may hold"),
        ({"tool": "tool:a b/{name}"}, "an id may hold"),
        ({"tool": "tool:{user}"}, "{user} is unknown; use name, server"),
        ({"subject": "user:{name}"}, "{name} is unknown; use subject, tenant, user"),
        ({"subject": "user:{subject"}, "name an argument"),
        ({"permissions": {"tools/call": "Call!"}}, "no name of a permission"),
        ({"token_env": "not a name"}, "no name of a variable"),
    ],
)
def test_words_that_cannot_be_meant_are_refused_with_their_setting(words, said):
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        Relations(**words)
    assert str(raised.value).startswith(next(iter(words)))


def test_a_method_that_is_none_and_a_resource_that_is_no_object_are_refused():
    with pytest.raises(ValueError, match="no method is called 'tool/call'; 'tools/call'"):
        Relations(permissions={"tool/call": "run"}).check_methods(["tools/call"])
    with pytest.raises(ValueError, match="acts_on needs a resource"):
        Relations(acts_on=True).check_resources(["", "https://example.com/{id}"])
    Relations().check_resources(["https://example.com/{id}"])


@given(st.text(alphabet=st.sampled_from("abc:/|+-=_{} server name"), max_size=40))
def test_any_template_is_one_or_is_refused_and_one_gives_ids(text):
    try:
        words = Relations(tool=text)
    except ValueError:
        return
    assert VALID_ID.fullmatch(asked(words, name="a/b c").object_id)
