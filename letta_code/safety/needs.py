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
from letta_code.safety.git_commands import (
    GitEffect,
    discards_much,
    from_subcommand,
    git_effect,
    is_as_without_options,
    is_of_the_repository,
    runs_own_hooks,
)
from letta_code.safety.meant_repository import is_of_the_tree, is_repository, repository_around, repository_meant
from letta_code.safety.named_paths import Where, private_outside, secrets_inside, written_outside
from letta_code.safety.network_programs import leaves_whole, network_of
from letta_code.safety.openings import to_read, to_write
from letta_code.safety.operations import ExecOperation
from letta_code.safety.option_effects import is_option, option_effect
from letta_code.safety.own_hooks import Hooks, hooks_of_command, why_never, with_hooks
from letta_code.safety.reaching import NETWORK as _NETWORK
from letta_code.safety.reaching import beside_logins, reaching, runs_others
from letta_code.safety.reasons import WEIGHTS
from letta_code.safety.redirect_targets import is_plain_target
from letta_code.safety.shell_values import Assignment, Command, Reading

MOST_COMMANDS = 100  # of one text; in a longer one only the first are looked at, and a person is asked
# Beside these, an everyday git command still gets the repository opened: they run nothing and write nothing by name.
_HARMLESS = {
    "cd", "echo", "printf", "pwd", "ls", "cat", "head", "tail", "wc", "true", "false", "date", "test", "[", "grep",
    "sleep", "exit", ":", "cut", "tr", "nl", "stat", "basename", "dirname", "set",
}  # fmt: skip
_EVERYDAY = frozenset(("reads", "writes"))
_ASKED = _EVERYDAY | {"changes", "network", "runs"}
_LOG_IN = {"ssh", "scp", "sftp", "rsync", "mosh", "ssh-copy-id"}  # of no use without the person's keys
_BESIDE = "beside other programs"
_WITHIN = "in a repository that is not the work tree's own"
_NETWORKS: tuple[Network, ...] = ("off", "proxy", "open")
# Made by a build or a test, and made again by the next one: removed without a question.
_MADE_AGAIN = {
    "build", "dist", "out", "target", "node_modules", "__pycache__", ".cache", ".pytest_cache", ".mypy_cache",
    ".ruff_cache", ".tox", ".nox", ".next", ".nuxt", ".turbo", ".parcel-cache", ".svelte-kit", "coverage", "htmlcov",
    ".coverage", ".hypothesis", ".eggs", "_build", "bin", "obj", ".gradle", "tmp", "temp", "logs", "site",
    "storybook-static", "test-results", "playwright-report", ".venv", "venv", ".vite", "CMakeFiles",
}  # fmt: skip
_MADE_ENDINGS = (".egg-info", ".dist-info", ".pyc", ".o", ".log", ".tmp", ".swp")
_DESTROYS = "It may destroy work that nothing brings back"
_SECRET = "It reads what may hold keys or passwords"
_DECIDES = re.compile(r"(?:LD_|DYLD_|BASH_FUNC_).*|PATH|BASH_ENV|ENV|SHELLOPTS|BASHOPTS|PROMPT_COMMAND|IFS|CDPATH|PS4")
_PLAIN_GIT = re.compile(
    r"GIT_(?:AUTHOR|COMMITTER)_(?:NAME|EMAIL|DATE)|GIT_TERMINAL_PROMPT|GIT_PAGER|GIT_OPTIONAL_LOCKS"
)


class Need(Value):
    """One thing that a person is asked about.

    `says` is a sentence without its end, the same for all of the same sort, `about` what in the text it is about,
    `kind` one of `reasons.WEIGHTS`.  `leaves`: it is more than the sandbox gives, and asked about in mode auto too;
    `grant` is what a yes gives.  `command` is the index of the command in its reading, -1 for the text as a whole.
    """

    says: str
    about: str = ""
    kind: str = "other"
    grant: Grant = Grant()
    leaves: bool = False
    command: int = -1

    @property
    def why(self) -> str:
        """The whole sentence."""
        return f"{self.says}: {self.about}." if self.about else f"{self.says}."


