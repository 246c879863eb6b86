"""Coverage: whether a rule is about an operation, and for what a text may hide whether it could be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

from letta_code.host.programs import installed_in
from letta_code.safety import places
from letta_code.safety.destruction import is_destructive, stashes
from letta_code.safety.git_commands import from_subcommand, git_effect
from letta_code.safety.meant_repository import is_of_the_tree
from letta_code.safety.operations import (
    AskOperation,
    ExecOperation,
    GitOperation,
    MemoryOperation,
    Operation,
    ReadOperation,
    WriteOperation,
)
from letta_code.safety.option_effects import beyond_rule, reads_folders
from letta_code.safety.rules import PATH_TOOLS, Ground, Rule
from letta_code.safety.shell_scripts import named_in_script
from letta_code.safety.shell_syntax import Command, Reading, Redirect, read_argv, read_shell, simple_words

Cover: TypeAlias = Literal["yes", "maybe", "no"]

_CHANGES = {"Edit", "Write"}
# Programs to which the name of another one is only a word.
_TAKE_DATA = {
    "echo", "printf", "grep", "egrep", "fgrep", "rg", "ag", "ack", "sed", "awk", "gawk", "cat", "ls", "cp", "mv",
    "mkdir", "touch", "ln", "cd", "head", "tail", "wc", "sort", "uniq", "cut", "tr", "diff", "test", "[", "[[", "git",
    "npm", "yarn", "pnpm", "pip", "cargo", "go", "make", "pytest", "man", "which", "type", "jq", "kill", "export",
    "read", "for", "case", "basename", "dirname", "stat", "file", "tee", "chmod", "rm", "curl", "wget", "gh", "ruff",
    "mypy", "find",
}  # fmt: skip
# Programs that only show what they are given.
_SHOW = {"echo", "printf", "pwd", "ls", "cat", "head", "tail", "wc", "true", "false", "date", "test", "[", "grep",
         "sort", "uniq", "cut", "tr", "sleep", "nl", "basename", "dirname"}  # fmt: skip
_ENTRIES = 5_000  # of a folder are looked at for a file that a rule denies
_FOLDERS = 20  # how many changes of folder within one text are followed


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
    """Whether a path is a secret or a protected one of the work tree, as letta-code's own environment is there."""
    if places.is_secret(path) or not places.is_within(path, ground.root):
        return places.is_secret(path)
    own = any(places.is_within(path, folder) for folder in installed_in(ground.root))
    return own or places.is_protected(path, ground.root)


def _command_allowed(rule: Rule, operation: ExecOperation | GitOperation, reading: Reading, ground: Ground) -> bool:
    if rule.tool != ("Git" if isinstance(operation, GitOperation) else "Bash"):
        return False
    if not rule.pattern:
        return True
    if not reading.certain or (isinstance(operation, ExecOperation) and operation.keep):
        return False
    if not all(one.harmless for one in reading.assignments):
        return False
    command = reading.commands[0]
    wrapped = reading.commands[1:] if isinstance(operation, ExecOperation) else ()
    if any(inner.name == "git" and not is_of_the_tree(inner, ground.root) for inner in wrapped):
        return False
    if isinstance(operation, GitOperation):
        words = command.words[1:]
        return words[: len(rule.words)] == rule.words and (words == rule.words or not is_destructive(command.words))
    if rule.words != command.words:  # what runs inside it (`env bash -c …`) is not what the rule was given for
        if any(is_destructive(inner.words) for inner in reading.commands):
            return False
        if not all(_harmless_redirect(one, ground) for one in reading.redirects):
            return False
    return allows_command(rule, command, ground)


def allows_command(rule: Rule, command: Command, ground: Ground) -> bool:
    """Whether an allow rule is about one command of a text: literal words only, and those of an open rule stay inside.

    An open rule covers nothing that destroys, runs another program by an option, or writes by one.
    """
    if rule.tool != "Bash" or rule.verdict != "allow":
        return False
    if not rule.pattern:
        return True
    known = command.cwd_known and all(command.is_literal(at) for at in range(len(command.words)))
    if not known or not _is_below(command.cwd, ground):
        return False
    if command.name == "git" and not is_of_the_tree(command, ground.root):
        return False  # nor about another repository: what its configuration names would get what the rule gives
    if command.words == rule.words:
        return True
    begins = rule.open and command.words[: len(rule.words)] == rule.words
    return begins and _only_does_its_work(command) and stays_inside(command, ground)


