"""Leaving: the way out of the screen, and the ways by which a run changes its owner on the person's word."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from letta_code.agent.port import SessionPort, Status
from letta_code.core.errors import LettaError
from letta_code.core.messages import Value

if TYPE_CHECKING:
    from letta_code.tui.screens.chat import ChatScreen

NOTHING_RUNS = "Nothing runs here that could go on in the background."


class Farewell(Value):
    """How to come back to what was left: the run that goes on (`owner` has it), "" where none does."""

    run_id: str = ""
    owner: str = ""

    def lines(self) -> tuple[str, ...]:
        """What the terminal shows after the screen is gone."""
        if not self.run_id:
            return ()
        where = f"in {self.owner}" if self.owner else "in the background"
        return (f"The run goes on {where}. Follow it:", f"letta-code follow {self.run_id}")


class Leaving:
    """Asks what becomes of a run, and does it.  Everything is called on the screen's loop."""

    def __init__(self, chat: ChatScreen) -> None:
        self._chat = chat
        self._card: object | None = None
        self._moving: asyncio.Task[object] | None = None
        self.farewell = Farewell()

    @property
    def asks(self) -> bool:
        """Whether the card stands there."""
        return self._card is not None and self._chat.place.card is self._card

    @property
    def moves(self) -> bool:
        """Whether a run is on its way to another owner, on the word of the person here."""
        return self._moving is not None and not self._moving.done()

    def leave(self) -> None:
        """End the program; where a run goes on here, ask what becomes of it."""
        state = self._chat.state
        if state.running and state.ownership.owner:
            self._chat.run_worker(self._away(), group="leave", exclusive=True)
        elif state.running and self._chat.core.has_session:
            self._chat.run_worker(self._ask(), group="leave", exclusive=True)
        else:
            self._chat.app.exit(0)

    def stop(self) -> None:
        """Stop the run and end the program: closing the session does both."""
        self._chat.app.exit(0)

    def background(self) -> None:
        """Move the run to the background, then end the program."""
        chat = self._chat
        if not chat.state.running:
            chat.flash(NOTHING_RUNS)
        elif chat.state.ownership.owner and chat.state.ownership.background:
            chat.run_worker(self._away(), group="leave", exclusive=True)  # it is there already
        elif not self.moves:
            chat.state.ownership.moving, chat.state.ownership.since = "background", chat.state.clock()
            self._begin(self._to_background())

    def take_over(self) -> None:
        """Make the conversation this process's own."""
        chat = self._chat
        if not chat.state.ownership.owner:
            chat.flash("This conversation runs here already.")
        elif not self.moves:
            chat.state.ownership.moving = "here"
            self._begin(self._take_over())

    def stay(self) -> bool:
        """Keep the run here after all; False when nothing was to move to the background."""
        mine = self._chat.state.ownership
        if not self.moves or mine.moving != "background" or mine.owner or self._moving is None:
            return False
        self._moving.cancel()
        return True

    # ------------------------------------------------------------ inside

    def _begin(self, work: object) -> None:
        self._moving = asyncio.ensure_future(work)  # type: ignore[arg-type]  # a coroutine of ours
        self._chat.redraw()

    async def _ask(self) -> None:
        from letta_code.tui.widgets.exit_card import ExitCard

        if self.asks:
            return
        self._card = card = ExitCard(await self._run_id(), self._chosen)
        await self._chat.place.put(card)
        self.look()

    def look(self) -> None:
        """End the program where the person wanted to leave, and nothing runs any more that could be asked about."""
        if self.asks and not self._chat.state.running:
            self.stop()

    def _chosen(self, what: str) -> None:
        self._card = None
        self._chat.place.clear()
        if what == "background":
            self.background()
        elif what == "stop":
            self.stop()

    async def _to_background(self) -> None:
        chat = self._chat
        try:
            run_id = await chat.core.to_background()
        except asyncio.CancelledError:
            chat.state.ownership.moving = ""
            chat.flash("It stays here.")
            chat.redraw()
            return
        except LettaError as error:
            self._failed(error)
            return
        if run_id:
            self.farewell = Farewell(run_id=run_id)
            chat.app.exit(0)
            return
        chat.state.ownership.moving = ""
        chat.flash("The run was done before it could move.")
        chat.redraw()

    async def _take_over(self) -> None:
        try:
            await self._chat.core.take_over()
        except LettaError as error:
            self._failed(error)

    def _failed(self, error: LettaError) -> None:
        chat = self._chat
        chat.state.ownership.moving = ""
        chat.state.notice("error", str(error), error.hint)
        chat.redraw()

    async def _away(self) -> None:
        """Leave what another process runs to it."""
        self.farewell = Farewell(run_id=await self._run_id(), owner=self._chat.state.ownership.owner)
        self._chat.app.exit(0)

    async def _run_id(self) -> str:
        try:
            return (await asyncio.wait_for(self._chat.core.call(_status), 1.0)).run_id
        except (LettaError, TimeoutError):
            return ""


async def _status(session: SessionPort) -> Status:
    return session.status
