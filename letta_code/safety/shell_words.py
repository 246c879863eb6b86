"""Words of a shell text as bash cuts them: quotes, escapes and expansions; anything unusual is not guessed at."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from letta_code.core.messages import Value

DEEPEST = 50  # levels of nesting
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_META = frozenset(" \t\n;&|()<>")
_ESCAPES = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
            "\\": "\\", "'": "'", '"': '"', "?": "?"}  # fmt: skip
_ANSI = re.compile(
    r"\\(?:([abeEfnrtv\\'\"?])|x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8}))"
)
_PARAMETER = re.compile(r"(?P<mark>[!#]?)(?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])")
_COUNTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\$[0-9@*]")
# `$` inside a string: what may be taken as text, because bash expands nothing there.
Inside: TypeAlias = Literal["word", "string", "document"]

MOST_WRAPPED = 20  # commands that run a command that runs a command


class Unread(Exception):
    """A text that is not read further; the message says why, in words for people."""


class Word(Value):
    """One word: `text` without quotes (expansions as written), `raw` as written, `start` its place in the text.

    `literal`: nothing is expanded in it.  `splits`: it may become several words or none.  `quoted`: some of it was.
    """

    text: str
    raw: str
    start: int
    literal: bool = True
    splits: bool = False
    quoted: bool = False

    @property
    def known(self) -> bool:
        """Whether the last part of a path is known to the letter: literal, or only a home folder in front."""
        return self.literal or (self.raw.startswith("~/") and "/" in self.text and _only_tilde(self.raw))


def _only_tilde(raw: str) -> bool:
    return re.fullmatch(r"~/[\w@%+:,./-]*", raw) is not None


def counted_in(text: str) -> set[str]:
    """The variables that an arithmetic expression evaluates; `$1`, `$@` and the like with their sign."""
    return set(_COUNTED.findall(text.replace("{", "")))


class Scanner:
    """Reads words of one text.  `end` is where the part that is read now ends; `depth` counts nesting."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.end = len(text)
        self.depth = 0
        self.waiting = False  # a here-document is to be read at the next line
        self.counted: set[str] = set()  # variables whose values are evaluated as arithmetic
        self.expanded: set[str] = set()  # variables that an expansion itself sets (`${x:=y}`)

    def peek(self, text: str) -> bool:
        """Whether a text stands here."""
        return self.text.startswith(text, self.at) and self.at + len(text) <= self.end

    def char(self, ahead: int = 0) -> str:
        """The character here, "" at the end."""
        at = self.at + ahead
        return self.text[at] if at < self.end else ""

    def blanks(self) -> None:
        """Go over blanks, continued lines and a comment."""
        while self.at < self.end:
            if self.text[self.at] in " \t":
                self.at += 1
            elif self.peek("\\\n"):
                self.at += 2
            elif self.text[self.at] == "#":
                found = self.text.find("\n", self.at, self.end)
                self.at = self.end if found < 0 else found
            else:
                break

    def nested(self, closing: str) -> None:
        """Read commands until `closing`, and go over it; the grammar does this."""
        raise NotImplementedError

    def word(self) -> Word | None:
        """The word that begins here, None where none does."""
        start, out = self.at, Parts()
        while self.at < self.end:
            char = self.text[self.at]
            if char in "<>" and self.char(1) == "(":
                self._process(out)
            elif char in _META:
                break
            else:
                self._part(char, out)
        if self.at == start:
            return None
        return out.word(self.text[start : self.at], start)

    def _part(self, char: str, out: Parts) -> None:
        match char:
            case "\\":
                self._escape(out)
            case "'":
                out.quote(self._single())
            case '"':
                out.quoted = True
                self._double(out)
            case "`":
                start = self.at
                self.backticks()
                out.expansion(self.text[start : self.at], splits=True)
            case "$":
                self._dollar(out, "word")
            case _:
                out.bare(char)
                self.at += 1

    def _process(self, out: Parts) -> None:
        start = self.at
        self.at += 2
        self.nested(")")
        out.expansion(self.text[start : self.at], splits=False)

    def _escape(self, out: Parts) -> None:
        following = self.char(1)
        if not following:
            raise Unread("it ends in a backslash")
        self.at += 2
        if following != "\n":
            out.quote(following)

    def _single(self) -> str:
        close = self.text.find("'", self.at + 1, self.end)
        if close < 0:
            raise Unread("a quote is not closed")
        inner = self.text[self.at + 1 : close]
        self._passed(inner)
        self.at = close + 1
        return inner

    def _passed(self, inner: str) -> None:
        if self.waiting and "\n" in inner:
            raise Unread("a here-document begins in the middle of a word")

    def _double(self, out: Parts) -> None:
        """A string in double quotes, with what is expanded in it."""
        self.at += 1
        while True:
            char = self.char()
            if not char:
                raise Unread("a quote is not closed")
            if char == '"':
                self.at += 1
                return
            self.inner(char, out, "string")

    def inner(self, char: str, out: Parts, inside: Inside) -> None:
        """One piece of a string in double quotes or of a here-document."""
        if char == "\\":
            following = self.char(1)
            if following and following in ('$`"\\\n' if inside == "string" else "$`\\\n"):
                out.quote("" if following == "\n" else following)
                self.at += 2
            else:
                out.quote(char)
                self.at += 1
        elif char == "`":
            start = self.at
            self.backticks()
            out.expansion(self.text[start : self.at], splits=False)
        elif char == "$":
            self._dollar(out, inside)
        else:
            if char == "\n":
                self._passed(char)
            out.quote(char)
            self.at += 1

    def backticks(self) -> None:
        """Commands in backticks; escapes inside them mean other commands than they seem, so they are not read."""
        close = self.text.find("`", self.at + 1, self.end)
        if close < 0:
            raise Unread("a backtick is not closed")
        if "\\" in self.text[self.at : close]:
            raise Unread("there is a backslash inside backticks")
        end, self.end = self.end, close
        self.at += 1
        self.nested("")
        self.end = end
        self.at = close + 1

    def _dollar(self, out: Parts, inside: Inside) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unread(f"it is nested more than {DEEPEST} levels deep")
        self._expansion(out, inside)
        self.depth -= 1

    def _expansion(self, out: Parts, inside: Inside) -> None:
        start, following = self.at, self.char(1)
        if following == "'" and inside == "word":
            out.quote(self._ansi())
            return
        if following == "\\" and self.char(2) == "\n":
            raise Unread("a line is continued in the middle of an expansion")
        if (following == '"' and inside == "word") or following == "[":
            raise Unread(f"it has `${following}`")
        splits = inside == "word"
        if self.peek("$(("):
            self.at += 3
            self.arithmetic("))")
        elif following == "(":
            self.at += 2
            self.nested(")")
        elif following == "{":
            self.at += 2
            splits = self._parameter(inside) or splits
        elif following and following in "0123456789@*#?$!-":
            self.at += 2
            splits = splits or following == "@"
        elif (name := _NAME.match(self.text, self.at + 1, self.end)) is not None:
            self.at = name.end()
        else:
            out.bare("$") if inside == "word" else out.quote("$")
            self.at += 1
            return
        out.expansion(self.text[start : self.at], splits=splits)

    def _ansi(self) -> str:
        """The text of `$'…'`."""
        found = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL).match(self.text, self.at, self.end)
        if found is None:
            raise Unread("a quote is not closed")
        self._passed(found[1])
        self.at = found.end()

        def decoded(one: re.Match[str]) -> str:
            if one[1]:
                return _ESCAPES[one[1]]
            value = int(one[3], 8) & 255 if one[3] else int(one[2] or one[4] or one[5], 16)
            if not 0 < value < 128:  # bytes that make no character, or end the text
                raise Unread("it has a coded character")
            return chr(value)

        if "\\" in _ANSI.sub("", found[1]):
            raise Unread("it has a coded character")
        return _ANSI.sub(decoded, found[1])

    def _parameter(self, inside: Inside) -> bool:
        """What follows `${`; returns whether it may become several words even inside double quotes."""
        found = _PARAMETER.match(self.text, self.at, self.end)
        if found is None:
            raise Unread("it has an expansion that is not known")
        if found["mark"] == "!" or (found["name"] == "!" and self.text[found.end()] != "}"):
            listing = re.compile(r"![A-Za-z_]\w*(?:\[[@*]\]|[@*])\}", re.ASCII).match(self.text, self.at, self.end)
            if listing is None:
                raise Unread("a variable names another variable")
            self.at = listing.end()
            return True
        self.at = found.end()
        several = found["name"] == "@"
        if self.char() == "[":
            several = self._subscript() or several
        if self.peek(":") and self.char(1) not in "-+=?":
            self.at += 1
            self.arithmetic("}")
            return several
        if self.peek("@") and self.char(1) not in "QUuLEAaKk":
            raise Unread("a variable is expanded as a prompt")
        if self.peek("=") or self.peek(":="):
            self.expanded.add(found["name"])
        self._rest_of_parameter(inside)
        return several

    def _subscript(self) -> bool:
        if self.char(1) in {"@", "*"} and self.char(2) == "]":
            several = self.char(1) == "@"
            self.at += 3
            return several
        self.at += 1
        self.arithmetic("]")
        return False

    def _rest_of_parameter(self, inside: Inside) -> None:
        out = Parts()
        while True:
            char = self.char()
            if not char:
                raise Unread("an expansion is not closed")
            if char == "}":
                self.at += 1
                return
            if char == "'" and inside != "word":
                raise Unread("there is a quote inside an expansion inside a string")
            if char == "\n" or (char in "<>" and self.char(1) == "("):
                raise Unread("there is more than a value inside an expansion")
            if char == '"' and inside == "document":
                raise Unread("there is a quote inside an expansion inside a here-document")
            if char == "$":
                self._dollar(out, inside)
            else:
                self._part(char, out)

    def arithmetic(self, closing: str) -> None:
        """An arithmetic expression and its end; every variable in it is evaluated, whatever its value says."""
        start, level, out = self.at, 0, Parts()
        while True:
            char = self.char()
            if not char:
                raise Unread("an arithmetic expression is not closed")
            if level == 0 and self.peek(closing):
                break
            if char in "'\"`\\;\n" or (char == "#" and self.at == start):
                raise Unread("an arithmetic expression is not a plain one")
            if char == "$":
                self._dollar(out, "string")
                continue
            level += (char in "([") - (char in ")]")
            if level < 0:
                raise Unread("it may be arithmetic or commands")
            self.at += 1
        self.counted |= counted_in(self.text[start : self.at])
        self.at += len(closing)


class Parts:
    """What a word is put together from."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.shape: list[str] = []  # the characters that are not quoted, the others as a blank
        self.literal = True
        self.splits = False
        self.quoted = False

    def bare(self, char: str) -> None:
        self.text.append(char)
        self.shape.append(char)

    def quote(self, text: str) -> None:
        self.text.append(text)
        self.shape.append(" ")
        self.quoted = True

    def expansion(self, raw: str, *, splits: bool) -> None:
        self.text.append(raw)
        self.shape.append(" ")
        self.literal = False
        self.splits = self.splits or splits

    def word(self, raw: str, start: int) -> Word:
        shape = "".join(self.shape)
        braces = "{" in shape and "}" in shape and ("," in shape or ".." in shape)
        globs = "*" in shape or "?" in shape or re.search(r"\[.*\]", shape) is not None
        home = shape.startswith("~") or re.search(r"[=:]~", shape) is not None
        return Word(
            text="".join(self.text),
            raw=raw,
            start=start,
            literal=self.literal and not braces and not globs and not home,
            splits=self.splits or braces or globs,
            quoted=self.quoted,
        )
