# SPDX-License-Identifier: Apache-2.0
"""Values that say which thing is meant and open none: resource names, paths, digests, fingerprints, revisions.

Many stand just where a key would: `"Key": "2026/9f86….parquet"` is an object in a bucket, the last part of
`arn:aws:secretsmanager:…:secret:db-Ab12Cd` names a secret, `GPG_KEY=E3FF…` is a fingerprint. What surrounds
them and how they are written gives them away.
"""

from onrecord.rules.words import listed, words

_LEFT = 160  # characters before a value in which the name that it is part of begins
_PART = "\t\r\n \"'`,;<>()[]{}|="  # what a resource name does not hold
_FILES = listed("""
    parquet zip gz tgz xz zst bz2 tar jar war whl egg dll so exe bin dat pdf jpg jpeg png gif webp svg ico mp3 mp4 webm
    woff woff2 ttf csv tsv json jsonl ndjson yaml yml xml html htm css js mjs cjs ts tsx jsx map md rst txt log lock py
    go rs java rb php sh sql avro orc db sqlite pb proto tf asc sig
""")
_DIGEST_OF = ("checksum/", "hash/", "sha256/", "md5/")  # annotations of Kubernetes: checksum/secret
_OF_REQUEST = frozenset({"client", "request", "change", "lock"})
_HEX = frozenset("0123456789abcdefABCDEF")
_PUBLIC = ("AAAAB3NzaC1", "AAAAC3NzaC1", "AAAAE2VjZHNh")  # public keys of SSH. RFC 4253, 6.6.
_NUMBER = 18  # characters of a number of 64 bits, as programs write it: 0x3FF0000000000000
_FINGERPRINTS = (16, 40)  # digits of the id of an OpenPGP key, and of its fingerprint. RFC 9580, 5.5.4.


def is_handle(text: str, start: int, end: int) -> bool:
    """Say whether the random value `text[start:end]` is part of a name, a path, a number or a fingerprint."""
    value = text[start:end]
    before = text[start - 1 : start]
    if before in ("@", "#") and text[start - 2 : start - 1].isalnum() and _HEX.issuperset(value.strip(".")):
        return True  # release@9f86…
    left = text[max(0, start - _LEFT) : start]
    if left.rfind("ENC[") > left.rfind("]"):
        return True  # encrypted by sops
    if value.startswith(_PUBLIC) or text[start - 2 : start] == "${" or in_resource(text, start) or _is_path(value):
        return True
    digits = value[2:].rstrip("uUlL") if value[:2] in ("0x", "0X") else value  # 0x9ddfea08eb382d69ULL
    if not _HEX.issuperset(digits):
        return False
    if digits != value and len(digits) + 2 <= _NUMBER:
        return True
    return len(digits) in _FINGERPRINTS and digits == digits.upper()


def in_resource(text: str, at: int) -> bool:
    """Say whether `at` stands in the name of a resource or of its type: `arn:aws:…`, `urn:…`, `AWS::S3::Bucket`."""
    first = low = max(0, at - _LEFT)
    for i in range(at - 1, low - 1, -1):
        if text[i] in _PART:
            first = i + 1
            break
    run = text[first:at]
    return run.startswith(("arn:", "urn:")) or ":arn:" in run or run.count("::") > 1 or run.endswith(_DIGEST_OF)


def of_request(value: str, name: str) -> bool:
    """Say whether a UUID under `ClientToken`, `clientRequestToken` or the like makes a request idempotent. AWS."""
    if len(value) != 36 or value.count("-") != 4 or "_" in name:
        return False
    return not _OF_REQUEST.isdisjoint(words(name))


def _is_path(value: str) -> bool:
    """Say whether `value` is a path, one part of which is a word, or the name of a file."""
    stem, _, ending = value.rpartition(".")
    if stem and ending.lower() in _FILES:
        return True
    parts = value.split("/")
    return len(parts) > 1 and any(len(part) > 3 and _is_word(part) for part in parts)


def _is_word(part: str) -> bool:
    return part.replace("-", "").replace("_", "").isalpha() and (part.islower() or part[1:].islower())
