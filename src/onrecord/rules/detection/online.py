# SPDX-License-Identifier: Apache-2.0
"""Addresses by which a person or a person's machine is reached: mailboxes, IP and MAC addresses.

What every machine calls itself (127.0.0.1, ::1, 0.0.0.0), the service that clouds put at
169.254.169.254, and broadcast addresses identify nobody and are left. Addresses of private networks
are kept: inside its network such an address stands for one machine.
"""

from ipaddress import AddressValueError, IPv4Address, IPv6Address

from onrecord.rules.detection.finding import Span
from onrecord.rules.words import listed

_FILES = listed("png jpg jpeg gif svg webp ico js mjs ts tsx jsx css py go html json toml yaml yml dll exe")
_NEAR = 24  # characters before four small numbers in which a word must say that they are an address
_IP_WORDS = ("ip", "host", "addr", "dns", "server", "from", "peer", "client", "remote", "ping", "gateway", "http", "@")
_VERSION_WORDS = (
    "version",
    "oid",
    "objectid",
    "ver.",
    "release",
    "v.",
    "build",
    "==",
    ">=",
    "<=",
    "~=",
    "section",
    "chapter",
    "clause",
    "workflow",
    "bump",
)


def email(text: str, start: int, end: int) -> Span | None:
    """Keep addresses of people; not the user of an SSH address, nor a file name with a scale in it."""
    local, _, domain = text[start:end].rpartition("@")
    if text[start - 1 : start] == ":" and "://" in text[max(0, start - 64) : start]:
        return None  # the password in a URL, and its host
    if local == "git" or domain.rpartition(".")[2].lower() in _FILES:
        return None
    return start, end


def ipv4(text: str, start: int, end: int) -> Span | None:
    """Keep an address of a host; not a network, a mask, a version, or the number of a section."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before[-1:].isalnum() or before[-1:] in ("_", "-", "+") or (before[-1:] == "." and before[:1].isalnum()):
        return None
    if after[:1].isalnum() or after[:1] == "_" or (after[:1] in (".", "-", "+") and after[1:].isalnum()):
        return None
    if before[-1:] == "/" and before[:1].isalpha():
        return None  # Chrome/120.0.6099.109
    if before[-1:] == " " and before[:1].isdigit() and "." in text[max(0, start - 8) : start].split(" ")[-2]:
        return None  # 2.12 3.51.98.32 in the path of a picture
    if after[:1] == "." and before[-1:] in (">", "\n", "") and text[end + 2 : end + 3].isupper():
        return None  # the number of a section
    parts = [int(part) for part in text[start:end].split(".")]
    if max(parts) > 255 or parts[0] in (0, 127, 255) or parts == [169, 254, 169, 254] or parts[2:] == [0, 0]:
        return None
    if parts[:3] in ([2, 5, 4], [2, 5, 29]):
        return None  # names in X.509
    near = text[max(0, start - _NEAR) : start].lower()
    if any(word in near for word in _VERSION_WORDS):
        return None
    if max(parts) < 20 and len(set(parts)) > 1 and not any(word in near for word in _IP_WORDS):
        return None  # 1.2.3.4 is a version more often than a machine
    return start, end


def ipv6(text: str, start: int, end: int) -> Span | None:
    """Keep an address of a host; not a path of names joined with `::`, a time, or a fingerprint."""
    if text[start - 1 : start] in (":", ".", "_", "-") or text[start - 1 : start].isalnum():
        return None
    if text[end : end + 2] == "::":
        end += 2
    after = text[end : end + 2]
    if after[:1] == "_" or after[:1].isalnum() or (after[:1] == ":" and (text[end - 1] == ":" or after[1:].isalnum())):
        return None
    try:
        address = IPv6Address(text[start:end])
    except AddressValueError:
        return None
    groups = [group for group in text[start:end].split(":") if group]
    telling = any(len(group) > 2 and any(map(str.isdigit, group)) for group in groups)
    if len(groups) < 2 or not telling or address.is_loopback or address.is_multicast:
        return None
    return start, end


def mac(text: str, start: int, end: int) -> Span | None:
    """Keep an address of six or eight bytes; not one of zeros, not the broadcast, not part of a fingerprint."""
    separator = text[start + 2] if text[start + 2] in ":-" else "."
    after = text[end + 1 : end + 2 + _NEAR]
    goes_on = text[end : end + 1] == separator and (after[:1].isalnum() or after.lstrip()[2:3] == separator)
    if text[start - 1 : start] == separator or goes_on or text[end : end + 1] == "_":
        return None
    line_before = text[max(0, start - _NEAR * 2) : start].rstrip()
    if line_before[-1:] == separator and (
        line_before[-2:-1].isalnum() or line_before.lower().endswith("serial number:")
    ):
        return None  # the last line of a fingerprint, a key or a signature
    digits = text[start:end].replace(separator, "")
    if len(set(digits.lower())) == 1 or (separator == "-" and digits.isdigit()):
        return None
    if text[start + 4] == "." and not digits.islower() and "mac" not in text[max(0, start - _NEAR) : start].lower():
        return None  # routers write 001a.2b3c.4d5e; weights of a collation look alike
    return start, end


def is_address(text: str) -> bool:
    """Say whether `text` is four numbers that are an IP address."""
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
