"""The grammar of bash as far as it is understood: every command of a text, what it redirects and what it sets."""

from __future__ import annotations

import os
import re

from letta_code.safety.shell_conditions import Conditions
from letta_code.safety.shell_redirects import Step
from letta_code.safety.shell_values import Assignment, Redirect
from letta_code.safety.shell_words import DEEPEST, Unread, Word, counted_in

RESERVED = frozenset((
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "select", "function",
    "time", "coproc", "in", "{", "}", "!", "[[", "]]",
))  # fmt: skip
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\[[^\]]*\])?(\+?=)", re.ASCII)
_SUBSCRIPTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\[")
_DECLARING = {"declare", "typeset", "local", "export", "readonly"}
_MOVING = {"cd", "pushd", "popd"}
_IN_THIS_SHELL = {"eval", "source", "."}


class Script(Conditions):
    """Reads one text; raises `Unread` where bash may read it differently."""

    def __init__(self, text: str, cwd: str, *, cwd_known: bool = True) -> None:
        super().__init__(text, cwd, cwd_known=cwd_known)
        self.assignments: list[Assignment] = []
        self.functions: list[str] = []
        self.starts: set[int] = set()  # where commands begin, as the other parser must see them too
        self._moved = False
        self._unsure = False  # behind `||` or in a function: a `cd` may not have happened
        self._timed = False

    def read(self) -> None:
        """Read all of it."""
        self._sequence(frozenset())
        if self._documents:
            raise Unread("a here-document is not ended")

    # --- lists and pipelines

    def nested(self, closing: str) -> None:
        before, outer = (self.cwd, self.cwd_known, self._moved, self._unsure), self._outer
        self._outer = len(self._documents)
        self._sequence(frozenset(), closing)
        if len(self._documents) > self._outer:
            raise Unread("a here-document is not ended")
        self._outer = outer
        self.cwd, self.cwd_known, self._moved, self._unsure = before

    def _sequence(self, stop: frozenset[str], closing: str = "") -> str:
        """Lists until a reserved word of `stop` or `closing`, which is gone over and returned."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unread(f"it is nested more than {DEEPEST} levels deep")
        found = self._lists(stop, closing)
        self.depth -= 1
        return found

    def _lists(self, stop: frozenset[str], closing: str) -> str:
        while True:
            self._lines()
            if self.at >= self.end:
                if stop or closing:
                    raise Unread("something is not closed")
                return ""
            keyword = self._keyword()
            if keyword in stop:
                self.at += len(keyword)
                return keyword
            for end in (";;&", ";;", ";&") if ";;" in stop else (closing,):
                if end and self.peek(end):
                    self.at += len(end)
                    return end
            if self._list():
                continue
            if self.char() == ";" and self.char(1) not in {";", "&"}:
                self.at += 1
            elif self.char() and not self.peek(closing or "\n") and self.char() not in "\n;":
                raise Unread("its syntax is not understood")

    def _list(self) -> bool:
        """Pipelines joined by `&&` and `||`, and the `&` behind them; returns whether there was one."""
        before, moved, unsure = (self.cwd, self.cwd_known), self._moved, self._unsure
        self._moved = False
        self._pipeline()
        while True:
            self.blanks()
            if self.peek("||"):
                self._unsure = True
                self.cwd_known = self.cwd_known and not self._moved
            elif not self.peek("&&"):
                break
            self.at += 2
            self._lines()
            self._pipeline()
        self.cwd_known = self.cwd_known and not self._moved
        self._moved, self._unsure = moved or self._moved, unsure
        if self.char() != "&":
            return False
        self.at += 1
        self.cwd, self.cwd_known = before
        return True

    def _pipeline(self) -> None:
        negated = timed = False
        while True:
            self.blanks()
            keyword = self._keyword()
            if keyword == "!":
                negated = True
            elif keyword == "time" and not timed:
                timed = True
                self.starts.add(self.at)
            else:
                break
            self.at += len(keyword)
        self._timed = timed
        before, moved = (self.cwd, self.cwd_known), self._moved
        self._command(piped=False)
        several = False
        while True:
            self.blanks()
            if not self.peek("|") or self.peek("||"):
                break
            self.at += 2 if self.peek("|&") else 1
            self._lines()
            self.cwd, self.cwd_known = before
            self._command(piped=True)
            several = True
        if several:
            self.cwd, self.cwd_known = before
            self._moved = moved
        if negated and self._moved:
            self.cwd_known = False

    # --- commands

    def _command(self, *, piped: bool) -> None:
        self.blanks()
        timed, self._timed = self._timed, False
        keyword = self._keyword()
        if self.peek("(("):
            self.at += 2
            self.arithmetic("))")
        elif self.peek("("):
            self._subshell()
        elif not keyword or keyword in {"in", "]]"}:
            self._simple(piped=piped, timed=timed)
            return
        else:
            self._compound(keyword)
        self._redirects_behind()

    def _redirects_behind(self) -> None:
        while True:
            self.blanks()
            if not self._at_redirect():
                return
            self._redirect()

    def _subshell(self) -> None:
        before = (self.cwd, self.cwd_known, self._moved)
        self.at += 1
        self._sequence(frozenset(), ")")
        self.cwd, self.cwd_known, self._moved = before

    def _compound(self, keyword: str) -> None:
        start = self.at
        self.at += len(keyword)
        match keyword:
            case "{":
                self._sequence(frozenset({"}"}))
            case "if":
                self._sequence(frozenset({"then"}))
                while (found := self._sequence(frozenset({"elif", "else", "fi"}))) != "fi":
                    if found == "elif":
                        self._sequence(frozenset({"then"}))
            case "while" | "until":
                self._loop(keyword)
            case "for" | "select":
                self._for()
            case "case":
                self._case()
            case "[[":
                self.starts.add(start)
                self._test()
            case "function":
                self.blanks()
                name = self.word()
                self.blanks()
                if self.peek("("):
                    self.at += 1
                    self.blanks()
                    if not self.peek(")"):
                        raise Unread("its syntax is not understood")
                    self.at += 1
                self._function(name)
            case _:
                raise Unread("its syntax is not understood" if keyword != "coproc" else "it has a coprocess")

    def _loop(self, keyword: str) -> None:
        steps, redirects, moved = len(self.steps), len(self.redirects), self._moved
        self._moved = False
        if keyword in {"while", "until"}:
            self._sequence(frozenset({"do"}))
            self._sequence(frozenset({"done"}))
        else:
            self._sequence(frozenset({"done" if self._expect("do", "{") == "do" else "}"}))
        if self._moved:
            self._forget_folders(steps, redirects)
        self._moved = moved or self._moved

    def _forget_folders(self, steps: int, redirects: int) -> None:
        """What was read since then may run in another folder than it seems."""
        for at in range(steps, len(self.steps)):
            old = self.steps[at]
            self.steps[at] = Step(
                words=old.words,
                cwd=old.cwd,
                cwd_known=False,
                piped=old.piped,
                given=old.given,
                body=old.body,
                assignments=old.assignments,
            )
        for at in range(redirects, len(self.redirects)):
            one = self.redirects[at]
            self.redirects[at] = Redirect(
                operator=one.operator, target=one.target, literal=one.literal, cwd=one.cwd, cwd_known=False
            )
        self.cwd_known = False

    def _for(self) -> None:
        self.blanks()
        if self.peek("(("):
            self.at += 2
            for closing in (";", ";", "))"):
                self.arithmetic(closing)
        else:
            self._for_words()
        self.blanks()
        if self.char() == ";":
            self.at += 1
        self._lines()
        self._loop("for")

    def _for_words(self) -> None:
        name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?=[ \t\n;])").match(self.text, self.at, self.end)
        if name is None:
            raise Unread("its syntax is not understood")
        self.assignments.append(Assignment(name=name[0], literal=False))
        self.at = name.end()
        self._lines()
        if self._keyword() != "in":
            return
        self.at += 2
        while True:
            self.blanks()
            if self.char() in {";", "\n", ""}:
                return
            if self.word() is None:
                raise Unread("its syntax is not understood")

    def _case(self) -> None:
        self.blanks()
        if self.word() is None:
            raise Unread("its syntax is not understood")
        self._lines()
        self._expect("in")
        while True:
            self._lines()
            if self._keyword() == "esac":
                self.at += 4
                return
            if self.char() == "(":
                self.at += 1
            self._pattern()
            if self._sequence(frozenset({"esac", ";;"})) == "esac":
                return

    def _pattern(self) -> None:
        while True:
            self.blanks()
            if self.word() is None:
                raise Unread("its syntax is not understood")
            self.blanks()
            found = self.char()
            self.at += 1
            if found == ")":
                return
            if found != "|":
                raise Unread("its syntax is not understood")

    def _function(self, name: Word | None) -> None:
        if name is None or not re.fullmatch(r"[\w:.-]+", name.raw, re.ASCII):
            raise Unread("its syntax is not understood")
        self.functions.append(name.text)
        self._lines()
        keyword = self._keyword()
        if self.char() != "(" and keyword not in {"{", "if", "for", "while", "until", "case", "select", "[["}:
            raise Unread("its syntax is not understood")
        steps, redirects = len(self.steps), len(self.redirects)
        before = (self._moved, self._unsure)
        self._moved, self._unsure = False, True
        self._command(piped=False)
        moved = self._moved
        self._moved, self._unsure = before
        self._forget_folders(steps, redirects)
        if moved:
            self._unsure = True  # a call of it moves, wherever that stands
        else:
            self.cwd_known = not before[0] or self.cwd_known

    # --- simple commands

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
        if words[0].text in RESERVED and not words[0].quoted:
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
        if words[0].text in RESERVED:
            raise Unread("its syntax is not understood")
        self._function(words[0])
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
