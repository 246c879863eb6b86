"""Trusting: the question about the folder, asked after the first frame and before anything is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from letta_code.agent.folder_trust import TrustQuestion
from letta_code.agent.port import SessionOptions
from letta_code.tui.screens.chat import ChatScreen


async def ask(
    chat: ChatScreen,
    question: TrustQuestion,
    opens: Callable[[SessionOptions], None],
    leave: Callable[[], Awaitable[None] | None],
) -> None:
    """Put the card in the prompt's place; `opens` gets the options after the answer."""
    from letta_code.tui.widgets.trust_card import TrustCard

    async def go_on(*, trusted: bool) -> None:
        options, notices = await asyncio.to_thread(question.answer, trusted=trusted)
        for notice in notices:
            chat.state.notice(notice.level, notice.text, notice.hint)
        opens(options)
        chat.redraw()

    def chosen(what: str) -> None:
        chat.place.clear()
        if what == "leave":
            leave()
        else:
            chat.run_worker(go_on(trusted=what == "trust"), group="trust")

    standing = await asyncio.to_thread(question.standing)
    await chat.place.put(TrustCard(standing, chosen))
