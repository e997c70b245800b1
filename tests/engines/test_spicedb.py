# SPDX-License-Identifier: Apache-2.0
"""SpiceDB decides: the real engine, over gRPC. `make spicedb` fetches it; without it these skip."""

import re
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.engines.questions import question
from tests.engines.relations import LIBRARY, SCHEMA, TOKEN, spicedb
from tests.ledger.logs import wait_for

from onrecord.engines.spicedb import SCHEMA_S, SpiceDb
from onrecord.errors import OnRecordError
from onrecord.event.event import Event
from onrecord.rules.policy import DENIED, UNDECIDED, Policy
from onrecord.rules.relations import Relations

pytestmark = [
    pytest.mark.skipif(not LIBRARY.exists(), reason="SpiceDB is not at hand: make spicedb"),
    pytest.mark.requirement("C4"),
]


@pytest.fixture(scope="module")
def server():
    with spicedb() as running:
        running.define(SCHEMA)
        yield running


@pytest.fixture
def engines():
    """Makes engines, and closes them."""
    made = []

    def make(url, *, token=TOKEN, timeout_s=60.0, roots=None, clock=time.monotonic, manifest=b"", **words):
        made.append(
            SpiceDb(url, Relations(**words), manifest, token=token, timeout_s=timeout_s, roots=roots, clock=clock)
        )
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def decided(engine, asked):
    return Policy(engine, enforce=True, deadline_ns=10**11, clock=time.monotonic_ns).decide(asked)


@pytest.mark.requirement("C2")
def test_a_permission_that_is_held_allows_and_any_other_denies(server, engines):
    server.relate("team:eng", "member", "user:ann")
    server.relate("tool:git/push", "caller", "team:eng#member")
    server.relate("tool:git/push", "caller", "user:bob")
    server.relate("tool:git/push", "blocked", "user:bob")
    engine = engines(server.url)

    asked = [
        question(called="ann", name="push"),
        question(called="bob", name="push"),  # held, but blocked
        question(called="eve", name="push"),
        question(called="ann", name="push", server="other"),
        question(called="ann", name="pull"),
    ]
    verdicts = [decided(engine, one) for one in asked]

    assert [one.decision for one in verdicts] == ["allow", "deny", "deny", "deny", "deny"]
    assert [one.safe for one in verdicts] == ["", DENIED, DENIED, DENIED, DENIED]
    assert {one.errors for one in verdicts} == {()}
    assert {one.id for one in verdicts} == {"tool#call"}
    assert verdicts[1].reason == "SpiceDB: permission tool#call is not held"
    assert all("bob" not in one.reason for one in verdicts)


def test_a_caveat_reads_the_circumstances_of_the_call(server, engines):
    server.relate("tool:git/merge", "caller", "user:ann", caveat="calm")
    engine = engines(server.url)

    assert decided(engine, question(called="ann", name="merge", tier=2)).decision == "allow"
    assert decided(engine, question(called="ann", name="merge", tier=3)).decision == "deny"


def test_a_caveat_that_lacks_something_denies_and_the_record_says_what(server, engines):
    server.relate("tool:git/pay", "caller", "user:ann", caveat="cheap")
    verdict = decided(engines(server.url), question(called="ann", name="pay"))

    assert (verdict.decision, verdict.safe, verdict.errors) == ("deny", DENIED, ())
    assert verdict.reason == "SpiceDB: permission tool#call depends on what was not said: amount, currency"


@pytest.mark.requirement("C2")
def test_what_changes_is_seen_at_once_and_the_recorded_token_brings_back_what_was_decided(server, engines):
    engine = engines(server.url)
    asked = question(called="cay", name="tag")

    before = decided(engine, asked)
    granted = server.relate("tool:git/tag", "caller", "user:cay")
    during = decided(engine, asked)
    server.relate("tool:git/tag", "caller", "user:cay", gone=True)
    after = decided(engine, asked)

    assert [one.decision for one in (before, during, after)] == ["deny", "allow", "deny"]
    event = during.on(Event(policy_version="of the settings"))
    assert event.policy_consistency == granted
    assert event.policy_version == during.version == engine.version
    held = [server.held_at(one.consistency, "tool:git/tag", "call", "user:cay") for one in (before, during, after)]
    assert held == [False, True, False]


def test_an_answer_that_is_at_least_as_fresh_never_goes_back(server, engines):
    engine = engines(server.url, consistency="at_least_as_fresh")
    asked = question(called="dan", name="tag")

    assert decided(engine, asked).decision == "deny"
    server.relate("tool:git/tag", "caller", "user:dan")
    engines(server.url).evaluate(asked)
    wait_for(lambda: decided(engine, asked).decision == "allow")  # it may answer from a state some seconds old
    states = {decided(engine, asked).decision for _ in range(20)}

    assert states == {"allow"}


def test_what_a_tool_acts_on_can_be_what_is_asked_about(server, engines):
    server.relate("repository:acme/web=2Esite", "writer", "user:ann")
    engine = engines(server.url, acts_on=True)
    template = "repository:{owner}/{repo}"

    def about(owner, repo):
        arguments = {"owner": owner, "repo": repo}
        return decided(engine, question(called="ann", name="push", template=template, arguments=arguments)).decision

    assert about("acme", "web.site") == "allow"
    assert {about("acme", "other"), about("acme/web.site", ""), about("", "acme/web.site")} == {"deny"}