def merged(grants: Iterable[Grant]) -> Grant:
    """Everything that several grants give."""
    known = list(grants)
    hooks = any(grant.hooks for grant in known)
    return Grant(
        outside=any(grant.outside for grant in known),
        network=_NETWORKS[max((_NETWORKS.index(grant.network) for grant in known), default=0)],
        git=any(grant.git for grant in known),
        hooks=hooks,
        hooks_off="" if hooks else next((grant.hooks_off for grant in known if grant.hooks_off), ""),
        writes=tuple(dict.fromkeys(path for grant in known for path in grant.writes)),
        reads=tuple(dict.fromkeys(path for grant in known for path in grant.reads)),
        logins=any(grant.logins for grant in known),
    )


def needs_of(operation: ExecOperation, reading: Reading, where: Where, hooks: Callable[[], Hooks]) -> tuple[Need, ...]:
    """What a command needs, the weightiest first; nothing for one that a sandbox can hold as it is."""
    found = list(_of_operation(operation))
    effects = [git_effect(command.words) for command in reading.commands if command.name == "git"]
    alone = bool(effects) and _only_git(reading, effects, where, _ASKED)
    if alone and len(effects) > 1:
        alone = not any(runs_others(one, where) for one in reading.commands if one.name == "git")
    for at, command in enumerate(reading.commands[:MOST_COMMANDS]):
        found += _of_command(at, command, where, hooks, alone)
    if any(need.grant.logins for need in found):
        found = [msgspec.structs.replace(need, says=beside_logins(need.says)) for need in found]
    if effects and any(need.grant.git or need.grant.network != "off" for need in found):
        found = _with_hooks(found, reading, where, hooks())
    found += _of_paths(msgspec.structs.replace(reading, commands=reading.commands[:MOST_COMMANDS]), where)
    if len(reading.commands) > MOST_COMMANDS:
        found.append(Need(says=f"It is more than {MOST_COMMANDS} commands"))
    found += _of_assignments(reading.assignments)
    if not reading.whole:
        found.append(Need(says="It cannot be read for certain", about=reading.doubt or "its syntax is not known"))
    found.sort(key=lambda need: (WEIGHTS.index(need.kind), not need.leaves))
    return tuple({need.why: need for need in reversed(found)}.values())[::-1]


def free_grant(reading: Reading, where: Where, hooks: Callable[[], Hooks]) -> Grant:
    """What a command gets without a question: the repository opened for everyday git commands and nothing beside."""
    effects = [git_effect(command.words) for command in reading.commands if command.name == "git"]
    if not any(effect.effect == "writes" for effect in effects) or not _only_git(reading, effects, where, _EVERYDAY):
        return Grant()
    return with_hooks(Grant(git=True), reading, hooks(), where.root)


def _with_hooks(needs: Iterable[Need], reading: Reading, where: Where, known: Hooks) -> list[Need]:
    """Where they run with no yes, there is no question about them."""
    off = bool(why_never(reading, known, where.root))
    return [
        msgspec.structs.replace(need, grant=with_hooks(need.grant, reading, known, where.root))
        for need in needs
        if need.kind != "hooks" or not off
    ]


def _only_git(reading: Reading, effects: Sequence[GitEffect], where: Where, among: frozenset[str]) -> bool:
    """Whether a text is nothing but git commands with these effects, and harmless ones.

    For everyday ones every word must be known; of others the person sees that some are not.
    """
    everyday = among == _EVERYDAY
    unread = (one.words for one in reading.opaque if everyday or one.words[:1] != ("git",))
    opaque = any(len(words) != 1 or not _PLAIN_GIT.fullmatch(words[0]) for words in unread)
    if not _only_one_repository(reading, effects, where):
        return False
    if not reading.whole or opaque or any(effect.effect not in among for effect in effects):
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
        if everyday and command.name == "git" and not _known_to_the_letter(command):
            return False
    return True


