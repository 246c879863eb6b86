"""The words of `/memory` and `letta-code memory`: one table and one parser for both."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from letta_code.core.errors import UsageError
from letta_code.core.messages import Value

SLASH, SHELL = "/memory", "letta-code memory"


class Option(Value):
    """A flag of a word: `names` as typed, the last is the long one; `metavar` is empty for a switch."""

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    repeat: bool = False

    @property
    def key(self) -> str:
        """The name under which the value is found."""
        return self.names[-1].lstrip("-")


class Word(Value):
    """A thing that can be asked for: it takes `least` to `most` words, and after them one text where `text` is set.

    `text` is "" (none), "must" or "may"; a `query` is all words as one text.  The text of a slash command is taken as
    it was typed, with its line breaks and signs.  What only `shows` something changes no memory.
    """

    name: str
    usage: str
    help: str
    least: int = 0
    most: int = 0
    text: str = ""
    query: bool = False
    shows: bool = False
    options: tuple[Option, ...] = ()


Flags: TypeAlias = Mapping[str, str | bool | tuple[str, ...]]


class Asked(Value):
    """What was asked for; `text` is None where none was given."""

    word: Word
    words: tuple[str, ...] = ()
    text: str | None = None
    flags: Flags = msgspec.field(default_factory=dict[str, Any])

    @property
    def name(self) -> str:
        """The word's name."""
        return self.word.name

    def first(self) -> str:
        """The first word after the name, "" without one."""
        return self.words[0] if self.words else ""

    def value(self, key: str) -> str:
        """A flag's value, "" when it was not given."""
        value = self.flags.get(key, "")
        return value if isinstance(value, str) else ""

    def many(self, key: str) -> tuple[str, ...]:
        """The values of a repeated flag."""
        value = self.flags.get(key, ())
        return value if isinstance(value, tuple) else ()

    def on(self, key: str) -> bool:
        """Whether a flag was given."""
        return key in self.flags

    def number(self, key: str, otherwise: int) -> int:
        """A flag's whole number; raises `UsageError`."""
        return whole_number(self.value(key), f"--{key}") if self.on(key) else otherwise


