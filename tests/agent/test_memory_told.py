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
    session = await start_session(
        SessionOptions(trusted=True, cwd=str(work), settings=settings, mode="full", interactive=False)
    )
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


async def session_of(tmp_path: Path, *turns: object) -> Session:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    script = tmp_path / "script.yaml"
    script.write_text(json.dumps({"turns": turns}))
    settings = Settings(model=f"scripted:{script}")
    return await start_session(
        SessionOptions(trusted=True, cwd=str(work), settings=settings, mode="full", interactive=False)
    )


def bash(command: str, **more: object) -> dict[str, object]:
    return {"tools": [{"name": "Bash", "args": {"command": command, **more}}]}


async def test_what_its_own_bash_does_to_the_files_is_not_the_persons(tmp_path: Path) -> None:
    session = await session_of(tmp_path)
    blocks = session.memory.blocks
    blocks.apply(Append(label="human", text="Ann"), Provenance(source="user"))
    files = f"{blocks.root}/system/human.md"
    await session.close()
    told = "`human` was changed by the agent's Bash in "
    session = await session_of(
        tmp_path,
        bash(f"echo 'by bash' >> {files}; mkdir {blocks.root}/notes; echo 'by bash' > {blocks.root}/notes/x.md"),
        {"text": "done", "expect": [told, "by bash"]},
        {"text": "done", "expect": ["`human` was changed by the person", "by hand"]},
    )
    await session.send("edit your own files")
    await session.idle()
    assert session.history.last_run and session.history.last_run.reason == "done"
    with Path(files).open("a") as file:
        file.write("by hand\n")
    await session.send("what did I change?")
    await session.idle()
    lines = {line.text: line.change.provenance for line in session.memory.blocks.past.blame("human")}
    assert (lines["by bash"].source, lines["by hand"].source) == ("tool:Bash", "user")
    assert (lines["by bash"].conversation, lines["by bash"].seq > 0) == (session.conversation_id, True)
    [line] = session.memory.blocks.past.blame("notes/x")
    assert line.change.provenance.source == "tool:Bash"
    notices = [event.text for event in await journal(session) if isinstance(event, ev.Notice)]
    assert list(dict.fromkeys(text.partition(" taken")[0] for text in notices)) == [
        f"Files that changed while {lines['by bash'].named} ran were",
        "A hand edit was",
    ]
    await session.close()


async def test_a_command_in_the_background_signs_its_edits_too(tmp_path: Path) -> None:
    session = await session_of(tmp_path)
    blocks = session.memory.blocks
    blocks.apply(Append(label="human", text="Ann"), Provenance(source="user"))
    await session.close()
    late = f"while [ ! -e go ]; do sleep 0.01; done; echo 'by bash' >> {blocks.root}/system/human.md; touch gone"
    session = await session_of(
        tmp_path,
        bash(late, background=True),
        bash("touch go; while [ ! -e gone ]; do sleep 0.01; done"),
        {"text": "done"},
    )
    await session.send("go")
    await session.idle()
    assert session.memory.blocks.past.blame("human")[-1].change.provenance.source == "tool:Bash"
    await session.close()


async def test_the_folder_of_a_new_agent_that_vanishes_is_told_too(tmp_path: Path) -> None:
    session = await session_of(tmp_path)
    root = session.memory.blocks.root
    await session.close()
    away = f"while [ ! -e {root}/.git/refs/heads ]; do sleep 0.01; done; sleep 0.2; mv {root} {root}.away"
    session = await session_of(tmp_path, bash(away), {"text": "done", "expect": ["The folder of your memory was gone"]})
    await session.send("clean up")
    await session.idle()
    assert session.history.last_run
    assert session.history.last_run.reason == "done"
    assert session.memory.blocks.view().find("task").value == "clean up"
    await session.close()


async def test_a_memory_folder_that_vanishes_in_a_run_is_told_and_begun_anew(tmp_path: Path) -> None:
    session = await session_of(tmp_path)
    session.memory.blocks.apply(Append(label="human", text="Ann"), Provenance(source="user"))
    root = session.memory.blocks.root
    await session.close()
    lost = ["The folder of your memory was gone", "Lost or changed: `human`", 'label="persona"']
    session = await session_of(tmp_path, bash(f"mv {root} {root}.away"), {"text": "done", "expect": lost})
    await session.send("clean up")
    await session.idle()
    assert session.history.last_run and session.history.last_run.reason == "done"
    warnings = [e for e in await journal(session) if isinstance(e, ev.Notice) and e.level == "warning"]
    assert len(warnings) == 1
    assert f"The memory folder {root} was gone" in warnings[0].text
    assert (root / "system/persona.md").exists()
    assert session.memory.blocks.view().find("task").value == "clean up"
    await session.close()
