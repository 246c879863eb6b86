"""Needs: what a command would do that a person is asked about although a sandbox holds it, and what a yes gives it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from letta_code.core.messages import Value
from letta_code.safety import places
from letta_code.safety.containment import Grant, Network
from letta_code.safety.destruction import is_destructive
from letta_code.safety.git_commands import GitEffect, discards_much, git_effect, hooks_run_by
from letta_code.safety.named_paths import Where, private_outside, secrets_inside, written_outside
from letta_code.safety.network_programs import leaves_whole, network_of
from letta_code.safety.operations import ExecOperation
from letta_code.safety.option_effects import is_option, option_effect
from letta_code.safety.redirect_targets import is_plain_target
from letta_code.safety.shell_values import Assignment, Command, Reading

MOST_COMMANDS = 100  # of one text; in a longer one only the first are looked at, and a person is asked
# Beside these, an everyday git command still gets the repository opened: they run nothing and write nothing by name.
_HARMLESS = {
    "cd", "echo", "printf", "pwd", "ls", "cat", "head", "tail", "wc", "true", "false", "date", "test", "[", "grep",
    "sleep", "exit", ":", "cut", "tr", "nl", "stat", "basename", "dirname", "set",
}  # fmt: skip
_NETWORKS: tuple[Network, ...] = ("off", "proxy", "open")
# Made by a build or a test, and made again by the next one: removed without a question.
_MADE_AGAIN = {
    "build", "dist", "out", "target", "node_modules", "__pycache__", ".cache", ".pytest_cache", ".mypy_cache",
    ".ruff_cache", ".tox", ".nox", ".next", ".nuxt", ".turbo", ".parcel-cache", ".svelte-kit", "coverage", "htmlcov",
    ".coverage", ".hypothesis", ".eggs", "_build", "bin", "obj", ".gradle", "tmp", "temp", "logs", "site",
    "storybook-static", "test-results", "playwright-report", ".venv", "venv", ".vite", "CMakeFiles",
}  # fmt: skip
_MADE_ENDINGS = (".egg-info", ".dist-info", ".pyc", ".o", ".log", ".tmp", ".swp")
_DECIDES = re.compile(r"(?:LD_|DYLD_|BASH_FUNC_).*|PATH|BASH_ENV|ENV|SHELLOPTS|BASHOPTS|PROMPT_COMMAND|IFS|CDPATH|PS4")
_PLAIN_GIT = re.compile(
    r"GIT_(?:AUTHOR|COMMITTER)_(?:NAME|EMAIL|DATE)|GIT_TERMINAL_PROMPT|GIT_PAGER|GIT_OPTIONAL_LOCKS"
)


class Hooks(Value):
    """The repository's own hooks: `waiting` nobody has said yes to; `agreed`: there are others, with a yes."""

    waiting: tuple[str, ...] = ()
    agreed: bool = False


NO_HOOKS = Hooks()


class Need(Value):
    """One thing that a person is asked about.

    `leaves`: it is more than the sandbox gives, and asked about in mode auto too; `grant` is what a yes gives.
    `command` is the index of the command in its reading, -1 for the text as a whole.
    """

    why: str
    grant: Grant = Grant()
    leaves: bool = False
    command: int = -1


def merged(grants: Iterable[Grant]) -> Grant:
    """Everything that several grants give."""
    known = list(grants)
    return Grant(
        outside=any(grant.outside for grant in known),
        network=_NETWORKS[max((_NETWORKS.index(grant.network) for grant in known), default=0)],
        git=any(grant.git for grant in known),
        hooks=any(grant.hooks for grant in known),
        writes=tuple(dict.fromkeys(path for grant in known for path in grant.writes)),
    )


def needs_of(operation: ExecOperation, reading: Reading, where: Where, hooks: Callable[[], Hooks]) -> tuple[Need, ...]:
    """What a command needs, the weightiest first; nothing for one that a sandbox can hold as it is."""
    found = list(_of_operation(operation))
    for at, command in enumerate(reading.commands[:MOST_COMMANDS]):
        found += _of_command(at, command, where, hooks)
    found += _of_paths(msgspec.structs.replace(reading, commands=reading.commands[:MOST_COMMANDS]), where)
    if len(reading.commands) > MOST_COMMANDS:
        found.append(Need(why=f"It is more than {MOST_COMMANDS} commands."))
    found += _of_assignments(reading.assignments)
    if not reading.whole:
        found.append(Need(why=f"It cannot be read for certain: {reading.doubt or 'its syntax is not known'}."))
    found.sort(key=lambda need: not need.leaves)
    return tuple({need.why: need for need in reversed(found)}.values())[::-1]


