"""Rules: `Tool` or `Tool(pattern)`, allowed, asked or denied, and what each of them covers.

Commands: `Bash(npm test)` allows exactly that command, `Bash(npm test *)` also with anything after it at a word
boundary.  An allow rule covers one simple command only, and with ` *` only words that stay in the work tree.  Deny and
ask rules cover the command with any arguments (`Bash(rm)`), wherever in a text bash would run it; where that is only
possible, the policy asks.  `Git(commit)` is a subcommand of the Git tool with any arguments that destroy nothing.

Paths: `Read(...)` is about every tool that reads, `Edit(...)` and `Write(...)` about every tool that changes files.
`src/**` is relative to the work tree, `~/notes` to the home folder, `/x` is absolute, a name without a slash (`.env`)
matches at any depth; `*` stays within a name, `**` crosses folders.

A bare tool name (`Bash`, `Edit`, `WebFetch`) covers everything of that tool.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

from letta_code.core.errors import ConfigError
from letta_code.core.messages import Value
from letta_code.safety import places
from letta_code.safety.destruction import is_destructive, stashes
from letta_code.safety.operations import (
    AskOperation,
    ExecOperation,
    GitOperation,
    MemoryOperation,
    Operation,
    ReadOperation,
    WriteOperation,
)
from letta_code.safety.shell_syntax import Command, Reading, read_argv, read_shell, simple_words

Verdict: TypeAlias = Literal["allow", "ask", "deny"]
Cover: TypeAlias = Literal["yes", "maybe", "no"]
# Where a rule comes from; `project` is remembered by the person for this project, `project_file` stands in the tree.
Source: TypeAlias = Literal["flag", "user", "project", "conversation", "project_file"]

_RULE = re.compile(r"\s*([A-Za-z][\w.-]*)\s*(?:\((.*)\))?\s*", re.DOTALL)
_CHANGES = {"Edit", "Write"}
_PATH_TOOLS = {"Read", "Edit", "Write", "ApplyPatch", "Grep", "Glob", "List"}
_FOLDERS = 20  # how many changes of folder within one text are followed
_SYNTAX = "a rule is Tool or Tool(pattern), such as Bash(npm test), Bash(npm test *), Edit(src/**) or Read(.env)"


class Rule(Value):
    """One rule.  `words` and `open` are of command patterns; `open` when ` *` stood at the end."""

    verdict: Verdict
    tool: str
    pattern: str = ""
    source: Source = "user"
    words: tuple[str, ...] = ()
    open: bool = False

    @property
    def text(self) -> str:
        """The rule as it is written."""
        return f"{self.tool}({self.pattern})" if self.pattern else self.tool

    @property
    def name(self) -> str:
        """The rule for people: `deny Bash(rm) (user)`."""
        return f"{self.verdict} {self.text} ({self.source.replace('_', ' ')})"


class Ground(Value):
    """Where rules are judged: real paths of the work tree and home folder; `fold` where file names ignore case."""

    root: str
    home: str
    fold: bool = sys.platform == "darwin"


class Rules(Value):
    """All rules in force.  Allow rules of a project's own file are never among them."""

    allow: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Rules:
        """Sort rules into their lists; a project's own file may only tighten, so its allow rules are left out."""
        known = tuple(rules)
        return cls(
            allow=tuple(r for r in known if r.verdict == "allow" and r.source != "project_file"),
            ask=tuple(r for r in known if r.verdict == "ask"),
            deny=tuple(r for r in known if r.verdict == "deny"),
        )

    def plus(self, *rules: Rule) -> Rules:
        """These rules and more."""
        return Rules.of((*self.allow, *self.ask, *self.deny, *rules))

    def __iter__(self) -> Iterator[Rule]:
        return iter((*self.deny, *self.ask, *self.allow))


