"""Shells: the background commands that Bash started."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from letta_code.core.display import ShellBlock
from letta_code.core.errors import ToolError
from letta_code.safety.operations import AskOperation, ExecOperation
from letta_code.safety.terminal import visible
from letta_code.tools.base import Args, Situation, Tool, ToolContext, ToolResult, Wanted
from letta_code.tools.printed import clean
from letta_code.workspace.workspace import Process, Workspace

SHOWN = 16_000  # bytes of output in one result
LONGEST_WAIT = 300.0  # seconds
SETTLED = 0.3  # seconds without new output after which a wait for output is over


class ShellsArgs(Args, frozen=True):
    """What to do with which one."""

    action: Literal["list", "read", "stop"]
    id: str = ""
    wait_seconds: Annotated[float, msgspec.Meta(ge=0, description="read: wait for output or the end, at most 300")] = 0
    from_start: bool = False


class Shells(Tool[ShellsArgs]):
    """Reads and stops background commands.  `state` keeps how far each was read, by id."""

    name = "Shells"
    args = ShellsArgs
    order = 55

    def applies(self, situation: Situation) -> bool:
        """Only where there are background commands."""
        return situation.capabilities.shell and situation.capabilities.background

    def title(self, args: ShellsArgs) -> str:
        """Such as `Stop sh-1`."""
        return "Background shells" if args.action == "list" else f"{args.action.capitalize()} {visible(args.id)}"

    async def operations(self, args: ShellsArgs, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """Stopping is an exec of our own process; reading touches nothing."""
        if args.action == "list":
            return [Wanted(AskOperation(what="shells"))]
        process = await workspace.poll(args.id, 0, 0)
        if args.action == "read":
            return [Wanted(AskOperation(what="shells"))]
        return [Wanted(ExecOperation(command=process.command, cwd="", background=True, stop=True))]

    async def run(self, args: ShellsArgs, ctx: ToolContext) -> ToolResult:
        """List, read or stop."""
        match args.action:
            case "list":
                return await _list(ctx)
            case "read":
                return await _read(args, ctx)
            case "stop":
                return await _stop(args, ctx)


async def _list(ctx: ToolContext) -> ToolResult:
    lines = [f"{p.id}  {_status(p)}  {visible(p.command)[:200]}" for p in await ctx.workspace.processes()]
    return ToolResult.text("\n".join(lines) or "There are no background shells.", state=dict(ctx.state))


async def _read(args: ShellsArgs, ctx: ToolContext) -> ToolResult:
    since = 0 if args.from_start else await _read_so_far(args.id, ctx)
    process = await _waited(args, ctx.workspace, since)
    return await _result(process, since, ctx)


async def _read_so_far(name: str, ctx: ToolContext) -> int:
    """How far the last read came; the pid tells a shell from one of the same name before a restart."""
    process = await ctx.workspace.poll(name, 0, 0)
    return int(ctx.state.get(f"{name}/{process.pid}", "0"))


async def _waited(args: ShellsArgs, workspace: Workspace, since: int) -> Process:
    """Poll until there is new output that has come to rest, or the end, or the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + min(args.wait_seconds, LONGEST_WAIT)
    total, rested = -1, loop.time()
    while True:
        process = await workspace.poll(args.id, since, 0)
        now = loop.time()
        if process.total != total:
            total, rested = process.total, now
        if not process.running or now >= end or (process.total > since and now - rested >= SETTLED):
            break
        await asyncio.sleep(min(0.1, max(end - now, 0.01)))
    if not process.running:
        await asyncio.sleep(0.05)  # what was printed last may still be in the pipe
    start = since
    if process.total - since > SHOWN:
        start = process.total - SHOWN
    return await workspace.poll(args.id, start, SHOWN)


async def _stop(args: ShellsArgs, ctx: ToolContext) -> ToolResult:
    since = await _read_so_far(args.id, ctx)
    if not (await ctx.workspace.poll(args.id, since, 0)).running:
        raise ToolError(f"{args.id} has ended already; read it for its output.")
    await ctx.workspace.kill(args.id)
    return await _result(await _waited(args, ctx.workspace, since), since, ctx)


async def _result(process: Process, since: int, ctx: ToolContext) -> ToolResult:
    printed = clean(process.output).strip("\n")
    head = f"{process.id}: {_status(process)}"
    if process.since > since:
        head += f"\n[{process.since - since:,} bytes before this are left out; all of it is in {process.spool}]"
    head += "".join(f"\n[sandbox: {note}]" for note in process.notes)
    text = f"{head}\n{printed}" if printed else f"{head}\n(no new output)"
    block = ShellBlock(
        command=process.command,
        output=printed,
        exit_code=process.exit_code,
        seconds=process.seconds,
        background_id=process.id,
        full_output=process.spool,
    )
    known = {f"{p.id}/{p.pid}" for p in await ctx.workspace.processes()}
    state = {key: value for key, value in ctx.state.items() if key in known}
    state[f"{process.id}/{process.pid}"] = str(process.since + len(process.output))
    return ToolResult.text(text, block, state=state, taint=process.source)


def _status(process: Process) -> str:
    if process.running:
        return f"running for {process.seconds:.0f} s"
    if process.exit_code is None:
        return f"stopped after {process.seconds:.0f} s"
    return f"ended with exit code {process.exit_code} after {process.seconds:.0f} s"
