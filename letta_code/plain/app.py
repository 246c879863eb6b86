"""The plain face: a prompt, lines that only grow, numbered choices; no colour, no movement."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from difflib import get_close_matches
from typing import Any, cast

from letta_code import __version__
from letta_code.agent.contained import badge, notice
from letta_code.agent.folder_trust import TrustQuestion
from letta_code.agent.live.words import short
from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.commands.base import Context, Outcome, load_commands
from letta_code.config.paths import Paths
from letta_code.core.errors import ConfigError, LettaError
from letta_code.core.ids import new_id
from letta_code.core.messages import TextPart
from letta_code.host.hangup import let_go
from letta_code.plain import dialog
from letta_code.plain.asking import FACE, Asking
from letta_code.plain.reader import PipeReader, Reader, open_reader, read_text
from letta_code.plain.render import block_lines
from letta_code.plain.say import say
from letta_code.plain.shell import RunShell, TypedCommands
from letta_code.plain.telling import Telling
from letta_code.safety.containment import Containment
from letta_code.safety.secrets import secret_warning
from letta_code.safety.terminal import readable

log = logging.getLogger(__name__)

OpenSession = Callable[[SessionOptions], Awaitable[SessionPort]]
# The model step of `letta-code configure`, with a reader and a sayer; gives the model's name, "" for none.
Connect = Callable[[Reader, Callable[[str], None]], Awaitable[str]]


def run(
    options: SessionOptions,
    open_session: OpenSession | None = None,
    *,
    reader: Reader | None = None,
    connect: Connect | None = None,
    shell: RunShell | None = None,
    trust: TrustQuestion | None = None,
) -> int:
    """Talk until the person leaves; 0, or 128 + N when signal N ended it.  `trust` is asked first, where given."""
    if open_session is None:
        open_session = _open_session
    reader = reader or open_reader(Paths.find().prompts, options.cwd)
    typed = TypedCommands(shell, say)

    async def talk() -> int:
        opened = options
        if trust is not None:
            from letta_code.plain.trusting import ask

            answered = await ask(reader, trust)
            if answered is None:
                return 0
            opened = answered
        return await PlainFace(opened, open_session, reader, connect, typed).main()

    return asyncio.run(talk())


async def _open_session(options: SessionOptions) -> SessionPort:
    """The conversation, run here or followed; opened again when it has another owner."""
    from letta_code.agent.live.again import open_again
    from letta_code.agent.live.lasting import LastingSession
    from letta_code.agent.live.opening import open_session

    async def again(options: SessionOptions, patience: float) -> SessionPort:
        return await open_again(options, patience=patience)

    return cast(SessionPort, LastingSession(await open_session(options), options, again))


def _is_command(text: str) -> bool:
    """`/word …`; a path such as `/usr/bin is missing` is a message."""
    word = text[1:].split(None, 1)
    return text.startswith("/") and bool(word) and not text[1].isspace() and "/" not in word[0]


class PlainFace:
    """One run of the program: one conversation after the other."""

    def __init__(
        self,
        options: SessionOptions,
        open_session: OpenSession,
        reader: Reader,
        connect: Connect | None,
        typed: TypedCommands,
    ) -> None:
        self._options = options
        self._open_session = open_session
        self._reader = reader
        self._connect = connect
        self._typed = typed
        self._asking = Asking(reader, self._stays)
        self._ended = 0  # the signal that ends the program
        self._moving = False  # the run is on its way to the background
        self._told_of_sandbox = False
        self._left = False  # the person went away from what another process runs

    async def main(self) -> int:
        """Conversations until the person leaves."""
        self._main = asyncio.current_task()
        # Ctrl-C outside of a run ends the program, also while a prompt blocks: asyncio's own handler would not.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._end, number)
        following: str | None = self._options.conversation
        try:
            while following is not None:
                following = await self._conversation(following)
        except LettaError as error:
            self._tell(error)
            return error.exit_code
        except asyncio.CancelledError:
            if not self._ended:
                raise
        return 128 + self._ended if self._ended else 0

    def _end(self, number: int) -> None:
        if number == signal.SIGHUP:
            let_go()
            if self._moving:  # the person has said what is to become of it; what is read next is the end of input
                log.warning("the terminal is gone; the run moves to the background out of process %d", os.getpid())
                return
        self._ended = number
        if self._main is not None:
            self._main.cancel()

    async def _conversation(self, conversation: str) -> str | None:
        """One conversation; the id of the next ("" for a new one), None to leave."""
        import msgspec

        options = msgspec.structs.replace(self._options, conversation=conversation)
        if conversation != self._options.conversation and conversation:
            options = msgspec.structs.replace(options, agent="")  # it has its agent; the start asked for the first's
        session = await self._open_session(options)
        status = session.status
        self._telling = Telling(self._asking, status)
        following = asyncio.create_task(self._telling.follow(session))
        try:
            held = await session.contained()
            self._greet(session, badge(held, status.mode), resumed=bool(conversation))
            self._tell_sandbox(held, status.mode)
            await self._telling.caught_up(status.last_seq)
            if status.running:
                await self._watch(session)
            return await self._talk(session) if not self._left else None
        except asyncio.CancelledError:
            if not (self._ended == signal.SIGHUP and self._stays(session)):
                raise
            await self._stay(session)
            return None
        finally:
            following.cancel()
            if session.status.owner and session.status.running:
                say(
                    f"It goes on in {short(session.status.owner)}. Come back: letta-code follow {session.status.run_id}"
                )
            await session.close()

    def _stays(self, session: SessionPort) -> bool:
        """Whether a run goes on without its terminal."""
        return self._options.settings.on_hangup == "background" and session.status.running

    async def _stay(self, session: SessionPort) -> None:
        """Wait until no run goes on and none is queued; a signal that ends the program still does."""
        log.warning("the terminal is gone; the run goes on in the background as process %d", os.getpid())
        self._ended = 0
        await session.detach(FACE)
        await session.idle()

    def _greet(self, session: SessionPort, sandbox: str, *, resumed: bool) -> None:
        status = session.status
        say(f"letta-code {__version__} in {status.cwd or self._options.cwd}")
        mode = f"{status.mode}, {sandbox}" if sandbox else status.mode
        say(f"Model: {status.model or 'none yet, /connect chooses one'}. Mode: {mode}.")
        say("Type what you want done, or !COMMAND for the shell.")  # lines that 80 columns do not break in a word
        say("/help lists the commands, /exit leaves, Ctrl-C stops a run.")
        if resumed:
            say(f"Going on with: {readable(status.title) or status.conversation_id}")
        if status.owner:
            say(f"You watch {short(status.owner)}, which runs this conversation.")
            say("/takeover brings it here.")

    def _tell_sandbox(self, held: Containment, mode: str) -> None:
        """Say once what the sandbox does not hold."""
        told = None if self._told_of_sandbox else notice(held, self._options.settings.sandbox, mode)
        if told is not None:
            self._told_of_sandbox = True
            self._telling.take(told)

    # ------------------------------------------------------------ what is typed

    async def _talk(self, session: SessionPort) -> str | None:
        while True:
            try:
                text = await read_text(self._reader, "> ")
            except EOFError:
                return None
            except KeyboardInterrupt:
                say("(/exit or Ctrl-D leaves.)")
                continue
            if _is_command(text):
                outcome = await self._command(session, text)
                if outcome.quit or self._left:
                    return None
                if outcome.open:
                    return "" if outcome.open == "new" else outcome.open
            elif text.startswith("!") and text[1:].strip():
                await self._shell(text[1:].strip())
            elif text.strip() and await self._sends(text):
                await self._send(session, text)
                if self._left:
                    return None

    async def _sends(self, text: str) -> bool:
        """Whether a text is sent although it holds what looks like a key; who types is warned first."""
        warning = secret_warning(text)
        if not warning:
            return True
        say(warning)
        if isinstance(self._reader, PipeReader):  # its next line is the next thing said
            return True
        try:
            return not (await self._reader.line("Enter sends it, Ctrl-C or a word drops it: ")).strip()
        except (EOFError, KeyboardInterrupt):
            say("(Not sent.)")
            return False

    async def _shell(self, command: str) -> None:
        try:
            await self._typed.type(command)
        except LettaError as error:
            self._tell(error)

    async def _send(self, session: SessionPort, text: str) -> None:
        attached = self._typed.taken()
        parts = (*(TextPart(text=part) for part in attached), TextPart(text=text))
        client_id = new_id("client")
        self._telling.typed.add(client_id)
        try:
            await session.send(parts if len(parts) > 1 else text, client_id=client_id)
        except ConfigError as error:
            self._tell(error)
            if session.status.model or not await self._choose_model(session):
                return
        except LettaError as error:
            self._typed.keep(attached)
            self._tell(error)
            return
        await self._watch(session)

    async def _watch(self, session: SessionPort) -> None:
        """Wait for the run's end; Ctrl-C stops it; requests are asked meanwhile."""
        loop = asyncio.get_running_loop()
        interrupt = asyncio.Event()
        loop.add_signal_handler(signal.SIGINT, interrupt.set)
        idle = asyncio.create_task(session.idle())
        try:
            while not idle.done() and not self._left:
                request = asyncio.create_task(self._asking.next())
                stopped = asyncio.create_task(interrupt.wait())
                await asyncio.wait({idle, request, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if stopped.done():
                    interrupt.clear()
                    await self._stop_or_leave(session)
                if request.done() and not self._left:
                    await self._asking.ask(session, request.result())
                for task in (request, stopped):
                    task.cancel()
            if not self._left:
                idle.result()
        except LettaError as error:
            self._tell(error)
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            idle.cancel()
        await self._telling.caught_up(session.status.last_seq)

    async def _stop_or_leave(self, session: SessionPort) -> None:
        """Ctrl-C: a run of our own is stopped, one of another process may go on without us."""
        if session.status.owner:
            options = dialog.leaving_lines(short(session.status.owner))
            for line in options:
                say(line)
            try:
                answer = (await self._reader.line("Answer 1 to 3: ")).strip()
            except (EOFError, KeyboardInterrupt):
                answer = "1"
            self._left = answer == "1"
            if answer != "2":
                return
        say("(stopping)")
        await session.interrupt()

    # ------------------------------------------------------------ commands

    async def _command(self, session: SessionPort, text: str) -> Outcome:
        name, _, arguments = text[1:].strip().partition(" ")
        commands = load_commands()
        found = commands.get(name) or next((one for one in commands.values() if name in one.aliases), None)
        if found is None:
            close = get_close_matches(name, commands, 1)
            say(f"There is no command /{name}." + (f" Did you mean /{close[0]}?" if close else " /help lists them."))
            return Outcome()
        context = Context(session=session, settings=self._options.settings)
        self._moving = found.name == "background"
        try:
            outcome = await self._stoppable(session, found.run(context, arguments.strip()))
        except LettaError as error:
            self._tell(error)
            outcome = Outcome()
        finally:
            self._moving = False
        for line in readable(outcome.say).split("\n") if outcome.say else ():
            if not line.startswith("```"):
                say(line)
        for block in outcome.blocks:
            for line in block_lines(block):
                say(line)
        if outcome.prompt:
            say("Your message was, to be sent again or changed:")
            self._telling.lines.typed((TextPart(text=outcome.prompt),))
        if outcome.show == "connect":
            await self._choose_model(session)
        if session.status.running and not (outcome.quit or outcome.open):
            await self._watch(session)  # what waited for the command's work is answered now
        if outcome.send:
            await self._send(session, outcome.send)
        return outcome

    async def _stoppable(self, session: SessionPort, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        """A command to its end; Ctrl-C stops what it has the session do, else the command itself."""
        loop = asyncio.get_running_loop()
        running = asyncio.create_task(work)
        stopping: list[asyncio.Task[None]] = []

        def stop() -> None:
            say("(stopping)")
            if session.status.running:
                stopping.append(asyncio.create_task(session.interrupt()))
            else:
                running.cancel()

        loop.add_signal_handler(signal.SIGINT, stop)
        try:
            await asyncio.wait({running})
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            running.cancel()  # where we are cancelled ourselves
        await asyncio.gather(*stopping)
        await self._telling.caught_up(session.status.last_seq)
        return Outcome() if running.cancelled() else running.result()

    async def _choose_model(self, session: SessionPort) -> bool:
        """The model step of the wizard; whether a model was chosen.  A message that waits for one is answered."""
        if self._connect is None:
            say("Run `letta-code configure` in another terminal, then give the model with /model NAME.")
            return False
        try:
            name = await self._connect(self._reader, say)
            if name:
                await session.set_model(name)
        except (EOFError, KeyboardInterrupt):
            return False
        except LettaError as error:
            self._tell(error)
            return False
        if name and session.status.running:
            await self._watch(session)
        return bool(name)

    def _tell(self, error: LettaError) -> None:
        say(f"error: {readable(str(error))}")
        for line in error.hint.splitlines():
            say(f"  {readable(line)}")
