# SPDX-License-Identifier: Apache-2.0
"""A token says by which algorithm and with which key it wants to be verified. None of that is believed."""

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from tests.identity.issuing import KEYS, KeyServer, claims, id_token, kid_of, shown, signed

from onrecord.errors import NotAuthenticated
from onrecord.identity.identity import CALL_TYPES, ID_TYPES
from onrecord.identity.keys import IssuerKeys
from onrecord.identity.token import opened
from onrecord.rules.principal import ALGORITHMS

pytestmark = pytest.mark.requirement("C3")

ALLOWED = tuple(ALGORITHMS)
ISSUER = IssuerKeys(shown, max_age_s=1e9, pause_s=1e9)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value):
    return b64(value if isinstance(value, bytes) else json.dumps(value).encode())


def by_hmac(algorithm, secret, **header):
    text = f"{part({'alg': algorithm, 'kid': 'k-RS256', 'typ': 'JWT', **header})}.{part(claims())}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), f'sha{algorithm[2:]}'))}"


def verify(token, keys=ISSUER, types=ID_TYPES, algorithms=ALLOWED):
    return opened(token, keys, algorithms, types=types)


def public_forms():
    """Yield each form in which somebody might have taken a public key for the secret of an HMAC."""
    for name in ("RS256", "ES256", "Ed25519"):
        key = KEYS[name]
        fields = key.as_dict(private=False)
        yield f"{name} PEM", key.as_pem(private=False)
        yield f"{name} PEM without its last line feed", key.as_pem(private=False).rstrip(b"\n")
        yield f"{name} DER", key.as_der(private=False)
        yield f"{name} JWK", json.dumps(fields).encode()
        number = fields.get("n") or fields["x"]
        yield f"{name} number", base64.urlsafe_b64decode(number + "==")
        yield f"{name} base64url", number.encode()
    yield "key set", shown()
    yield "nothing", b""


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize(("form", "secret"), list(public_forms()), ids=lambda one: one if isinstance(one, str) else "")
def test_what_is_public_is_no_secret(algorithm, form, secret):
    with pytest.raises(NotAuthenticated, match="algorithm that is not allowed"):
        verify(by_hmac(algorithm, secret))


@pytest.mark.parametrize(
    "algorithm",
    [
        *("none", "None", "NONE", "nOnE", "", " none", "none\x00", "HS256", "hs256", "rs256", "es256", "ES256K", "RS1"),
        *("RSA-OAEP", "A256GCM", "dir", "ECDH-ES", "Ed448", "ES256 ", "ＥＳ256", None, 0, True, ["ES256"], {"a": 1}),
    ],
)
@pytest.mark.parametrize("signature", ["", "AA", "of another"])
def test_an_algorithm_that_is_not_allowed_is_none(algorithm, signature):
    good = id_token()
    tail = good.rsplit(".", 1)[1] if signature == "of another" else signature
    head = {"alg": algorithm, "kid": "k-ES256", "typ": "JWT"}
    for header in (head, {name: value for name, value in head.items() if name != "alg"}):
        with pytest.raises(NotAuthenticated, match="algorithm that is not allowed"):
            verify(f"{part(header)}.{part(claims())}.{tail}")


@pytest.mark.parametrize("claimed", ALLOWED)
@pytest.mark.parametrize("made", ["RS256", "PS256", "ES256", "ES384", "Ed25519"])
def test_a_signature_counts_for_the_algorithm_that_made_it_alone(claimed, made):
    """The signature is by the key, over a header that claims another algorithm."""
    for key_id in ("k-RS256", "k-ES256", "k-ES384", "k-Ed25519"):
        text = f"{part({'alg': claimed, 'kid': key_id, 'typ': 'JWT'})}.{part(claims())}"
        token = f"{text}.{b64(JWSRegistry.algorithms[made].sign(text.encode(), KEYS[made]))}"
        alike = claimed == made or {claimed, made} == {"Ed25519", "EdDSA"}  # two names of one algorithm
        if alike and key_id == kid_of(made):
            assert verify(token).key_id == key_id
            others = [name for name in ALLOWED if name != claimed]
            with pytest.raises(NotAuthenticated, match="algorithm that is not allowed"):
                verify(token, algorithms=others)
        else:
            with pytest.raises(NotAuthenticated, match=r"does not show|signature does not hold"):
                verify(token)