def _only_one_repository(reading: Reading, effects: Sequence[GitEffect], where: Where) -> bool:
    """Whether git works only with the repository that the guards open, for the network only with the tree's own."""
    found = {
        repository_meant(one, where.root) if one.name == "git" else repository_around(one.cwd or where.root, where.root)
        for one in reading.commands  # with each `cd`, in the folder that it leaves
    }
    start = found.pop() if len(found) == 1 else ""
    plain = all(effect.effect in _EVERYDAY | {"changes"} for effect in effects)
    return start == where.root or (plain and bool(start) and is_repository(start))


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
            says="It is to run outside the sandbox, with all of your rights",
            kind="outside",
            grant=Grant(outside=True),
            leaves=True,
        )
    if operation.needs == "network":
        yield Need(says="It is to have the network", kind="network", grant=Grant(network="proxy"), leaves=True)
    if operation.keep:
        yield Need(says="It goes on running when the session has ended", leaves=True)


def _of_command(at: int, command: Command, where: Where, hooks: Callable[[], Hooks], alone: bool) -> Iterator[Need]:
    shown = _shown(command.words)
    if command.name == "git":
        for need in _of_git(command, shown, where, hooks, alone):
            yield msgspec.structs.replace(need, command=at)
        return
    if leaves_whole(command.words):
        says = "It works only outside the sandbox, with all of your rights"
        yield Need(says=says, about=shown, kind="outside", grant=Grant(outside=True), leaves=True, command=at)
        return
    network = network_of(command.words)
    if network != "off":
        grant = Grant(network=network, logins=command.words[0] in _LOG_IN)
        yield Need(says=_NETWORK, about=shown, kind="network", grant=grant, leaves=True, command=at)
    option = option_effect(command.name, command.words[1:])
    if option:
        yield Need(says=f"`{option[:60]}` of {command.name} runs a program or writes", about=shown, command=at)
    elif _loses_much(command, where):
        yield Need(says=_DESTROYS, about=shown, kind="destroys", command=at)


def _of_git(command: Command, shown: str, where: Where, hooks: Callable[[], Hooks], alone: bool) -> Iterator[Need]:
    """`alone`: nothing but git runs in the line, so that what is opened for git is opened for nothing else."""
    found = git_effect(command.words)
    opened = Grant(git=alone)
    beside = _BESIDE if is_of_the_tree(command, where.root) else _WITHIN
    match found.effect:
        case "reads" | "unknown":
            return
        case "network":
            says, grant = reaching(command, where, apart="" if alone else beside)
            alone = grant.git  # a yes to hooks opens nothing that stays closed
            yield Need(says=says, about=shown, kind="network", grant=grant, leaves=True)
        case "configures":
            says = "It changes git's configuration, outside the sandbox"
            yield Need(says=says, about=shown, kind="outside", grant=Grant(outside=True), leaves=True)
        case "runs":
            yield _of_option(command, shown, found, where, alone)
        case "changes":
            says = "It changes the repository" if alone else f"It changes a repository, but {beside} it stays closed"
            kind = "destroys" if is_destructive(command.words) else "repository"
            yield Need(says=says, about=shown, kind=kind, grant=opened, leaves=True)
        case "writes":
            if not _known_to_the_letter(command):
                says = "What git is told is not known before it runs"
                yield Need(says=says, about=shown, kind="repository", grant=opened, leaves=True)
            elif git_loses(command, where):
                yield Need(says=_DESTROYS, about=shown, kind="destroys", grant=opened)
    if alone and found.effect not in {"configures", "runs"}:
        yield from _of_hooks(found.subcommand, command, hooks)


