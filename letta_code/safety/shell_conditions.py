"""Conditions of a shell text: what stands between `[[` and `]]`, with its patterns and its arithmetic."""

from __future__ import annotations

import re

from letta_code.safety.shell_redirects import Redirections
from letta_code.safety.shell_words import Unread, Word, counted_in

_COMPARED = {"-eq", "-ne", "-lt", "-le", "-gt", "-ge"}
ANY_VALUE = "$0"  # among the counted names: a value that cannot be known


class Conditions(Redirections):
    """Reads conditions."""

    def _test(self) -> None:
        """What stands between `[[` and `]]`."""
        last: Word | None = None
        counts = False
        while True:
            self._lines()
            if self._keyword() == "]]":
                self.at += 2
                return
            if self.peek("&&") or self.peek("||"):
                self.at += 2
            elif self.char() in {"(", ")"} or (self.char() in {"<", ">"} and self.char(1) != "("):
                self.at += 1
            else:
                word = self.word()
                if word is None:
                    raise Unread("its syntax is not understood")
                if counts:
                    self._count(word)
                counts = word.text in _COMPARED or word.text in {"-v", "-R"}
                if counts and last is not None:
                    self._count(last)
                if word.text == "=~":
                    self._expression()
                last = word

    def _count(self, word: Word) -> None:
        """A word is evaluated as arithmetic: its names, or anything at all."""
        if re.fullmatch(r"[\w$\"{}#@\[\]-]*", word.raw, re.ASCII) and "[" not in word.raw.replace("[@]", ""):
            self.counted |= counted_in(word.raw)
        elif not word.literal or not re.fullmatch(r"[0-9]+", word.text):
            self.counted.add(ANY_VALUE)

    def _expression(self) -> None:
        """A regular expression behind `=~`, where parentheses and bars are ordinary characters."""
        while self.char() in {" ", "\t"}:
            self.at += 1
        level = 0
        while (char := self.char()) and (char not in " \t\n" or (level > 0 and char != "\n")):
            if char in "&;<>#":
                raise Unread("it has a regular expression that is not known")
            if char in "()|":
                level += (char == "(") - (char == ")")
                self.at += 1
            elif self.word() is None:
                self.at += 1
