# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in the claims of a token, it is read, or refused in words of our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onrecord.errors import NotAuthenticated
from onrecord.rules.principal import ACTORS, Reading, actor_of, check_call, check_claims, check_decision

pytestmark = pytest.mark.requirement("C3")

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["i", "a", "MARK", "approved"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sub", "act", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = [
    "iss",
    "aud",
    "sub",
    "exp",
    "iat",
    "nbf",
    "jti",
    "req",
    "statement",
    "decision",
    "act",
    "acr",
    "amr",
    "auth_time",
    "scope",
    "scp",
    "azp",
    "roles",
    "client_id",
    "tid",
    "kind",
]
CLAIMS = st.dictionaries(st.sampled_from(NAMES), VALUES)

GOOD = {"iss": "i", "aud": "a", "sub": "s", "exp": 1_000, "iat": 900}


def actor(claims, reading=None):
    return actor_of(
        claims,
        reading or Reading(),
        source="id_token",
        issuer="i",
        key_id="k",
        digest_key=b"k" * 32,
        pseudonym=lambda tenant, issuer, subject: f"u_{len(tenant)}{len(subject)}",
        now_s=950,
    )


@given(CLAIMS, st.booleans())
def test_claims_are_read_or_refused(claims, good):
    claims = {**claims, **GOOD} if good else claims
    reading = Reading(tenant_claim="tid" if "tid" in claims else "", person_claim="kind", person_values=("MARK",))
    refused = [refusal(lambda: check_claims(claims, issuer="i", audience="a", now_s=950))]
    refused.append(refusal(lambda: check_call(claims, digest="x")))
    refused.append(refusal(lambda: check_decision(claims)))
    refused.append(refusal(lambda: actor(claims, reading)))
    assert "MARK" not in " ".join(refused)
    if not refused[-1]:
        found = actor(claims, reading)
        assert (found.principal_type == "human") == ("MARK" in _list(claims.get("kind")))
        assert bool(found.user_id) == (found.principal_type == "human")
        assert len(found.act_chain) <= ACTORS


def refusal(act):
    """Return why something was refused, "" where it was not."""
    try:
        act()
    except NotAuthenticated as e:
        return str(e)
    return ""


def _list(value):
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(
    "claims",
    [{"sub": "c", "client_id": "c"}, {"sub": "c", "azp": "c"}, {"gty": "client-credentials"}, {"idtyp": "app"}],
)
def test_what_a_workload_got_for_itself_is_no_person(claims):
    found = actor({**GOOD, **claims})
    assert (found.principal_type, found.user_id, found.identity_assurance) == ("workload", "", "token")
    assert found.agent_id


def test_a_chain_has_an_end():
    chain: dict[str, object] = {"sub": "last"}
    for number in range(ACTORS - 1):
        chain = {"sub": f"n{number}", "act": chain}
    assert len(actor({**GOOD, "act": chain}).act_chain) == ACTORS
    with pytest.raises(NotAuthenticated, match="more than 8"):
        actor({**GOOD, "act": {"sub": "x", "act": chain}})


@pytest.mark.parametrize("value", [None, [], "x", {}, {"sub": ""}, {"sub": 3}, {"sub": "a", "act": None}])
def test_a_malformed_chain_is_not_an_absent_one(value):
    with pytest.raises(NotAuthenticated):
        actor({**GOOD, "act": value})


@pytest.mark.parametrize(
    ("claims", "assurance"),
    [
        ({"amr": ["pwd", "otp"], "auth_time": 940}, "token_mfa"),
        ({"acr": "aal2", "auth_time": 940}, "token_mfa"),
        ({"acr": "aal1", "amr": ["pwd"], "auth_time": 940}, "token"),
        ({"amr": ["otp"]}, "token"),
        ({"amr": ["otp"], "auth_time": 849}, "token"),
        ({"amr": ["otp"], "auth_time": 2_000}, "token"),
        ({"amr": ["otp"], "auth_time": 940, "client_id": "s"}, "token"),
    ],
)
def test_more_than_one_factor_counts_where_the_settings_say_so_and_not_for_ever(claims, assurance):
    reading = Reading(mfa_acr=("aal2",), mfa_amr=("otp",), mfa_max_age_s=100)
    assert actor({**GOOD, **claims}, reading).identity_assurance == assurance


def test_how_a_log_in_was_proven_is_on_the_record_as_far_as_it_is_plain():
    found = actor({**GOOD, "acr": "urn:mace:silver", "amr": ["pwd", "a b", "otp"], "auth_time": 940.7})
    assert (found.auth_context, found.auth_methods) == ("urn:mace:silver", ("pwd", "otp"))
    assert found.auth_time == "1970-01-01T00:15:40Z"
    odd = actor({**GOOD, "acr": "of two", "amr": [str(number) for number in range(99)], "auth_time": 9e11})
    assert (odd.auth_context, odd.auth_time, len(odd.auth_methods)) == ("", "", 8)
    for claims in ({"acr": 3}, {"amr": {}}, {"auth_time": "now"}):
        with pytest.raises(NotAuthenticated, match="malformed"):
            actor({**GOOD, **claims})


def test_a_tenant_is_a_plain_name():
    assert actor({**GOOD, "tid": "acme-1"}, Reading(tenant_claim="tid")).tenant_id == "acme-1"
    for tenant in ("", "a b", None, 3):
        with pytest.raises(NotAuthenticated):
            actor({**GOOD, "tid": tenant}, Reading(tenant_claim="tid"))