def parse_rule(text: str, verdict: Verdict, source: Source = "user") -> Rule:
    """A rule from its text.  Raises `ConfigError` that names the rule and says what to write instead."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise ConfigError(f"Cannot read the rule {text!r}: {_SYNTAX}.")
    tool, pattern = found[1], (found[2] or "").strip()
    if found[2] is not None and pattern in {"", "*"}:
        raise ConfigError(f"The rule {text!r} has no pattern.", hint=f"Write {tool} alone to mean all of it.")
    if not pattern:
        return Rule(verdict=verdict, tool=tool, source=source)
    if tool in _PATH_TOOLS:
        _check_path(text, pattern)
        return Rule(verdict=verdict, tool=tool, pattern=pattern, source=source)
    if tool in {"Bash", "Git"}:
        words, open_ = _command_pattern(text, pattern, tool)
        return Rule(verdict=verdict, tool=tool, pattern=pattern, source=source, words=words, open=open_)
    return Rule(verdict=verdict, tool=tool, pattern=pattern, source=source)


def parse_rules(texts: Iterable[str], verdict: Verdict, source: Source = "user") -> tuple[Rule, ...]:
    """Rules from their texts; raises `ConfigError` as `parse_rule`."""
    return tuple(parse_rule(text, verdict, source) for text in texts)


def reading_of(operation: Operation) -> Reading | None:
    """What a shell or git operation runs, None for the others."""
    if isinstance(operation, ExecOperation):
        if operation.argv:
            return read_argv(operation.argv, operation.cwd)
        return read_shell(operation.command, operation.cwd)
    if isinstance(operation, GitOperation):
        words = ("git", *git_words(operation))
        return Reading(commands=(Command(words=words, cwd=operation.cwd),), mentions=(words,), certain=True)
    return None


def hides_work(operation: Operation) -> bool:
    """Whether an operation takes changes out of the work tree that only git has then (`git stash`)."""
    reading = reading_of(operation)
    return reading is not None and any(stashes(command.words) for command in reading.commands)


def git_words(operation: GitOperation) -> tuple[str, ...]:
    """The subcommand and its arguments, without a leading `git`."""
    words = simple_words(operation.command.strip()) or tuple(operation.command.split())
    return words[1:] if words[:1] == ("git",) else words


def covers(rule: Rule, tool: str, operation: Operation, ground: Ground, reading: Reading | None = None) -> Cover:
    """Whether a rule is about an operation.  `maybe` only for deny and ask rules, on texts that cannot be read."""
    allow = rule.verdict == "allow"
    match operation:
        case ReadOperation(path=path) | WriteOperation(path=path):
            changes = isinstance(operation, WriteOperation)
            return _yes(_names(rule, tool, changes=changes) and _path_covered(rule, path, ground))
        case ExecOperation() | GitOperation():
            reading = reading or reading_of(operation)
            if reading is None:  # pragma: no cover - the two kinds above always have one
                return "no"
            if allow:
                return _yes(_command_allowed(rule, operation, reading, ground))
            return _command_refused(rule, tool, operation, reading, ground)
        case MemoryOperation(label=label):
            return _yes(rule.tool == tool and rule.pattern in {"", label})
        case AskOperation(what=what):
            return _yes(rule.tool == tool and rule.pattern in {"", what})


def _yes(value: bool) -> Cover:
    return "yes" if value else "no"


def _names(rule: Rule, tool: str, *, changes: bool) -> bool:
    return rule.tool == tool or (rule.tool in _CHANGES if changes else rule.tool == "Read")


def _path_covered(rule: Rule, path: str, ground: Ground) -> bool:
    if not rule.pattern:
        return True
    tightens = rule.verdict != "allow"
    # What is secret, or decides what runs, is opened only by a rule that names it.
    if not tightens and places.is_wild(rule.pattern) and is_special(path, ground):
        return False
    return places.matches(
        rule.pattern, path, root=ground.root, home=ground.home, fold=tightens and ground.fold, anywhere=tightens
    )


def is_special(path: str, ground: Ground) -> bool:
    """Whether a path is a secret or a protected one of the work tree."""
    return places.is_secret(path) or (places.is_within(path, ground.root) and places.is_protected(path, ground.root))


def _command_allowed(rule: Rule, operation: ExecOperation | GitOperation, reading: Reading, ground: Ground) -> bool:
    if rule.tool != ("Git" if isinstance(operation, GitOperation) else "Bash"):
        return False
    if not rule.pattern:
        return True
    if not reading.certain or (isinstance(operation, ExecOperation) and operation.keep):
        return False
    command = reading.commands[0]
    words = command.words[1:] if isinstance(operation, GitOperation) else command.words
    if words == rule.words:
        return _is_below(command.cwd, ground)
    is_open = rule.open or isinstance(operation, GitOperation)
    if not is_open or words[: len(rule.words)] != rule.words:
        return False
    if any(is_destructive(inner.words) for inner in reading.commands):
        return False
    if isinstance(operation, GitOperation):
        return True
    return _is_below(command.cwd, ground) and stays_inside(command, ground)


def _is_below(cwd: str, ground: Ground) -> bool:
    return not cwd or places.is_within(os.path.realpath(cwd), ground.root)


def stays_inside(command: Command, ground: Ground) -> bool:
    """Whether no argument names a secret or a place outside the work tree, as far as words can tell."""
    for path in paths_in(command.words[1:], command.cwd or ground.root):
        if not places.is_within(path, ground.root) or places.is_secret(path):
            return False
    return True


def paths_in(words: Iterable[str], cwd: str) -> Iterator[str]:
    """Real paths that words may name: the word itself, what follows `=`, `:` or a short option."""
    for word in words:
        for part in {word, *re.split(r"[=:,@<>]", word), word[2:] if word[:1] == "-" else word}:
            text = part.strip("'\"<>&0123456789") if part[:1] in "<>&" else part
            if text and "\0" not in text:
                yield os.path.realpath(os.path.join(cwd, os.path.expanduser(text)))


def _command_refused(
    rule: Rule, tool: str, operation: ExecOperation | GitOperation, reading: Reading, ground: Ground
) -> Cover:
    if not rule.pattern:
        own = "Git" if isinstance(operation, GitOperation) else "Bash"
        return _yes(rule.tool in {tool, own})
    if rule.tool in _PATH_TOOLS:
        return "maybe" if _mentions_path(rule, reading, operation.cwd or ground.root, ground) else "no"
    if rule.tool not in {"Bash", "Git", tool}:
        return "no"
    words = ("git", *rule.words) if rule.tool == "Git" else rule.words or tuple(rule.pattern.split())
    if any(_same(words, command.words) for command in reading.commands):
        return "yes"
    if reading.certain:
        return "maybe" if any(_in_order(words, command.words) for command in reading.commands) else "no"
    everything = tuple(word for mention in reading.mentions for word in mention)
    # The first place is enough: what comes later in order there comes later everywhere.
    at = next((at for at, word in enumerate(everything) if os.path.basename(word) == words[0]), None)
    return "maybe" if at is not None and _in_order(words, everything[at:]) else "no"


def _same(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    name = words[0] if "/" in pattern[0] else os.path.basename(words[0])
    return (name, *words[1 : len(pattern)]) == pattern


def _in_order(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Whether the program is the pattern's and its other words come later in this order (`git -C x push`)."""
    if os.path.basename(words[0]) != os.path.basename(pattern[0]):
        return False
    rest = iter(words[1:])
    return all(word in rest for word in pattern[1:])


