"""What commands run beyond themselves: the command behind a wrapper, the text of `sh -c`, code that cannot be read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from letta_code.core.messages import Value
from letta_code.safety.shell_code import awk_is_plain, runs_code, sed_is_plain
from letta_code.safety.shell_conditions import ANY_VALUE
from letta_code.safety.shell_grammar import Script
from letta_code.safety.shell_programs import (
    ALWAYS_CODE,
    BUILD_FILES,
    BUILDERS,
    DATA,
    INTERPRETERS,
    OTHER_SHELLS,
    RUNNERS,
    RUNNING_OPTIONS,
    SHELLS,
    WRAPPERS,
    XARGS_ATTACHED,
    Wrapper,
)
from letta_code.safety.shell_redirects import Step
from letta_code.safety.shell_values import Assignment, Command, Opaque, Redirect
from letta_code.safety.shell_words import MOST_WRAPPED, Unread, Word

_ASSIGNED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)
_UNKNOWN_NAME = "the name of a program is known only when it runs"
_FIND_RUNS = {"-exec", "-execdir", "-ok", "-okdir"}
_FIND_WRITES = {"-fprint", "-fprint0", "-fprintf", "-fls"}
# Builtins that change what later words mean, or keep a command for later.
_CHANGING = {"alias", "unalias", "enable", "trap", "fc", "compgen", "complete", "bind", "coproc"}
_SETS_NAMES = {"read", "mapfile", "readarray", "getopts", "export", "declare", "typeset", "local", "readonly"}
_DECLARES = {"export", "declare", "typeset", "local", "readonly"}
_EVALUATES = {*_SETS_NAMES, "unset", "printf", "test", "[", "let", "wait"}
_SAFE_SET = re.compile(r"[-+][euxfhbCETaB]*o?|pipefail|errexit|nounset|xtrace|noclobber|noglob|verbose")
_SAFE_SHOPT = {"-s", "-u", "-q", "-p", "nullglob", "globstar", "dotglob", "nocaseglob", "failglob", "lastpipe"}
# Variables that the shell itself sets to words of the text or of its input.
_FROM_ELSEWHERE = {
    "_", "REPLY", "MAPFILE", "BASH_REMATCH", "OPTARG", "PWD", "OLDPWD", "DIRSTACK", "BASH_COMMAND", "BASH_ARGV",
    "BASH_EXECUTION_STRING", "BASH_SOURCE", "FUNCNAME", "COPROC", "BASH_ALIASES", "BASH_CMDS", "HOSTNAME",
}  # fmt: skip
_PLAIN_VALUE = re.compile(r"[\w.+% -]*", re.ASCII)
_COUNT = re.compile(r"\$\(\([^$`\[]*\)\)|\$\{#\w+(\[[@*]\])?\}|\$[#?$!]", re.ASCII)


class Around(Value):
    """Where a command stands: what wraps it, and whether that adds words (`xargs`) or puts others for `placed`."""

    wrapper: str = ""
    adds: bool = False
    placed: str = ""
    depth: int = 0


class Unfolding:
    """Collects everything that the commands of a text run."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.redirects: list[Redirect] = []
        self.assignments: list[Assignment] = []
        self.opaque: list[Opaque] = []
        self.doubts: list[str] = []
        self.functions: list[str] = []
        self.texts: list[tuple[str, frozenset[int]]] = []  # what was read as commands, and where they begin in it
        self._counted: set[str] = set()

    def script(self, script: Script, around: Around) -> None:
        """Everything that a text which was read runs; `finish` says what only all of it can say."""
        self.texts.append((script.text, frozenset(script.starts)))
        self.functions.extend(script.functions)
        self.redirects.extend(script.redirects)
        self.assignments.extend(script.assignments)
        self.assignments.extend(Assignment(name=name, literal=False) for name in script.expanded)
        self._counted |= script.counted
        for step in script.steps:
            self._judge(step, step.words, around)

    def step(self, step: Step) -> None:
        """Everything that one command runs which no shell read."""
        self._judge(step, step.words, Around())

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

    # --- one command

    def _judge(self, step: Step, words: Sequence[Word], around: Around) -> None:
        if around.depth > MOST_WRAPPED:
            raise Unread(f"it is nested more than {MOST_WRAPPED} levels deep")
        self._add(step, words, around)
        first = words[0]
        name = os.path.basename(first.text)
        if not first.known or first.splits or (around.placed and around.placed in first.text):
            self.doubts.append(_UNKNOWN_NAME)
            self._code(words, _UNKNOWN_NAME)
            return
        if name in SHELLS or name in OTHER_SHELLS:
            self._shell(step, words, around)
        elif name == "eval":
            self._eval(step, words[1:], around)
        elif name in {"source", "."}:
            self._source(words)
        elif name == "xargs":
            self._xargs(step, words, around)
        elif name in WRAPPERS:
            self._wrapper(step, words, WRAPPERS[name], around)
        elif name == "find":
            self._find(step, words, around)
        else:
            self._plain(step, name, words, around)

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

    def _plain(self, step: Step, name: str, words: Sequence[Word], around: Around) -> None:
        """A program or builtin that wraps no command in a way that is the same for all."""
        texts = tuple(word.text for word in words)
        rest = texts[1:]
        self._builtin(name, words, rest)
        if self._runner(step, name, words, around):
            return
        stem = re.sub(r"[\d.]+$", "", name) if name not in INTERPRETERS else name
        if stem in INTERPRETERS:
            self._interpreter(stem, words, rest)
        elif name in {"awk", "gawk", "mawk", "nawk"}:
            if not awk_is_plain(words[1:]):
                self._code(words, "an awk program that may run commands")
        elif name in {"sed", "gsed"}:
            if not sed_is_plain(words[1:]):
                self._code(words, "a sed script that may run commands")
        elif name in ALWAYS_CODE:
            self._code(words, f"{name} runs what its input or its arguments say")
        elif why := runs_code(name, words[1:], piped=step.piped or step.given):
            self._code(words, why)
        elif name == "git" and (inner := _git_command(texts)):
            self._text(step, inner, Around(wrapper="git", depth=around.depth + 1))
        elif "/" in texts[0] and not texts[0].startswith(("/bin/", "/usr/bin/", "/usr/local/bin/", "/sbin/")):
            self.opaque.append(Opaque(words=texts, why="a program or script of its own", kind="script"))
        elif name not in DATA and name not in self.functions:
            self.opaque.append(Opaque(words=texts, why=f"it is not known what {name} does", kind="unknown"))
        if around.adds and (name in {"git", "sed", "gsed"} or name in RUNNING_OPTIONS):
            self._code(words, "its arguments come from a list")

    def _builtin(self, name: str, words: Sequence[Word], rest: tuple[str, ...]) -> None:
        if name in _CHANGING and not (name == "trap" and not rest):
            self.doubts.append(f"`{name}` changes what runs later")
        elif (name == "set" and not all(_SAFE_SET.fullmatch(word) for word in _before(rest, "--"))) or (
            name == "shopt" and not set(rest) <= _SAFE_SHOPT
        ):
            self.doubts.append(f"`{name}` changes how the rest is read")
        elif (name in {"hash", "jobs", "history"} and rest) or (
            name in {"export", "declare", "typeset"} and any(re.match(r"-\w*[fFinI]", word) for word in rest)
        ):
            self.doubts.append(f"`{name}` changes what a name means")
        elif name in {"mapfile", "readarray"} and any(word.startswith(("-C", "-c")) for word in rest):
            self._code(words, "it runs a command for its lines")
        if name in _EVALUATES:
            self._names(name, words[1:])

    def _names(self, name: str, words: Sequence[Word]) -> None:
        """Builtins that take names of variables, whose subscripts are evaluated."""
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
            unknown = not word.literal and not _ASSIGNED.match(word.raw)
            if subscript or array or unknown:
                self._counted.add(ANY_VALUE)
            if name in _SETS_NAMES or name in {"printf", "unset"}:
                own, _, value = word.text.partition("=")
                literal = word.literal and name not in {"read", "mapfile", "readarray", "getopts", "printf"}
                if re.fullmatch(r"[A-Za-z_]\w*", own, re.ASCII):
                    self.assignments.append(Assignment(name=own, value=value, literal=literal))

    def _interpreter(self, name: str, words: Sequence[Word], rest: tuple[str, ...]) -> None:
        if rest and all(word in {"--version", "-V", "-v", "--help", "-h"} for word in rest):
            return
        operands = [word for word in words[1:] if not word.text.startswith("-")]
        if any(INTERPRETERS[name].fullmatch(word) for word in rest) or not operands or not operands[0].literal:
            self._code(words, f"code for {name} that cannot be read")
        else:
            why = f"a script for {name} that was not looked at"
            self.opaque.append(Opaque(words=(words[0].text, *rest), why=why, kind="script"))

    # --- wrappers

    def _wrapper(self, step: Step, words: Sequence[Word], wrapper: Wrapper, around: Around) -> None:
        name = os.path.basename(words[0].text)
        if name == "command" and len(words) > 1 and words[1].text in {"-v", "-V"}:
            return
        inner = self._behind_options(words, wrapper, "")
        if inner is None:
            return
        if name == "flock" and inner and inner[0].text in {"-c", "--command"}:
            self._code(words, "a command in a text")
            inner = ()
        if not inner:
            if around.adds or around.placed:
                self._code(words, "a list decides which program runs")
            return
        inside = Around(wrapper=name, adds=around.adds, placed=around.placed, depth=around.depth + 1)
        if name == "watch":
            self._words_as_text(step, inner, inside)
        self._judge(step, inner, inside)

    def _behind_options(self, words: Sequence[Word], wrapper: Wrapper, attached: str) -> Sequence[Word] | None:
        """The command behind a wrapper's own words, None where it cannot be told where it begins."""
        at = 1
        while at < len(words):
            word = words[at]
            text = word.text
            if text == "--" and word.literal:
                at += 1
                break
            if (not word.literal and text[:1] in {"-", "$", "`", "{"}) or word.splits:
                self.doubts.append(_UNKNOWN_NAME)
                self._code(words, _UNKNOWN_NAME)
                return None
            if not text.startswith("-"):
                break
            taken = 1 if text == "-" else _option(text, wrapper, attached)
            if taken == 0:
                self._code(words, f"the option {text} is not known")
                taken = 1
            at += taken
        while wrapper.assigns and at < len(words) and _is_setting(words[at]):
            name, _, value = words[at].text.partition("=")
            self.assignments.append(Assignment(name=name, value=value, literal=words[at].literal, for_command=True))
            at += 1
        if any(word.splits for word in words[at : at + wrapper.operands + 1]):
            self.doubts.append(_UNKNOWN_NAME)
            self._code(words, _UNKNOWN_NAME)
        return words[at + wrapper.operands :]

    def _xargs(self, step: Step, words: Sequence[Word], around: Around) -> None:
        inner = self._behind_options(words, WRAPPERS["xargs"], XARGS_ATTACHED)
        if not inner:
            return
        own = [word.text for word in words[: len(words) - len(inner)]]
        placed = ""
        for at, text in enumerate(own):
            if text.startswith("-I"):
                placed = text[2:] or (own[at + 1] if at + 1 < len(own) else "{}")
            elif text.startswith(("-i", "--replace")):
                placed = text[2:] if text.startswith("-i") else text.partition("=")[2]
                placed = placed or "{}"
        inside = Around(wrapper="xargs", adds=not placed, placed=placed, depth=around.depth + 1)
        # What xargs runs has nothing of the pipe as its input.
        self._judge(Step(words=step.words, cwd=step.cwd, cwd_known=step.cwd_known), inner, inside)

    def _find(self, step: Step, words: Sequence[Word], around: Around) -> None:
        if around.adds or any(word.splits and ("$" in word.raw or "`" in word.raw) for word in words[1:]):
            self._code(words, "what find does is known only when it runs")
        at = 1
        while at < len(words):
            text = words[at].text
            at += 1
            if text in _FIND_WRITES and at < len(words):
                target = words[at]
                self.redirects.append(
                    Redirect(
                        operator=">",
                        target=target.text,
                        literal=target.literal,
                        cwd=step.cwd,
                        cwd_known=step.cwd_known,
                    )
                )
            if text not in _FIND_RUNS:
                continue
            inner: list[Word] = []
            while at < len(words) and words[at].text != ";" and not (words[at].text == "+" and inner):
                inner.append(words[at])
                at += 1
            if inner:
                bare = Step(words=step.words, cwd=step.cwd, cwd_known=False)
                self._judge(bare, inner, Around(wrapper="find", placed="{}", depth=around.depth + 1))

    def _runner(self, step: Step, name: str, words: Sequence[Word], around: Around) -> bool:
        """`uv run X`, `npx X`, `ssh HOST X`: their options are not known, so the command is a guess."""
        subs = RUNNERS.get(name)
        if subs is None:
            return False
        at = 1 if "" in subs else next((n for n, word in enumerate(words) if n and word.text in subs), 0)
        if not at:
            return False
        at += "" not in subs
        own = {"ssh": 1, "mosh": 1, "docker": 1, "podman": 1, "docker-compose": 1, "kubectl": 1, "direnv": 1}.get(
            name, 0
        )
        texts = tuple(word.text for word in words)
        self.opaque.append(Opaque(words=texts, why=f"{name} runs a command", kind="unknown"))
        why = runs_code(name, words[1:], piped=False)
        if why or (name in {"entr", "hyperfine", "ssh", "mosh", "perf"} and any(" " in text for text in texts[1:])):
            self._code(words, why or f"{name} runs a text as commands")
        while at < len(words) and (words[at].text.startswith("-") or own > 0):
            own -= not words[at].text.startswith("-")
            at += 1
        inner = words[at:]
        if not inner:
            if around.adds or around.placed or name in {"ssh", "mosh", "run-parts"}:
                self._code(words, f"{name} runs what its input says")
            return True
        if name in {"ssh", "mosh", "hyperfine"}:
            self._words_as_text(step, inner, Around(wrapper=name, depth=around.depth + 1))
        else:
            self._judge(
                step, inner, Around(wrapper=name, adds=around.adds, placed=around.placed, depth=around.depth + 1)
            )
        return True

    # --- texts that are commands

    def _shell(self, step: Step, words: Sequence[Word], around: Around) -> None:
        name = os.path.basename(words[0].text)
        if name in OTHER_SHELLS:
            self._code(words, f"{name} reads commands in its own way")
        at, has_text = 1, False
        while at < len(words) and words[at].text[:1] in {"-", "+"} and words[at].text != "-":
            text = words[at].text
            if not words[at].literal:
                break
            at += 1
            if text == "--":
                break
            if text in {"--version", "--help"}:
                return
            if text.startswith("--") or not re.fullmatch(r"[-+][abcefhilmnprstuvxBCEHPT]*[oO]?", text):
                self._code(words, f"the option {text} is not known")
                continue
            has_text = has_text or "c" in text
            at += text.endswith(("o", "O"))
        operand = words[at] if at < len(words) else None
        if has_text:
            self._command_text(step, words, operand, around)
        elif operand is None or "s" in "".join(word.text for word in words[1:at]):
            self._shell_input(step, words, around)
        elif (
            not operand.literal or operand.text.startswith(("/dev/", "/proc/")) or operand.text == "-" or around.placed
        ):
            self._code(words, "a script that is known only when it runs")
        else:
            texts = tuple(word.text for word in words)
            self.opaque.append(Opaque(words=texts, why="a script that was not looked at", kind="script"))

    def _command_text(self, step: Step, words: Sequence[Word], operand: Word | None, around: Around) -> None:
        name = os.path.basename(words[0].text)
        if operand is None or not operand.literal or (around.placed and around.placed in operand.text):
            self._code(words, "the text of its commands is known only when it runs")
        if operand is not None:
            before = len(self.doubts)
            self._text(step, operand.text, Around(wrapper=name, depth=around.depth + 1))
            if not operand.literal:
                del self.doubts[before:]
                self.doubts.append("the text of its commands is known only when it runs")

    def _shell_input(self, step: Step, words: Sequence[Word], around: Around) -> None:
        if step.body is not None and not around.adds:
            self._text(step, step.body, Around(wrapper=os.path.basename(words[0].text), depth=around.depth + 1))
            return
        self._code(words, "a shell that runs what it is given")
        if around.adds or step.piped or step.given:
            return

    def _eval(self, step: Step, words: Sequence[Word], around: Around) -> None:
        if all(word.literal for word in words) and not around.adds and not around.placed:
            self._text(step, " ".join(word.text for word in words), Around(wrapper="eval", depth=around.depth + 1))
            return
        self._code(words, "`eval` of a text that is known only when it runs")
        self.doubts.append("`eval` runs a text that is known only when it runs")

    def _source(self, words: Sequence[Word]) -> None:
        if len(words) > 1 and words[1].known and not words[1].text.startswith(("/dev/", "/proc/")):
            texts = tuple(word.text for word in words)
            self.opaque.append(Opaque(words=texts, why="it runs a script in this shell", kind="script"))
            return
        self._code(words, "it runs a script that is known only when it runs")
        self.doubts.append("it runs a script that is known only when it runs")

    def _words_as_text(self, step: Step, words: Sequence[Word], around: Around) -> None:
        if all(word.literal for word in words):
            self._text(step, " ".join(word.text for word in words), around)
        else:
            self._code(words, "a text that is run as commands is known only when it runs")

    def _text(self, step: Step, text: str, around: Around) -> None:
        if around.depth > MOST_WRAPPED:
            raise Unread(f"it is nested more than {MOST_WRAPPED} levels deep")
        script = Script(text, step.cwd, cwd_known=step.cwd_known)
        try:
            script.read()
        except Unread as why:
            self.doubts.append(f"the text for {around.wrapper} is not understood: {why}")
        self.script(script, around)


