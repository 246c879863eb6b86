"""What a shell text runs, read by hand and doubted: certain for one simple command, a suspicion for anything else.

Until a real parser takes its place, only a text without any expansion, redirection or separator is `certain`; a rule
may allow nothing else.  For other texts `commands` holds those found where bash expects a command (enough to refuse
one), `mentions` every run of words at all (enough to ask).
"""

from __future__ import annotations

import os
import re

from letta_code.safety.shell_values import Assignment, Command, Opaque, Reading, Redirect
from letta_code.safety.terminal import has_hidden

__all__ = ["LONGEST", "REFUSED_LENGTH", "Assignment", "Command", "Opaque", "Reading", "Redirect", "read_argv",
           "read_shell", "simple_words"]  # fmt: skip

LONGEST = 10_000  # characters; a longer text is always asked about
REFUSED_LENGTH = 100_000  # characters; the kernel takes no argument above 128 KB, and reading more could take long

# A word without anything that bash would expand: no glob, brace, tilde, variable, history or escape.
_WORD = re.compile(r"""(?:[\w@%+:,./=-]|'[^'\n]*'|"[^"$`\\!\n]*")+""")
_BLANKS = re.compile(r"[ \t]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=")
_SEPARATORS = re.compile(r"[;&|\n(){}`]|\$\(|[<>]\(")
_QUOTES = str.maketrans("", "", "'\"\\")
_NOT_SIMPLE = {
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "select", "function",
    "time", "coproc", "in", "alias", "unalias", "trap", "enable", "shopt", "set", "source", ".", "eval", "exec", "hash",
}  # fmt: skip
_FILTER = re.compile(
    r"""[ \t]*(?:2>&1 | [12&]?>[ \t]*/dev/null
      | \|&?[ \t]*(?P<words>
            (?:head|tail)(?:[ \t]+(?:-\d+ | -[nc][ \t]*\d+))?
          | wc(?:[ \t]+-[lwcm]+)?
          | (?:sort|uniq)(?:[ \t]+-[nrucdfbiVh]+)?
          | cat
          | (?:grep|egrep)(?:[ \t]+-[EFPivnowxch]+)*[ \t]+
            (?:[\w@%+:,./=][\w@%+:,./=-]*|'[^'\n-][^'\n]*'|"[^"$`\\!\n-][^"$`\\!\n]*")
        ))[ \t]*\Z""",
    re.VERBOSE,
)
_KEYWORDS = {"if", "then", "else", "elif", "while", "until", "do", "time", "!", "coproc", "case", "in"}
# Programs that run the command that stands in their arguments: how many plain words of their own come before it.
_WRAPPERS = {
    "env": 0, "command": 0, "builtin": 0, "exec": 0, "sudo": 0, "doas": 0, "nohup": 0, "setsid": 0, "stdbuf": 0,
    "nice": 0, "ionice": 0, "busybox": 0, "toybox": 0, "xargs": 0, "time": 0, "timeout": 1, "chroot": 1, "watch": 0,
    "strace": 0, "unbuffer": 0, "parallel": 0, "caffeinate": 0, "flock": 1, "taskset": 1, "runuser": 0, "su": 0,
}  # fmt: skip
_SHELLS = {"sh", "bash", "zsh", "dash", "ksh", "fish", "ash", "eval", "su", "watch"}
_FIND_RUNS = {"-exec", "-execdir", "-ok", "-okdir"}


def read_argv(argv: tuple[str, ...], cwd: str) -> Reading:
    """A command that no shell interprets."""
    command = Command(words=argv, cwd=cwd)
    return Reading(commands=(command, *_inside(argv, cwd)), mentions=(argv,), certain=True, whole=True)


def read_shell(text: str, cwd: str) -> Reading:
    """A text for bash.  One simple command, also after `cd FOLDER &&`, is certain; everything else is doubted."""
    if len(text) > LONGEST:
        return _doubted(text, cwd, f"the command is longer than {LONGEST} characters")
    if has_hidden(text):
        return _doubted(text, cwd, "the command has invisible or control characters")
    moved, rest = _leading_cd(text.strip(), cwd)
    rest, filters = _without_filters(rest)
    words = simple_words(rest)
    if words is None:
        return _doubted(text, cwd, "the command is more than one simple command")
    command = Command(words=words, cwd=moved)
    behind = tuple(Command(words=one, cwd=moved) for one in filters)
    return Reading(
        commands=(command, *_inside(words, moved), *behind), mentions=(words, *filters), certain=True, whole=True
    )


def _without_filters(text: str) -> tuple[str, list[tuple[str, ...]]]:
    """The text without filters at its end that only shorten what is shown (`2>&1 | tail -30`), and those filters.

    Only forms that read and write no file are known.  A quote that is cut in two leaves a text that is not simple.
    """
    filters: list[tuple[str, ...]] = []
    while found := _FILTER.search(text):
        if found["words"]:
            filters.insert(0, tuple(_unquoted(word) for word in found["words"].split()))
        text = text[: found.start()]
    return text, filters