def _mentions_path(rule: Rule, reading: Reading, cwd: str, ground: Ground) -> bool:
    # Ordered sets: the same text may say the same words ten thousand times.
    words = dict.fromkeys(word for mention in reading.mentions for word in mention)
    folders = [cwd, *dict.fromkeys(command.cwd for command in reading.commands if command.cwd)][:_FOLDERS]
    return any(_path_covered(rule, path, ground) for folder in folders for path in paths_in(words, folder))


def _check_path(text: str, pattern: str) -> None:
    if ".." in pattern.split("/"):
        raise ConfigError(f"The rule {text!r} climbs with `..`.", hint="Write the absolute path, or one from `~/`.")
    if "\0" in pattern or "\n" in pattern:
        raise ConfigError(f"The rule {text!r} has a line break or NUL in its path.")


def _command_pattern(text: str, pattern: str, tool: str) -> tuple[tuple[str, ...], bool]:
    if pattern.endswith(":*"):
        raise ConfigError(
            f"The rule {text!r} ends in `:*`.", hint=f"Write {tool}({pattern[:-2]} *) to allow any arguments."
        )
    open_ = pattern.endswith(" *")
    words = simple_words(pattern[:-2].strip() if open_ else pattern)
    if words is None:
        raise ConfigError(
            f"The rule {text!r} is not one simple command.",
            hint="Write literal words without pipes, redirections, variables or wildcards; ` *` may stand at the end.",
        )
    return words, open_
