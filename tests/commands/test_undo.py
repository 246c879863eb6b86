"""/undo and /redo take back what the run changed, leave what the person changed after it, and ask where they must."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_code.agent.rewinding.apart import end_name
from letta_code.agent.session import Session
from letta_code.commands.base import Context, load_commands
from letta_code.config.settings import CheckpointSettings, Settings
from letta_code.core import events as ev
from letta_code.core.errors import UsageError
from letta_code.core.messages import Reminder
from tests.agent.test_rewind import THREE, Opener, opened, say, spoken, tree, work

__all__ = ["opened", "work"]


async def do(session: Session, line: str) -> None:
    name, _, arguments = line.partition(" ")
    await load_commands()[name].run(Context(session=session, settings=Settings()), arguments)


def reminded(session: Session) -> str:
    last = session.history.messages[-1]
    return last.text if isinstance(last, Reminder) else ""


async def notice(session: Session) -> ev.Notice:
    return next(event for event in reversed(await session.log()) if isinstance(event, ev.Notice))


@pytest.mark.parametrize("again", [False, True])
async def test_what_the_person_changed_after_the_run_stays(opened: Opener, work: Path, again: bool) -> None:
    async with opened(THREE) as session:
        await say(session, "first")
        await session.checkpoints.settled()
        if not again:
            await changed_by_hand(session, work)
    if again:  # what the run left is known to the next process, too
        async with opened(conversation="last") as session:
            await changed_by_hand(session, work)


async def changed_by_hand(session: Session, work: Path) -> None:
    (work / "mine.txt").write_text("mine\n")
    (work / "loose.txt").write_text("mine, too\n")
    (work / "b.txt").write_text("both of us\n")
    await do(session, "undo")
    assert tree(work) == {
        "a.txt": b"one\n",
        "b.txt": b"both of us\n",
        "loose.txt": b"mine, too\n",
        "mine.txt": b"mine\n",
    }
    told = await notice(session)
    assert told.level == "warning"
    assert "2 files set back: a.txt, sub/c.txt" in told.text
    assert "b.txt: it changed again after the run" in told.text
    assert "mine.txt" not in told.text
    assert "b.txt" in reminded(session)
    await session.checkpoints.settled()
    (work / "later.txt").write_text("after the undo\n")
    await do(session, "redo")
    assert (work / "sub/c.txt").read_text() == "deep\n"
    assert (work / "a.txt").read_text() == "one\ntwo\n"
    assert (work / "mine.txt").read_text() == "mine\n"
    assert (work / "later.txt").read_text() == "after the undo\n"


async def test_where_the_two_cannot_be_told_apart_it_asks(opened: Opener, work: Path) -> None:
    async with opened(THREE) as session:
        await say(session, "first")
        await session.checkpoints.settled()
        trees = session.checkpoints.trees
        assert trees is not None
        await trees.use(lambda store: store.drop(end_name(session.history.checkpoints[0].checkpoint_id)))
        (work / "mine.txt").write_text("mine\n")
        before = tree(work)
        with pytest.raises(UsageError, match=r"4 files changed since \(a.txt, b.txt, mine.txt, sub/c.txt\)") as refused:
            await do(session, "undo")
        assert "`/undo all`" in refused.value.hint
        assert tree(work) == before
        assert spoken(session) == ["first"]
        with pytest.raises(UsageError, match="does not know 'everything'"):
            await do(session, "undo everything")
        await do(session, "undo all")
        assert tree(work) == {"a.txt": b"one\n", "loose.txt": b"not known to git\n"}
        assert spoken(session) == []


async def test_a_run_without_a_checkpoint_is_not_said_to_be_undone(opened: Opener, work: Path) -> None:
    async with opened(THREE, checkpoints=CheckpointSettings(auto=False)) as session:
        await say(session, "first")
        before = tree(work)
        with pytest.raises(UsageError, match="There is no checkpoint of the files") as refused:
            await do(session, "undo")
        assert "Write, Bash" in str(refused.value)
        assert "`/undo conversation`" in refused.value.hint
        assert spoken(session) == ["first"]
        await do(session, "undo conversation")
        assert spoken(session) == []
        assert tree(work) == before
        assert "There is no checkpoint of the files" in (await notice(session)).text
        assert "Files were not set back with it" in reminded(session)


async def test_a_run_that_only_spoke_is_undone_unasked(opened: Opener, work: Path) -> None:
    async with opened(THREE[4:]) as session:
        await say(session, "first")
        await do(session, "undo")
        assert spoken(session) == []
        assert (await notice(session)).level == "info"
        assert "set this conversation back" not in reminded(session)
