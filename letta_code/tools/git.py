"""Git: looks at and changes the repository by argv, with everything switched off that the repository could run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from shlex import join
from typing import Annotated, Literal

import msgspec

from letta_code.core.display import DisplayBlock, ShellBlock
from letta_code.core.errors import ToolError
from letta_code.host.git import (
    ENVIRONMENT,
    NO_DRIVERS,
    OUTSIDE_SUBMODULES,
    QUIET,
    Drivers,
    ask_drivers,
    ask_gitlinks,
    ask_submodule_programs,
    hardened,
    parse_drivers,
    parse_gitlinks,
    parse_submodule_programs,
)
from letta_code.safety.operations import GitOperation
from letta_code.safety.terminal import visible
from letta_code.tools.base import Args, Situation, Tool, ToolContext, ToolResult, Wanted
from letta_code.tools.gitwords import Words, checked, stash_action, writes
from letta_code.tools.places import to_read
from letta_code.tools.printed import HEAD, SHOWN, shortened
from letta_code.workspace.workspace import ExecSpec, Workspace

LOG_LENGTH = 50  # commits that `log` shows when no number is asked
TIMEOUT = 60.0  # seconds
INDEX_LIMIT = 50_000_000  # bytes of an index's listing
SUBMODULES_LIMIT = 100  # that are looked into before a call
_HOOKS = {"commit": ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit")}
_ENTER_SUBMODULES = ("add", "commit", "stash")  # reads are told not to; restore does not
_HOOKS_FOLDER = ".git/hooks"


class GitArgs(Args, frozen=True):
    """What git shall do."""

    subcommand: Literal["status", "diff", "log", "show", "blame", "branch", "add", "commit", "restore", "stash"]
    args: Annotated[tuple[str, ...], msgspec.Meta(description="options and revisions, a word each")] = ()
    paths: tuple[str, ...] = ()
    message: Annotated[str, msgspec.Meta(description="commit or stash message")] = ""


class Git(Tool[GitArgs]):
    """Git without a shell, hooks, filters of the repository, pagers or network."""

    name = "Git"
    args = GitArgs
    order = 65

    def applies(self, situation: Situation) -> bool:
        """Only where git is."""
        return situation.capabilities.git

    def title(self, args: GitArgs) -> str:
        """Such as `git diff --stat`."""
        return visible(" ".join(["git", args.subcommand, *args.args, *args.paths]))[:200]

    async def operations(self, args: GitArgs, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """One git operation; a commit also looks whether there are hooks that it will not run."""
        words = checked(args.subcommand, args.args, args.paths)
        await _stay_inside(words.paths, workspace)
        changes = writes(args.subcommand, words)
        root = workspace.capabilities.root
        _stay_revisions(words)
        command = join(_spoken(args, words))
        wanted = [Wanted(GitOperation(command=command, writes=changes, cwd=root))]
        if args.subcommand in _HOOKS:
            hooks = await workspace.resolve(_HOOKS_FOLDER, "list")
            wanted += [to_read(hooks)] if hooks.kind == "directory" and hooks.inside else []
        return wanted

    async def preview(self, args: GitArgs, ctx: ToolContext) -> tuple[DisplayBlock, ...]:
        """The whole command with its message, and for a commit what would be in it."""
        words = checked(args.subcommand, args.args, args.paths)
        command = join(["git", *_spoken(args, words)])
        if args.subcommand != "commit":
            return (ShellBlock(command=command),)
        everything = bool({"-a", "--all", "-am"} & set(words.options)) or bool(words.paths)
        against = ["HEAD"] if everything else ["--cached"]
        _, drivers = await _repository(ctx.workspace)
        options = [*NO_DRIVERS, OUTSIDE_SUBMODULES, "--stat"]
        stat = hardened("diff", *options, *against, "--", *words.paths, without=drivers.without)
        shown = await ctx.workspace.exec(ExecSpec(argv=tuple(stat), env={**ENVIRONMENT, **QUIET}, timeout=TIMEOUT))
        return (ShellBlock(command=command, output=shortened(shown, terminal=False).strip("\n")),)

    async def run(self, args: GitArgs, ctx: ToolContext) -> ToolResult:
        """Ask what the repository would run, then run git without it."""
        words = checked(args.subcommand, args.args, args.paths)
        changes = writes(args.subcommand, words)
        folder, drivers = await _repository(ctx.workspace)
        _refuse(args, words, drivers, changes)
        if drivers.moved(folder, ctx.workspace.capabilities.root):
            raise ToolError(
                "This repository's configuration puts its work tree elsewhere; the Git tool stays out of it."
            )
        if changes and args.subcommand in _ENTER_SUBMODULES:
            await _refuse_submodules(args, ctx.workspace)
        arguments = _arguments(args, words)
        spec = ExecSpec(
            argv=tuple(hardened(*arguments, without=drivers.without)),
            env={**ENVIRONMENT, **QUIET},
            timeout=TIMEOUT,
            keep_head=SHOWN - HEAD,
            keep_tail=HEAD,
            grant=ctx.grant,
        )
        result = await ctx.workspace.exec(spec)
        shown = shortened(result, terminal=False).strip("\n")
        head = f"Exit code: {result.exit_code}\n" if result.exit_code else ""
        if result.timed_out:
            head = f"Timed out after {TIMEOUT:g} s and stopped.\n"
        notes = await _notes(args, drivers, ctx) if result.exit_code == 0 else []
        text = head + "\n".join([shown or _nothing(args), *notes])
        block = ShellBlock(
            command=join(["git", *_spoken(args, words)]),
            output=shown,
            exit_code=result.exit_code,
            seconds=result.seconds,
            full_output=result.spool,
        )
        return ToolResult.text(text, block)


async def _stay_inside(paths: Sequence[str], workspace: Workspace) -> None:
    """Paths must lie in the work tree: `git diff` would compare any two files of the disk."""
    for path in paths:
        if path.startswith(":"):  # pathspec magic, relative to the repository by nature
            if ".." in path.split("/"):
                raise ToolError(f"{path} leads out of the work tree.")
            continue
        # As for `delete` the last link is not followed: git, too, means the link itself.
        if not (await workspace.resolve(path, "delete")).inside:
            raise ToolError(f"{path} is outside the work tree; the Git tool works on {workspace.capabilities.root}.")


def _stay_revisions(words: Words) -> None:
    """`git diff /etc/passwd --` would be a comparison of files."""
    for word in words.rest:
        if word.startswith(("/", "~/", "../")) or "/../" in word:
            raise ToolError(f"{word} is a path, not a revision; put it into `paths`.")


def _spoken(args: GitArgs, words: Words) -> list[str]:
    """The command as a person would write it, for the policy and the screen."""
    message = ["-m", args.message] if args.message else []
    paths = ["--", *words.paths] if words.paths else []
    action = [stash_action(words)] if args.subcommand == "stash" else []
    return [args.subcommand, *action, *words.options, *words.rest[len(action) :], *message, *paths]


def _arguments(args: GitArgs, words: Words) -> list[str]:
    """Everything after `git`: options, revisions, then `--` and the paths, so that no path is taken for either."""
    options = list(words.options)
    match args.subcommand:
        case "blame":
            options = ["--no-textconv", *options]
        case "status":
            options = [OUTSIDE_SUBMODULES, *options]
        case "diff":
            options = [*NO_DRIVERS, OUTSIDE_SUBMODULES, *options]
        case "log" | "show":
            options = [*NO_DRIVERS, *options]
            if args.subcommand == "log" and not any(o.startswith(("-n", "--max-count", "-L")) for o in options):
                options.append(f"--max-count={LOG_LENGTH}")
        case "commit":
            options += [f"--message={args.message}"] if args.message else []
        case "stash":
            return _stash(args, words)
        case "branch":
            return ["branch", *options, *words.rest]
        case _:
            pass
    return [args.subcommand, *options, *words.rest, "--", *words.paths]


def _stash(args: GitArgs, words: Words) -> list[str]:
    action = stash_action(words)
    command = ["stash", action, *words.options]
    if action == "push":
        message = [f"--message={args.message}"] if args.message else []
        return [*command, *message, "--", *words.paths]
    if action == "show":
        command += ["--no-ext-diff", "--no-textconv"]
    return [*command, *words.rest[1:]]


async def _repository(workspace: Workspace) -> tuple[str, Drivers]:
    """The repository's folder, and what its configuration would run."""
    env = {**ENVIRONMENT, **QUIET}
    asked, listed = await asyncio.gather(
        workspace.exec(ExecSpec(argv=tuple(hardened("rev-parse", "--absolute-git-dir")), env=env, timeout=TIMEOUT)),
        workspace.exec(ExecSpec(argv=tuple(ask_drivers()), env=env, timeout=TIMEOUT, keep_head=200_000)),
    )
    answer = asked.head.decode("utf-8", "surrogateescape").strip()
    if asked.exit_code != 0:
        raise ToolError(f"{workspace.capabilities.root} is in no repository that git accepts: {answer[:300]}")
    return answer, parse_drivers(listed.head if listed.exit_code == 0 and not listed.dropped else b"")