def simple_words(text: str) -> tuple[str, ...] | None:
    """The words of one command with nothing to expand, None when the text is anything more than that."""
    words: list[str] = []
    at, end = 0, len(text)
    while at < end:
        found = _WORD.match(text, at)
        if found is None:
            return None
        words.append(_unquoted(found[0]))
        at = found.end()
        if at < end:
            gap = _BLANKS.match(text, at)
            if gap is None:
                return None
            at = gap.end()
    if not words or not words[0] or _ASSIGNMENT.match(words[0]) or words[0] in _NOT_SIMPLE:
        return None
    return tuple(words)


def _unquoted(word: str) -> str:
    return re.sub(r"""'([^']*)'|"([^"]*)\"""", lambda found: found[1] or found[2] or "", word)


def _leading_cd(text: str, cwd: str) -> tuple[str, str]:
    """The folder after a leading `cd FOLDER &&` with a literal folder, and what follows; the tools keep the cwd."""
    head, separator, rest = text.partition("&&")
    words = simple_words(head.strip()) if separator else None
    if words is None or len(words) != 2 or words[0] != "cd" or words[1].startswith("-"):
        return cwd, text
    return os.path.normpath(os.path.join(cwd, words[1])), rest.strip()


def _doubted(text: str, cwd: str, doubt: str) -> Reading:
    if len(text) > REFUSED_LENGTH:
        return Reading(doubt=doubt)
    joined = re.sub(r"\$\{(\w+)\}", r"$\1", text.replace("\\\n", ""))
    commands: list[Command] = []
    for words in _positions(_without_data(joined)):
        if words[:1] == ("cd",) and len(words) == 2 and "$" not in words[1]:
            cwd = os.path.normpath(os.path.join(cwd, os.path.expanduser(words[1])))
        commands.append(Command(words=words, cwd=cwd))
        commands.extend(_inside(words, cwd))
    mentions = tuple(words for words in _split(joined.translate(_QUOTES)) if words)
    return Reading(commands=tuple(commands), mentions=mentions, doubt=doubt)


def _without_data(text: str) -> str:
    """The text with quoted data as one harmless word, comments and here-documents left out.

    Substitutions inside double quotes stay, behind a separator.  Where this errs, `mentions` still has the words.
    """
    text = re.sub(r"<<-?\s*(['\"])(\w+)\1([^\n]*)\n.*?(?:\n\s*\2\s*(?=\n|\Z)|\Z)", r"\3\n", text, flags=re.DOTALL)
    text = re.sub(r"\\(.)", r"\1", text)
    text = re.sub(r"'([^'\n]*)'", _data, text)
    text = re.sub(r'"([^"]*)"', _data, text)
    return re.sub(r"(?:(?<=\s)|\A)#[^\n]*", "", text)


def _data(found: re.Match[str]) -> str:
    inner = found[1]
    if found[0][0] == '"' and ("$(" in inner or "`" in inner):
        return f"\x00{inner}"
    return (
        re.sub(r"[\s;&|(){}`<>#$]", "\x00", inner) if found[0][0] == "'" else re.sub(r"[\s;&|(){}<>#]", "\x00", inner)
    )


def _positions(text: str) -> list[tuple[str, ...]]:
    """The words after each place where bash expects a command, keywords and assignments taken off."""
    found: list[tuple[str, ...]] = []
    for words in _split(text):
        rest = list(words)
        while rest and (rest[0] in _KEYWORDS or _ASSIGNMENT.match(rest[0])):
            rest.pop(0)
        if rest:
            found.append(tuple(rest))
    return found


def _split(text: str) -> list[tuple[str, ...]]:
    return [tuple(part.split()) for part in _SEPARATORS.split(text) if part.strip()]


def _inside(words: tuple[str, ...], cwd: str) -> list[Command]:
    """Commands that a wrapper runs (`env`, `timeout 5`, `find -exec`, `sh -c`), each layer in turn."""
    found: list[Command] = []
    for _ in range(8):
        if not words:
            break
        name = os.path.basename(words[0])
        if name in _SHELLS:
            for text in words[1:]:
                found.extend(Command(words=inner, cwd=cwd) for inner in _positions(text.replace("\0", " ")))
        if name == "find":
            words = next((words[i + 1 :] for i, word in enumerate(words) if word in _FIND_RUNS), ())
        elif name in _WRAPPERS:
            words = _after_own(words[1:], _WRAPPERS[name])
        else:
            break
        if words:
            found.append(Command(words=words, cwd=cwd))
    return found


def _after_own(words: tuple[str, ...], own: int) -> tuple[str, ...]:
    """What is left after a wrapper's options, their values (numbers) and assignments."""
    rest = list(words)
    while rest and (rest[0].startswith("-") or _ASSIGNMENT.match(rest[0]) or rest[0].rstrip("smhd").isdigit()):
        own -= not rest[0].startswith("-") and not _ASSIGNMENT.match(rest[0])
        rest.pop(0)
    return tuple(rest[max(own, 0) :])
