# SPDX-License-Identifier: Apache-2.0
"""What tools answer all day and what is no secret in it: names of things, digests, identifiers, translations."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import DETECTORS

from onrecord.rules.detection.handles import in_resource, is_handle, of_request
from onrecord.rules.detection.likeness import is_moment, is_version, worded

HEX = "9f86d081884c7d65" + "9a2feaa0c55ad015"
SHA1 = HEX + "a3bf4f1b"
UUID = "5d63ddb4-d664-4d4e-" + "bbe8-d855e022aecb"
VALUE = "Zk3vQ8mTx1Lw" + "R7pYb2NcD5fG"


@pytest.mark.parametrize(
    "text",
    [
        # names of resources
        '"ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/app/db-Ab12Cd"',
        f"arn:aws:dms:us-east-1:123456789012:rep:{VALUE.upper()}",
        f'{{"AWS::SecretsManager::Secret": "{HEX[:16]}", "AWS::IAM::AccessKey": "{HEX[16:]}"}}',
        f'"Key": "ledger/{HEX}.parquet"',
        f'"SandboxKey": "/var/run/docker/netns/{HEX[:12]}"',
        f'"keys": [{{"name": "projects/p/serviceAccounts/x/keys/{SHA1}"}}]',
        f"https://github.com/acme/acme-auth-library-python/commit/{SHA1}",
        # digests, fingerprints, ids
        f'"checksum/secret": "{HEX}{HEX}"',
        f"GPG_KEY={SHA1.upper()}",
        f'"kid": "{SHA1}"',
        f'"components": {{"1:23": {{"key": "{SHA1}", "name": "Button"}}}}',
        f'{{"msg": "verified token", "kid": "{SHA1}"}}',
        f"KeyError: '{UUID}'",
        f"The token endpoint returned 401 for client {UUID}",
        f"secret scanning found nothing in {SHA1}",
        f'"ClientToken": "{UUID}"',
        f'"clientRequestToken": "{UUID}"',
        f'"_meta": {{"progressToken": "{UUID}"}}',
        f"aws x list --next-token {VALUE}",
        f'"balance_transaction": "txn_{VALUE}"',
        f'"x5t": "{VALUE}", "x": "{VALUE}", "y": "{VALUE}"',
        f"\tbh={VALUE}=; b={VALUE}",
        f'"name": "X-Gm-Message-State", "value": "{VALUE}"',
        f"{HEX}  ./a/secret_order.yaml\n{HEX[::-1]}  ./b/token_billing.bin",
        # programs
        "const (\n\tSizeofSockaddrInet4    = 0x10\n\tSizeofSockaddrInet6    = 0x1c\n\tSizeofCmsghdr = 0xc\n)",
        "\tuvone    = 0x3FF0000000000000\n\tmask     = 0x7FF",
        "h ^= x; mul = 0x9ddfea08eb382d69ULL;",
        "machine ftp.example.test login anonymous password user@site",
        "    spec: V1beta2ResourceClaimSpec",
        "PrivateKey:  testEd25519PrivateKey,",
        "may use ParsePKCS8PrivateKey instead for this key",
        "token = util_1.encoding.base64Encode(key)",
        "username, password = split\n",
        "pk = load(data, password=passphrase)",
        "Pass P = FSDiscriminatorPass::Pass1)",
        "PassT *Pass = nullptr;",
        "{'conn_pass': sshpass, 'become_pass': becomepass}",
        'password = f"{registry_id}-auth-token"',
        "_MARKS = ('-----BEGIN PRIVATE" + " KEY-----', '-----END PRIVATE" + " KEY-----')",
        # manifests and translations
        '"jsonwebtoken": "^9.0.0", "js-tokens": "^4.0.0", "pbkdf2-password": "1.2.1"',
        '"PasswordLastUsed": "2016-09-24T16:18:07Z"',
        '"password": "Contraseña"',
        '"password": "Contrase' + '\\u00f1a"',
        '"password": "パスワード"',
        '"apiKey": "API-Schlüssel"',
        '"password_too_short": "Must be at least 8 characters"',
        '"PS": "Palestina", "PW": "Palau"',
        'PASSWORD_BANNED = "password_banned"; PASSWORD_WEAK = "passwordIsTooWeak"',
        'RESET_PWD_START = "/resetpassword/v1.0/start"',
        "const SIGN_UP_WITH_PASSWORD_START = 100021;",
        "export type NewPasswordResultV2 = SignInContinuationStateV2 | FlowCodeRequiredV2;",
        '"connection_string": "mysql://{username}:{password}@{host}/{database}"',
        "auth:{type:kind.IAM_V4,region:x}",
        "auth: _objectSpread2(_objectSpread2({}, DEFAULT), {}, { key: k })",
        "password: ENC[AES256_GCM,data:O+5l4g==,iv:" + f"{VALUE}=,tag:{VALUE}==,type:str]",
        "-H 'Authorization: basic {base64(email:password1)}'",
        '"ui.panel.login.password":"Wachtwurd","ui.panel.login.show_password":"Rādīt paroli"',
        '"forgot_password": "Aizmirsāt paroli?"',
        # prose
        "newly hashed passwords remains Argon2i",
        "extensions are identified by __mc68000__",
        "Buffer.from('username:password')",
        # numbers
        "Serial Number:\n            cb:2d:80:99:5a:69:52:5d\n",
        "          37:5c:c6:69:c7:d7:bc:c7:\n         a9:8b:ba:51:b3:13\n",
        '"ts": "4038030456.528683"',
        "Client workflow 5.4.3.2: check for rollback",
        "c1.52 2.12 3.51.98.32 2.03.5z",
        "252.227-7013 (c) (1) of DFARs",
        "Closes: #1017856, tax number",
    ],
)
def test_what_names_a_thing_is_left_alone(text: str) -> None:
    assert [text[finding.start : finding.end] for finding in DETECTORS.find(text)] == []


@pytest.mark.requirement("B3")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f'"client_token": "{UUID}"', UUID),  # a token of a vault
        (f"using token: {UUID}", UUID),
        (f"the key is {HEX}", HEX),
        (f"token {HEX}", HEX),
        (f"api_key = {VALUE}", VALUE),
        (f'{{"key": "{HEX}"}}', HEX),
        ("user=me, password=hunter2X9", "hunter2X9"),
        ('test(t, "password: hunter2X9")', "hunter2X9"),
        ("{'password': 'hunter2X9'}", "hunter2X9"),
        (f"kty: 'EC', x: '{VALUE}', d: '{VALUE[::-1]}'", VALUE),
    ],
)
def test_what_opens_a_thing_is_found_still(text: str, value: str) -> None:
    assert value in [text[finding.start : finding.end] for finding in DETECTORS.find(text)]


@given(st.lists(st.sampled_from(string.ascii_letters + string.digits), min_size=36, max_size=64).map("".join))
def test_a_drawn_word_is_seldom_made_of_words(word: str) -> None:
    assert sum(worded(word[i:] + word[:i]) for i in range(len(word))) <= len(word) // 2


@pytest.mark.parametrize("word", ["^4.0.0", "~1.2", ">=2.4", "1.2.1", "v3.11.7"])
def test_versions_are_told(word: str) -> None:
    assert is_version(word)


@pytest.mark.parametrize("word", ["01.02.1990", "hunter.2", "1234", "^^", ""])
def test_what_is_no_version_is_not_taken_for_one(word: str) -> None:
    assert not is_version(word)


@given(st.text(max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_any_text_can_be_asked(text: str, a: int, b: int) -> None:
    start, end = sorted((min(a, len(text)), min(b, len(text))))

    assert in_resource(text, start) in (True, False)
    assert is_handle(text, start, end) in (True, False)
    assert of_request(text, text) in (True, False)
    assert is_version(text) in (True, False)
    assert is_moment(text) in (True, False)
