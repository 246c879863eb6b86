"""/save, /checkpoints, /rewind, /undo and /redo as plain faces use them."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_code.agent.rewinding.words import preview_text
from letta_code.commands.base import Context, Outcome, load_commands
from letta_code.commands.rewind import asked
from letta_code.config.settings import Settings
from letta_code.core import events as ev
from letta_code.core.errors import UsageError
from tests.agent.test_rewind import THREE, Opener, bash, opened, say, spoken, turn, work

__all__ = ["opened", "work"]


async def test_a_conversation_with_saves_rewinds_undo_and_redo(opened: Opener, work: Path) -> None:
    commands = load_commands()
    async with opened(THREE) as session:
        context = Context(session=session, settings=Settings())

        async def do(line: str) -> Outcome:
            name, _, arguments = line.partition(" ")
            return await commands[name].run(context, arguments)

        with pytest.raises(UsageError, match="nothing was said"):
            await do("save")
        await say(session, "first")
        saved = await do("save good *state*")
        assert "Checkpoint 2" in saved.say
        assert "`/rewind 2`" in saved.say
        await say(session, "second")
        listed = (await do("checkpoints")).say.split("\n")
        assert [line.split()[:2] for line in listed[2:5]] == [["3", "run"], ["2", "saved"], ["1", "run"]]
        assert "good *state*" in listed[3]
        assert listed[4].endswith("first")
        seen = await do("rewind 2")
        assert "- a.txt" not in seen.say
        assert "+ a.txt" in seen.say
        assert "- you: second" in seen.say
        assert "`/rewind 2 all`" in seen.say
        assert not (work / "a.txt").exists()  # nothing was done yet
        done = await do("rewind good *state* all")
        assert done.prompt == "second"
        assert (work / "a.txt").exists()
        assert spoken(session) == ["first"]
        await do("redo")
        assert not (work / "a.txt").exists()
        undone = await do("undo")
        assert undone.prompt == "second"
        assert (work / "a.txt").exists()
        with pytest.raises(UsageError, match="no checkpoint 99"):
            await do("rewind 99")
        with pytest.raises(UsageError, match="a checkpoint 'good"):
            await do("save good *state*")
        assert (await do("rewind")).show == "rewind"


def test_the_words_of_a_rewind() -> None:
    assert asked("3") == ("3", None)
    assert asked("3 all") == ("3", ())
    assert asked("my point code memory") == ("my point", ("memory", "code"))
    assert asked("codes") == ("codes", None)  # it may be a name
    with pytest.raises(UsageError, match="checkpoint first"):
        asked("all")
    with pytest.raises(UsageError, match="does not know the part 'codes'") as refused:
        asked("1 codes")
    assert "'code'" in refused.value.hint


async def test_a_file_name_cannot_forge_a_line_of_a_preview(opened: Opener, work: Path) -> None:
    forged = "a\n! 0 files change; nothing is deleted"
    async with opened((turn("", bash(f"echo > '{forged}'")), turn("Done."))) as session:
        await say(session, "make")
        way = session.checkpoints.rewinding
        preview = await way.preview(await way.find("1"))
        lines = preview_text(preview, preview.parts).split("\n")
        assert not any(line.startswith("! 0 files") for line in lines)
        assert any("a‹U+000A›! 0 files" in line for line in lines)
        await way.go(preview)
        told = next(event for event in reversed(await session.log()) if isinstance(event, ev.Notice))
        assert "\n" not in told.text


async def test_points_that_a_rewind_left_say_so(opened: Opener, work: Path) -> None:
    async with opened(THREE) as session:
        commands = load_commands()
        context = Context(session=session, settings=Settings())
        assert "may change files" in (await commands["checkpoints"].run(context, "")).say
        await say(session, "first")
        await commands["undo"].run(context, "")
        listed = (await commands["checkpoints"].run(context, "")).say.split("\n")
        assert listed[2].endswith("before you went back to checkpoint 1")
        assert listed[3].endswith("(taken back) first")
