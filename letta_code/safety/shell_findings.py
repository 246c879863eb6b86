"""Findings: what a text runs, redirects and sets, collected, and what only all of it together says."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from letta_code.core.messages import Value
from letta_code.safety.shell_conditions import ANY_VALUE
from letta_code.safety.shell_programs import ALWAYS_CODE, BUILD_FILES, BUILDERS, DATA, INTERPRETERS, SHELLS, WRAPPERS
from letta_code.safety.shell_redirects import Step
from letta_code.safety.shell_values import Assignment, Command, Opaque, Redirect
from letta_code.safety.shell_words import Word

ASSIGNED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)
_SETS_NAMES = {"read", "mapfile", "readarray", "getopts", "export", "declare", "typeset", "local", "readonly"}
_DECLARES = {"export", "declare", "typeset", "local", "readonly"}
_EVALUATES = {*_SETS_NAMES, "unset", "printf", "test", "[", "let", "wait"}
# Variables that the shell itself sets to words of the text or of its input.
_FROM_ELSEWHERE = {
    "_", "REPLY", "MAPFILE", "BASH_REMATCH", "OPTARG", "PWD", "OLDPWD", "DIRSTACK", "BASH_COMMAND", "BASH_ARGV",
    "BASH_EXECUTION_STRING", "BASH_SOURCE", "FUNCNAME", "COPROC", "BASH_ALIASES", "BASH_CMDS", "HOSTNAME",
}  # fmt: skip
_PLAIN_VALUE = re.compile(r"[\w.+% -]*", re.ASCII)
_COUNT = re.compile(r"\$\(\([^$`\[]*\)\)|\$\{#\w+(\[[@*]\])?\}|\$[#?$!]", re.ASCII)
_WRITERS = {"tee", "dd", "cp", "mv", "ln", "install", "curl", "wget", "base64", "tar", "unzip", "patch", "sed", "awk",
            "rsync", "scp", "xxd", "openssl", "gzip", "gunzip", "truncate", "split", "chmod"}  # fmt: skip


class Around(Value):
    """Where a command stands: what wraps it, and whether that adds words (`xargs`) or puts others for `placed`."""

    wrapper: str = ""
    adds: bool = False
    placed: str = ""
    depth: int = 0


class Findings:
    """What was found in one text so far."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.redirects: list[Redirect] = []
        self.assignments: list[Assignment] = []
        self.opaque: list[Opaque] = []
        self.doubts: list[str] = []
        self.functions: list[str] = []
        self.texts: list[tuple[str, frozenset[int]]] = []  # what was read as commands, and where they begin in it
        self._counted: set[str] = set()

    def finish(self) -> None:
        """Variables and functions that change what the rest of the text means."""
        for one in self.assignments:
            if one.decides:
                self.opaque.append(Opaque(words=(one.name,), why=f"the variable {one.name} decides what programs do"))
        for name in self.functions:
            if name in DATA or name in WRAPPERS or name in SHELLS or name in ALWAYS_CODE or name in INTERPRETERS:
                self.doubts.append(f"a function takes the place of {name}")
        if self._evaluates_code():
            self.opaque.append(Opaque(words=(), why="a value that is not known is evaluated as arithmetic"))
        changed = [one.target for one in self.redirects if one.writes and one.target != "/dev/null"]
        writers = [command for command in self.commands if command.name in _WRITERS]
        if changed or writers:
            why = "it writes files and runs one that cannot be looked at before"
            self.opaque.extend(
                Opaque(words=one.words, why=why) for one in tuple(self.opaque) if one.kind in {"script", "unknown"}
            )
        changed.extend(word for command in writers for word in command.words)
        names = {os.path.basename(name) for name in changed} - {""}
        for command in self.commands:
            told = any(word.endswith(tuple(names)) for word in command.words[1:])
            if command.name in BUILDERS and (told or names & BUILD_FILES):
                self.opaque.append(Opaque(words=command.words, why="it writes what the build runs"))

    def _evaluates_code(self) -> bool:
        waiting, seen = list(self._counted), set[str]()
        while waiting:
            name = waiting.pop()
            if name.startswith("$") or name in _FROM_ELSEWHERE:
                return True
            if name in seen:
                continue
            seen.add(name)
            for one in self.assignments:
                if one.name != name or _COUNT.fullmatch(one.value):
                    continue
                if not one.literal or not _PLAIN_VALUE.fullmatch(one.value):
                    return True
                waiting.extend(one.value.split())
        return False

    def _add(self, step: Step, words: Sequence[Word], around: Around) -> None:
        names = tuple(one.name for one in step.assignments)
        self.commands.append(
            Command(
                words=tuple(word.text for word in words),
                cwd=step.cwd,
                literal=tuple(word.literal for word in words),
                cwd_known=step.cwd_known,
                wrapper=around.wrapper,
                piped=step.piped,
                assignments=names,
            )
        )

    def _code(self, words: Sequence[Word], why: str) -> None:
        self.opaque.append(Opaque(words=tuple(word.text for word in words), why=why))

    def _names(self, name: str, words: Sequence[Word]) -> None:
        """Builtins that take names of variables, whose subscripts are evaluated."""
        if name not in _EVALUATES:
            return
        if name == "let":
            self._counted.update(re.findall(r"[A-Za-z_]\w*", " ".join(word.text for word in words)))
            self._counted.update({ANY_VALUE} if any(not word.literal or "[" in word.text for word in words) else ())
            return
        if name in {"printf", "test", "["}:
            behind = (words[at] for at, word in enumerate(words[:-1], start=1) if word.text in {"-v", "-R"})
            words = (*behind, *(word for word in words if word.text.startswith("-v") and len(word.text) > 2))
        for word in words:
            subscript = "[" in word.text.partition("=")[0][1:] and ("$" in word.text or "`" in word.text)
            # `declare 'a=([$(…)]=1)'` is an array, quoted or not.
            array = word.literal and name in _DECLARES and ("$" in word.text or "`" in word.text)
            unknown = not word.literal and not ASSIGNED.match(word.raw)
            if subscript or array or unknown:
                self._counted.add(ANY_VALUE)
            if name in _SETS_NAMES or name in {"printf", "unset"}:
                own, _, value = word.text.partition("=")
                literal = word.literal and name not in {"read", "mapfile", "readarray", "getopts", "printf"}
                if re.fullmatch(r"[A-Za-z_]\w*", own, re.ASCII):
                    self.assignments.append(Assignment(name=own, value=value, literal=literal))