def _of_option(command: Command, shown: str, found: GitEffect, where: Where, alone: bool) -> Need:
    """An option runs a program or writes, which would have the repository too: one by `-c` does not open it."""
    says = f"`{found.what}` of git may run a program or write"
    own = is_as_without_options(command.words)
    grant = Grant(network=found.network if alone or found.network == "off" else "proxy")
    if alone and own and is_of_the_repository(found.subcommand):
        under = git_effect(from_subcommand(command.words))
        if under.effect == "network":
            grant = reaching(command, where, apart="")[1]
        elif found.network == "off":
            grant = Grant(git=True)
        says += f", with the repository {'open' if grant.git else 'closed'}"
    elif is_of_the_repository(found.subcommand):
        says += ", with the repository closed"
    return Need(says=says, about=shown, kind="repository", grant=grant, leaves=True)


def _of_hooks(subcommand: str, command: Command, hooks: Callable[[], Hooks]) -> Iterator[Need]:
    """All that wait are named together: they are switched on together."""
    known = hooks()
    names = hooks_of_command(command)
    beside = known.agreed and runs_own_hooks(subcommand) and "--no-verify" not in command.words
    if known.waiting and (beside or names.intersection(known.waiting)):
        named = ", ".join(dict.fromkeys(known.waiting))
        says = (
            f"The repository's own hooks ({named}) would run, inside the sandbox with all that the command gets (of a "
            "push your logins too), now and later until they change "
            "(`letta-code trust --forget` takes it back)"
        )
        yield Need(says=says, kind="hooks", grant=Grant(git=True, hooks=True), leaves=True)


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
            grant = Grant(network="open")
            yield Need(says=_NETWORK, about=path, kind="network", grant=grant, leaves=True, command=at)
    for at, path in changed:
        if path not in written:
            written.add(path)
            yield _of_written(at, path, where)
    for at, path in looked_at:
        if path not in written:
            yield _of_seen(at, path, where)
    for at, path in secrets_inside(reading, where):
        name = os.path.relpath(path, where.root)
        yield Need(says=_SECRET, about=name, kind="secret", leaves=True, command=at)


def _of_written(at: int, path: str, where: Where) -> Need:
    if where.is_own(path):
        says = "It would write among what letta-code keeps, which stays closed with a yes too"
        return Need(says=says, about=path, kind="writes", leaves=True, command=at)
    grant = to_write(path, where)
    opened = next((folder for folder in grant.writes if folder != path), "")
    says = f"It would write outside the work tree{', without the sandbox' if grant.outside else ''}"
    about = f"{path} (a yes opens all of {opened}/)" if opened else path
    return Need(says=says, about=about, kind="writes", grant=grant, leaves=True, command=at)


def _of_seen(at: int, path: str, where: Where) -> Need:
    if where.is_own(path):
        says = "It looks at what letta-code keeps, which stays closed with a yes too"
        return Need(says=says, about=path, kind="secret", leaves=places.is_secret(path), command=at)
    grant = to_read(path, where)
    if grant.reads or places.is_secret(path):
        about = f"{path}/ (all of it)" if grant.reads and os.path.isdir(path) else path
        return Need(says=_SECRET, about=about, kind="secret", grant=grant, leaves=True, command=at)
    return Need(says="It looks at what is outside the work tree", about=path, command=at)


def _of_assignments(assignments: Iterable[Assignment]) -> Iterator[Need]:
    for one in assignments:
        git = one.name.startswith("GIT_") and not _PLAIN_GIT.fullmatch(one.name)
        if one.for_command and (git or _DECIDES.fullmatch(one.name)):
            yield Need(says="It sets what decides what else is run", about=one.name)


def _shown(words: Sequence[str]) -> str:
    text = " ".join(word if re.fullmatch(r"[\w@%+:,./=$~{}*?-]+", word) else shlex.quote(word) for word in words)
    return f"`{text if len(text) <= 80 else text[:77] + '…'}`"
