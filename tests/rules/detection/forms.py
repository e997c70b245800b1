# SPDX-License-Identifier: Apache-2.0
"""Ways to write a text so that it no longer reads as it is, for tests: each as a function from text to text."""

import base64
import binascii
import gzip
import html
import json
import quopri
import zlib
from collections.abc import Callable
from urllib.parse import quote, quote_plus


def _lines(text: str, width: int, between: str) -> str:
    return between.join(text[i : i + width] for i in range(0, len(text), width))


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _xxd(raw: bytes) -> str:
    rows: list[str] = []
    for i in range(0, len(raw), 16):
        row = raw[i : i + 16]
        digits = " ".join(row[j : j + 2].hex() for j in range(0, len(row), 2))
        shown = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
        rows.append(f"{i:08x}: {digits:<39}  {shown}")
    return "\n".join(rows)


def _hexdump(raw: bytes) -> str:
    rows: list[str] = []
    for i in range(0, len(raw), 16):
        row = raw[i : i + 16]
        digits = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}"
        shown = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
        rows.append(f"{i:08x}  {digits:<48}  |{shown}|")
    return "\n".join(rows)


def _od(raw: bytes) -> str:
    rows = [raw[i : i + 16] + b"\0" * (len(raw[i : i + 16]) % 2) for i in range(0, len(raw), 16)]
    words = [" ".join(f"{row[j + 1]:02x}{row[j]:02x}" for j in range(0, len(row), 2)) for row in rows]
    return "\n".join(f"{i * 16:07o} {line}" for i, line in enumerate(words))


def _math(text: str) -> str:
    def styled(char: str) -> str:
        if "a" <= char <= "z":
            return chr(0x1D41A + ord(char) - 97)
        if "A" <= char <= "Z":
            return chr(0x1D400 + ord(char) - 65)
        return chr(0x1D7CE + ord(char) - 48) if "0" <= char <= "9" else char

    return "".join(map(styled, text))


_TWINS = str.maketrans("aceopxyABEKMHOPCTX", "асеорхуАВЕКМНОРСТХ")
_UU_END = "`\nend"


def _uu(text: str) -> str:
    raw = text.encode()
    return (
        "begin 644 x\n"
        + "".join(binascii.b2a_uu(raw[i : i + 45], backtick=True).decode() for i in range(0, len(raw), 45))
        + _UU_END
    )


def _each(before: str, after: str = "", spell: Callable[[str], str] = str) -> Callable[[str], str]:
    return lambda text: "".join(f"{before}{spell(char)}{after}" for char in text)


def _between(mark: str, every: int = 3) -> Callable[[str], str]:
    return lambda text: _lines(text, every, mark)


def _half(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _blocks(text: str) -> str:
    first, second = _half(text)
    return json.dumps({"content": [{"type": "text", "text": first}, {"type": "text", "text": second}]})


def _deltas(text: str) -> str:
    first, second = _half(text)
    return "\n\n".join(
        "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": part}}]}) for part in (first, second)
    )


def _pieces(before: str, between: str, after: str, size: int = 5) -> Callable[[str], str]:
    """Write each `size` characters as a JSON string, between which `between` stands."""
    return lambda text: (
        before + between.join(json.dumps(text[i : i + size])[1:-1] for i in range(0, len(text), size)) + after
    )


_CHUNK = 'data: {"id":"c-1","model":"m","choices":[{"index":0,"delta":{"content":"'
_DELTA = (
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"'
)
_ANNOTATED = '", "annotations": {"audience": ["user"], "priority": 0.5}}'