_WRITERS = {"tee", "dd", "cp", "mv", "ln", "install", "curl", "wget", "base64", "tar", "unzip", "patch", "sed", "awk",
            "rsync", "scp", "xxd", "openssl", "gzip", "gunzip", "truncate", "split", "chmod"}  # fmt: skip


def _before(words: tuple[str, ...], end: str) -> tuple[str, ...]:
    return words[: words.index(end)] if end in words else words


def _is_setting(word: Word) -> bool:
    """Whether `env` takes a word for a variable and its value: any `=` will do, but not one that is still expanded."""
    return "=" in word.text if word.literal else _ASSIGNED.match(word.raw) is not None


def _option(text: str, wrapper: Wrapper, attached: str) -> int:
    """How many words an option takes, 0 when it is not known; `attached` letters never take the next word."""
    if text.startswith("--"):
        name, equals, _ = text.partition("=")
        if name in wrapper.long_values and (equals or name not in wrapper.long_flags):
            return 1 if equals else 2
        return 1 if name in wrapper.long_flags else 0
    for at, letter in enumerate(text[1:], start=1):
        if letter in wrapper.values:
            return 1 if text[at + 1 :] or letter in attached else 2
        if letter not in wrapper.flags:
            return 0
    return 1


def _git_command(texts: tuple[str, ...]) -> str:
    """The text that a git subcommand runs as commands (`bisect run`, `rebase -x`, `submodule foreach`), "" for none."""
    for before, marker in (("bisect", "run"), ("submodule", "foreach")):
        if before in texts and marker in texts[texts.index(before) :]:
            return " ".join(one for one in texts[texts.index(marker) + 1 :] if not one.startswith("--"))
    return ""
