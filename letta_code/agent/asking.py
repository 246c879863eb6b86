"""Asking: the requests of one session, each waiting for its first answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from letta_code.agent.ledger import Ledger
from letta_code.agent.unanswered import reason_for
from letta_code.core import events as ev
from letta_code.core.requests import Answer, Approve, Request, Unanswered


class Asking:
    """Asks the person; `face` answers for the person where nobody is there, `approved` is told of each first yes."""

    def __init__(self, ledger: Ledger, *, interactive: bool, face: str, approved: Callable[[Approve], None]) -> None:
        self._ledger = ledger
        self._interactive = interactive
        self._face = face
        self._approved = approved
        self._waiters: dict[str, asyncio.Future[Answer]] = {}

    async def ask(self, request: Request) -> Answer:
        """Ask the person and wait for the first answer."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[request.request_id] = waiter  # first: who is told of the request may answer at once
        try:
            await self._ledger.commit(ev.RequestMade(request=request))
            if not self._interactive:
                stands = await self.answer(request.request_id, Unanswered(reason=reason_for(request)), by=self._face)
                return stands.answer
            return await waiter
        finally:
            self._waiters.pop(request.request_id, None)

    async def answer(self, request_id: str, answer: Answer, by: str) -> ev.RequestAnswered:
        """Answer a request; the first answer stands."""
        stands, first = await self._ledger.answer(ev.RequestAnswered(request_id=request_id, answer=answer, by=by))
        if first and isinstance(stands.answer, Approve):
            self._approved(stands.answer)
        waiter = self._waiters.get(request_id)
        if waiter is not None and not waiter.done():
            waiter.set_result(stands.answer)
        return stands
