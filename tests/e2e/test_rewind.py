"""Going back, killed in the middle with SIGKILL: whole files, a conversation that stands, and a way back and forth."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from letta_code.agent.port import SessionOptions
from letta_code.agent.session import Session
from letta_code.agent.start import start_session
from letta_code.config.settings import Settings
from letta_code.core import events as ev
from letta_code.core.messages import UserText, text_of

FILES = 300
POINT = "2"  # the checkpoint before the second run
WANTED = 3  # kills that are to fall between the first file and the event
MOST = 20

KILLED = """
import asyncio, sys
from pathlib import Path
from letta_code.agent.start import start_session
from tests.e2e.test_rewind import POINT, options

async def main():
    session = await start_session(options(Path(sys.argv[1]), "last"))
    way = session.checkpoints.rewinding
    preview = await way.preview(await way.find(POINT))
    print("ready", flush=True)
    await way.go(preview, ())
    await session.close()

asyncio.run(main())
"""


def options(work: Path, conversation: str = "") -> SessionOptions:
    settings = Settings(model=f"scripted:{work.parent / 'script.json'}")
    return SessionOptions(cwd=str(work), settings=settings, conversation=conversation, mode="full", face="test")


def _script(folder: Path) -> None:
    def each(text: str) -> dict[str, object]:
        command = f'for i in $(seq {FILES}); do d=d$((i % 7)); mkdir -p $d; seq $i | sed "s/^/{text} /" > $d/f$i; done'
        return {"name": "Bash", "args": {"command": command}}

    tea = {"name": "memory", "args": {"command": "insert", "label": "human", "insert_text": "likes tea"}}
    more = {"name": "Bash", "args": {"command": "rm -r d3; echo new > extra"}}
    turns = [{"tools": [each("one")]}, {"text": "One."}, {"tools": [each("two"), more, tea]}, {"text": "Two."}]
    (folder / "script.json").write_text(json.dumps({"turns": turns}))


def _tree(work: Path) -> dict[str, bytes]:
    return {str(path.relative_to(work)): path.read_bytes() for path in sorted(work.rglob("*")) if path.is_file()}


def _spoken(session: Session) -> list[str]:
    return [text_of(message.content) for message in session.history.messages if isinstance(message, UserText)]


def _human(session: Session) -> str:
    return session.memory.blocks.view().find("human").value


async def _said(session: Session, text: str) -> None:
    await session.send(text)
    ended = await session.idle()
    assert ended is not None
    assert ended.reason == ev.StopReason.DONE, ended.error


async def _gone_back(session: Session, point: str) -> None:
    way = session.checkpoints.rewinding
    event = await way.go(await way.preview(await way.find(point)), ())
    assert not event.failed


async def _killed(work: Path, repository: Path, due: Callable[[], bool], seconds: float) -> None:
    """Go back in a process that is killed so long after something has happened."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED, str(work)), cwd=repository, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
    while process.returncode is None and not due():  # noqa: ASYNC110 - another process's files
        await asyncio.sleep(0.0005)
    await asyncio.sleep(seconds)
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.wait()


def _is_back(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:  # it is not there, or not any more
        return False


def _torn(now: dict[str, bytes], states: Sequence[dict[str, bytes]]) -> list[str]:
    """The files that are neither as they were nor as they are to be."""
    return [path for path, data in now.items() if data not in [state.get(path) for state in states]]


@pytest.mark.slow
async def test_a_kill_while_files_go_back_is_told_and_can_be_taken_back_and_done_again(
    tmp_path: Path, repository: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    _script(tmp_path)
    session = await start_session(options(work))
    await _said(session, "first")
    then, person = _tree(work), _human(session)
    await _said(session, "second")
    left, changed = _tree(work), _human(session)
    await session.close()
    assert then != left
    assert "tea" in changed
    rng, cut_off = random.Random(7), 0
    for _ in range(MOST):
        marked = rng.choice([path for path in then if left.get(path) != then[path]])
        await _killed(work, repository, partial(_is_back, work / marked, then[marked]), rng.random() * 0.02)
        now = _tree(work)
        assert _torn(now, (then, left)) == []
        session = await start_session(options(work, "last"))
        events = await session.log()
        undo = next(e for e in reversed(events) if isinstance(e, ev.CheckpointMade) and e.kind == "rewind")
        if any(isinstance(e, ev.Rewound) and e.seq > undo.seq for e in events):
            assert (_spoken(session), now) == (["first"], then)
        else:
            cut_off += now not in (then, left)
            told = [e for e in events if isinstance(e, ev.Notice) and e.seq > undo.seq and e.code == "rewind"]
            assert [undo.checkpoint_id in notice.hint for notice in told] == [True]
            reminders = [e.text for e in events if isinstance(e, ev.ReminderAdded) and e.seq > undo.seq]
            assert ["set back in part" in text for text in reminders] == [True], "the model is told"
            assert _spoken(session) == ["first", "second"]
        await _gone_back(session, undo.checkpoint_id)
        assert (_tree(work), _human(session), _spoken(session)) == (left, changed, ["first", "second"])
        await session.close()
        if cut_off == WANTED:
            break
    assert cut_off == WANTED, "no kill fell into the middle"
    session = await start_session(options(work, "last"))
    await _gone_back(session, POINT)
    assert (_tree(work), _human(session), _spoken(session)) == (then, person, ["first"])
    await session.close()
