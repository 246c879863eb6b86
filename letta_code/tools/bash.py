"""Bash: run a command in a real bash, here or in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from letta_code.core.display import DisplayBlock, ShellBlock
from letta_code.core.errors import ToolError, WorkspaceError
from letta_code.safety.operations import ExecOperation
from letta_code.safety.terminal import visible
from letta_code.tools.base import Args, Situation, Tool, ToolContext, ToolResult, Wanted
from letta_code.tools.printed import HEAD, SHOWN, Live, clean, shortened
from letta_code.tools.refused import refused_by_sandbox
from letta_code.workspace.workspace import ExecResult, ExecSpec, Workspace

DEFAULT_TIMEOUT = 120.0
LONGEST_TIMEOUT = 600.0
TOLD_FROM = 10.0  # seconds; shorter times are not worth a line
FIRST_LOOK = 0.3  # seconds after which a background command's first output is looked at


class BashArgs(Args, frozen=True):
    """What to run."""

    command: Annotated[str, msgspec.Meta(min_length=1)]
    timeout: Annotated[float | None, msgspec.Meta(description="seconds")] = None
    background: bool = False
    needs: Annotated[
        Literal["", "network", "outside"],
        msgspec.Meta(description="what the sandbox does not give; the person is asked"),
    ] = ""
    keep: Annotated[bool, msgspec.Meta(description="background only: outlive the session, where allowed")] = False


class Bash(Tool[BashArgs]):
    """A real bash; the folder it ends in is where the next call begins."""

    name = "Bash"
    args = BashArgs
    lean = True
    order = 50

    def applies(self, situation: Situation) -> bool:
        return situation.capabilities.shell

    def title(self, args: BashArgs) -> str:
        lines = args.command.strip().split("\n")
        text = visible(lines[0])[:200]
        return f"$ {text}" + (" …" if len(lines) > 1 else "")

    async def operations(self, args: BashArgs, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        _check(args, workspace)
        cwd, _ = await _folder(workspace, state)
        operation = ExecOperation(
            command=args.command, cwd=cwd, background=args.background, keep=args.keep, needs=args.needs
        )
        return [Wanted(operation)]

    async def preview(self, args: BashArgs, ctx: ToolContext) -> tuple[DisplayBlock, ...]:
        cwd, _ = await _folder(ctx.workspace, ctx.state)
        return (ShellBlock(command=args.command, cwd=cwd),)

    async def run(self, args: BashArgs, ctx: ToolContext) -> ToolResult:
        cwd, note = await _folder(ctx.workspace, ctx.state)
        if ctx.grant.hooks_off:
            note += f"[the repository's own hooks are not run ({ctx.grant.hooks_off})]\n"
        if args.background:
            return await _start(args, ctx, cwd, note)
        live = Live(ctx.output)
        spec = ExecSpec(
            shell=args.command,
            cwd=cwd,
            timeout=_timeout(args),
            keep_head=HEAD,
            keep_tail=SHOWN - HEAD,
            report_cwd=True,
            grant=ctx.grant,
            source=ctx.origin.source,
        )
        try:
            result = await ctx.workspace.exec(spec, live.add)
        finally:
            live.flush()
        shown = shortened(result)
        after = result.cwd or cwd
        block = ShellBlock(
            command=args.command,
            output=shown,
            exit_code=result.exit_code,
            seconds=result.seconds,
            cwd=cwd,
            full_output=result.spool,
        )
        told = _told(args, result, shown, cwd, note)
        refused = refused_by_sandbox(shown, ctx.grant) if result.exit_code and result.confined else ""
        # The folder that it ended in and what the sandbox found are words of the command's, too.
        taint = ctx.origin.source if after != cwd or result.notes else ctx.origin.of(shown)
        text = f"{told}\n{refused}" if refused else told
        return ToolResult.text(text, block, state={"cwd": after}, taint=taint)


def _check(args: BashArgs, workspace: Workspace) -> None:
    if "\0" in args.command:
        raise ToolError("The command has a NUL character in it; write it as \\0 inside printf or $'…'.")
    if args.keep and not args.background:
        raise ToolError("`keep` is for background commands; set `background` too.")
    if args.keep and not workspace.capabilities.keep_processes:
        raise ToolError("Commands may not outlive the session here; use `background` without `keep`.")


def _timeout(args: BashArgs) -> float:
    return min(max(args.timeout or DEFAULT_TIMEOUT, 1.0), LONGEST_TIMEOUT)


async def _folder(workspace: Workspace, state: Mapping[str, str]) -> tuple[str, str]:
    """Where the command runs, and a line for the model when that is not where the last one ended."""
    root = workspace.capabilities.root
    cwd = state.get("cwd", root)
    if cwd == root:
        return root, ""
    try:
        if (await workspace.resolve(cwd, "list")).kind == "directory":
            return cwd, ""
    except WorkspaceError:
        pass  # not reachable: as good as gone
    return root, f"[{cwd} is gone; this ran in {root}]\n"


def _told(args: BashArgs, result: ExecResult, shown: str, cwd: str, note: str) -> str:
    """The text for the model: what went wrong first, the output, then what is worth knowing."""
    head = note
    if result.timed_out:
        head += (
            f"Timed out after {_timeout(args):g} s: killed with everything it had started. "
            f"Pass a longer timeout (up to {LONGEST_TIMEOUT:g}) or background=true if it needs more.\n"
        )
    elif result.exceeded:
        head += f"Killed with everything it had started: {result.exceeded}\n"
    elif result.signal:
        head += f"Exit code: {result.exit_code} (killed by signal {result.signal})\n"
    elif result.exit_code:
        head += f"Exit code: {result.exit_code}\n"
    tail: list[str] = []
    if result.left_running:
        many = result.left_running > 1
        tail.append(
            f"[{result.left_running} process{'es' if many else ''} it started still run{'' if many else 's'}; what "
            "they print from now on is lost (background=true would keep it)]"
        )
    if result.ended_with_it:
        many = result.ended_with_it > 1
        tail.append(
            f"[{result.ended_with_it} process{'es' if many else ''} it left behind {'were' if many else 'was'} ended "
            "with it; start it with background=true to let it run]"
        )
    tail += [f"[sandbox: {note}]" for note in result.notes]
    if result.cwd and result.cwd != cwd:
        tail.append(f"[now in {result.cwd}]")
    if result.seconds > TOLD_FROM and not result.timed_out:
        tail.append(f"[took {result.seconds:.0f} s]")
    body = shown.strip("\n") if shown.strip() else "(no output)"
    return head + "\n".join([body, *tail])


_KEEP_HINT = " (keep=true would let it run on)"


def _keeps(ctx: ToolContext) -> bool:
    return ctx.workspace.capabilities.keep_processes


async def _start(args: BashArgs, ctx: ToolContext, cwd: str, note: str) -> ToolResult:
    spec = ExecSpec(shell=args.command, cwd=cwd, timeout=None, grant=ctx.grant, source=ctx.origin.source)
    process = await ctx.workspace.spawn(spec, keep=args.keep)
    deadline = asyncio.get_running_loop().time() + FIRST_LOOK
    while process.running and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.03)
        process = await ctx.workspace.poll(process.id)
    process = await ctx.workspace.poll(process.id, 0, 4000)
    printed = clean(process.output).strip("\n")
    if process.running:
        text = f"Started in the background as {process.id} (pid {process.pid}); Shells reads its output and stops it."
        if not args.keep:
            text += f" It is stopped when the session ends{_KEEP_HINT if _keeps(ctx) else ''}."
        text += f"\nSo far:\n{printed}" if printed else ""
    else:
        text = f"Ended at once with exit code {process.exit_code}.\n{printed or '(no output)'}"
    block = ShellBlock(
        command=args.command,
        output=printed,
        exit_code=process.exit_code,
        seconds=process.seconds,
        cwd=cwd,
        background_id=process.id,
        full_output=process.spool,
    )
    return ToolResult.text(note + text, block, state={"cwd": cwd}, taint=ctx.origin.source)
