"""Asking: what the agent asks, put to the person at the prompt, unless another face answers first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from letta_code.agent.port import SessionPort
from letta_code.core.requests import Answer, ApprovalRequest, Deny, QuestionRequest, Request, Unanswered
from letta_code.host.hangup import hung_up
from letta_code.plain import dialog
from letta_code.plain.reader import Reader
from letta_code.plain.say import say
from letta_code.safety.terminal import readable

FACE = "plain"


class Asking:
    """Keeps what is asked until somebody has answered.  `stays` says whether a run goes on without its terminal."""

    def __init__(self, reader: Reader, stays: Callable[[SessionPort], bool]) -> None:
        self._reader = reader
        self._stays = stays
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._answered: dict[str, asyncio.Event] = {}

    def made(self, request: Request) -> None:
        """Something is asked."""
        self._answered[request.request_id] = asyncio.Event()
        self._requests.put_nowait(request)

    def answered(self, request_id: str) -> None:
        """Somebody has answered."""
        self._answered.setdefault(request_id, asyncio.Event()).set()

    async def next(self) -> Request:
        """What is asked next; waits for it."""
        return await self._requests.get()

    async def ask(self, session: SessionPort, request: Request) -> None:
        """Ask the person, unless another face has answered, or does so first."""
        answered_elsewhere = self._answered[request.request_id]
        if answered_elsewhere.is_set():
            return
        asking = asyncio.create_task(self._answer_to(session, request))
        answered = asyncio.create_task(answered_elsewhere.wait())
        await asyncio.wait({asking, answered}, return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()
        if not asking.done():
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            say("(It was answered elsewhere.)")
            return
        stands = await session.answer(request.request_id, asking.result(), FACE)
        if stands.by != FACE:
            say(f"(It was answered already, by {readable(stands.by)}.)")

    async def _answer_to(self, session: SessionPort, request: Request) -> Answer:
        try:
            if isinstance(request, ApprovalRequest):
                return await self._approval(request)
            return await self._question(request)
        except EOFError:
            if self._stays(session) and hung_up(0):
                await asyncio.Event().wait()  # nobody has said no: somebody may come back; SIGHUP ends this wait
            return Unanswered(reason="The person's input has ended.")
        except KeyboardInterrupt:
            return Deny(stop=True)

    async def _approval(self, request: ApprovalRequest) -> Answer:
        options = dialog.approval_options(request)
        for line in (*dialog.approval_lines(request), *dialog.option_lines(options)):
            say(line)
        while True:
            text = await self._reader.line(f"Answer 1 to {len(options)}, or say what to do instead: ")
            answer = dialog.approval_answer(text, options)
            if answer is not None:
                return answer

    async def _question(self, request: QuestionRequest) -> Answer:
        for line in dialog.question_lines(request):
            say(line)
        while True:
            answer = dialog.question_answer(await self._reader.line("Answer: "), request)
            if answer is not None:
                return answer
