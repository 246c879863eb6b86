"""The grammar of bash as far as it is understood: every command of a text, what it redirects and what it sets."""

from __future__ import annotations

import re

from letta_code.safety.shell_redirects import Step
from letta_code.safety.shell_simple import SimpleCommands
from letta_code.safety.shell_values import Assignment, Redirect
from letta_code.safety.shell_words import DEEPEST, Unread, Word


class Script(SimpleCommands):
    """Reads one text; raises `Unread` where bash may read it differently."""

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
                self.function(name)
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

    def function(self, name: Word | None) -> None:
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
