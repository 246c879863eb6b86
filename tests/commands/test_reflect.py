"""/reflect: begins a reflection, lists what waits, and decides it."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_code.agent.session import Session
from letta_code.commands.base import Outcome, load_commands
from letta_code.config.settings import Settings
from letta_code.core.display import MemoryBlock
from letta_code.core.errors import LettaError, UsageError
from letta_code.core.messages import Value
from tests.agent.fakes import say
from tests.agent.test_reflection import TEA, Life


class Context(Value):
    session: Session
    settings: Settings
    store: None = None


async def run(life: Life, arguments: str = "") -> Outcome:
    context = Context(session=life.session, settings=life.session.options.settings)
    return await load_commands()["reflect"].run(context, arguments)


async def test_it_reads_again_and_says_what_it_reads(tmp_path: Path) -> None:
    life = Life(tmp_path, say("1"), say("NOTHING"))
    assert (await run(life)).say == "Nothing was said since the last reflection."
    await life.says("I like tea.")
    assert "Reading events 1 to" in (await run(life, "approve of tea, please")).say
    await life.reflected()
    assert "what matters: approve of tea, please" in life.asked[0].messages[0].content[0].text  # type: ignore[union-attr]


async def test_what_waits_is_shown_and_decided(tmp_path: Path) -> None:
    life = Life(tmp_path, say("1"), say(TEA), merge="ask")
    assert (await run(life, "waiting")).say == "No reflection waits for you."
    await life.says("I like tea.")
    await run(life)
    (done,) = await life.reflected()
    assert "1 proposal waits" in (await run(life)).say
    shown = await run(life, "waiting")
    assert "You like tea." in shown.say and f"/reflect approve {done.reflection_id}" in shown.say
    (block,) = shown.blocks
    assert isinstance(block, MemoryBlock) and "+likes tea" in block.diff
    approved = await run(life, "approve")  # there is only one
    assert "Take it back: /memory undo" in approved.say and life.human() == "likes tea (2026-01-01)"
    with pytest.raises(UsageError, match="none"):
        await run(life, "reject")
    with pytest.raises(LettaError, match="No reflection waits"):
        await run(life, f"reject {done.reflection_id}")