def free_grant(reading: Reading, where: Where, hooks: Callable[[], Hooks]) -> Grant:
    """What a command gets without a question: the repository opened for everyday git commands and nothing beside."""
    effects = [git_effect(command.words) for command in reading.commands if command.name == "git"]
    if not any(effect.effect == "writes" for effect in effects) or not _only_git(reading, effects, where):
        return Grant()
    return Grant(git=True, hooks=hooks().agreed)


def _only_git(reading: Reading, effects: Sequence[GitEffect], where: Where) -> bool:
    """Whether a text is nothing but git commands that read or make everyday changes, and harmless ones."""
    opaque = any(one.words != (name := one.words[0],) or not _PLAIN_GIT.fullmatch(name) for one in reading.opaque)
    if not reading.whole or opaque or any(effect.effect not in {"reads", "writes"} for effect in effects):
        return False
    if any(assignment.decides and not _PLAIN_GIT.fullmatch(assignment.name) for assignment in reading.assignments):
        return False
    if any(redirect.writes and not is_plain_target(redirect, where.root) for redirect in reading.redirects):
        return False
    for command in reading.commands:
        if command.words[0] != "git" and command.words[0] not in _HARMLESS:
            return False
        if not command.cwd_known or not where.inside(places.real(command.cwd or where.root)):
            return False
        if command.name == "git" and not _known_to_the_letter(command):
            return False
    return True


def _known_to_the_letter(command: Command) -> bool:
    """Whether every word of a git command is literal but messages: `git branch $x` may be `git branch -m`."""
    for at in range(len(command.words)):
        message = command.words[at].startswith("--message=") or command.words[at - 1] in {"-m", "-am", "--message"}
        if not command.is_literal(at) and not (at and message):
            return False
    return True


def _of_operation(operation: ExecOperation) -> Iterator[Need]:
    if operation.needs == "outside":
        yield Need(
            why="It is to run outside the sandbox, with all of your rights.", grant=Grant(outside=True), leaves=True
        )
    if operation.needs == "network":
        yield Need(why="It is to have the network.", grant=Grant(network="proxy"), leaves=True)
    if operation.keep:
        yield Need(why="It goes on running when the session has ended.", leaves=True)


def _of_command(at: int, command: Command, where: Where, hooks: Callable[[], Hooks]) -> Iterator[Need]:
    shown = _shown(command.words)
    if command.name == "git":
        for need in _of_git(command, shown, where, hooks):
            yield Need(why=need.why, grant=need.grant, leaves=need.leaves, command=at)
        return
    if leaves_whole(command.words):
        why = f"It works only outside the sandbox, with all of your rights: {shown}."
        yield Need(why=why, grant=Grant(outside=True), leaves=True, command=at)
        return
    network = network_of(command.words)
    if network != "off":
        yield Need(why=f"It needs the network: {shown}.", grant=Grant(network=network), leaves=True, command=at)
    option = option_effect(command.name, command.words[1:])
    if option:
        yield Need(why=f"`{option[:60]}` of {command.name} runs a program or writes: {shown}.", command=at)
    elif _loses_much(command, where):
        yield Need(why=f"It may destroy work that nothing brings back: {shown}.", command=at)


def _of_git(command: Command, shown: str, where: Where, hooks: Callable[[], Hooks]) -> Iterator[Need]:
    found = git_effect(command.words)
    opened = Grant(git=True)
    match found.effect:
        case "reads" | "unknown":
            return
        case "network":
            grant = Grant(network=found.network, git=True)
            yield Need(why=f"It needs the network: {shown}.", grant=grant, leaves=True)
        case "configures":
            grant = Grant(outside=True)
            yield Need(why=f"It changes git's configuration, outside the sandbox: {shown}.", grant=grant, leaves=True)
        case "runs":
            grant = merged([opened, Grant(network=found.network)])
            yield Need(why=f"`{found.what}` of git may run a program or write: {shown}.", grant=grant, leaves=True)
        case "changes":
            yield Need(why=f"It changes the repository: {shown}.", grant=opened, leaves=True)
        case "writes":
            if not _known_to_the_letter(command):
                yield Need(why=f"What git is told is not known before it runs: {shown}.", grant=opened, leaves=True)
            elif git_loses(command, where):
                yield Need(why=f"It may destroy work that nothing brings back: {shown}.", grant=opened)
    if found.effect not in {"configures", "runs"}:
        yield from _of_hooks(found.subcommand, command, hooks)


