# SPDX-License-Identifier: Apache-2.0
"""Secrets after telling names in every notation that we know of, and what stands in their place without being one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rules.calls import DETECTORS

P = "hunter2" + "X9"  # a password that a person would choose
K = "Zk3vQ9sLm2" + "Xw8Rt5Yb1N"  # a key that a machine would draw


def left(text: str) -> str:
    """Return `text` with everything masked that was found in it."""
    for finding in reversed(DETECTORS.find(text)):
        text = text[: finding.start] + "█" + text[finding.end :]
    return text


NOTATIONS = [
    # data formats
    f'{{"password": "{P}"}}',
    f'{{"user":"me","password":"{P}"}}',
    f'{{"AccessKeyId":"x","SecretAccessKey":"{K}"}}',
    f"{{'apiKey': '{K}'}}",
    f'{{\\"client_secret\\": \\"{K}\\"}}',
    f'{{"name": "DB_PASSWORD", "value": "{P}"}}',
    f'{{"key":"API_TOKEN","type":"text","value":"{K}"}}',
    f"password: {P}",
    f"password: |\n  {P}\nuser: me",
    f"api_key: >-\n    {K}\n",
    f"- name: DB_PASSWORD\n  value: {P}\n",
    f'db_password = "{P}"',
    f"[client]\nuser=root\npassword={P}",
    f"spring.datasource.password={P}",
    f"spring.datasource.password: {P}",
    f'<add key="ApiKey" value="{K}"/>',
    f"<password>{P}</password>",
    f"<secret>{{AQAAABAAAAAw{K}}}</secret>",
    f'<string name="api_key">{K}</string>',
    f'<property name="password"><value>{P}</value></property>',
    f"<key>Password</key>\n<string>{P}</string>",
    f'<setting name="Password" serializeAs="String"><value>{P}</value></setting>',
    f"<password><![CDATA[{P}]]></password>",
    f"| password | {P} |",
    f"| **API key** | `{K}` |",
    f"Password:\n  {P}\n",
    f"API Key:\n{K}\n",
    f"**Password:** {P}",
    f"name,password,mail\nme,{P},x\n",
    f'"name";"password"\n"me";"{P}"',
    f"name\tapi_key\nme\t{K}\n",
    f"| user | password |\n|------|----------|\n| me | {P} |\n",
    f" id | user | password\n----+------+---------\n  1 | me   | {P}\n",
    f"INSERT INTO users (name, password) VALUES ('x', 'y1y1y1'), ('me', '{P}');",
    # shells and commands
    f"export DB_PASS={P}",
    f"ENV API_TOKEN {K}",
    f"$env:API_KEY = '{K}'",
    f"setx API_KEY {K}",
    f"tool --password {P}",
    f"tool --api-key={K}",
    f"curl -u me:{P} https://x.example.test",
    f"curl -H 'X-Api-Key: {K}' https://x.example.test",
    f'curl -H "Authorization: Bearer {K}" https://x.example.test',
    f"sshpass -p {P} ssh a@b",
    f"mysql -u root -p{P} db",
    f"docker login -u me -p {P} r.example.test",
    f"redis-cli -h x -a {P} ping",
    # connection strings and addresses
    f"Server=tcp:x.test;User ID=me;Password={P};Encrypt=True",
    f"jdbc:mysql://x.test/db?user=me&password={P}&ssl=true",
    f"postgres://me:{P}@x.test/db",
    f"amqp://me:{P}@x.test",
    f"https://x.test/a?access_token={K}&b=1",
    f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={K}{K}==;",
    f"bindpw {P}",
    # headers
    f"Authorization: Basic bWU6{'aHVudGVyMg'}==",
    f"Authorization: Token token={K}",
    f"Authorization: SSWS {K}",
    f'Authorization: Digest username="me", response="{K}"',
    f"Proxy-Authorization: Bearer {K}",
    f"X-Auth-Token: {K}",
    f"PRIVATE-TOKEN: {K}",
    f"Cookie: sid={K}; theme=dark",
    f"Set-Cookie: session={K}; HttpOnly",
    # databases
    f"CREATE USER a IDENTIFIED BY '{P}'",
    f"create user a identified by {P};",
    f"ALTER ROLE a WITH PASSWORD '{P}'",
    f"CREATE LOGIN a WITH PASSWORD = ''{P}'' --",
    f"SET PASSWORD FOR a = '{P}'",
    f"select password('{P}')",
    f"machine x.test login me password {P}",
    f"db.x.test:5432:app:me:{P}",
    # source code
    f'builder.setPassword("{P}")',
    f'System.setProperty("ACME_TOKEN", "{K}")',
    f"os.environ.get('SECRET_KEY', '{K}')",
    f"putenv('API_TOKEN={K}')",
    f":password => '{P}'",
    f"'password' => '{P}',",
    f'$password = "{P}";',
    f'password := "{P}"',
    f'var acmeToken string = "{K}"',
    f'let password: &str = "{P}";',
    f'const char secret[25] = "{P}";',
    f'password: Optional[str] = "{P}"',
    f'#define PASSWORD "{P}"',
    f'if ("{P}" == password) {{',
    f'if password == "{P}":',
    f"requests.get(u, auth=('me', '{P}'))",
    f"password = '''{P}'''",
    f"apiKey: `{K}`,",
    f'std::string secret("{K}");',
    f"define('DB_PASSWORD', '{P}');",
    # sentences
    f"the password is {P}.",
    f"my password for the router is {P}",
    f"Password was changed to {P}, thanks",
    f"use {P} as the password",
    f"Das Passwort lautet {P}",
    f"Passwort: {P}",
    f"la contraseña es {P}",
    f"Contraseña: {P}",
    f"le mot de passe est {P}",
    f"mot de passe : {P}",
    f"A senha é {P}",
    f"пароль: {P}",
    f"пароль — {P}",
    f"密码是{P}",
    f"密码：{P}",
    f"パスワード: {P}",
    f"비밀번호: {P}",
    f"hasło: {P}",
    f"API key is {K}",
    f"here is the token: {K}",
]


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("text", NOTATIONS)
def test_a_secret_is_found_in_every_notation(text: str) -> None:
    shown = left(text)
    secret = P if P in text else K

    assert "█" in shown
    assert secret not in shown


NO_SECRETS = [
    "token: string",
    "password: str = field()",
    "password = getpass.getpass()",
    "const token = await getToken(user1);",
    "self.token = token1.value",
    "api_key = os.environ['API_KEY']",
    "api_key=${API_KEY}",
    'password = "{{ lookup(1) }}"',
    "password: !vault",
    "password: ENC[AES256_GCM,data:abc123,type:str]",
    'prompt("Password: ") + read1()',
    'if (password === "") {',
    'token_type: "Bearer1"',
    '{"required": ["password", "token", "user1"]}',
    '{"properties": {"password": {"type": "string"}}}',
    'getPassword("user1")',
    "Token: '#ffcc00'",
    "SO_USER_COOKIE = 0x1015",
    "auth: AuthTypes | None = USE_DEFAULT,",
    "cookie = cookie.slice(1)",
    "pass => $self->{1},",
    "PWD=/home/me1",
    "pwd = `cd /x1`",
    '"$PWD":/tmp1',
    "the password is incorrect",
    "your password has been changed to a new one.",
    "The password must be 10 characters.",
    "password_file: /run/secrets/db1",
    "privateKey: fixtures/certs/key1.pem",
    "secretName: tls-secret-1",
    "Authorization: see RFC 9110",
    "| password | string | required |",
    "kind: ConfigMap\ndata:\n  a: c2VjcmV0\n",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "token::Elevate",
    "docker run -u 1000:1000 curl",
    "zip code: 12345",
    "jwt: jjwt-jackson-0.11.2",
    "#include <passwd.h>",
    "F</etc/passwd> in C<_>",
    "token,count\nthe,12345678\nhouse2,1\n",
    "Tell me your user, password, and mail,\nthen we go on, right, ok1234\n",
]


@pytest.mark.parametrize("text", NO_SECRETS)
def test_what_stands_in_the_place_of_a_secret_is_left_alone(text: str) -> None:
    assert left(text) == text


@pytest.mark.requirement("B1")
@given(
    st.sampled_from(["password", "db_password", "PASSWORD", "userPassword", "Passwort", "contraseña", "密码"]),
    st.sampled_from(["=", ": ", " = ", ":=", "=>", " => "]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"\\'), min_size=4, max_size=40),
    st.integers(0, 3),
)
def test_a_quoted_password_is_found_whole_at_any_depth_of_escapes(name: str, sign: str, value: str, depth: int) -> None:
    text = f'{name}{sign}"{value}1a"'
    for _ in range(depth):
        text = text.replace("\\", "\\\\").replace('"', '\\"')

    found = [(text[f.start : f.end], f.start) for f in DETECTORS.find(text)]

    stands_in = value[0] in ");,+$&<{[.%*#@!~" or "..." in value  # it may stand for a value, or go on with code
    if not stands_in and not value.startswith(
        ("your-", "your_", "env:", "env.", "vault:", "op://", "arn:", "ref+", "ENC[")
    ):
        assert any(value in piece for piece, _ in found)


@given(st.text(max_size=60), st.text(max_size=60))
def test_what_is_masked_never_lies_outside_its_text(before: str, after: str) -> None:
    for joined in (
        "password",
        "token: |\n ",
        "Cookie:",
        '"secret": "',
        "<password>",
        "-----BEGIN PRIVATE" + " KEY-----",
    ):
        text = before + joined + after
        assert all(0 <= f.start < f.end <= len(text) for f in DETECTORS.find(text))


TELLING = ("password", "passwd", "secret", "token", "apiKey", "api_key", "access_token", "clientSecret", "authToken")


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("name", TELLING)
@pytest.mark.parametrize("quote", ['"', "'", '\\"', "`"])
@pytest.mark.parametrize("sign", [":", ": ", "=>", "=", " : "])
def test_a_value_is_found_however_close_its_quotes_stand(name: str, quote: str, sign: str) -> None:
    text = f"{{{quote}user{quote}{sign}{quote}bob{quote},{quote}{name}{quote}{sign}{quote}{P}{quote}}}"

    assert P not in left(text)
    assert "bob" in left(text)


@pytest.mark.parametrize("text", ['print("Password:")', "input('Token: ')", '"Password:"', 'ask "secret=", x'])
def test_a_quote_that_closes_after_the_sign_opens_no_value(text: str) -> None:
    assert left(text) == text
