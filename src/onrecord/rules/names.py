# SPDX-License-Identifier: Apache-2.0
"""Names that announce a secret: `password`, `apiKey`, `X-Auth-Token`, `client_secret`.

What stands under such a name is withheld whatever it looks like. A name is judged by its words, so
spelling and separators do not matter. Some names speak about a secret without holding one
(`token_count`, `secret_name`, `next_page_token`) and are left alone: withholding `max_tokens` on
every call of a language model would hide what matters and protect nobody. What does hold a
credential under such a name is still found by its form.

These lists are read by the walk over arguments and results and by the detectors for free text, so
that both judge alike.
"""

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

from onrecord.rules.twins import plain
from onrecord.rules.words import LONGEST, listed, words

# Words that announce a secret wherever they stand, and the label that they give.
WORDS: Mapping[str, str] = {
    "password": "password",
    "passwords": "password",
    "passwd": "password",
    "passphrase": "password",
    "passcode": "password",
    "pwd": "password",
    "pswd": "password",
    "passwrd": "password",
    "psswd": "password",
    "passw": "password",
    "paswd": "password",
    "paswrd": "password",
    "pswrd": "password",
    "psword": "password",
    "pssword": "password",
    "pword": "password",
    "passcodes": "password",
    "passphrases": "password",
    "secret": "secret",
    "secrets": "secret",
    "secrete": "secret",
    "token": "token",
    "tokens": "token",
    "jwt": "token",
    "bearer": "token",
    "nkey": "private-key",
    "apikey": "api-key",
    "apikeys": "api-key",
    "authorization": "authorization",
    "cookie": "cookie",
    "cookies": "cookie",
    "credential": "credential",
    "credentials": "credential",
    "creds": "credential",
    "mnemonic": "credential",
    "otp": "one-time-code",
    "totp": "one-time-code",
    "psk": "password",
    "passkey": "password",
    "pwhash": "password",
    "passwordhash": "password",
    "puk": "pin",
    "csrf": "token",
    "xsrf": "token",
    "jsessionid": "cookie",
    "phpsessid": "cookie",
    "cvv": "card-code",
    "cvc": "card-code",
    "ssn": "ssn",
}

# The same in other languages, in the words and spellings of forms, configuration files and chats.
FOREIGN: Mapping[str, str] = {
    "passwort": "password",
    "passwörter": "password",
    "kennwort": "password",
    "contraseña": "password",
    "contrasena": "password",
    "contrasenya": "password",
    "contrasinal": "password",
    "motdepasse": "password",
    "senha": "password",
    "пароль": "password",
    "пароля": "password",
    "密码": "password",
    "密碼": "password",
    "口令": "password",
    "パスワード": "password",
    "暗証番号": "pin",
    "비밀번호": "password",
    "암호": "password",
    "hasło": "password",
    "haslo": "password",
    "heslo": "password",
    "wachtwoord": "password",
    "lösenord": "password",
    "losenord": "password",
    "passord": "password",
    "adgangskode": "password",
    "salasana": "password",
    "lykilorð": "password",
    "şifre": "password",
    "sifre": "password",
    "jelszó": "password",
    "jelszo": "password",
    "parolă": "password",
    "lozinka": "password",
    "zaporka": "password",
    "geslo": "password",
    "лозинка": "password",
    "парола": "password",
    "slaptažodis": "password",
    "parool": "password",
    "κωδικός": "password",
    "סיסמה": "password",
    "סיסמא": "password",
    "पासवर्ड": "password",
    "รหัสผ่าน": "password",
    "токен": "token",
    "令牌": "token",
    "トークン": "token",
    "토큰": "token",
    "密钥": "secret",
    "密鑰": "secret",
    "秘密鍵": "private-key",
    "секрет": "secret",
    "geheimnis": "secret",
    "jeton": "token",
}

