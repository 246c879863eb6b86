"""Dispatch: what becomes of a line that the person sends: a command, a shell command, or a message to the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Protocol

from letta_code.agent.port import SessionPort, Status
from letta_code.commands.base import Command, Context, Outcome
from letta_code.config.settings import Settings
from letta_code.core.display import ShellBlock
from letta_code.core.errors import ConfigError, LettaError
from letta_code.core.ids import new_id
from letta_code.core.messages import ContentPart, TextPart
from letta_code.core.requests import Answer
from letta_code.tui.cards import Tail, ToolCard
from letta_code.tui.core_thread import CoreThread
from letta_code.tui.ports import Ports
from letta_code.tui.view_state import ViewState
from letta_code.tui.wording import ATTACHED

MODES = ("plan", "ask", "auto")
# What must work also when no conversation could be opened.
_WITHOUT_SESSION = {"exit": Outcome(quit=True), "new": Outcome(open="new"), "help": Outcome(show="help")}
ATTACH_LIMIT = 16_000  # characters of a command's output that go along with the next message


class Face(Protocol):
    """What the dispatch needs of a screen."""

    @property
    def state(self) -> ViewState:
        """What is shown."""
        ...

    def redraw(self) -> None:
        """The state changed."""
        ...

    def flash(self, text: str) -> None:
        """Say something short."""
        ...

    def restore(self, text: str) -> None:
        """Give words back to the prompt."""
        ...

    def show(self, name: str) -> None:
        """Open a screen or card: help, connect, diff, models, resume."""
        ...

    def open_conversation(self, conversation: str, say: str = "") -> None:
        """Go to another conversation, "" for a new one, and say something there."""
        ...

    def leave(self) -> None:
        """End the program."""
        ...


class LiveOutput:
    """Output of a command that comes on the core's thread, shown on the screen's loop ten times a second at most."""

    def __init__(self, loop: asyncio.AbstractEventLoop, show: Callable[[str], None]) -> None:
        self._loop = loop
        self._show = show
        self._tail = Tail()
        self._waiting = False

    def add(self, text: str) -> None:
        """More output; called on the core's thread."""
        self._tail.add(self._tail.length, text)
        if not self._waiting:
            self._waiting = True
            self._loop.call_soon_threadsafe(self._loop.call_later, 0.1, self._due)

    def _due(self) -> None:
        self._waiting = False
        self._show(self._tail.text)


