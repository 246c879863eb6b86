"""Removed places: what the words of a removal come to, as far as the text itself says, and which of it is too much."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from letta_code.safety.shell_values import Command, Reading

_TOP_FOLDERS = (
    "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run", "/sbin", "/srv",
    "/sys", "/usr", "/var", "/Users", "/System", "/Library", "/Applications", "/private",
)  # fmt: skip
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-=?+]|%%?|[#/^,@:\[])([^{}]*))?\})")
_NAME = re.compile(r"(?<![\w${])\w+")
_FOR = re.compile(r"\bfor\s+([A-Za-z_]\w*)\s+in\s+([^;\n]*)")
_ARRAY = re.compile(r"\b([A-Za-z_]\w*)\+?=\(([^()\n]*)\)")
_READ = re.compile(r"\bread\s+(?:-\w+\s+)*([A-Za-z_]\w*)\s*<<<\s*([^;&|\n]*)")
_FUNCTION = re.compile(r"([A-Za-z_]\w*)\s*\(\)")
_ARGUMENTS = re.compile(r"\$(?:[@*1-9]|\{[@*1-9]\})")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
_ALL = re.compile(r"\.?(?:[*?]|\[[^\]]+\])+")  # takes whatever is there (`*`, `?*`, `[a-z]*`)
_DIGITS = re.compile(r"\[[\d-]+\]")
_BRACES = re.compile(r"(?<!\$)\{([^{}]*,[^{}]*)\}")
_USER = re.compile(r"~([a-z_][\w-]*)(?=/|\Z)")
_NOT_KNOWN, _EMPTY = "\0", "\1"  # what stands in a word for a variable of which nothing is known, and for an empty one
_MOST, _DEEPEST = 50, 20  # words that one word may come to; variables that are put in for one of them
_LONGEST = 500  # characters of one pattern
_PLAIN = str.maketrans("", "", "'\"\\\0\1")


class Settings:
    """What variables hold in a text: what it sets them to in letters itself, else what the environment says."""

    def __init__(self, text: str, reading: Reading, variables: Mapping[str, str]) -> None:
        self._bare = Counter(_NAME.findall(text))  # names that stand without `$`: something may set them
        self._variables = variables
        self._set: dict[str, list[str]] = {}
        given = {name: _words(words) for pattern in (_FOR, _ARRAY, _READ) for name, words in pattern.findall(text)}
        called = {"set", *_FUNCTION.findall(text)}
        # Arguments of the text's functions, and what it sets its own to: one list for `$@` and for `$1`.
        given["@"] = [
            word
            for one in reading.commands
            if one.words and one.words[0] in called
            for word in one.words[1:]
            if not word.startswith("-")
        ]
        counted: dict[str, int] = {}
        for one in reading.assignments:
            if one.for_command:
                continue  # its own words are expanded before
            counted[one.name] = counted.get(one.name, 0) + 1
            if one.literal or (one.value and not re.search(r"\$\(|`", one.value)):
                self._set.setdefault(one.name, []).append(self._before(one.name, one.value))
        for name, values in self._set.items():
            if "" in values and (counted[name] > 1 or self._bare[name] > 1):
                self._set[name] = [value or _NOT_KNOWN for value in values]  # it is empty to begin with
        for name, values in given.items():
            self._set.setdefault(name, []).extend(values)

    def _before(self, name: str, value: str) -> str:
        """A value that names its own variable (`D=${D:-x}`) with what that held before."""
        held = self._variables.get(name) or _EMPTY
        filled = _VARIABLE.sub(
            lambda found: _operated(held, found[3] or "", found[4] or "") if name in {found[1], found[2]} else found[0],
            value,
        )
        return filled.replace(_EMPTY, "")

    def expanded(self, word: str) -> Iterator[str]:
        """What a word may come to; a variable that is not known stays in it as a mark."""
        word = word.translate(_PLAIN).replace("$$", "$")  # `$"$HOME"` without its quotes
        if found := _ARGUMENTS.search(word):
            several = [word[: found.start()] + one + word[found.end() :] for one in self._set["@"]] or [_NOT_KNOWN]
        else:
            several = _braces(word)
        waiting, given = [(one.translate(_PLAIN), 0) for one in several[:_MOST]], 0
        while waiting and given < _MOST:
            one, depth = waiting.pop()
            found = _VARIABLE.search(one)
            if found is None or depth > _DEEPEST:
                given += 1
                yield one
                continue
            for value in self._value(found):
                waiting.append((one[: found.start()] + value + one[found.end() :], depth + 1))

    def _value(self, found: re.Match[str]) -> list[str]:
        name, operator, operand = found[1] or found[2], found[3] or "", found[4] or ""
        return [_operated(value, operator, operand) for value in self._of(name)]

    def _of(self, name: str) -> list[str]:
        if name in self._set:
            return [value.translate(str.maketrans("", "", "'\"\\")) or _EMPTY for value in self._set[name][:_MOST]]
        if self._variables.get(name):
            return [self._variables[name]]
        # A name that the text sets in a way that is not followed (`read d`, `d=$(…)`) is not known to be empty.
        return [_NOT_KNOWN if self._bare[name] else _EMPTY]


def _operated(value: str, operator: str, operand: str) -> str:
    """`${x…}` of a value."""
    match operator.removeprefix(":"):
        case "":
            return value if operator == "" else _NOT_KNOWN
        case _ if value == _NOT_KNOWN:
            return value
        case "?":  # an unset one stops the command
            return _NOT_KNOWN if value == _EMPTY else value
        case "-" | "=":
            return (operand or _EMPTY) if value == _EMPTY else value
        case "+":
            return _EMPTY if value == _EMPTY else operand
        case "%" | "%%" if operand == "/":
            return value.removesuffix("/") or _EMPTY
        case "[" if operand in {"@]", "*]"}:  # each of an array
            return value
        case "%" if operand == "/*":
            return value.rpartition("/")[0] or _EMPTY
        case _:
            return _NOT_KNOWN


def _braces(word: str) -> list[str]:
    """The words that a word with braces stands for (`{a,b}/c`), as far as there are not too many."""
    waiting, found = [word], list[str]()
    while waiting and len(found) < _MOST:
        one = waiting.pop()
        held = _BRACES.search(one)
        if held is None or len(one) > _LONGEST:
            found.append(one)
            continue
        waiting.extend(one[: held.start()] + part + one[held.end() :] for part in held[1].split(",")[:_MOST])
    return found


def _words(text: str) -> list[str]:
    return [word.translate(_PLAIN) for word in _WORD.findall(text)]


def followed(commands: Iterable[Command], home: str, settings: Settings) -> Iterator[Command]:
    """The commands, each with the folder it runs in where a `cd` without a name, to `~` or to a variable leads on."""
    here = ""
    for command in commands:
        cwd = command.cwd if command.cwd_known or not here else here
        if command.words and command.words[0] in {"cd", "pushd"}:
            rest = [word for word in command.words[1:] if word not in {"--", "-P", "-L"}]
            to = list(settings.expanded(rest[0])) if rest else ["~"]
            here = _led(to[-1], cwd, home) if to else ""
        yield command if cwd == command.cwd else Command(words=command.words, cwd=cwd, wrapper=command.wrapper)


def _led(word: str, cwd: str, home: str) -> str:
    """Where a `cd` leads, "" where it is not known; a word that comes to nothing leads home."""
    filled = word.replace(_EMPTY, "") or "~"
    return "" if re.search(r"[\0`$*?]|\A[-+]", filled) else _path(filled, cwd, home)


def _path(word: str, cwd: str, home: str) -> str:
    if word in {"~", "~+"} or word.startswith(("~/", "~+/")):
        word = (cwd if word.startswith("~+") else home) + word.removeprefix("~").removeprefix("+")
    return "/" + os.path.normpath(os.path.join(cwd or "/", word)).lstrip("/")


def too_much(target: str, cwd: str, home: str, settings: Settings) -> str:
    """What of the machine a removal of a word takes away, "" when it is nothing that nobody would want removed."""
    for word in settings.expanded(target):
        if _NOT_KNOWN in word:
            continue
        filled = word.replace(_EMPTY, "")
        if filled != word and (filled.startswith("/") or filled in {"*", ".*"}):
            return f"the root: a variable in `{target}` is not set"
        if not filled:
            continue  # a removal of nothing
        user = _USER.match(filled)
        if user and all(map(_takes_all, filled[user.end() :].split("/"))):
            return f"the home folder of {user[1]}"
        if why := _protected(_path(filled, cwd, home), home):
            return why
    return ""


def _takes_all(part: str) -> bool:
    return part in {"", "."} or ("*" in part and _ALL.fullmatch(part) is not None and not _DIGITS.search(part))


def _protected(path: str, home: str) -> str:
    parts = [part for part in path.split("/") if part]
    while True:
        if not parts:
            return "the root"
        if _matches(parts, home) or any(_matches(parts, above) for above in _above(home)):
            return "the home folder"
        for place in _TOP_FOLDERS:
            if _matches(parts, place):
                return f"the system folder {place}"
        if not _takes_all(parts[-1]):
            return ""
        parts.pop()  # all in a folder is the folder


def _above(path: str) -> Iterator[str]:
    while (path := os.path.dirname(path)) != "/":
        yield path


def _matches(parts: list[str], place: str) -> bool:
    names = place.strip("/").split("/")
    # To read a pattern takes time by the square of its length; what is longer than any name is none by itself.
    return len(names) == len(parts) and max(map(len, parts)) < _LONGEST and all(map(fnmatchcase, names, parts))