# Two words side by side. Written together (`accesskey`) they count as well.
PAIRS: Mapping[tuple[str, str], str] = {
    ("pass", "word"): "password",
    ("pass", "phrase"): "password",
    ("api", "key"): "api-key",
    ("api", "keys"): "api-key",
    ("access", "key"): "api-key",
    ("account", "key"): "api-key",
    ("auth", "key"): "api-key",
    ("app", "key"): "api-key",
    ("service", "key"): "api-key",
    ("license", "key"): "api-key",
    ("application", "key"): "api-key",
    ("consumer", "key"): "api-key",
    ("integration", "key"): "api-key",
    ("client", "key"): "api-key",
    ("oauth", "key"): "api-key",
    ("oauth", "signature"): "signature",
    ("oauth", "verifier"): "token",
    ("shared", "key"): "secret",
    ("secret", "key"): "secret",
    ("session", "key"): "secret",
    ("master", "key"): "secret",
    ("encryption", "key"): "secret",
    ("signing", "key"): "secret",
    ("decryption", "key"): "secret",
    ("validation", "key"): "secret",
    ("recovery", "key"): "secret",
    ("unseal", "key"): "secret",
    ("sas", "key"): "secret",
    ("wifi", "key"): "password",
    ("wpa", "key"): "password",
    ("wep", "key"): "password",
    ("network", "key"): "password",
    ("snmp", "community"): "password",
    ("community", "string"): "password",
    ("pass", "hash"): "password",
    ("pw", "hash"): "password",
    ("github", "pat"): "token",
    ("gitlab", "pat"): "token",
    ("azure", "pat"): "token",
    ("devops", "pat"): "token",
    ("private", "key"): "private-key",
    ("priv", "key"): "private-key",
    ("ssh", "key"): "private-key",
    ("deploy", "key"): "private-key",
    ("host", "key"): "private-key",
    ("seed", "phrase"): "credential",
    ("recovery", "code"): "one-time-code",
    ("recovery", "codes"): "one-time-code",
    ("verification", "code"): "one-time-code",
    ("mfa", "code"): "one-time-code",
    ("access", "code"): "one-time-code",
    ("unlock", "code"): "one-time-code",
    ("login", "code"): "one-time-code",
    ("door", "code"): "one-time-code",
    ("alarm", "code"): "one-time-code",
    ("backup", "codes"): "one-time-code",
    ("puk", "code"): "pin",
    ("card", "pin"): "pin",
    ("user", "pin"): "pin",
    ("pin", "code"): "pin",
    ("security", "code"): "card-code",
    ("connection", "string"): "connection-string",
    ("connection", "str"): "connection-string",
    ("conn", "string"): "connection-string",
    ("conn", "str"): "connection-string",
    ("social", "security"): "ssn",
    ("set", "cookie"): "cookie",
    ("basic", "auth"): "authorization",
    ("db", "pass"): "password",
    ("user", "pass"): "password",
    ("admin", "pass"): "password",
    ("root", "pass"): "password",
    ("oauth", "nonce"): "token",
    ("storage", "key"): "api-key",
    ("subscription", "key"): "api-key",
    ("aes", "key"): "secret",
    ("hmac", "key"): "secret",
    ("stream", "key"): "secret",
    ("authentication", "key"): "api-key",
    ("clé", "api"): "api-key",
    ("clave", "api"): "api-key",
    ("chave", "api"): "api-key",
    ("chiave", "api"): "api-key",
    ("api", "schlüssel"): "api-key",
    ("api", "ключ"): "api-key",
    ("ключ", "api"): "api-key",
    ("api", "密钥"): "api-key",
    ("api", "キー"): "api-key",
    ("palavra", "passe"): "password",
    ("clave", "acceso"): "password",
    ("mật", "khẩu"): "password",
    ("كلمة", "المرور"): "password",
    ("كلمة", "السر"): "password",
    ("kata", "sandi"): "password",
    ("mot", "passe"): "password",
}

_JOINED = {first + second: label for (first, second), label in PAIRS.items() if first.isascii()}

# Too short or too common to count inside a longer name.
WHOLE: Mapping[str, str] = {"pass": "password", "pin": "pin", "auth": "authorization", "pw": "password"}

# As the last word: `db_pass`, `smtpPass`.
LAST: Mapping[str, str] = {"pass": "password", "pw": "password"}

# Endings of words written in one: `dbpassword`, `accesstoken`, `clientsecret`.
ENDINGS: tuple[tuple[str, str], ...] = (
    ("password", "password"),
    ("passwd", "password"),
    ("passphrase", "password"),
    ("passwort", "password"),
    ("dbpass", "password"),
    ("sqlpass", "password"),
    ("ftppass", "password"),
    ("smtppass", "password"),
    ("mailpass", "password"),
    ("bindpw", "password"),
    ("rootpw", "password"),
    ("requirepass", "password"),
    ("secret", "secret"),
    ("token", "token"),
    ("apikey", "api-key"),
    ("accesskey", "api-key"),
    ("secretkey", "secret"),
    ("privatekey", "private-key"),
)