_COUNT = Option(names=("-n", "--count"), metavar="N", help="At most N.")
WORDS = (
    Word(
        name="list",
        usage="[--files]",
        shows=True,
        help="The blocks with how full they are, and what waits for you.",
        options=(Option(names=("--files",), help="All files that are read on demand, not the first few."),),
    ),
    Word(
        name="show",
        usage="LABEL [-n]",
        shows=True,
        help="A block's value.",
        least=1,
        most=1,
        options=(Option(names=("-n", "--numbers"), help="With line numbers."),),
    ),
    Word(name="edit", usage="LABEL", help="Change a block's value in your editor.", least=1, most=1),
    Word(name="set", usage="LABEL TEXT", help="Give a block a whole new value.", least=1, most=1, text="must"),
    Word(name="append", usage="LABEL TEXT", help="Add lines at the end of a block.", least=1, most=1, text="must"),
    Word(
        name="create",
        usage="LABEL [TEXT]",
        help="Make a block; a label with a folder (notes/x) is a file that is read on demand.",
        least=1,
        most=1,
        text="may",
        options=(
            Option(names=("--description",), metavar="TEXT", help="What the block is for."),
            Option(names=("--scope",), metavar="SCOPE", help="agent (everywhere), project (here) or shared."),
            Option(names=("--limit",), metavar="N", help="Room for N characters."),
        ),
    ),
    Word(name="rename", usage="LABEL NEW", help="Give a block another label.", least=2, most=2),
    Word(name="describe", usage="LABEL TEXT", help="Say what a block is for.", least=1, most=1, text="must"),
    Word(name="limit", usage="LABEL N", help="Give a block room for N characters.", least=2, most=2),
    Word(
        name="readonly",
        usage="LABEL on|off",
        help="Keep the agent from changing a block, or not.",
        least=2,
        most=2,
    ),
    Word(name="delete", usage="LABEL", help="Delete a block; undo brings it back.", least=1, most=1),
    Word(name="attach", usage="LABEL", help="Show a shared block to this agent.", least=1, most=1),
    Word(name="detach", usage="LABEL", help="Show it to this agent no longer.", least=1, most=1),
    Word(name="shared", usage="", shows=True, help="The shared blocks."),
    Word(
        name="history",
        usage="[LABEL] [-n N]",
        shows=True,
        help="What was changed, newest first.",
        most=1,
        options=(_COUNT,),
    ),
    Word(name="diff", usage="[COMMIT]", shows=True, help="What a change did (the newest).", most=1),
    Word(name="why", usage="LABEL[:LINE]", shows=True, help="Where the lines of a block come from.", least=1, most=1),
    Word(name="undo", usage="[COMMIT]", help="Take a change back (the newest that stands).", most=1),
    Word(name="restore", usage="LABEL COMMIT", help="Make a block what it was after a change.", least=2, most=2),
    Word(
        name="pending",
        usage="",
        shows=True,
        help="What waits for your yes: texts from outside, hand edits, reflections.",
    ),
    Word(
        name="approve",
        usage="ID",
        help="Say yes: a text comes in as a quotation.",
        least=1,
        most=1,
    ),
    Word(name="reject", usage="ID", help="Say no: it is thrown away.", least=1, most=1),
    Word(name="adopt", usage="PATH", help="Take in a hand edit that waits.", least=1, most=1),
    Word(name="putback", usage="PATH", help="Make the file again what memory says.", least=1, most=1),
    Word(
        name="archive",
        usage="[QUERY] [--tag T]",
        shows=True,
        help="Passages of archival memory, the newest or the best.",
        query=True,
        options=(
            Option(names=("--tag",), metavar="T", repeat=True, help="Only with this tag (or another)."),
            _COUNT,
        ),
    ),
    Word(name="forget", usage="ID", help="Take a passage out of archival memory.", least=1, most=1),
    Word(name="unforget", usage="ID", help="Bring it back.", least=1, most=1),
    Word(name="search", usage="QUERY", shows=True, help="Search all that was said.", query=True, options=(_COUNT,)),
    Word(name="path", usage="", shows=True, help="The folder of the blocks."),
)
BY_NAME = {word.name: word for word in WORDS}

_PIECE = re.compile(r'(?:[^\s"]|"[^"]*")+|"')


def parse_line(line: str) -> Asked:
    """What a slash command's arguments ask for; raises `UsageError`."""
    name, rest = _cut(line.strip())
    if name.startswith("-"):  # the list's own flags
        name, rest = "", line.strip()
    word = _word(name, SLASH)
    if word.text == "must":  # its text is taken as it stands, so that no sign in it means anything
        words: list[str] = []
        while len(words) < word.most and rest:
            first, rest = _cut(rest)
            words.append(first)
        return _checked(Asked(word=word, words=tuple(words), text=rest or None), SLASH)
    pieces = rest.split() if word.query else [piece.replace('"', "") for piece in _PIECE.findall(rest)]
    return _sorted(word, pieces, (), SLASH)


def parse_words(argv: Sequence[str], common: Sequence[Option] = ()) -> Asked:
    """What a command line asks for, with `common` flags that hold for every word; raises `UsageError`."""
    rest = [piece.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for piece in argv]
    at = _name_at(rest, common)
    word = _word(rest.pop(at) if at < len(rest) else "", SHELL)
    return _sorted(word, rest, common, SHELL)


def _name_at(rest: Sequence[str], common: Sequence[Option]) -> int:
    """Where the word's name stands: flags that hold for all may come before it."""
    takes = {name for option in common if option.metavar for name in option.names}
    known = {name for option in common for name in option.names}
    at = 0
    while at < len(rest) and rest[at].partition("=")[0] in known:
        at += 2 if rest[at] in takes else 1
    # Only flags: the list is meant, with its own.
    return len(rest) if at < len(rest) and rest[at].startswith("-") else at