def test_calls_that_come_at_once_share_the_connection(server, engines):
    server.relate("tool:git/push", "caller", "user:ann")
    engine = engines(server.url)
    asked = [question(called=name, name="push") for name in ("ann", "eve") * 40]

    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda one: decided(engine, one), asked))

    assert [one.decision for one in verdicts] == ["allow", "deny"] * 40


def test_the_version_follows_the_schema_the_settings_and_the_manifest_and_no_relationship(engines):
    ticks = [0.0]
    with spicedb() as server:
        server.define(SCHEMA)
        engine = engines(server.url, clock=lambda: ticks[0])
        asked = question(called="ann")
        settings_alone = engine.version
        first = decided(engine, asked).version
        server.relate("tool:git/status", "caller", "user:ann")
        assert decided(engine, asked).version == first != settings_alone

        server.define(SCHEMA + "\ndefinition robot {}\n")
        ticks[0] += SCHEMA_S / 2
        assert decided(engine, asked).version == first
        ticks[0] += SCHEMA_S
        second = decided(engine, asked).version
        others = [engines(server.url, manifest=b"x"), engines(server.url, subject="user:{user}")]
        versions = {second, *(decided(one, asked).version for one in others)}

    assert first not in versions
    assert len(versions) == 3


@pytest.mark.requirement("C2")
def test_a_token_that_is_not_accepted_denies_and_is_not_told(server, engines):
    wrong = "another-preshared-" + "key"
    verdict = decided(engines(server.url, token=wrong), question(called="ann", name="push"))

    assert (verdict.decision, verdict.error_type, verdict.safe) == ("deny", "policy_failed", UNDECIDED)
    assert "it does not accept the token" in verdict.reason
    assert wrong not in repr(verdict)


@pytest.mark.requirement("C2")
@pytest.mark.parametrize(
    "schema",
    [
        None,
        "definition user {}",
        "definition user {}\n\ndefinition tool {}",
        "definition tool {\n permission call = nil\n}",
    ],
)
def test_a_schema_that_does_not_fit_denies(engines, schema):
    with spicedb() as server:
        if schema:
            server.define(schema)
        verdict = decided(engines(server.url), question(called="ann"))

    assert (verdict.decision, verdict.error_type) == ("deny", "policy_failed")
    assert verdict.errors == ("failed_precondition",)


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("consistency", ["fully_consistent", "at_least_as_fresh"])
def test_one_that_goes_away_denies_and_one_that_comes_back_is_found(engines, consistency):
    with spicedb() as server:
        server.define(SCHEMA)
        server.relate("tool:git/push", "caller", "user:ann")
        engine = engines(server.url, consistency=consistency)
        asked = question(called="ann", name="push")
        assert decided(engine, asked).decision == "allow"
        server.stop()
        verdict = decided(engine, asked)
    assert (verdict.decision, verdict.error_type) == ("deny", "policy_failed")
    assert "it cannot be reached" in verdict.reason

    with spicedb(port=server.port) as another:
        another.define(SCHEMA)
        another.relate("tool:git/push", "caller", "user:ann")
        wait_for(lambda: decided(engine, asked).decision == "allow")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of a certificate for localhost, which signed itself, and of its key."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "tls.key").write_bytes(pem)
    return folder / "tls.crt", folder / "tls.key"


@pytest.mark.requirement("C2")
def test_over_tls_it_is_asked_where_its_certificate_is_believed_and_nowhere_else(certificate, engines):
    roots = certificate[0].read_bytes()
    with spicedb(*certificate, roots=roots) as server:
        server.define(SCHEMA)
        server.relate("tool:git/push", "caller", "user:ann")
        asked = question(called="ann", name="push")

        assert decided(engines(server.url, roots=roots), asked).decision == "allow"
        assert decided(engines(server.url, timeout_s=2), asked).error_type == "policy_failed"
        plain = server.url.replace("https", "http")
        assert decided(engines(plain, timeout_s=2), asked).error_type == "policy_failed"


def test_the_schema_on_the_page_works_with_the_settings_on_it(engines):
    page = Path(__file__).parents[2].joinpath("docs", "policy.md").read_text(encoding="utf-8")
    ((schema,), (words,)) = (
        [block for block in re.findall(r"^```\w*\n(.+?)^```", page, re.DOTALL | re.MULTILINE) if word in block]
        for word in ("definition tool", "[policy.spicedb]")
    )
    with spicedb() as server:
        server.define(schema)
        server.relate("team:eng", "member", "user:ann")
        server.relate("tool:git/push", "caller", "team:eng#member", caveat="everyday")
        engine = engines(server.url, **tomllib.loads(words)["policy"]["spicedb"])
        verdicts = [decided(engine, question(called="ann", name="push", tier=tier)) for tier in (2, 3)]

    assert [one.decision for one in verdicts] == ["allow", "deny"]
    assert msgspec.convert(tomllib.loads(words)["policy"]["spicedb"], Relations) == Relations()


def test_types_that_the_schema_lacks_are_named_before_anything_is_asked(server, engines):
    assert engines(server.url).look() == ["resource", "prompt", "server"]
    with pytest.raises(OnRecordError, match="does not accept the token"):
        engines(server.url, token="nobody").look()
