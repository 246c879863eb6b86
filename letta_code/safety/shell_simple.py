"""Simple commands of bash: the words of one, what is assigned in front of it, and where a `cd` leaves the rest."""

from __future__ import annotations

import os
import re

from letta_code.safety.shell_conditions import Conditions
from letta_code.safety.shell_redirects import Step
from letta_code.safety.shell_values import Assignment
from letta_code.safety.shell_words import Unread, Word, counted_in

_RESERVED = frozenset((
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "select", "function",
    "time", "coproc", "in", "{", "}", "!", "[[", "]]",
))  # fmt: skip
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\[[^\]]*\])?(\+?=)", re.ASCII)
_SUBSCRIPTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\[")
_DECLARING = {"declare", "typeset", "local", "export", "readonly"}
_MOVING = {"cd", "pushd", "popd"}
_IN_THIS_SHELL = {"eval", "source", "."}


class SimpleCommands(Conditions):
    """Reads one command of a text that is not made of others."""

    def __init__(self, text: str, cwd: str, *, cwd_known: bool = True) -> None:
        super().__init__(text, cwd, cwd_known=cwd_known)
        self.assignments: list[Assignment] = []
        self.functions: list[str] = []
        self.starts: set[int] = set()  # where commands begin, as the other parser must see them too
        self._moved = False
        self._unsure = False  # behind `||` or in a function: a `cd` may not have happened
        self._timed = False

    def function(self, name: Word | None) -> None:
        """Read what a name and `()` define; the grammar does this."""
        raise NotImplementedError

    def _simple(self, *, piped: bool, timed: bool) -> None:
        words: list[Word] = []
        assignments: list[Assignment] = []
        given, body, document = False, None, None
        start = self.at
        while True:
            self.blanks()
            if self._at_redirect():
                fed, text, document = self._redirect(document)
                given, body = (True, text) if fed else (given, body)
            elif self.char() in {"", "\n", ";", "&", "|", ")"}:
                break
            elif self.char() == "(":
                self._behind_word(words, assignments)
                return
            else:
                self._one_word(words, assignments, timed=timed)
        if not words:
            if self.at == start:
                raise Unread("its syntax is not understood")
            self.assignments.extend(assignments)
            return
        if not timed:
            self.starts.add(words[0].start)
        if words[0].text in _RESERVED and not words[0].quoted:
            raise Unread("its syntax is not understood")
        if document is not None:
            document.steps.append(len(self.steps))
        self._emit(words, assignments, piped=piped, given=given, body=body)

    def _one_word(self, words: list[Word], assignments: list[Assignment], *, timed: bool) -> None:
        word = self.word()
        if word is None:
            raise Unread("its syntax is not understood")
        found = _ASSIGNMENT.match(word.raw)
        if not words and found:
            assignments.append(self._assignment(word, found))
        elif not words and "\\\n" in word.raw and "=" in word.text:
            raise Unread("a line is continued in the middle of what may be an assignment")
        elif words and words[0].text in _DECLARING and found and self.char() == "(" and word.raw == found[0]:
            self._array()
            words.append(Word(text=f"{word.text}()", raw=word.raw, start=word.start, literal=False))
        elif not words and _SUBSCRIPTED.match(word.raw):
            raise Unread("it may set a variable or run a command")
        elif not words and timed and word.text.startswith("-"):
            if word.raw != "-p":
                raise Unread("its syntax is not understood")
        else:
            words.append(word)

    def _behind_word(self, words: list[Word], assignments: list[Assignment]) -> None:
        """A `(` behind a word: only `name()` is known, which defines a function."""
        if len(words) != 1 or assignments:
            raise Unread("its syntax is not understood")
        self.at += 1
        self.blanks()
        if self.char() != ")":
            raise Unread("its syntax is not understood")
        self.at += 1
        if words[0].text in _RESERVED:
            raise Unread("its syntax is not understood")
        self.function(words[0])
        self._redirects_behind()

    def _assignment(self, word: Word, found: re.Match[str]) -> Assignment:
        if found[2]:
            if "'" in found[2] or "\\" in found[2]:  # which do not quote there
                raise Unread("it has a subscript that is not understood")
            self.counted |= counted_in(found[2])
        if word.raw == found[0] and self.char() == "(":
            self._array()
            return Assignment(name=found[1], literal=False)
        value = word.text.partition("=")[2]
        return Assignment(name=found[1], value=value, literal=word.literal and not found[2] and found[3] == "=")

    def _array(self) -> None:
        self.at += 1
        while True:
            self._lines()
            if self.char() == ")":
                self.at += 1
                return
            word = self.word()
            if word is None or word.raw.startswith("["):  # a subscript would be evaluated
                raise Unread("it has an array that is not understood")

    def _emit(
        self, words: list[Word], assignments: list[Assignment], *, piped: bool, given: bool, body: str | None
    ) -> None:
        self.assignments.extend(
            Assignment(name=one.name, value=one.value, literal=one.literal, for_command=True) for one in assignments
        )
        self.steps.append(
            Step(
                words=tuple(words),
                cwd=self.cwd,
                cwd_known=self.cwd_known,
                piped=piped,
                given=given,
                body=body,
                assignments=tuple(assignments),
            )
        )
        plain = [word.text for word in words]
        while plain and plain[0] in {"command", "builtin"}:
            plain.pop(0)
        if plain and plain[0] in _IN_THIS_SHELL:
            self._moved = self._unsure = True
            self.cwd_known = False
        elif plain and plain[0] in _MOVING:
            self._move(words[len(words) - len(plain) :])
        elif plain and plain[0] in self.functions:
            self._moved = self._moved or self._unsure

    def _move(self, words: list[Word]) -> None:
        """Follow `cd FOLDER`; anything else leaves the folder unknown."""
        self._moved = True
        target = words[1] if len(words) == 2 else None
        if target is None or words[0].text == "popd" or not target.known or target.text[:1] in {"-", "+", ""}:
            self.cwd_known = False
            return
        folder = target.text if target.literal else os.path.expanduser(target.text)
        self.cwd_known = (self.cwd_known or os.path.isabs(folder)) and not self._unsure
        self.cwd = os.path.normpath(os.path.join(self.cwd, folder))

    def _redirects_behind(self) -> None:
        while True:
            self.blanks()
            if not self._at_redirect():
                return
            self._redirect()
