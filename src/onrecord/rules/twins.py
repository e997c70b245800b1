# SPDX-License-Identifier: Apache-2.0
"""Letters that look like ASCII and are not: Cyrillic, Greek, Armenian and Latin ones, small and capital.

A name written with some of them says the same to who reads it, and another thing to who compares it.
"""

import unicodedata
from collections.abc import Mapping

TWINS: Mapping[str, str] = dict(
    zip(
        "\u0430\u0410\u0412\u0435\u0415\u043a\u041a\u041c\u041d\u043e\u041e\u0440\u0420\u0441\u0421\u0422\u0443\u0423"
        "\u0445\u0425\u0456\u0406\u0458\u0408\u0455\u0405\u0501\u051b\u051d\u0475\u04cf\u04c0\u0432\u043d\u0442\u043c"
        "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf\u03b1\u03bd\u03c1"
        "\u03b9\u03ba\u03c5\u03c7\u03f2\u03f3\u0131\u0251\u0261\u01c0\u04bb\u0570\u0578\u057d\u0585\u0581\u0433\u03b5"
        "\u050c\u051a\u051c\u0474\u04ba\u0500\u03f9\u037f\u0555\u054d\u054f\u04ae\u04af",
        "aABeEkKMHoOpPcCTyYxXiIjJsSdqwvlIBHTM" + "ABEZHIKMNOPTYXoavp" + "ikuxcjiaglhhnuogre" + "GQWVHDCJOUSYy",
        strict=True,
    )
)
_PLAIN = str.maketrans(dict(TWINS))


def plain(name: str) -> str:
    """Return `name` as it looks: full-width and styled letters, twins and what can't be seen in plain letters."""
    looks = unicodedata.normalize("NFKC", name.translate(_PLAIN)).translate(_PLAIN)  # of styled letters, too
    return "".join(char for char in looks if char.isascii() or unicodedata.category(char) not in ("Cf", "Mn"))