def _only_does_its_work(command: Command) -> bool:
    """Whether no argument makes a command destroy, run another program, or write by an option."""
    if is_destructive(command.words) or beyond_rule(command.name, command.words[1:]):
        return False
    return command.name != "git" or git_effect(command.words).effect not in {"runs", "configures", "unknown"}


def allowed_by_parts(
    rules: Iterable[Rule], operation: ExecOperation, reading: Reading, ground: Ground, *, confined: bool
) -> str:
    """The rules that together allow every command of a text (`ls && npm test`), "" when one is missing.

    What only shows something needs no rule where a sandbox confines (`npm ci | tail -3`); everything else does, since
    it would get the network too that the rule gives.  A text that writes files by redirection, reads one so that is not
    of the work tree, sets what may lead a program elsewhere, or has code in it that cannot be read is not allowed so.
    """
    if not reading.whole or operation.keep or not all(one.harmless for one in reading.assignments):
        return ""
    if not all(_harmless_redirect(one, ground) for one in reading.redirects):
        return ""
    plain = {command.words for command in reading.commands}
    if any(one.words not in plain for one in reading.opaque):
        return ""
    known = tuple(rules)
    names: dict[str, None] = {}
    for command in reading.commands:
        opaque = any(one.words == command.words for one in reading.opaque)
        rule = next((r for r in known if allows_command(r, command, ground) and not (opaque and r.open)), None)
        free = _only_moves(command, ground) or (confined and _only_shows(command, ground))
        if rule is None and not free:
            return ""
        if rule is not None:
            names[rule.name] = None
    return ", ".join(names)


def _harmless_redirect(redirect: Redirect, ground: Ground) -> bool:
    """Whether it writes nothing that stays, and reads a file of the work tree that holds no secrets, or nothing."""
    if not redirect.literal or places.is_sink(redirect.target):
        return redirect.literal
    if redirect.writes or not redirect.cwd_known or redirect.target.startswith("~"):
        return False
    named = os.path.normpath(os.path.join(redirect.cwd or ground.root, redirect.target))
    return not any(is_beyond(path, ground) for path in (named, places.real(named)))


def is_beyond(path: str, ground: Ground) -> bool:
    """Whether a path is outside the work tree, or a secret of it."""
    return not places.is_within(path, ground.root) or places.is_secret(path)


def _only_shows(command: Command, ground: Ground) -> bool:
    literal = command.cwd_known and all(command.is_literal(at) for at in range(len(command.words)))
    known = literal and command.words[0] in _SHOW and _is_below(command.cwd, ground)
    return known and _only_does_its_work(command) and stays_inside(command, ground)


def _only_moves(command: Command, ground: Ground) -> bool:
    return (
        command.words[0] == "cd" and len(command.words) == 2 and command.is_literal(1) and stays_inside(command, ground)
    )


def _is_below(cwd: str, ground: Ground) -> bool:
    return not cwd or places.is_within(places.real(cwd), ground.root)


def stays_inside(command: Command, ground: Ground) -> bool:
    """Whether no argument names a secret or a place outside the work tree, as far as words can tell."""
    return not any(is_beyond(path, ground) for path in paths_in(command.words[1:], command.cwd or ground.root))


def paths_in(words: Iterable[str], cwd: str) -> Iterator[str]:
    """Real paths that words may name: the word itself, what follows `=`, `:` or a short option."""
    for word in words:
        for part in {word, *re.split(r"[=:,@<>]", word), word[2:] if word[:1] == "-" else word}:
            text = part.strip("'\"<>&0123456789") if part[:1] in "<>&" else part
            if text and "\0" not in text:
                yield places.real(os.path.join(cwd, os.path.expanduser(text)))


