"""What a run tells the model of memory is what the model's next edit is based on, in the middle of a run too."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from letta_code.agent.port import SessionOptions
from letta_code.agent.session import Session
from letta_code.agent.start import start_session
from letta_code.config.settings import Settings
from letta_code.core import events as ev
from letta_code.memory.edits import Append
from letta_code.memory.provenance import Provenance


async def until_a_call_runs(session: Session) -> None:
    async for event in session.events(session.history.last_seq):
        if isinstance(event, ev.ToolStarted):
            return


async def test_an_edit_right_after_it_was_told_of_anothers_edit_is_no_conflict(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    wait = {"tools": [{"name": "Bash", "args": {"command": "while [ ! -e go ]; do sleep 0.01; done"}}]}
    rewrite = {"name": "memory_rethink", "args": {"label": "human", "new_memory": "Ann, who moved to Lyon"}}
    script = tmp_path / "script.yaml"
    script.write_text(json.dumps({"turns": [wait, {"tools": [rewrite], "expect": ["in Rome"]}, {"text": "done"}]}))
    settings = Settings(model=f"scripted:{script}")
    session = await start_session(SessionOptions(cwd=str(work), settings=settings, mode="full", interactive=False))
    blocks = session.memory.blocks
    blocks.apply(Append(label="human", text="Ann"), Provenance(source="user"))
    started = asyncio.ensure_future(until_a_call_runs(session))
    await asyncio.sleep(0)  # it listens from here on
    await session.send("go on")
    await started
    other = Provenance(conversation="conv-other", seq=3)
    await asyncio.to_thread(blocks.apply, Append(label="human", text="lives in Rome"), other)
    (work / "go").touch()
    await session.idle()
    results = [event for event in await journal(session) if isinstance(event, ev.ToolResult)]
    assert [result.status for result in results] == ["ok", "ok"], results[-1].content
    assert blocks.view().find("human").value == "Ann, who moved to Lyon"
    assert not blocks.view().others, "nothing had to be kept beside it"
    await session.close()


async def journal(session: Session) -> list[ev.Event]:
    found: list[ev.Event] = []
    async for event in session.events():
        if isinstance(event, ev.Durable):
            found.append(event)
        if event == session.history.last_run or getattr(event, "seq", 0) == session.history.last_seq:
            return found
    return found
