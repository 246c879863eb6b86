"""Own hooks: which of the repository's own hooks run with a command, and why those with a yes do not."""

from __future__ import annotations

from msgspec.structs import replace

from letta_code.core.messages import Value
from letta_code.safety import places
from letta_code.safety.containment import Grant
from letta_code.safety.git_commands import git_effect, hooks_run_by
from letta_code.safety.meant_repository import is_of_the_tree
from letta_code.safety.shell_values import Command, Reading

# These change no file of the work tree: hooks that lie in it are after them what they were when the person saw them.
_KEEP_FILES = {
    "commit", "add", "stage", "push", "fetch", "tag", "branch", "status", "diff", "log", "show", "blame", "grep",
    "rev-parse", "rev-list", "describe", "ls-files", "ls-tree", "cat-file", "shortlog", "merge-base", "show-ref",
}  # fmt: skip
_NOT_VERIFIED = {"pre-commit", "commit-msg", "pre-push", "pre-merge-commit"}  # left out with `--no-verify`


class Hooks(Value):
    """The repository's own hooks: `waiting` nobody has said yes to; `agreed`: there are others, with a yes.

    `names` are all that git knows of them; `tracked` says that files of theirs lie in the work tree, where commands
    write, and not in `.git`.
    """

    waiting: tuple[str, ...] = ()
    agreed: bool = False
    names: tuple[str, ...] = ()
    tracked: bool = False


NO_HOOKS = Hooks()


def hooks_of_command(command: Command) -> set[str]:
    """Names of the hooks that git would look for with one git command."""
    effect = git_effect(command.words)
    if effect.effect == "reads":
        return set()
    names = set(hooks_run_by(effect.subcommand))
    return names - _NOT_VERIFIED if "--no-verify" in command.words else names


def why_never(reading: Reading, hooks: Hooks, root: str) -> str:
    """Why a text runs no hooks whatever the person says, "" where it may: those that were seen must be those that run.

    `root` is the work tree whose hooks these are.
    """
    if not all(is_of_the_tree(command, root) for command in reading.commands if command.name == "git"):
        return "another repository may have others"
    change = _changes_them(reading, hooks)
    return f"they lie in the work tree, whose files `{change}` may change" if change else ""


def _changes_them(reading: Reading, hooks: Hooks) -> str:
    """What in a text may change the hooks before git runs them, "" where nothing does."""
    if not hooks.tracked:
        return ""
    redirect = next((one for one in reading.redirects if one.writes and not places.is_sink(one.target)), None)
    if redirect is not None:
        return f"> {redirect.target}"
    for command in reading.commands:
        if command.name == "git":
            effect = git_effect(command.words)
            if effect.effect == "runs" or effect.subcommand not in _KEEP_FILES:
                return f"git {effect.subcommand}"
    return ""


def with_hooks(grant: Grant, reading: Reading, hooks: Hooks, root: str) -> Grant:
    """What a text with git in it gets, with the hooks that have a yes, or with why they are left out.

    They run all or none, so one that waits keeps the others from running.
    """
    if grant.hooks or grant.outside or not (grant.git or grant.network != "off"):
        return grant
    never = why_never(reading, hooks, root)
    if not grant.git:
        why = "the repository stays closed here"
    elif never:
        why = never
    elif hooks.waiting:
        why = f"the person has not said yes to all of them as they are now ({', '.join(dict.fromkeys(hooks.waiting))})"
    else:
        return replace(grant, hooks=hooks.agreed)
    git = [command for command in reading.commands if command.name == "git"]
    left = {name for command in git for name in hooks_of_command(command)}.intersection(hooks.names)
    return replace(grant, hooks_off=f"{', '.join(sorted(left))}: {why}" if left else "")
