# SPDX-License-Identifier: Apache-2.0
"""Whether a word looks as if a machine had drawn it, or a person had named something with it.

Keys and tokens are drawn at random; what else stands in their places are names: `user_token_2`,
`application/json`, `us-east-1`. Two things tell them apart without a dictionary: random text changes
between letters and digits all the time, and its letters stand beside each other in ways that no
language knows. Neither proves anything about short words.
"""

from itertools import pairwise

from onrecord.rules.words import listed, words

# Letters that stand side by side in English, and with few exceptions in other languages in Latin letters: 97 % of
# those in running text, and 36 % of those in random letters.
_PAIRS = listed(
    """
    th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro
    ic ne ea ra ce li ch ll be ma si om ur ca el ta la ns di fo ho pe ec pr no ct us ac ot il tr ly nc et ut ss so
    rs un lo wa ge ie wh ee wi em ad ol rt po we na ul ni ts mo ow pa im mi ai sh ir su id os iv ia am fi ci vi pl
    ig tu ev ld ry mp fe bl ab gh ty op wo sa ay ex ke fr oo av ag if ap gr od bo sp rd do uc bu ei ov by rm ep tt
    oc fa ef cu rn sc gi da yo cr cl du ga qu ue ff ba ey ls va um pp ua up lu go ht ru ug ds lt pi rc rr eg au ck
    ew mu br bi pt ak pu ui rg ib tl ny ki rk ys ob mm fu ph og ms ye ud mb ip ub oi rl gu dr hr cc tw ft wn nu af
    hu nn eo vo rv nf xp gn sm fl iz ok nl my gl aw ju oa eq sy sl ps db ks ka ko sk kn je ja jo ze za gs dd bj gg
    """
)
_USUAL = frozenset(form for pair in _PAIRS for form in (pair, pair.upper(), pair.capitalize()))  # as they are written
_FILE_ENDS = tuple(
    listed(
        """
        .pem .key .crt .cer .json .txt .yaml .yml .env .p12 .pfx .jks .creds .conf .cfg .toml .ini .xml .js .ts .py
        .go .java .html .md .sh .php .rb .log .png .svg .css
        """
    )
)
_PARTERS = "-_.:/@+ "
_OPEN = {")": "(", "]": "[", "}": "{"}
_ODD = frozenset("!@#$%^&*?~§¿¨€£")
_READ = 96  # characters of a word that are judged


def surprise(word: str) -> int:
    """Return how often `word` changes between letters and digits, or sets letters together as no language does."""
    found = 0
    for a, b in pairwise(word):
        if a + b in _USUAL:
            continue
        if a.isalpha():
            if b.isalpha():
                found += not (a.islower() and b.isupper()) and (a + b).lower() not in _PAIRS
            else:
                found += b.isdigit()
        elif a.isdigit():
            found += b.isalpha()
    return found


def drawn(word: str, least: int = 12) -> bool:
    """Say whether a word of at least `least` characters looks as if a machine had drawn it."""
    word = word[:_READ]
    return len(word) >= least and surprise(word) >= max(4, 0.28 * len(word))


def named(word: str) -> bool:
    """Say whether a word falls into words and numbers, as names, versions, paths and dates do."""
    word = word[:_READ]
    if surprise(word) >= max(4, 0.2 * len(word)):
        return False
    parts = word
    for parter in _PARTERS[1:]:
        parts = parts.replace(parter, "-")
    pieces = [piece for piece in parts.split("-") if piece]
    return len(pieces) > 1 and any(len(piece) > 1 and piece.isalpha() for piece in pieces)


def worded(word: str) -> bool:
    """Say whether three eighths of a word or more are words: `V1beta2ResourceClaimSpec`, `ParsePKCS8PrivateKey`."""
    word = word[:_READ]
    read = sum(len(part) for part in words(word) if len(part) > 3 and surprise(part) <= len(part) // 6)
    return read * 8 >= 3 * len(word)


def is_version(word: str) -> bool:
    """Say whether a word is a version, or asks for one: `^4.0.0`, `1.2.1`, `>=2.4`; a date in figures is none."""
    if "." not in word:
        return False
    number = word.lstrip("^~<>=v")
    parts = number.split(".")
    if not all(part.isdigit() and len(part) < 4 for part in parts[:2]):
        return False
    return len(number) < len(word) or (len(parts) == 3 and parts[2].isdigit() and len(parts[2]) < 4)


def is_moment(word: str) -> bool:
    """Say whether a word is a date with a time: `2016-09-24T16:18:07Z`."""
    return len(word) > 15 and word[10] in "T " and word[13] == ":" and word[:4].isdigit() and word[4] == word[7] == "-"


def is_path(word: str) -> bool:
    """Say whether a word is the name of a file."""
    return word.startswith(("./", "../", "~/")) or (word.lower().endswith(_FILE_ENDS) and not drawn(word))


def odd(word: str) -> bool:
    """Say whether a word holds marks that a password holds and code or prose does not: brackets that don't pair."""
    word = word[:_READ]
    if len(_ODD.intersection(word)) >= 3:
        return True
    opened: list[str] = []
    for char in word:
        if char in "([{":
            opened.append(char)
        elif char in _OPEN and opened and opened.pop() != _OPEN[char]:
            return True
    return False
