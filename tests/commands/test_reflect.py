"""/reflect: begins a reflection, lists what waits, and decides it."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_code.agent.session import Session
from letta_code.commands.base import Outcome, load_commands
from letta_code.config.settings import Settings
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
    assert "Reading events 1 to" in (await run(life, "tea above all, I approve")).say
    await life.reflected()
    assert "what matters: tea above all, I approve" in life.asked[0].messages[0].content[0].text  # type: ignore[union-attr]


async def test_what_waits_is_shown_and_decided(tmp_path: Path) -> None:
    life = Life(tmp_path, say("1"), say(TEA), merge="ask")
    assert (await run(life, "waiting")).say == "No reflection waits for you."
    await life.says("I like tea.")
    await run(life)
    (done,) = await life.reflected()
    assert "1 proposal waits" in (await run(life)).say
    shown = await run(life, "waiting")
    assert "You like tea." in shown.say and f"/reflect approve {done.reflection_id}" in shown.say
    assert "+likes tea" in shown.say
    approved = await run(life, "approve")  # there is only one
    assert "Take it back: /memory undo" in approved.say and life.human() == "likes tea (2026-01-01)"
    with pytest.raises(UsageError, match="none"):
        await run(life, "reject")
    with pytest.raises(LettaError, match="No reflection waits"):
        await run(life, f"reject {done.reflection_id}")


@pytest.mark.parametrize(
    "given", ["aprove", "aprove refl-x", "rejct x", "wating", "approve A B", "Approve it now", "waiting x"]
)
async def test_what_may_be_a_slip_begins_no_reflection(tmp_path: Path, given: str) -> None:
    life = Life(tmp_path, say("1"))
    await life.says("I like tea.")
    with pytest.raises(UsageError, match="No reflection was begun"):
        await run(life, given)
    assert not life.session.reflection.running and not life.asked


async def test_each_proposal_is_shown_with_its_own_changes_cut(tmp_path: Path) -> None:
    long = TEA.replace("+likes tea", "\n".join(f"+cup {n}" for n in range(100)))
    life = Life(tmp_path, say("1"), say(long), say("2"), say(TEA.replace("tea", "cake")), merge="ask")
    for text in ("I like tea.", "And cake."):
        await life.says(text)
        await run(life)
        await life.reflected()
    shown = (await run(life, "waiting")).say.split("\n\n")
    first, second = (
        next(text for text in shown if text.startswith(done.reflection_id)) for done in await life.reflected()
    )
    assert "+cup 1" in first and "+cup 99" not in first and "more lines" in first and "cake" not in first
    assert "human" in second and "+likes cake" in second and "cup" not in second