def _refuse(args: GitArgs, words: Words, drivers: Drivers, changes: bool) -> None:
    """What a repository's configuration makes unsafe, and calls that lack something."""
    by_bash = f"If the person wants it all the same, run `git {args.subcommand}` by Bash."
    if not drivers.known:
        raise ToolError(f"What this repository's configuration runs cannot be listed or undone. {by_bash}")
    programs = [*(f"filter {n}" for n in drivers.filters), *(f"merge driver {n}" for n in drivers.merges)]
    if changes and programs and args.subcommand != "branch":
        raise ToolError(f"This repository's own configuration runs programs ({', '.join(programs)}). {by_bash}")
    named = args.message or any(o.startswith(("-m", "--message")) for o in words.options)
    if args.subcommand == "commit" and not named and {"--no-edit", "--dry-run"}.isdisjoint(words.options):
        raise ToolError("A commit needs a message (or --amend with --no-edit).")
    if args.subcommand == "restore" and not words.paths:
        raise ToolError("restore needs paths.")
    if args.subcommand == "blame" and len(words.paths) != 1:
        raise ToolError("blame needs exactly one path in `paths`.")


async def _refuse_submodules(args: GitArgs, workspace: Workspace) -> None:
    """Git would look into every submodule, and run there what the submodule's configuration names."""
    by_bash = f"If the person wants it all the same, run `git {args.subcommand}` by Bash."
    folders = [workspace.capabilities.root]
    for count, folder in enumerate(folders):  # grows while it is walked: submodules have submodules
        index = await _asked(ask_gitlinks(), folder, workspace)
        if index is None or count > SUBMODULES_LIMIT:
            raise ToolError(f"What the submodules of this repository run cannot be listed. {by_bash}")
        for path in parse_gitlinks(index):
            inner = os.path.join(folder, path)
            if (await workspace.resolve(os.path.join(inner, ".git"), "list")).kind == "missing":
                continue  # not checked out
            programs = parse_submodule_programs(await _asked(ask_submodule_programs(), inner, workspace) or b"")
            if programs:
                name = visible(os.path.relpath(inner, workspace.capabilities.root))
                raise ToolError(
                    f"The configuration of the submodule {name} runs programs ({visible(', '.join(programs))}), and "
                    f"git {args.subcommand} would look into it. {by_bash}"
                )
            folders.append(inner)


