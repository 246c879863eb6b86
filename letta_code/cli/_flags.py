"""Flags: a small parser for the command line, so that help, errors and completion come from one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from letta_code.core.errors import UsageError
from letta_code.core.messages import Value


def here_if_any() -> str:
    """The folder that we were started in, "" when it was removed: for what needs none."""
    try:
        return str(here())
    except UsageError:
        return ""


def here() -> Path:
    """The folder that we were started in; raises `UsageError` when it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("The folder that this shell is in was removed.", hint="cd to another one.") from error


class Flag(Value):
    """One flag: `names` as typed (the last is the long one), `metavar` empty for a switch, `help` one sentence.

    `repeat` collects values in a tuple; `optional` lets the value be left out (it is None then); `choices` limits it.
    """

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    repeat: bool = False
    optional: bool = False
    choices: tuple[str, ...] = ()
    values: int = 1  # how many words the flag takes

    @property
    def key(self) -> str:
        """The name under which the value is found: `--max-turns` is `max_turns`."""
        return self.names[-1].lstrip("-").replace("-", "_")


class Parsed(Value):
    """What was typed: `flags` by key (only those that were given), `words` the rest."""

    flags: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    words: tuple[str, ...] = ()

    def text(self, key: str) -> str:
        """A value, "" when it was not given."""
        return self.flags.get(key) or ""

    def many(self, key: str) -> tuple[str, ...]:
        """The values of a repeated flag."""
        return self.flags.get(key) or ()

    def on(self, key: str) -> bool:
        """Whether a flag was given."""
        return key in self.flags


HELP = Flag(names=("-h", "--help"), help="Show this help.")


def parse(argv: Sequence[str], flags: Sequence[Flag]) -> Parsed:
    """Sort words into flags and the rest; `--` ends the flags.  Raises `UsageError` that names the nearest flag."""
    known = {name: flag for flag in flags for name in flag.names}
    found: dict[str, Any] = {}
    words: list[str] = []
    rest = [_clean(word) for word in argv]
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        name, equals, value = word.partition("=")
        if word == "-" or not word.startswith("-"):
            words.append(word)
            continue
        flag = known.get(name)
        if flag is None:
            close = _did_you_mean(name, known)
            raise UsageError(f"There is no flag {name}{close}.", hint="letta-code --help lists all.")
        if not flag.metavar:
            if equals:
                raise UsageError(f"{name} takes no value.")
            found[flag.key] = True
            continue
        taken = [value] if equals else _take(flag, name, rest, known)
        _keep(found, flag, name, taken)
    return Parsed(flags=found, words=tuple(words))


def _take(flag: Flag, name: str, rest: list[str], known: dict[str, Flag]) -> list[str]:
    """The words that follow a flag, none where an optional one is left out.

    Only a known flag ends them, so that a prompt may begin with a dash.
    """
    taken: list[str] = []
    while rest and len(taken) < flag.values:
        if rest[0].partition("=")[0] in known or rest[0] == "--":
            break
        taken.append(rest.pop(0))
    if len(taken) < flag.values and not flag.optional:
        raise UsageError(f"{name} needs {flag.metavar}.", hint=flag.help)
    return taken


def _keep(found: dict[str, Any], flag: Flag, name: str, taken: list[str]) -> None:
    value: Any = tuple(taken) if flag.values > 1 else taken[0] if taken else None
    if flag.choices and value not in flag.choices:
        raise UsageError(f"{name} {value}: it is one of {', '.join(flag.choices)}.")
    if flag.repeat:
        found[flag.key] = (*found.get(flag.key, ()), value)
    elif flag.key in found and found[flag.key] != value:
        raise UsageError(f"{name} was given twice.")
    else:
        found[flag.key] = value


def _clean(word: str) -> str:
    """Bytes that are not UTF-8 reach us as lone surrogates, which no JSON may hold."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _did_you_mean(name: str, known: dict[str, Flag]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def help_lines(flags: Sequence[Flag], width: int = 28) -> list[str]:
    """One entry a flag, its sentence beside it or below."""
    lines: list[str] = []
    for flag in flags:
        value = f" {flag.metavar}" if flag.metavar else ""
        head = f"  {', '.join(flag.names)}{f' [{flag.metavar}]' if flag.optional else value}"
        sentence = flag.help + (f" ({'|'.join(flag.choices)})" if flag.choices else "")
        first, *more = _wrap(sentence, 100 - width)
        if len(head) < width:
            lines.append(f"{head:<{width}}{first}")
        else:
            lines += [head, f"{'':<{width}}{first}"]
        lines += [f"{'':<{width}}{line}" for line in more]
    return lines


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def seconds_of(text: str, flag: str) -> float:
    """`90`, `90s`, `10m` or `2h` in seconds; raises `UsageError`."""
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:].lower(), 0.0)
    try:
        seconds = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"{flag} {text}: it is a time above zero such as 90s, 10m or 2h.")
    return seconds


def whole_number(text: str, flag: str) -> int:
    """A whole number of one or more; raises `UsageError`."""
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text) > 0):
        raise UsageError(f"{flag} {text}: it is a whole number of one or more.")
    return int(text)


def verb_help(usage: str, text: str, flags: Sequence[Flag]) -> str:
    """What `letta-code VERB --help` shows: usage, the verb's docstring, its flags."""
    return "\n".join([f"letta-code {usage}", "", text.strip(), "", *help_lines(flags)])
