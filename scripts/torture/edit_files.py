"""Files for the edit torture: endings, encodings, sizes and content that have broken edit tools."""

from __future__ import annotations

import codecs
import math
from random import Random

ENDINGS = {"lf": ("\n",), "crlf": ("\r\n",), "cr": ("\r",), "mixed": ("\n", "\r\n", "\r")}
CODINGS = {
    "utf-8": ("utf-8", b""),
    "bom": ("utf-8", codecs.BOM_UTF8),
    "latin-1": ("latin-1", b""),
    "cp1252": ("cp1252", b""),
    "utf-16-le": ("utf-16-le", codecs.BOM_UTF16_LE),
    "utf-16-be": ("utf-16-be", codecs.BOM_UTF16_BE),
    "broken-utf-8": ("utf-8", b""),
}
KINDS = tuple(f"{ending} {coding}" for ending in ENDINGS for coding in CODINGS)

_PLAIN = (
    "def f(x):", "    return x", "\treturn x", "", "", "}", "  }", "if (a) {", "x = 1  ", "\t\t", " ", "end", "a", "aa",
    "// 'quoted' \"text\"", "key:\tvalue\t", "12:34", "- item", "+ item", "@@ -1 +1 @@", "*** End Patch", "\\n\\t\\\\",
)  # fmt: skip
_EXOTIC = (
    "naïve café", "日本語テキスト", "🙂👩‍👩‍👧 emoji", "line\u2028separator", "para\u2029graph", "vt\x0bff\x0cnel\x85",
    "e\u0301 é", "‘curly’ “quotes” — dash…", "nbsp\u00a0here", "עברית", "zero\u200bwidth", "mid\ufeffbom", "𝔘𝔫𝔦",
    "\x1b[31mred\x1b[0m",
)  # fmt: skip
_LATIN = ("caf\u00e9 !", "\u00fcber !", "na\u00efve !", "\u00a7 4", "gro\u00df !", "10 \u00b1 2", "\u00bfqu\u00e9 ?")
_WINDOWS = ("\u201cquoted\u201d.", "a \u2013 b", "\u20ac 5", "it\u2019s", "end\u2026 .")


def fresh_text(random: Random) -> str:
    """One line of text, without an ending."""
    return random.choice(_PLAIN if random.random() < 0.7 else _EXOTIC if random.random() < 0.8 else _LATIN)


def fresh_file(random: Random, kind: str) -> bytes:
    """The bytes of a file: 1 B to 200 kB, most of them small, with repeated blocks."""
    ending, _, coding = kind.partition(" ")
    codec, mark = CODINGS[coding]
    size = int(math.exp(random.uniform(0, math.log(200_000)) * random.choice((1, 0.8, 0.8)))) + 1
    parts: list[str] = []
    block: list[str] = []
    length = 0
    while length < size:
        line = _line(random, coding)
        block.append(line)
        if random.random() < 0.05:
            parts += block[-random.randint(1, 8) :] * random.randint(1, 3)
            block = []
        parts.append(line)
        length += len(line) + 1
        if size > 20_000 and len(parts) > 400:
            parts = parts * (size // length + 1)
            break
    numbered = random.random() < 0.8  # most lines of most files are unlike each other
    lines = [f"{line}{index if numbered and random.random() < 0.6 else ''}" for index, line in enumerate(parts)]
    data = mark + _ended(random, lines, ENDINGS[ending]).encode(codec)
    return data if coding != "broken-utf-8" else data + b"caf\xe9 \xff"


def _line(random: Random, coding: str) -> str:
    if random.random() < 0.6:
        return random.choice(_PLAIN)
    if coding == "latin-1":
        return random.choice(_LATIN)
    if coding == "cp1252":
        return random.choice((*_LATIN, *_WINDOWS))
    return random.choice(_EXOTIC)


def _ended(random: Random, lines: list[str], endings: tuple[str, ...]) -> str:
    text = "".join(line + random.choice(endings) for line in lines)
    return text if random.random() < 0.6 else text.rstrip("\r\n") or "x"
