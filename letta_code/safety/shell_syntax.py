"""What a shell text runs: read to its end by two parsers that must agree, or doubted.

A text that is not understood gives what it may run (`commands` enough to refuse one, `mentions` enough to ask); a rule
may allow nothing in it.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from letta_code.safety.shell_values import Assignment, Command, Opaque, Reading, Redirect
from letta_code.safety.terminal import has_hidden

if TYPE_CHECKING:
    from letta_code.safety.shell_unfold import Unfolding

__all__ = ["LONGEST", "REFUSED_LENGTH", "Assignment", "Command", "Opaque", "Reading", "Redirect", "read_argv",
           "read_shell", "simple_words"]  # fmt: skip

LONGEST = 10_000  # characters; a longer text is always asked about
REFUSED_LENGTH = 100_000  # characters; the kernel takes no argument above 128 KB, and reading more could take long

# A word without anything that bash would expand: no glob, brace, tilde, variable, history or escape.
_WORD = re.compile(r"""(?:[\w@%+:,./=-]|'[^'\n]*'|"[^"$`\\!\n]*")+""")
_BLANKS = re.compile(r"[ \t]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=")
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


def read_argv(argv: tuple[str, ...], cwd: str) -> Reading:
    """A command that no shell interprets."""
    # Imported in the functions: the first frame needs none of the reader.
    from letta_code.safety.shell_redirects import Step
    from letta_code.safety.shell_unfold import Unfolding
    from letta_code.safety.shell_words import Unread, Word

    found = Unfolding()
    words = tuple(Word(text=word, raw=word, start=0, quoted=True) for word in argv)
    try:
        found.step(Step(words=words, cwd=cwd, cwd_known=True))
    except Unread as why:
        found.doubts.append(str(why))
    found.finish()
    doubts = [*found.doubts, *_disagreements(found)]
    return Reading(
        commands=tuple(found.commands), mentions=(argv,), certain=True, whole=not doubts, doubt="".join(doubts[:1]),
        redirects=tuple(found.redirects), assignments=tuple(found.assignments), opaque=tuple(found.opaque),
    )  # fmt: skip


@lru_cache(maxsize=64)  # one decision looks at the same text several times
def read_shell(text: str, cwd: str) -> Reading:
    """A text for bash.  One simple command, also after `cd FOLDER &&`, is certain; what is understood is `whole`."""
    if len(text) > REFUSED_LENGTH:
        return Reading(doubt=f"the command is longer than {LONGEST} characters")
    from letta_code.safety.shell_suspicion import mentions_of
    from letta_code.safety.shell_unfold import Unfolding

    if len(text) > LONGEST:
        return _suspected(text, cwd, f"the command is longer than {LONGEST} characters", Unfolding())
    if has_hidden(text):
        return _suspected(text, cwd, "the command has invisible or control characters", Unfolding())
    found, doubt = _unfolded(text, cwd)
    if doubt:
        return _suspected(text, cwd, doubt, found)
    certain = _certain(text, cwd)
    commands = tuple(found.commands)
    if certain is not None:
        main = next((one for one in commands if one.words == certain[0] and not one.wrapper), None)
        commands = (main, *(one for one in commands if one is not main)) if main else commands
        certain = certain if main else None
    return Reading(
        commands=commands,
        mentions=certain or mentions_of(text),
        certain=certain is not None,
        whole=True,
        redirects=tuple(found.redirects),
        assignments=tuple(found.assignments),
        opaque=tuple(found.opaque),
    )


def _unfolded(text: str, cwd: str) -> tuple[Unfolding, str]:
    """Everything that was found, and why that may not be all, "" when it is."""
    from letta_code.safety.shell_findings import Around
    from letta_code.safety.shell_grammar import Script
    from letta_code.safety.shell_unfold import Unfolding
    from letta_code.safety.shell_words import Unread

    found, script = Unfolding(), Script(text, cwd)
    doubts: list[str] = []
    try:
        script.read()
    except Unread as why:
        doubts.append(str(why))
    try:
        found.script(script, Around())
    except Unread as why:
        doubts.append(str(why))
    found.finish()
    doubts += found.doubts
    if not doubts:
        doubts += _disagreements(found)
    return found, doubts[0] if doubts else ""


def _disagreements(found: Unfolding) -> list[str]:
    from letta_code.safety import shell_tree

    return [why for text, starts in found.texts if (why := shell_tree.differs(text, starts))]


def _suspected(text: str, cwd: str, doubt: str, found: Unfolding) -> Reading:
    """What a text that is not understood may run, and what was found in it before that."""
    from letta_code.safety.shell_suspicion import suspicion

    commands, mentions = suspicion(text, cwd)
    known = {command.words for command in found.commands}
    return Reading(
        commands=(*found.commands, *(command for command in commands if command.words not in known)),
        mentions=mentions,
        doubt=doubt,
        redirects=tuple(found.redirects),
        assignments=tuple(found.assignments),
        opaque=tuple(found.opaque),
    )


def _certain(text: str, cwd: str) -> tuple[tuple[str, ...], ...] | None:
    """The words of the one command that a text is, and those of harmless filters behind it; None when it is more."""
    _, rest = _leading_cd(text.strip(), cwd)
    rest, filters = _without_filters(rest)
    words = simple_words(rest)
    return None if words is None else (words, *filters)


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