async def _asked(argv: Sequence[str], folder: str, workspace: Workspace) -> bytes | None:
    """The whole output of one of our own questions; None when it failed."""
    env = {**ENVIRONMENT, **QUIET}
    result = await workspace.exec(
        ExecSpec(argv=tuple(argv), cwd=folder, env=env, timeout=TIMEOUT, keep_head=INDEX_LIMIT)
    )
    return result.head if result.exit_code == 0 and not result.dropped else None


async def _notes(args: GitArgs, drivers: Drivers, ctx: ToolContext) -> list[str]:
    """What the model should know of what was left out."""
    notes: list[str] = []
    if drivers.filters and args.subcommand in ("status", "diff"):
        notes.append(f"[filters were not run ({', '.join(drivers.filters)}): files they manage may look changed]")
    if args.subcommand in _HOOKS:
        names = await _active_hooks(args.subcommand, ctx)
        if drivers.hooks_path:
            names = [f"those in {drivers.hooks_path}"]
        if names:
            notes.append(f"[hooks were not run: {', '.join(names)}; `git commit` by Bash would run them]")
    return notes


async def _active_hooks(subcommand: str, ctx: ToolContext) -> list[str]:
    handle = ctx.handles.get(_HOOKS_FOLDER)
    if handle is None:
        return []
    return [entry.name for entry in await ctx.workspace.list(handle) if entry.name in _HOOKS[subcommand]]


def _nothing(args: GitArgs) -> str:
    return {"diff": "(no differences)", "log": "(no commits)"}.get(args.subcommand, "(done, no output)")