class Dispatch:
    """Sends what the person wrote where it belongs.

    Every error becomes a notice, and the words go back to the prompt.
    """

    def __init__(self, core: CoreThread, face: Face, settings: Settings, ports: Ports) -> None:
        self._core = core
        self._face = face
        self.settings = settings
        self._ports = ports
        self.commands: Mapping[str, Command] = {}
        self._attached: list[str] = []
        self._talk = 0  # counts the conversations of this screen
        self._shells: list[asyncio.Task[ShellBlock]] = []

    async def load_commands(self) -> None:
        """Import the commands, in the core's thread."""

        async def load() -> Mapping[str, Command]:
            from letta_code.commands.base import load_commands

            return load_commands()

        self.commands = await self._core.run(load())

    def forget(self) -> None:
        """Another conversation is shown: what was for the one before does not go along."""
        self._talk += 1
        self._attached.clear()

    @property
    def shell_runs(self) -> bool:
        """Whether a command of the person runs."""
        return bool(self._shells)

    async def submit(self, text: str) -> None:
        """Do what a line asks for."""
        word = text[1:].split(None, 1)[0] if text.startswith("/") and text[1:].strip() else ""
        if text.startswith("!") and text[1:].strip():
            await self._shell(text[1:].strip())
        elif word and "/" not in word:
            await self._command(word, text[1:].strip()[len(word) :].strip(), text)
        else:
            await self._message(text)

    async def _message(self, text: str) -> None:
        attached, self._attached = self._attached, []
        parts: tuple[ContentPart, ...] = (*(TextPart(text=part) for part in attached), TextPart(text=text))
        client_id = new_id("client")
        try:
            await self._core.call(lambda session: session.send(parts, client_id=client_id), twice=True)
        except ConfigError as error:
            # kept, says the session, but nobody can answer it yet
            self._tell(error)
            self._face.show("no-model")
        except LettaError as error:
            self._attached = attached
            self._tell(error)
            self._face.restore(text)

    # ------------------------------------------------------------ commands

    async def _command(self, word: str, arguments: str, text: str) -> None:
        if word == "mouse":
            self._face.show("mouse")
            return
        if not self.commands:
            await self.load_commands()
        command = self._find(word)
        if command is None:
            near = get_close_matches(word, self.commands, 1)
            hint = f"Did you mean /{near[0]}?" if near else "/help lists the commands."
            self._face.state.notice("warning", f"There is no command /{word}.", hint)
            self._face.restore(text)
            self._face.redraw()
            return
        if command.name in ("background", "takeover", "runs"):
            self._face.show(command.name)  # a wait that the screen shows, and that can be ended
            return
        if word == "compact" and self._face.state.running:
            self._face.flash("The context is compacted right after this step.")
        try:
            outcome = await self._core.call(
                lambda session: command.run(Context(session=session, settings=self.settings), arguments)
            )
        except LettaError as error:
            if command.name not in _WITHOUT_SESSION or self._core.has_session:
                self._tell(error)
                return
            outcome = _WITHOUT_SESSION[command.name]
        await self._follow(outcome, arguments)
        if command.name == "agents" and self._core.has_session:  # the agent may be called something else now
            state, status = self._face.state, await self._core.call(_status)
            if status.conversation_id == state.conversation_id:
                state.agent, state.several = status.agent, status.several
                self._face.redraw()

    def _find(self, word: str) -> Command | None:
        if word in self.commands:
            return self.commands[word]
        return next((command for command in self.commands.values() if word in command.aliases), None)

    async def _follow(self, outcome: Outcome, arguments: str) -> None:
        # Words beside a `show` are for faces that have no such screen; with arguments they say something narrower.
        shown = outcome.show if outcome.show != "diff" or not arguments else ""
        if (outcome.say or outcome.blocks) and not shown and not outcome.open:
            self._face.state.say(outcome.say, outcome.blocks)
            self._face.redraw()
        if outcome.quit:
            self._face.leave()
        elif outcome.open:
            self._face.open_conversation("" if outcome.open == "new" else outcome.open, outcome.say)
        if shown:
            self._face.show(shown)
        if outcome.prompt:
            self._face.restore(outcome.prompt)
        if outcome.send:
            await self._message(outcome.send)

    # ------------------------------------------------------------ the person's shell

    async def _shell(self, command: str) -> None:
        shell = self._ports.shell
        if shell is None:
            self._face.state.notice("warning", "There is no shell here.", "Leave out the ! to ask the agent instead.")
            self._face.restore("!" + command)
            self._face.redraw()
            return
        state = self._face.state
        card = ToolCard(key=state.local_key(), name="!", title=command, status="running", by_person=True)
        card.since = state.clock()
        state.add(card)
        talk = self._talk
        self._face.redraw()
        output = LiveOutput(asyncio.get_running_loop(), lambda text: self._show_output(card, text))
        running = asyncio.create_task(self._core.run(shell().run(command, output.add)))
        self._shells.append(running)
        try:
            block = await running
        except LettaError as error:
            card.status, card.text = "error", f"{error}\n{error.hint}".strip()
        except asyncio.CancelledError:
            card.status = "interrupted"
        else:
            card.status = "ok" if block.exit_code == 0 else "error"
            card.blocks, card.seconds = (block,), block.seconds
            if talk == self._talk:
                self._attached.append(_attachment(block))
                self._face.flash("The output goes along with your next message.")
        self._shells.remove(running)
        self._face.state.touch(card.key)
        self._face.redraw()

    def _show_output(self, card: ToolCard, text: str) -> None:
        card.output = text
        self._face.state.touch(card.key)
        self._face.redraw()

    def stop_shell(self) -> bool:
        """Stop the last command that the person started; False when none runs."""
        if not self._shells:
            return False
        self._shells[-1].cancel()
        return True

    async def close(self) -> None:
        """Stop what the person started in the shell."""
        for running in self._shells:
            running.cancel()
        if self._shells:
            await asyncio.wait(self._shells, timeout=3)

    # ------------------------------------------------------------ steering

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Answer a request."""
        try:
            await self._core.call(lambda session: session.answer(request_id, answer, "tui"), twice=True)
        except LettaError as error:
            self._tell(error)

    async def interrupt(self) -> None:
        """Stop the run."""
        await self._try(lambda session: session.interrupt())

    async def cycle_mode(self) -> None:
        """plan, ask, auto, and again; full is left by it, and reached only by /mode full."""
        mode = self._face.state.mode
        following = MODES[(MODES.index(mode) + 1) % len(MODES)] if mode in MODES else "ask"
        self._face.state.mode = following
        self._face.redraw()
        await self._try(lambda session: session.set_mode(following))

    async def set_model(self, name: str) -> None:
        """Use another model."""
        await self._try(lambda session: session.set_model(name))

    async def take_back(self) -> bool:
        """Give the last waiting message back to the prompt; False when none waits."""
        queue = self._face.state.queue
        if not queue:
            return False
        last = queue[-1]
        if await self._try(lambda session: session.unqueue(last.client_id)):
            self._face.restore(last.text)
        return True

    async def _try(self, work: Any) -> Any:
        try:
            return await self._core.call(work)
        except LettaError as error:
            self._tell(error)
            return None

    def _tell(self, error: LettaError) -> None:
        self._face.state.notice("error", str(error), error.hint)
        self._face.redraw()


async def _status(session: SessionPort) -> Status:
    return session.status


def _attachment(block: ShellBlock) -> str:
    output = block.output
    if len(output) > ATTACH_LIMIT:
        half = ATTACH_LIMIT // 2
        output = f"{output[:half]}\n… {len(output) - ATTACH_LIMIT:,} characters …\n{output[-half:]}"
    return f"{ATTACHED}{block.command}\n{output.rstrip()}\n[exit code {block.exit_code}]"
