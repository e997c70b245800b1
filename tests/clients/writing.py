# SPDX-License-Identifier: Apache-2.0
"""Configurations as people and programs write them, in any layout, and a plain reader of them to compare with."""

import json

from hypothesis import strategies as st

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
COMMANDS = st.sampled_from(
    ["npx", "uvx", "/opt/a server/bin", "cmd", "${workspaceFolder}/x", 'quo"te', "back\\slash", "é"]
)
NAMES = st.one_of(
    st.sampled_from(["git", "-x", "a b", 'quo"te', "back\\slash", "日本", "", "command", "//", "/*"]),
    st.text(max_size=6),
).filter(lambda name: "${" not in name and "\0" not in name and name.encode(errors="ignore").decode() == name)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(10**6), 10**6), WORDS)
OTHERS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6
)


@st.composite
def servers(draw):
    """Return one server that a client starts."""
    more = draw(
        st.dictionaries(st.sampled_from(["env", "cwd", "type", "timeout", "x"]), st.just({"K": "v"}), max_size=3)
    )
    args = draw(st.sampled_from(["list", "empty", "missing", "null"]))
    said = {"list": draw(st.lists(WORDS, min_size=1, max_size=4)), "empty": [], "null": None}
    pairs = [("command", draw(COMMANDS)), *([("args", said[args])] if args != "missing" else []), *more.items()]
    return dict(draw(st.permutations(pairs)))


def documents(key="mcpServers"):
    """Return values of whole configurations, whose servers stand under `key`."""
    others = st.dictionaries(WORDS.filter(lambda name: name not in (key, "projects", "mcp")), OTHERS, max_size=3)

    @st.composite
    def one(draw):
        pairs = [*draw(others).items(), (key, draw(st.dictionaries(NAMES, servers(), max_size=3)))]
        return dict(draw(st.permutations(pairs)))

    return one()


BLANKS = st.sampled_from(
    ["", " ", "\t", "\n", "\r\n", "\n  ", "/* , } */", ' // ] " {\n', "\n\t// é\r\n  ", "/**/", "/* *//*/*/"]
)


@st.composite
def jsonc(draw, value):
    """Write a value as JSON in some layout, with comments and trailing commas."""

    def blank():
        return draw(BLANKS)

    def text(words):
        return json.dumps(words, ensure_ascii=draw(st.booleans()))

    def written(value):
        if isinstance(value, dict):
            items = [f"{text(key)}{blank()}:{blank()}{written(one)}" for key, one in value.items()]
        elif isinstance(value, list):
            items = [written(one) for one in value]
        else:
            return text(value) if isinstance(value, str) else json.dumps(value)
        inner = "".join(f"{blank()}{item}{blank()}," for item in items)
        if items and draw(st.booleans()):
            inner = inner[:-1]
        marks = "{}" if isinstance(value, dict) else "[]"
        return f"{marks[0]}{inner}{blank()}{marks[1]}"

    bom = draw(st.sampled_from(["", "\ufeff"]))
    return f"{bom}{blank()}{written(value)}{blank()}"


def plain(text):
    """Read JSON with comments and trailing commas the slow way, one character after the other."""
    out, at = [], 1 if text[:1] == "\ufeff" else 0
    while at < len(text):
        if text[at] == '"':
            end = at + 1
            while text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            out.append(text[at : end + 1])
            at = end + 1
        elif text.startswith("//", at):
            while at < len(text) and text[at] not in "\r\n":
                at += 1
        elif text.startswith("/*", at):
            at = text.index("*/", at + 2) + 2
        elif not text[at].isspace():
            if text[at] in "]}" and out[-1] == ",":
                out.pop()
            out.append(text[at])
            at += 1
        else:
            at += 1
    return json.loads("".join(out))


def wrapped(value, key, words):
    """Return what a configuration is to say once its servers are on the record; `words` makes those of one server."""

    def one(name, server):
        args = [*words(name)[1:], server["command"], *(server.get("args") or [])]
        return {**server, "command": words(name)[0], "args": args}

    return {**value, key: {name: one(name, server) for name, server in value[key].items()}}


def toml_key(name):
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


@st.composite
def toml(draw, found):
    """Write servers as TOML in some layout: tables, inline tables, dotted keys."""
    line = draw(st.sampled_from(["\n", "\r\n"]))

    def word(text):
        literal = "'" not in text and text.isprintable() and draw(st.booleans())
        return f"'{text}'" if literal else toml_key(text)

    def array(words, *, one_line):
        gap = " " if one_line else draw(st.sampled_from([" ", "", line, f" # ], it{line}  "]))
        inner = "".join(f"{gap}{word(one)}," for one in words)
        return f"[{inner if words and not one_line and draw(st.booleans()) else inner[:-1]}{gap}]"

    def members(server, *, one_line):
        for key, value in server.items():
            if key in ("command", "args") and value is not None:
                yield key, word(value) if key == "command" else array(value, one_line=one_line)
            elif value is not None:
                yield key, "{ K = 'v' }"

    dotted, tables = [], []
    for name, server in found.items():
        way = draw(st.sampled_from(["table", "inline", "dotted"]))
        indent = draw(st.sampled_from(["", "  ", "\t"]))
        end = draw(st.sampled_from(["", "  # why 'not'"])) + line
        if way == "inline":
            pairs = ", ".join(f"{key} = {value}" for key, value in members(server, one_line=True))
            dotted.append(f"{indent}mcp_servers.{toml_key(name)} = {{ {pairs} }}{end}")
        elif way == "dotted":
            dotted += [
                f"{indent}mcp_servers . {toml_key(name)}.{key}= {value}{end}"
                for key, value in members(server, one_line=False)
            ]
        else:
            lines = [f"{indent}{key} = {value}{end}" for key, value in members(server, one_line=False)]
            tables.append(f"[mcp_servers.{toml_key(name)}]{end}{''.join(lines)}")
    return f'# top{line}model = "x"{line}{"".join(dotted)}{line.join(tables)}'
