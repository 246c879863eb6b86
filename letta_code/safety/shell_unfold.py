"""What commands run beyond themselves: the command behind a wrapper, the text of `sh -c`, code that cannot be read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from letta_code.safety.shell_code import awk_is_plain, runs_code, sed_is_plain
from letta_code.safety.shell_findings import ASSIGNED, Around, Findings
from letta_code.safety.shell_grammar import Script
from letta_code.safety.shell_programs import (
    ALWAYS_CODE,
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
from letta_code.safety.shell_values import Assignment, Opaque, Redirect
from letta_code.safety.shell_words import MOST_WRAPPED, Unread, Word

_UNKNOWN_NAME = "the name of a program is known only when it runs"
_FIND_RUNS = {"-exec", "-execdir", "-ok", "-okdir"}
_FIND_WRITES = {"-fprint", "-fprint0", "-fprintf", "-fls"}
# Builtins that change what later words mean, or keep a command for later.
_CHANGING = {"alias", "unalias", "enable", "trap", "fc", "compgen", "complete", "bind", "coproc"}
_SAFE_SET = re.compile(r"[-+][euxfhbCETaB]*o?|pipefail|errexit|nounset|xtrace|noclobber|noglob|verbose")
_SAFE_SHOPT = {"-s", "-u", "-q", "-p", "nullglob", "globstar", "dotglob", "nocaseglob", "failglob", "lastpipe"}


class Unfolding(Findings):
    """Follows commands to everything that they run."""

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
        self._names(name, words[1:])

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


def _before(words: tuple[str, ...], end: str) -> tuple[str, ...]:
    return words[: words.index(end)] if end in words else words


def _is_setting(word: Word) -> bool:
    """Whether `env` takes a word for a variable and its value: any `=` will do, but not one that is still expanded."""
    return "=" in word.text if word.literal else ASSIGNED.match(word.raw) is not None


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
