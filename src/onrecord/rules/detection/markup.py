# SPDX-License-Identifier: Apache-2.0
"""Finds text in HTML and Markdown that a page does not show and a model would read.

Elements that a style hides, comments, and attributes that only show on demand. That something is
hidden says little: every page hides menus. So what is hidden must speak to somebody, in a sentence.
"""

from collections.abc import Iterator

from onrecord.rules.pattern import Offsets, Pattern, utf8

HTML = "hidden-html"

_HIDES = (
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*[01](?:\.0+)?(?:px|pt|em|rem|%)?\s*[;\"'!]"
    r"|opacity\s*:\s*0(?:\.0\d*)?\s*[;\"'!]"
    r"|(?:left|top|right|text-indent|margin-left|margin-top)\s*:\s*-\d{3,}|clip\s*:\s*rect\(\s*0"
    r"|clip-path\s*:\s*inset\(\s*(?:50|100)%"
    r"|(?:[^-]|\A)(?:max-)?(?:height|width)\s*:\s*[01](?:px)?\s*[;\"'!][^>]{0,80}overflow\s*:\s*hidden"
    r"|transform\s*:\s*scale\(\s*0"
    r"|(?:^|[^-])color\s*:\s*(?:#fff(?:fff)?|white|transparent|rgba?\(\s*255\s*,\s*255\s*,\s*255[^)]*\)"
    r"|rgba\([^)]*,\s*0\s*\))\s*[;\"'!]"
)
_ELEMENT = Pattern(
    rf"(?is)<[a-z][a-z0-9-]*\s[^<>]*style\s*=[^<>]{{0,300}}?(?:{_HIDES})[^<>]*>\s*([^<]{{12,1000}})", late=True
)
_ATTRIBUTE = Pattern(
    r"""(?is)<[a-z][a-z0-9-]*\s[^<>]*?\b(?:hidden|aria-hidden\s*=\s*["']?true)\b[^<>]*>\s*([^<]{12,1000})""",
    late=True,
)
_COMMENT = Pattern(
    r"(?s)<!--(.{8,1000}?)(?:-->|\z)|(?m)^\[(?://|comment|_)\]:\s*(?:#|<>)\s*[(\"'](.{8,1000}?)[)\"']\s*$",
    late=True,
)
_TITLE = Pattern(
    r"""(?is)<[a-z][^<>]*\s(?:alt|title|aria-label|data-[a-z-]+|content)\s*=\s*"""
    r"""(?:"([^"]{20,1000})"|'([^']{20,1000})')""",
    late=True,
)

_SPEAKS = Pattern(
    r"(?i)\b(?:you|your|yours|ignor\w+|disregard|forget|assistant|language model|password|send|reveal|forward"
    r"|instruct\w*"
    r"|pretend|answer|respond|reply|tell|remember|call|transfer|ich|ihnen|sie|du|usted|tus?|vous|votre"
    r"|voc[eê]|ti|tuo)\b"
    r"|\b(?:what|who|how|why|when|where|can|could|would|should)\b[^\n]{3,400}\?"
    r"|[\p{Han}\p{Hangul}\p{Hiragana}\p{Arabic}\p{Cyrillic}\p{Greek}\p{Devanagari}\p{Hebrew}\p{Thai}]{4,}",
    late=True,
)
_ADDRESSES = Pattern(
    r"(?i)\b(?:ignor(?:e|ez|ieren|a|iere)\b[^\n]{0,60}\b(?:instruction|prompt|above|previous|user|page|previo"
    r"|anterior|vorher|pr[eé]c[eé]dent)\w*|disregard|assistant\s*:"
    r"|(?:ai|llm|language model)\b[^\n]{0,40}\b(?:must|should|please|ignore|read)|system (?:mode|prompt"
    r"|override)|override mode|secret key|your (?:password|system|instructions|previous)"
    r"|do not tell|pretend|you are (?:now|an?)\b|your account|reveal|forward (?:all|the|this|every)"
    r"|send (?:all|the|an?|me|my)\b|transfer \$?\d|(?:ich|ihnen|ihr) \w+|tell me|give me|can you|could you|do you)"
    r"|\A\s*(?:Q:|(?:what|who|how|why|when|where|can|could|would|is|are|do|does)\b[^\n<>]{5,400}\?\s*\z)",
    late=True,
)


def hidden_html(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield hidden sentences of `text`, as start, end and flag."""
    if "<" not in text and "]:" not in text:
        return
    data = utf8(text)
    spans: list[tuple[int, int]] = []
    lowered = data.lower()
    for literals, pattern, groups, speaks in (
        ((b"style",), _ELEMENT, (1,), _SPEAKS),
        ((b"hidden",), _ATTRIBUTE, (1,), _ADDRESSES),
        ((b"<!--", b"]: #", b"]: <>", b"]:#"), _COMMENT, (1, 2), _ADDRESSES),
        ((b"alt", b"title", b"aria-label", b"data-", b"content"), _TITLE, (1, 2), _ADDRESSES),
    ):
        if not any(literal in lowered for literal in literals):
            continue
        for group in groups:
            for start, end in pattern.spans(data, group):
                words = data[start:end].split()
                if (len(words) >= 3 or not data[start:end].isascii()) and speaks.occurs(data[start:end]):
                    spans.append((start, end))
    offsets = Offsets(data, {at for span in spans for at in span})
    for start, end in spans:
        yield offsets[start], offsets[end], HTML
