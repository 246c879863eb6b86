"""/background and /continue."""

from __future__ import annotations

import asyncio

import pytest

from letta_code.commands.base import Context, load_commands
from letta_code.config.settings import Settings
from letta_code.core.errors import UsageError
from tests.fakes.session import FakeSession


async def endless(session: FakeSession, text: str) -> None:
    await asyncio.sleep(3600)


async def test_background_moves_a_run_and_leaves() -> None:
    session = FakeSession(endless)
    context = Context(session=session, settings=Settings())  # type: ignore[arg-type] - it does not reflect
    background = load_commands()["background"]
    with pytest.raises(UsageError, match="Nothing runs"):
        await background.run(context, "")
    await session.send("go")
    done = await background.run(context, "")
    assert done.quit
    assert "letta-code follow" in done.say


async def test_continue_is_a_message_that_asks_to_look_first() -> None:
    session = FakeSession(endless)
    context = Context(session=session, settings=Settings())  # type: ignore[arg-type] - it does not reflect
    go_on = load_commands()["continue"]
    done = await go_on.run(context, "but skip the tests")
    assert "Look at the state first" in done.send
    assert done.send.endswith("but skip the tests")
    await session.send("go")
    with pytest.raises(UsageError, match="already"):
        await go_on.run(context, "")
