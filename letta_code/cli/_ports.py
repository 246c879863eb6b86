"""What the full screen needs beside the session: lists, the set-up card, the person's shell, the git branch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from letta_code.agent.folder_trust import TrustQuestion
from letta_code.agent.port import SessionOptions
from letta_code.cli._connecting import Connecting, note
from letta_code.commands.resume import agent_names
from letta_code.commands.wording import ago
from letta_code.config.credentials import Credentials
from letta_code.config.paths import Paths
from letta_code.core.display import ShellBlock
from letta_code.core.events import Notice
from letta_code.store.database import Store
from letta_code.tui.ports import ConversationRow, ModelRow, Ports, RunRow


class Listing:
    """Satisfies `Lists` from the store and the price table."""

    def __init__(self, options: SessionOptions) -> None:
        self._options = options

    async def conversations(self) -> Sequence[ConversationRow]:
        """Those of this folder, then those of others, newest first."""
        return await asyncio.to_thread(self._conversations)

    def _conversations(self) -> list[ConversationRow]:
        paths = Paths.find()
        with Store.open(paths.database, run_dir=paths.run) as store:
            found, names, running = store.conversations.list(limit=None), agent_names(store), store.runs.written()
        here = [one for one in found if one.cwd == self._options.cwd]
        others = [one for one in found if one.cwd != self._options.cwd]
        return [
            ConversationRow(
                id=one.id,
                title=one.name,
                when=ago(one.updated_at),
                folder=one.cwd,
                agent=names.get(one.agent_id, ""),
                messages=one.message_count,
                opening=one.opening,
                running=one.id in running,
            )
            for one in (*here, *others)
        ]

    async def runs(self) -> Sequence[RunRow]:
        """Those of every folder: the ones that go on, then the others, newest first."""
        return await asyncio.to_thread(self._runs)

    def _runs(self) -> list[RunRow]:
        from letta_code.agent.seeing_runs import lines_of, runs_seen

        paths = Paths.find()
        with Store.open(paths.database, run_dir=paths.run) as store:
            seen = runs_seen(store)
        rows = [
            RunRow(
                id=one.id,
                conversation_id=one.conversation_id,
                status="waits for you" if one.waits_for else line[1],
                title=one.title,
                folder=one.folder,
                since=line[2],
                open=one.is_open,
                waits=bool(one.waits_for),
                background=one.background,
            )
            for one, line in zip(seen, lines_of(seen), strict=True)
        ]
        return sorted(rows, key=lambda row: not row.open)

    async def models(self) -> Sequence[ModelRow]:
        """Models of the providers that have a key."""
        from letta_code.llm.catalog import listed

        keys = Credentials(Paths.find()).get
        rows = await asyncio.to_thread(lambda: list(listed(keys)))
        return [ModelRow(name=row.name, note=note(row.info)) for row in rows]


class TypedShell:
    """Satisfies `PersonShell`: what was typed after `!`, in a workspace of its own, without a policy's question."""

    def __init__(self, cwd: str) -> None:
        self._cwd = cwd

    async def run(self, command: str, on_output: Callable[[str], None]) -> ShellBlock:
        """Run it to its end; being cancelled kills it."""
        import os
        import tempfile
        from pathlib import Path

        from letta_code.workspace.local import LocalWorkspace
        from letta_code.workspace.workspace import ExecSpec

        workspace = LocalWorkspace(self._cwd, str(Path(tempfile.gettempdir(), f"letta-code-{os.getuid()}")))
        try:
            spec = ExecSpec(shell=command, cwd=self._cwd, timeout=None)
            done = await workspace.exec(spec, lambda data: on_output(data.decode("utf-8", "replace")))
        finally:
            await workspace.close()
        cut = f"\n… {done.dropped} bytes left out …\n".encode() if done.dropped else b""
        return ShellBlock(
            command=command,
            output=(done.head + cut + done.tail).decode("utf-8", "replace"),
            exit_code=done.exit_code,
            seconds=done.seconds,
            cwd=self._cwd,
            full_output=done.spool,
        )


def ports(options: SessionOptions, *, trust: TrustQuestion | None = None, notices: Sequence[Notice] = ()) -> Ports:
    """All of them, made when they are first needed; `trust` and `notices` as there."""
    return Ports(
        trust=trust,
        notices=tuple(notices),
        connect=lambda: Connecting(options.cwd),
        lists=lambda: Listing(options),
        shell=lambda: TypedShell(options.cwd),
    )