def _cut(text: str) -> tuple[str, str]:
    first, *rest = text.split(None, 1)[:2] or [""]
    return first, rest[0] if rest else ""


def _word(name: str, call: str) -> Word:
    word = BY_NAME.get(name or "list")
    if word is not None:
        return word
    from difflib import get_close_matches

    near = get_close_matches(name, list(BY_NAME), n=1, cutoff=0.6)
    guess = f" Did you mean `{call} {near[0]}`?" if near else ""
    raise UsageError(f"There is no `{call} {name}`.{guess}", hint=f"The words are: {', '.join(BY_NAME)}.")


def _sorted(word: Word, pieces: Sequence[str], common: Sequence[Option], call: str) -> Asked:
    """Flags, words and text apart.  In a text a piece that is no known flag is text, whatever it begins with."""
    known = {name: option for option in (*word.options, *common) for name in option.names}
    flags: dict[str, str | bool | tuple[str, ...]] = {}
    words: list[str] = []
    rest = list(pieces)
    while rest:
        piece = rest.pop(0)
        if piece == "--":
            words += rest
            break
        name, equals, value = piece.partition("=")
        option = known.get(name)
        if option is None:
            in_text = word.query or (word.text and len(words) >= word.most)
            if piece.startswith("-") and piece != "-" and not in_text:
                raise UsageError(f"There is no flag {name} for `{call} {word.name}`.", hint=usage_of(word, call))
            words.append(piece)
        elif not option.metavar:
            if equals:
                raise UsageError(f"{name} takes no value.")
            flags[option.key] = True
        else:
            if not equals and not rest:
                raise UsageError(f"{name} needs {option.metavar}.", hint=option.help)
            value = value if equals else rest.pop(0)
            flags[option.key] = (*_many(flags, option.key), value) if option.repeat else value
    if word.query:
        return _checked(Asked(word=word, text=" ".join(words) if words else None, flags=flags), call)
    given = words[word.most :] if word.text else []
    if word.text:
        words = words[: word.most]
    asked = Asked(word=word, words=tuple(words), text=" ".join(given) if given else None, flags=flags)
    return _checked(asked, call)


def _many(flags: Flags, key: str) -> tuple[str, ...]:
    value = flags.get(key, ())
    return value if isinstance(value, tuple) else ()


def _checked(asked: Asked, call: str) -> Asked:
    """Raises `UsageError` where words are missing or too many."""
    word = asked.word
    if len(asked.words) < word.least or (word.text == "must" and asked.text is None):
        raise UsageError(f"`{call} {word.name}` needs {word.usage}.", hint=word.help)
    if len(asked.words) > word.most:
        raise UsageError(
            f"`{call} {word.name}` takes {word.usage or 'nothing more'}, and this is more: {asked.words[-1]}.",
            hint=word.help,
        )
    return asked


def whole_number(text: str, what: str) -> int:
    """A whole number of one or more; raises `UsageError`."""
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text) > 0):
        raise UsageError(f"{what} {text}: it is a whole number of one or more.")
    return int(text)


def usage_of(word: Word, call: str) -> str:
    """How a word is typed."""
    return f"{call} {word.name} {word.usage}".rstrip()


def listing(width: int) -> list[str]:
    """Each word: how it is typed and what it does, on lines of at most `width` columns."""
    from textwrap import wrap

    left = max(len(f"{word.name} {word.usage}") for word in WORDS) + 2
    lines: list[str] = []
    for word in WORDS:
        first, *more = wrap(word.help, width - left - 2)
        lines += [f"  {f'{word.name} {word.usage}':<{left}}{first}", *(" " * (left + 2) + row for row in more)]
    return lines
