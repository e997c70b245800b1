# SPDX-License-Identifier: Apache-2.0
"""Addresses of crypto wallets: those whose text carries its own checksum are told from any other random word by it.

Base58Check is the form of Bitcoin's first addresses, and of Litecoin, Dogecoin, Dash, Zcash and TRON;
bech32 and bech32m are those of BIP 173 and BIP 350. An address of Ethereum has a checksum only by a
hash that Python lacks, so its form alone is asked for.
"""

import hashlib

from onrecord.rules.detection.finding import Span

_BASE_58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE = str.maketrans("rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz", _BASE_58)
_BECH_32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def wallet(text: str, start: int, end: int) -> Span | None:
    """Keep what is an address with a right checksum."""
    word = text[start:end]
    if word[:2] in ("0x", "0X"):
        return (start, end) if len(set(word[2:].lower())) > 6 else None
    if "1" in word[2:5] and word[:2].lower() in ("bc", "tb", "lt"):
        return (start, end) if _bech_32(word) else None
    return (start, end) if _base_58(word) or (word[0] == "r" and _base_58(word.translate(_RIPPLE))) else None


def _base_58(word: str) -> bool:
    number = 0
    for char in word:
        digit = _BASE_58.find(char)
        if digit < 0:
            return False
        number = number * 58 + digit
    size = (number.bit_length() + 7) // 8
    if size > 26:
        return False
    data = number.to_bytes(25 if size <= 25 else 26, "big")
    return hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def _bech_32(word: str) -> bool:
    if word not in (word.lower(), word.upper()):
        return False
    prefix, _, rest = word.lower().rpartition("1")
    values = [_BECH_32.find(char) for char in rest]
    if not prefix or min(values, default=-1) < 0:
        return False
    check = 1
    for value in (*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *values):
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_GENERATOR):
            check ^= generator if top >> i & 1 else 0
    return check in (1, 0x2BC830A3)