WHOLE: dict[str, Callable[[str], str]] = {
    "json": json.dumps,
    "json in json": lambda t: json.dumps(json.dumps({"out": t})),
    "json in json in json": lambda t: json.dumps(json.dumps(json.dumps(t))),
    "json with escaped slashes": lambda t: json.dumps(t).replace("/", "\\/"),
    "u escapes": _each("\\u", spell=lambda c: f"{ord(c):04x}"),
    "u escapes, escaped": _each("\\\\u", spell=lambda c: f"{ord(c):04x}"),
    "markdown": lambda t: "".join(f"\\{c}" if c in "_*[]()#+-.!`~>|{}\\" else c for c in t),
    "u escapes with braces": _each("\\u{", "}", lambda c: f"{ord(c):x}"),
    "x escapes": _each("\\x", spell=lambda c: f"{ord(c):02x}"),
    "x escapes twice": _each("\\\\x", spell=lambda c: f"{ord(c):02x}"),
    "octal escapes": _each("\\", spell=lambda c: f"{ord(c):03o}"),
    "shell quoting": lambda t: "$'" + "".join(f"\\x{ord(c):02X}" for c in t) + "'",
    "python repr": repr,
    "java properties": lambda t: t.replace("=", "\\=").replace(":", "\\:").replace(" ", "\\ "),
    "url": lambda t: quote(t, safe=""),
    "url, every character": _each("%", spell=lambda c: f"{ord(c):02X}"),
    "url, every other character": lambda t: "".join(f"%{ord(c):02x}" if i % 2 else c for i, c in enumerate(t)),
    "url twice": lambda t: quote(quote(t, safe=""), safe=""),
    "url form": lambda t: "q=" + quote_plus(t),
    "url, u escapes": _each("%u", spell=lambda c: f"{ord(c):04X}"),
    "html": lambda t: html.escape(t, quote=True),
    "html decimal": _each("&#", ";", lambda c: str(ord(c))),
    "html hexadecimal": _each("&#x", ";", lambda c: f"{ord(c):x}"),
    "html, no semicolon": _each("&#x", spell=lambda c: f"{ord(c):06X}"),
    "html twice": lambda t: html.escape("".join(f"&#{ord(c)};" for c in t)),
    "base64": lambda t: _b64(t.encode()),
    "base64 url-safe, no padding": lambda t: base64.urlsafe_b64encode(t.encode()).decode().rstrip("="),
    "base64 in lines": lambda t: _lines(_b64(t.encode()), 76, "\n"),
    "base64 in short indented lines": lambda t: "    " + _lines(_b64(t.encode()), 30, "\n    "),
    "base64 in escaped lines": lambda t: json.dumps(_lines(_b64(t.encode()), 64, "\n")),
    "base64 twice": lambda t: _b64(_b64(t.encode()).encode()),
    "base64 thrice": lambda t: _b64(_b64(_b64(t.encode()).encode()).encode()),
    "base64 in a data uri": lambda t: f'<img src="data:text/plain;charset=utf-8;base64,{_b64(t.encode())}">',
    "base64 in json": lambda t: json.dumps({"blob": _b64(t.encode())}),
    "base64 of json": lambda t: _b64(json.dumps({"out": t}).encode()),
    "base64 in a url": lambda t: "https://a.test/?s=" + quote(_b64(t.encode()), safe=""),
    "base64 in ldif": lambda t: f"description:: {_lines(_b64(t.encode()), 60, chr(10) + ' ')}",
    "base64 with armour": lambda t: (
        f"-----BEGIN DATA-----\n{_lines(_b64(t.encode()), 64, chr(10))}\n-----END DATA-----"
    ),
    "base64 of utf-16": lambda t: _b64(t.encode("utf-16-le")),
    "base64 of utf-16 with a mark": lambda t: _b64(t.encode("utf-16")),
    "base64 of gzip": lambda t: _b64(gzip.compress(t.encode(), mtime=0)),
    "base64 of zlib": lambda t: _b64(zlib.compress(t.encode())),
    "base32": lambda t: base64.b32encode(t.encode()).decode(),
    "base32, small letters": lambda t: base64.b32encode(t.encode()).decode().lower().rstrip("="),
    "hex": lambda t: t.encode().hex(),
    "hex, capitals": lambda t: t.encode().hex().upper(),
    "hex with blanks": lambda t: t.encode().hex(" "),
    "hex with colons": lambda t: t.encode().hex(":"),
    "hex with 0x": lambda t: ", ".join(f"0x{b:02x}" for b in t.encode()),
    "hex in postgresql": lambda t: f"'\\x{t.encode().hex()}'",
    "hex in mysql": lambda t: f"x'{t.encode().hex()}'",
    "xxd": lambda t: _xxd(t.encode()),
    "hexdump": lambda t: _hexdump(t.encode()),
    "od": lambda t: _od(t.encode()),
    "numbers": lambda t: str(list(t.encode())),
    "numbers with blanks": lambda t: " ".join(map(str, t.encode())),
    "chr()": lambda t: ".".join(f"chr({b})" for b in t.encode()),
    "String.fromCharCode": lambda t: f"String.fromCharCode({','.join(map(str, t.encode()))})",
    "a buffer in json": lambda t: json.dumps({"type": "Buffer", "data": list(t.encode())}),
    "[char]": lambda t: "+".join(f"[char]{b}" for b in t.encode()),
    "bytes of Java": lambda t: "{" + ", ".join(f"(byte) 0x{b:02x}" for b in t.encode()) + "}",
    "hex of zlib": lambda t: zlib.compress(t.encode()).hex(),
    "octal": lambda t: " ".join(f"{b:03o}" for b in t.encode()),
    "binary": lambda t: " ".join(f"{b:08b}" for b in t.encode()),
    "quoted-printable": lambda t: quopri.encodestring(t.encode()).decode(),
    "quoted-printable, every character": _each("=", spell=lambda c: f"{ord(c):02X}"),
    "uuencode": _uu,
    "ascii85": lambda t: base64.a85encode(t.encode(), adobe=True).decode(),
    "nuls": _between("\0", 1),
    "zero-width": _between("\u200b", 2),
    "soft hyphens": _between("\u00ad"),
    "word joiners": _between("\u2060", 4),
    "variation selectors": _each("", "\ufe0f"),
    "tag characters": _between("\U000e0041", 4),
    "written in tag characters": _each("", spell=lambda c: chr(0xE0000 + ord(c))),
    "combining marks": _each("", "\u0332"),
    "full-width": _each("", spell=lambda c: chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c),
    "mathematical": _math,
    "cyrillic letters": lambda t: t.translate(_TWINS),
    "directions": lambda t: f"\u202d{_lines(t, 5, chr(0x200E))}\u202c",
    "tags inside": _between("<wbr>", 6),
    "bold inside": lambda t: f"{t[:5]}<b>{t[5:9]}</b>{t[9:]}",
    "comments inside": _between("<!-- -->", 6),
    "terminal colours": _between("\x1b[31m", 4),
    "terminal colours, escaped": _between("\\u001b[0m", 5),
    "wrapped": lambda t: _lines(t, 24, "\n"),
    "wrapped with backslashes": lambda t: _lines(t, 24, "\\\n"),
    "wrapped and indented": lambda t: "    " + _lines(t, 30, "\n    "),
    "wrapped and quoted": lambda t: "> " + _lines(t, 30, "\n> "),
    "wrapped in comments": lambda t: "# " + _lines(t, 30, "\n# "),
    "wrapped in a patch": lambda t: "+" + _lines(t, 30, "\n+"),
    "wrapped, escaped": lambda t: json.dumps(_lines(t, 30, "\n")),
    "joined with +": lambda t: '"' + _lines(t, 12, '" + "') + '"',
    "joined over lines": lambda t: '("' + _lines(t, 16, '"\n "') + '")',
    "joined with .": lambda t: "'" + _lines(t, 12, "' . '") + "'",
    "joined with &": lambda t: '"' + _lines(t, 12, '" & "') + '"',
    "joined with ||": lambda t: "'" + _lines(t, 12, "' || '") + "'",
    "joined by standing side by side": lambda t: "'" + _lines(t, 12, "' '") + "'",
    "joined over lines with backslashes": lambda t: '"' + _lines(t, 12, '" \\\n  "') + '"',
    "joined as a list": lambda t: '["' + _lines(t, 12, '", "') + '"].join("")',
    "joined bit by bit": lambda t: 's = "' + _lines(t, 16, '"\ns += "') + '"',
    "joined with <>": lambda t: '"' + _lines(t, 12, '" <> "') + '"',
    "joined with append()": lambda t: 'b.append("' + _lines(t, 12, '")\n  .append("') + '")',
    "joined with implode()": lambda t: "implode('', ['" + _lines(t, 12, "', '") + "'])",
    "joined, in json": lambda t: json.dumps('"' + _lines(t, 12, '" + "') + '"'),
    "two blocks": _blocks,
    "two deltas": _deltas,
    "two blocks in json": lambda t: json.dumps({"result": _blocks(t)}),
    "a stream of tokens": _pieces(_CHUNK, '"},"finish_reason":null}]}\n\n' + _CHUNK, '"},"finish_reason":null}]}\n'),
    "a stream of events": _pieces(_DELTA, '"}}\n\n' + _DELTA, '"}}\n'),
    "a stream of lines": _pieces('{"response":"', '","done":false}\n{"response":"', '","done":true}\n', 20),
    "annotated blocks": _pieces(
        '[{"type": "text", "text": "', _ANNOTATED + ', {"type": "text", "text": "', _ANNOTATED + "]", 20
    ),
    "blocks of Python": lambda t: (
        "[" + ", ".join(f"TextContent(type='text', text='{part}', annotations=None)" for part in _half(t)) + "]"
    ),
    "chunks": _pieces('{"chunks": ["', '", "', '"]}', 9),
    "spaced out": " ".join,
    "a letter a line": "\n".join,
    "a list of letters": lambda t: json.dumps(list(t)),
    "sql quotes": lambda t: "'" + t.replace("'", "''") + "'",
    "csv": lambda t: '"' + t.replace('"', '""') + '"',
    "cdata": lambda t: f"<x><![CDATA[{_lines(t, 9, ']]><![CDATA[')}]]></x>",
}