def test_a_key_of_another_curve_or_kind_is_not_tried():
    """The issuer shows one key id for several keys: only the one of the algorithm's kind and curve is used."""
    keys = [{**KEYS[name].as_dict(private=False), "kid": "one"} for name in ("RS256", "ES256", "ES384", "Ed25519")]
    issuer = IssuerKeys(lambda: json.dumps({"keys": keys}).encode(), max_age_s=1e9, pause_s=1e9)
    for name in ("RS256", "PS256", "ES256", "ES384", "Ed25519"):
        assert verify(id_token(name, header={"kid": "one"}), issuer).key_id == "one"
    stray = ECKey.generate_key("secp256k1")
    shown_too = {**stray.as_dict(private=False), "kid": "odd"}
    odd = IssuerKeys(lambda: json.dumps({"keys": [shown_too, *keys]}).encode(), max_age_s=1e9, pause_s=1e9)
    for algorithm in ("ES256", "ES384", "ES512"):
        with pytest.raises(NotAuthenticated, match="does not show"):
            verify(f"{part({'alg': algorithm, 'kid': 'odd'})}.{part(claims())}.{b64(bytes(64))}", odd)


@pytest.mark.parametrize(("name", "size"), [("ES256", 32), ("ES384", 48)])
def test_a_signature_of_zeros_is_none(name, size):
    head = {"alg": name, "kid": f"k-{name}", "typ": "JWT"}
    order = {32: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551}.get(size, (1 << 384) - 1)
    for r, s in ((0, 0), (0, 1), (1, 0), (order, order), (order, 1), (1, order)):
        tail = b64(r.to_bytes(size, "big") + s.to_bytes(size, "big"))
        with pytest.raises(NotAuthenticated, match="signature does not hold"):
            verify(f"{part(head)}.{part(claims())}.{tail}")
    for tail in ("", "AA", b64(bytes(7)), b64(bytes(size * 2 + 1)), b64(b"\x30\x06\x02\x01\x01\x02\x01\x01")):
        with pytest.raises(NotAuthenticated, match="signature does not hold"):
            verify(f"{part(head)}.{part(claims())}.{tail}")


@pytest.mark.parametrize(
    "key_id",
    [
        *("../../../../dev/null", "/dev/null", "k-ES256\x00", "k-ES256 ", "K-ES256", "' or '1'='1", "k-ES256|cat", "*"),
        *("http://127.0.0.1:9/", "x" * 201, "\ud800", 0, None, True, ["k-ES256"], {"kid": "k-ES256"}),
    ],
)
def test_a_key_id_is_the_name_of_a_shown_key_or_of_none(key_id):
    token = f"{part({'alg': 'ES256', 'kid': key_id, 'typ': 'JWT'})}.{part(claims())}.{b64(bytes(64))}"
    with pytest.raises(NotAuthenticated, match=r"does not show|key id is malformed"):
        verify(token)


def test_keys_and_addresses_that_a_token_brings_along_are_not_looked_at():
    own, rsa, okp = ECKey.generate_key("P-256"), RSAKey.generate_key(2048), OKPKey.generate_key("Ed25519")
    made = {"ES256": own, "RS256": rsa, "Ed25519": okp}
    with KeyServer(json.dumps({"keys": [own.as_dict(private=False)]}).encode()) as server:
        for name, key in made.items():
            brought = {
                "jwk": key.as_dict(private=False),
                "jku": server.url,
                "x5u": server.url,
                "x5c": ["MIIB"],
                "x5t": "AAAA",
                "x5t#S256": "AAAA",
            }
            for header in [*({field: value} for field, value in brought.items()), brought]:
                for more in ({}, {"kid": None}, {"kid": server.url}):
                    with pytest.raises(NotAuthenticated, match=r"signature does not hold|does not show|with which"):
                        verify(id_token(name, key=key, header={**header, **more}))
                assert verify(id_token(name, header=header)).key_id == f"k-{name}"  # they do no harm either
        assert server.asked == 0