def _command_refused(
    rule: Rule, tool: str, operation: ExecOperation | GitOperation, reading: Reading, ground: Ground
) -> Cover:
    if not rule.pattern:
        own = "Git" if isinstance(operation, GitOperation) else "Bash"
        return _yes(rule.tool in {tool, own})
    if rule.tool in PATH_TOOLS:
        found = _mentions_path(rule, reading, operation.cwd or ground.root, ground)
        return "maybe" if found or (rule.tool == "Read" and _reads_below(rule, reading, ground)) else "no"
    if rule.tool not in {"Bash", "Git", tool}:
        return "no"
    words = ("git", *rule.words) if rule.tool == "Git" else rule.words or tuple(rule.pattern.split())
    plain = [from_subcommand(c.words) if c.name == "git" else c.words for c in reading.commands]
    if any(_same(words, one) for one in plain) or any(_same(words, command.words) for command in reading.commands):
        return "yes"
    if any(_in_order(words, command.words) for command in reading.commands):
        return "maybe"
    if reading.whole:
        hidden = (
            _hides(reading, words[0])
            or any(_may_run(words, command) for command in reading.commands)
            or any(named_in_script(words[0], command, ground) for command in reading.commands)
        )
        return "maybe" if hidden else "no"
    everything = tuple(word for mention in reading.mentions for word in mention)
    # The first place is enough: what comes later in order there comes later everywhere.
    at = next((at for at, word in enumerate(everything) if os.path.basename(word) == words[0]), None)
    return "maybe" if reading.opaque or (at is not None and _in_order(words, everything[at:])) else "no"


def _hides(reading: Reading, program: str) -> bool:
    """Whether a command that cannot be read may run a denied program.

    Code in an argument may run anything.  A script or a program that is not known is asked about only where the denied
    one is named, in the text or in the shell script itself: what it does else the sandbox holds, and a person would be
    asked about each test run.
    """
    if any(one.kind == "code" or one.words[:1] in {("source",), (".",)} for one in reading.opaque):
        return True  # what is sourced changes what the names behind it mean
    if not reading.opaque:
        return False
    named = (
        *(word for mention in reading.mentions for word in mention),
        *(w for one in reading.opaque for w in one.words),
    )
    return any(os.path.basename(word) == os.path.basename(program) for word in named)


def _may_run(pattern: tuple[str, ...], command: Command) -> bool:
    """Whether a program that nobody knows is given the words of a denied command: it may run them (`mywrap rm x`)."""
    if command.name not in _TAKE_DATA or command.name == "make":  # `make CC='rm x;'`: the value is shell code
        values = (re.split(r"[\s;&|()`$'\"]+", word.partition("=")[2]) for word in command.words if "=" in word)
        for parts in values:
            if any(one and _in_order(pattern, tuple(parts[at:])) for at, one in enumerate(parts)):
                return True
    if command.name in _TAKE_DATA:
        return False
    # A word that is expanded may come to the name (`{rm,x}`, `${none:-rm}`).
    name = re.compile(rf"(?<!\w){re.escape(os.path.basename(pattern[0]))}(?!\w)")
    if any(at and not command.is_literal(at) and name.search(word) for at, word in enumerate(command.words)):
        return True
    at = next((at for at, word in enumerate(command.words) if at and os.path.basename(word) == pattern[0]), None)
    return at is not None and _in_order(pattern, command.words[at:])


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


def _reads_below(rule: Rule, reading: Reading, ground: Ground) -> bool:
    """Whether a command reads whole folders one of which holds a file that the rule denies, or may hold one."""
    for command in reading.commands:
        git_grep = command.name == "git" and from_subcommand(command.words)[1:2] == ("grep",)
        how = "all" if git_grep else reads_folders(command.name, command.words[1:])
        if how:
            cwd = command.cwd or ground.root
            named = [places.real(os.path.join(cwd, w)) for w in command.words[1:] if not w.startswith("-")]
            folders = [path for path in named if os.path.isdir(path)] or [places.real(cwd)]
            if any(_holds(rule, folder, ground, hidden=how == "all") for folder in folders):
                return True
    return False


def _holds(rule: Rule, folder: str, ground: Ground, *, hidden: bool) -> bool:
    left = _ENTRIES
    for where, folders, files in os.walk(folder):
        if not hidden:
            folders[:] = [name for name in folders if not name.startswith(".")]
            files = [name for name in files if not name.startswith(".")]
        if any(_path_covered(rule, os.path.join(where, name), ground) for name in files):
            return True
        left -= len(files) + len(folders)
        if left < 0:
            return True  # nobody looked at the rest
    return False
