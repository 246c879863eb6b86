"""What a text that could not be read may run: commands wherever bash could expect one, and every run of words."""

from __future__ import annotations

import os
import re

from letta_code.safety.shell_values import Command

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=")
_SEPARATORS = re.compile(r"[;&|\n(){}`]|\$\(|[<>]\(")
_QUOTES = str.maketrans("", "", "'\"\\")
_KEYWORDS = {"if", "then", "else", "elif", "while", "until", "do", "time", "!", "coproc", "case", "in"}
# Programs that run the command that stands in their arguments: how many plain words of their own come before it.
_WRAPPERS = {
    "env": 0, "command": 0, "builtin": 0, "exec": 0, "sudo": 0, "doas": 0, "nohup": 0, "setsid": 0, "stdbuf": 0,
    "nice": 0, "ionice": 0, "busybox": 0, "toybox": 0, "xargs": 0, "time": 0, "timeout": 1, "chroot": 1, "watch": 0,
    "strace": 0, "unbuffer": 0, "parallel": 0, "caffeinate": 0, "flock": 1, "taskset": 1, "runuser": 0, "su": 0,
}  # fmt: skip
_SHELLS = {"sh", "bash", "zsh", "dash", "ksh", "fish", "ash", "eval", "su", "watch"}
_FIND_RUNS = {"-exec", "-execdir", "-ok", "-okdir"}


def suspicion(text: str, cwd: str) -> tuple[tuple[Command, ...], tuple[tuple[str, ...], ...]]:
    """Commands that stand where bash may expect one, and the words of the whole text, quotes taken off."""
    joined = re.sub(r"\$\{(\w+)\}", r"$\1", text.replace("\\\n", ""))
    commands: list[Command] = []
    for words in _positions(_without_data(joined)):
        if words[:1] == ("cd",) and len(words) == 2 and "$" not in words[1]:
            cwd = os.path.normpath(os.path.join(cwd, os.path.expanduser(words[1])))
        commands.append(Command(words=words, cwd=cwd))
        commands.extend(_inside(words, cwd))
    return tuple(commands), mentions_of(text)


def mentions_of(text: str) -> tuple[tuple[str, ...], ...]:
    """Every run of words of a text, also those in quotes."""
    joined = re.sub(r"\$\{(\w+)\}", r"$\1", text.replace("\\\n", ""))
    return tuple(words for words in _split(joined.translate(_QUOTES)) if words)


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
