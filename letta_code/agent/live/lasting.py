"""Lasting: one conversation for a face that prints, whoever owns it: a change of its owner is one more event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from letta_code.agent.live.succession import Handed, OpenAgain, Succession
from letta_code.agent.live.words import change_text
from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.core import events as ev
from letta_code.core.messages import ContentPart
from letta_code.core.requests import Answer


class LastingSession:
    """Acts as `SessionPort`; what is not written out here is the present session's.  `events` has one reader."""

    def __init__(self, session: SessionPort, options: SessionOptions, open_again: OpenAgain | None) -> None:
        self._conversation = Succession(session, options, open_again)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conversation.session, name)

    async def events(self, after: int = 0) -> AsyncIterator[ev.Event | ev.LiveEvent]:
        """As `SessionPort.events`, from one owner to the next; a change is told by a notice that is not stored."""
        async for event in self._conversation.events(after):
            if isinstance(event, Handed):
                text = change_text(event.status.owner, event.before, wanted=event.wanted)
                yield ev.Notice(level="info", text=text, code="owner")
            else:
                yield event

    async def idle(self) -> ev.RunFinished | None:
        """Wait until no run goes on, with whatever owner."""
        while True:
            session = self._conversation.session
            end = await session.idle()
            if not await self._conversation.replaced(session):
                return end

    async def send(self, content: str | tuple[ContentPart, ...], *, client_id: str = "") -> str:
        """As `SessionPort.send`; the next owner gets what the last one did not take any more."""
        return await self._conversation.call(lambda session: session.send(content, client_id=client_id), twice=True)

    async def answer(self, request_id: str, answer: Answer, by: str) -> ev.RequestAnswered:
        """As `SessionPort.answer`."""
        return await self._conversation.call(lambda session: session.answer(request_id, answer, by), twice=True)

    async def to_background(self, by: str) -> str:
        """As `SessionPort.to_background`."""
        return await self._conversation.to_background(by)

    async def take_over(self, by: str) -> None:
        """As `SessionPort.take_over`; returns when the conversation runs here."""
        session = self._conversation.session
        await self._conversation.take_over(by)
        await self._conversation.replaced(session)

    async def close(self) -> None:
        """As `SessionPort.close`."""
        await self._conversation.close()