# Every label that a name gives.
LABELS = frozenset(
    (*WORDS.values(), *FOREIGN.values(), *PAIRS.values(), *WHOLE.values(), *LAST.values(), *dict(ENDINGS).values())
)

# As the last word these make a name speak about a secret: where it is, how long, of what kind. Words that may
# just as well stand for its place on a form (`password_field`, `token_input`) are not among them.
ABOUT = listed("""
    algorithm arn bits budget class cost count counts description directory dir duration enabled encoding endpoint
    file filename format function handler hint id ids index label length level lifetime limit limits link location
    manager max method min mode name names optional parser path paths policy price provider ratio reference ref
    regex required requirements reset rotation rule rules scheme scope scopes server servers size status strength
    threshold title ttl type types uri url urls usage valid validator version short long weak mismatch placeholder help
    helper error errors message messages incorrect invalid
""")

# Anywhere in a name these make it one of a time: `token_expires_at`.
OF_TIME = listed("expires expired expiry expiration issued created updated rotated")

# Before a password these make a name that of a button or a heading: `show_password`.
OF_FORM = listed("forgot forgotten show hide toggle")

# Beside `token` these mean a count, a place in a list, or a piece of text.
OF_TEXT = listed("""
    audio batch cached completion continuation cursor eos bos pad mask sep unk special stop image input
    max min next num number of output page per prev previous progress prompt reasoning remaining sync
    text thinking total used vocab idempotency scroll resume change lock data prec precedence shown once generated
""")


def _anchors(between: str) -> str:
    pairs = "|".join(f"{first}{between}{second}" for first, second in PAIRS)
    return "|".join([*WORDS, *FOREIGN, pairs, *(ending for ending, _ in ENDINGS)])


# What every such name contains: a text without a match of one of these holds none. For `(?i)`, and `(?im)`.
ANCHORS = _anchors("[^a-z]*(?:(?:de|di|da)[^a-z]*)?")
SHORT_ANCHORS = f"(?:{'|'.join(LAST)})(?:[^a-z]|$)|^[^a-z\\n]*(?:{'|'.join(WHOLE)})[^a-z\\n]*$"

# What such names contain where they stand in running text: the words of a pair side by side.
TEXT_ANCHORS = _anchors("[ _.-]{0,2}(?:(?:de|di|da)[ _-])?")

# The private parts of a JSON Web Key, which `kty` announces. RFC 7517, RFC 7518.
KEY_PARTS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})

_JOINERS = frozenset({"de", "di", "da"})  # mot de passe
_SECRET_IDS = frozenset({("secret", "id")})  # HashiCorp Vault's AppRole calls its password so


def label_of(name: str) -> str:
    """Return what a value under `name` would be (`password`, `api-key`…), or "" where nothing is announced."""
    return _known(name) if len(name) <= LONGEST else _label_of(name)


def _label_of(name: str) -> str:
    parts = words(name)
    label = _announced(parts)
    if not label and not name.isascii():
        parts, read = words(plain(name[:LONGEST])), parts
        label = _announced(parts)
        if not label:
            parts, label = read, _foreign(name)
    if not label or _only_about(parts, label):
        return ""
    return label


_known = lru_cache(maxsize=4096)(_label_of)  # the same names come again and again


def _foreign(name: str) -> str:
    """Return the label of a word that many scripts write together with the next: `数据库密码`."""
    lowered = unicodedata.normalize("NFKC", name[:LONGEST]).lower()
    return next((label for word, label in FOREIGN.items() if not word.isascii() and word in lowered), "")


def _announced(parts: list[str]) -> str:
    if len(parts) == 1 and parts[0] in WHOLE:
        return WHOLE[parts[0]]
    for part in parts:
        label = WORDS.get(part) or FOREIGN.get(part) or _JOINED.get(part)
        if label:
            return label
    for pair in pairwise(part for part in parts if part not in _JOINERS):
        if pair in PAIRS:
            return PAIRS[pair]
    if parts and parts[-1] in LAST:
        return LAST[parts[-1]]
    for part in parts:
        for ending, label in ENDINGS:
            if part.endswith(ending):
                return label
    return ""


def _only_about(parts: list[str], label: str) -> bool:
    if tuple(parts) in _SECRET_IDS:
        return False
    if len(parts) > 1 and (parts[-1] in ABOUT or not OF_TIME.isdisjoint(parts)):
        return True
    if label == "password" and not OF_FORM.isdisjoint(parts[:-1]):
        return True
    return label == "token" and not OF_TEXT.isdisjoint(parts)