def _of_hooks(subcommand: str, command: Command, hooks: Callable[[], Hooks]) -> Iterator[Need]:
    known = hooks()
    names = [name for name in hooks_run_by(subcommand) if name in known.waiting]
    if "--no-verify" in command.words:
        names = [name for name in names if name not in {"pre-commit", "commit-msg", "pre-push", "pre-merge-commit"}]
    if names:
        why = f"The repository's own hooks ({', '.join(names)}) would run, inside the sandbox."
        yield Need(why=why, grant=Grant(git=True, hooks=True), leaves=True)


def git_loses(command: Command, where: Where) -> bool:
    """Whether a git command may lose work that nothing brings back."""
    sub = git_effect(command.words).subcommand
    if sub in {"checkout", "restore"}:
        return discards_much(command.words, command.cwd or where.root)
    if sub == "branch" and not any(
        re.match(r"-[a-zA-Z]*[DMCf]", word) or is_option(word, "--force") for word in command.words
    ):
        return False  # `-d` takes away only what is merged
    # An amended commit is still in the reflog.
    return is_destructive(command.words) and "--amend" not in command.words


def _loses_much(command: Command, where: Where) -> bool:
    """Whether it removes more than single files, or than what the next build makes again."""
    name, words = command.name, command.words[1:]
    if name in {"shred", "srm", "wipefs", "mkfs", "fdisk", "parted"} or name.startswith("mkfs."):
        return True
    if name != "rm":
        return False
    named = [(at, word) for at, word in enumerate(words, 1) if not word.startswith("-")]
    if any(re.search(r"(?:\A|/)\.?\*+\Z", word) for _, word in named):
        return True
    if not any(re.fullmatch(r"-[a-zA-Z]*[rR][a-zA-Z]*|--recursive", word) for word in words):
        return False
    return not all(command.is_literal(at) and _made_again(word, command, where) for at, word in named)


def _made_again(word: str, command: Command, where: Where) -> bool:
    path = os.path.normpath(os.path.join(command.cwd or where.root, word))
    if any(places.is_within(path, folder) and path != folder for folder in where.temps):
        return True
    if not command.cwd_known or not places.is_within(path, where.root) or path == where.root:
        return False
    names = os.path.relpath(path, where.root).split("/")
    return any(name in _MADE_AGAIN or name.endswith(_MADE_ENDINGS) for name in names)


def _of_paths(reading: Reading, where: Where) -> Iterator[Need]:
    written: set[str] = set()
    changed, looked_at = tuple(written_outside(reading, where)), tuple(private_outside(reading, where))
    for at, path in (*changed, *looked_at):
        if path.startswith(("/dev/tcp/", "/dev/udp/")):  # bash opens a connection
            written.add(path)
            yield Need(why=f"It needs the network: {path}.", grant=Grant(network="open"), leaves=True, command=at)
    for at, path in changed:
        if path in written:
            continue
        written.add(path)
        grant = _opening(path, where)
        how = ", without the sandbox" if grant.outside else ""
        yield Need(why=f"It would write outside the work tree{how}: {path}.", grant=grant, leaves=True, command=at)
    for at, path in looked_at:
        if path not in written:
            secret = places.is_secret(path)
            why = "It reads what may hold keys or passwords" if secret else "It looks at what is outside the work tree"
            yield Need(why=f"{why}: {path}.", leaves=secret, command=at)
    for at, path in secrets_inside(reading, where):
        name = os.path.relpath(path, where.root)
        yield Need(why=f"It reads what may hold keys or passwords: {name}.", leaves=True, command=at)


def _opening(path: str, where: Where) -> Grant:
    """What lets a command write a file: the file, or its folder where it is to be made; never a whole home."""
    if places.is_within(path, "/dev"):
        return Grant()  # a sandbox has devices of its own
    if os.path.lexists(path):
        return Grant(writes=(path,))
    folder = os.path.dirname(path)
    if os.path.isdir(folder) and folder.count("/") > 1 and not places.is_within(where.home, folder):
        return Grant(writes=(folder,))
    return Grant(outside=True)


def _of_assignments(assignments: Iterable[Assignment]) -> Iterator[Need]:
    for one in assignments:
        git = one.name.startswith("GIT_") and not _PLAIN_GIT.fullmatch(one.name)
        if one.for_command and (git or _DECIDES.fullmatch(one.name)):
            yield Need(why=f"It sets {one.name}, which decides what else is run.")


def _shown(words: Sequence[str]) -> str:
    text = " ".join(word if re.fullmatch(r"[\w@%+:,./=$~{}*?-]+", word) else shlex.quote(word) for word in words)
    return f"`{text if len(text) <= 80 else text[:77] + '…'}`"
