"""A long conversation that is opened again: its end at once, and all of it in order above."""

from __future__ import annotations

from letta_code.tui.panes.transcript import FIRST_CARDS, RESUME_MESSAGES, Transcript
from tests.fakes.session import FakeSession
from tests.tui.screen import Stage, ready, until
from tests.tui.test_session_changes import SIZE, talk


async def test_cards_are_mounted_in_their_order_from_the_last_to_the_first() -> None:
    stage = Stage(FakeSession(stored=talk(60)))
    async with stage.app.run_test(size=SIZE) as pilot:
        await ready(pilot, stage)
        transcript = stage.chat.query_one(Transcript)
        state = stage.chat.state
        await until(pilot, lambda: len(transcript.views) >= RESUME_MESSAGES > FIRST_CARDS)
        assert transcript.scroll_y == transcript.max_scroll_y  # what came above did not move the end
        while transcript.query(".earlier"):
            await transcript.show_earlier()
            await pilot.pause()
        assert [transcript._views[key] for key in state.cards] == list(transcript.views)
        assert list(transcript._views) == list(state.cards)  # in this order cards are put away again