@pytest.mark.parametrize(
    "more",
    [
        *({"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": "b64"}, {"crit": None}, {"b64": False}, {"b64": True}),
        *({"zip": "DEF"}, {"enc": "A256GCM"}, {"crit": ["b64"], "b64": False}),
    ],
)
def test_an_extension_that_would_change_what_is_signed_is_refused(more):
    head = {"alg": "ES256", "kid": "k-ES256", "typ": "JWT", **more}
    with pytest.raises(NotAuthenticated, match="extension that is not known"):
        verify(f"{part(head)}.{part(claims())}.{b64(bytes(64))}")


@pytest.mark.parametrize("kind", ["mcp-id+jwt", "application/mcp-id+jwt", "dpop+jwt", "logout+jwt", "JWE", 3, None, []])
def test_a_token_of_one_type_is_none_of_another(kind):
    head = {"alg": "ES256", "kid": "k-ES256", "typ": kind}
    with pytest.raises(NotAuthenticated, match="another type"):
        verify(f"{part(head)}.{part(claims())}.{b64(bytes(64))}")
    for name in ("JWT", "at+jwt", "", None):
        with pytest.raises(NotAuthenticated, match="another type"):
            verify(id_token(header={"typ": name}), types=CALL_TYPES)


@pytest.mark.parametrize(
    "text",
    [
        lambda good: good + ".",
        lambda good: good + ".AA.AA",  # of five parts, as what is encrypted
        lambda good: " " + good,
        lambda good: good + "\n",
        lambda good: good.replace(".", ".\n", 1),
        lambda good: good.replace(".", "。"),
        lambda good: f"Bearer {good}",
        lambda good: good.replace(".", "=.", 1),
        lambda good: json.dumps({"payload": good.split(".")[1], "protected": good.split(".")[0], "signature": "AA"}),
        lambda good: f"{part([1])}.{good.split('.', 1)[1]}",
        lambda good: "..",
        lambda good: f".{good.split('.', 1)[1]}",
        lambda good: good.rsplit(".", 1)[0] + ".",
    ],
)
def test_a_token_has_one_spelling(text):
    good = id_token()
    assert verify(good)
    with pytest.raises(NotAuthenticated):
        verify(text(good))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["ES256", "k-ES256", "JWT"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
HEADERS = JSON | st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc", "cty", "epk"]), JSON
)


@given(HEADERS, JSON, st.binary(max_size=80))
def test_whatever_stands_in_a_header_and_a_body_is_refused_in_words_of_our_own(header, body, tail):
    for more in (header, {"alg": "ES256", "kid": "k-ES256", **header} if isinstance(header, dict) else header):
        with pytest.raises(NotAuthenticated) as refused:
            verify(f"{part(more)}.{part(body)}.{b64(tail)}")
        assert str(refused.value).isascii()
        assert len(str(refused.value)) < 120


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=100))
def test_whatever_bytes_a_token_is_made_of_it_is_refused(head, body, tail):
    for token in (f"{b64(head)}.{b64(body)}.{b64(tail)}", b"".join((head, b".", body, b".", tail)).decode("latin-1")):
        with pytest.raises(NotAuthenticated):
            verify(token)


@given(JSON)
def test_a_body_that_is_signed_is_still_an_object_or_refused(body):
    text = json.dumps(body).encode()
    token = signed(text)
    if isinstance(body, dict) and "NaN" not in (said := text.decode()) and "Infinity" not in said:
        assert hashlib.sha256(json.dumps(verify(token).claims).encode()).digest() == hashlib.sha256(text).digest()
    else:
        with pytest.raises(NotAuthenticated, match="the token's body"):
            verify(token)
