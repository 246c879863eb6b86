"""Print mode: one prompt, or a program on stdin, over a session; the answer or JSON on stdout, progress on stderr."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

from letta_code import __version__
from letta_code.agent.contained import bare, notice
from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.core.errors import LettaError
from letta_code.core.events import Notice, StopReason
from letta_code.core.messages import Value
from letta_code.headless.follow import Follower
from letta_code.headless.lines import read_lines
from letta_code.headless.output import Output
from letta_code.headless.progress import Progress
from letta_code.headless.protocol import InitLine, InputErrorLine, read_input
from letta_code.headless.result import EXIT_ERROR, EXIT_READER_GONE, Failure, Result, result_of_error
from letta_code.headless.signals import Signals
from letta_code.headless.writer import Writer
from letta_code.safety.secrets import secret_warning

log = logging.getLogger(__name__)

OpenSession = Callable[[SessionOptions], Awaitable[SessionPort]]

_FLUSH_SECONDS = 10.0
_LAST_SECONDS = 0.2  # for the result of a run that is cut off


class Printing(Value):
    """What to do and how to tell it.

    `form` is text, json or stream-json; `two_way` reads lines of JSON from stdin instead of `prompt`; `notices` are
    what was wrong with the settings.
    """

    prompt: str = ""
    form: str = "text"
    two_way: bool = False
    quiet: bool = False
    notices: tuple[Notice, ...] = ()


def run(options: SessionOptions, printing: Printing, open_session: OpenSession | None = None) -> int:
    """Do it and return the exit code; `open_session` is the core's `start_session` where none is given."""
    if open_session is None:
        from letta_code.agent.start import start_session

        open_session = start_session
    return asyncio.run(_main(options, printing, open_session))


async def _main(options: SessionOptions, printing: Printing, open_session: OpenSession) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    stays = options.settings.on_hangup == "background"
    # (The lambda is not spared: what it calls is made below.)
    signals = Signals(stop.set, lambda: print_run.cut_off(), (lambda: print_run.terminal_gone()) if stays else None)  # noqa: PLW0108
    out = Writer(1, on_broken=lambda: None if stays and out.hung_up else _from_thread(loop, stop.set))
    err = Writer(2)
    progress = Progress(lambda line: err.write(line.encode("utf-8", "replace") + b"\n"), quiet=printing.quiet)
    output = Output(printing.form, out, progress)
    for told in printing.notices:
        progress.notice(told)
    print_run = _PrintRun(options, printing, output, stop, lambda: signals.exit_code)
    code = await print_run.run(open_session)
    patience = 0.5 if stop.is_set() else _FLUSH_SECONDS
    out.flush(patience)
    if stays and out.hung_up:
        return signals.exit_code or code
    if out.error:
        progress.failure(Failure(kind="output", message=f"stdout: {out.error}", hint="The answer is not whole there."))
    err.flush(patience)
    if out.error and not signals.number:
        return EXIT_ERROR
    if out.broken and stop.is_set() and not signals.number:
        return EXIT_READER_GONE
    return signals.exit_code or code


def _from_thread(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(call)


_SANDBOX_SECONDS = 0.1  # the first request goes out before the sandbox is looked for
_SANDBOX_LAST_SECONDS = 2.0


class _PrintRun:
    """One headless run, from opening the session to its last result."""

    def __init__(
        self,
        options: SessionOptions,
        printing: Printing,
        output: Output,
        stop: asyncio.Event,
        stop_code: Callable[[], int],
    ) -> None:
        self._options = options
        self._printing = printing
        self._output = output
        self._stop = stop
        self._stop_code = stop_code
        self._session: SessionPort | None = None
        self._detaching: asyncio.Future[None] | None = None

    def terminal_gone(self) -> None:
        """SIGHUP where the setting `on_hangup` is background: the run comes to its end, told to nobody."""
        from letta_code.host.hangup import let_go

        let_go()
        log.warning("the terminal is gone; the run goes on as process %d", os.getpid())
        if self._session is not None:
            self._detaching = asyncio.ensure_future(self._session.detach("headless"))

    def cut_off(self) -> None:
        """The process ends now, in the middle: a program that reads JSON still gets its result."""
        words = "Ended by a signal before the run could stop; --continue goes on with it."
        self._output.last_words(self._interrupted(words), _LAST_SECONDS)

    async def run(self, open_session: OpenSession) -> int:
        """The exit code; every error has been told when it returns."""
        session: SessionPort | None = None
        try:
            self._session = session = await self._or_stop(open_session(self._options))
            return self._stopped() if session is None else await self._with(session)
        except LettaError as error:
            return self._failed(error, session)
        except Exception as error:  # noqa: BLE001 - the app's border: a bug too ends with a result and an exit code
            return self._bug(error, session)
        finally:
            if session is not None:
                await session.close()

    async def _with(self, session: SessionPort) -> int:
        status = session.status
        resumed = bool(self._options.conversation)
        after = status.last_seq if resumed else 0
        self._output.line(
            InitLine(
                conversation_id=status.conversation_id,
                agent_id=status.agent_id,
                model=status.model,
                mode=status.mode,
                cwd=status.cwd or self._options.cwd,
                version=__version__,
                resumed=resumed,
                last_seq=after,
                sandbox="off" if status.mode == "full" else self._options.settings.sandbox,
            )
        )
        follower = Follower(session, self._output, answering=self._printing.two_way, stop_code=self._stop_code)
        following = asyncio.create_task(follower.follow(after))
        talk = self._converse(session, follower) if self._printing.two_way else self._say(session)
        talking = asyncio.create_task(talk)
        stopping = asyncio.create_task(self._stop.wait())
        holding = asyncio.create_task(self._tell_sandbox(session))
        try:
            await asyncio.wait({following, talking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() and not talking.done():
                await session.interrupt()
                if self._printing.two_way:
                    talking.cancel()
            if following.done():
                following.result()  # raises what ended it: events never end by themselves
            await asyncio.wait({talking})
            if not talking.cancelled():
                talking.result()
            finished = await session.idle()
            if finished is not None:
                await follower.caught_up(finished.seq)
            await asyncio.wait({holding}, timeout=_SANDBOX_LAST_SECONDS)
            await self._close(session, following)
        finally:
            for task in (following, talking, stopping, holding):
                task.cancel()
            await asyncio.gather(following, talking, stopping, holding, return_exceptions=True)
        return follower.code

    async def _tell_sandbox(self, session: SessionPort) -> None:
        """Say once where commands are not held; it is found out beside the run, so that the start does not wait."""
        told = bare(self._options.settings.sandbox, session.status.mode)
        if told is None:
            await asyncio.sleep(_SANDBOX_SECONDS)
            # There is no badge here: less than all is told also where just that was wished.
            told = notice(await session.contained(), "auto", session.status.mode)
        if told is None:
            return
        if self._printing.two_way or self._output.owes_result:
            await self._output.event(told)
        else:  # the result is the last line
            self._output.progress.event(told)

    async def _close(self, session: SessionPort, following: asyncio.Task[None]) -> None:
        """Close the session, and say what comes of that (a reflection that was waited for, say) on stderr."""
        self._output.only_progress = True
        await session.close()
        await asyncio.wait({following}, timeout=_LAST_SECONDS)

    async def _say(self, session: SessionPort) -> None:
        """The one prompt, and its run to the end."""
        if warning := secret_warning(self._printing.prompt):
            self._output.progress.notice(Notice(level="warning", text=warning, code="secret"))
        await session.send(self._printing.prompt)
        if self._stop.is_set():  # the signal came before there was a run to interrupt
            await session.interrupt()
        await session.idle()

    async def _converse(self, session: SessionPort, follower: Follower) -> None:
        """Lines from stdin until it ends, then the runs that are left."""
        number = 0
        async for line in read_lines():
            number += 1
            try:
                await follower.take(read_input(line))
            except LettaError as error:
                self._output.line(InputErrorLine(line=number, message=str(error), hint=error.hint))
                follower.code = error.exit_code
        await follower.nobody_answers()
        await session.idle()

    async def _or_stop(self, opening: Awaitable[SessionPort]) -> SessionPort | None:
        """The session, or None when a signal came first."""
        task = asyncio.ensure_future(opening)
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None

    def _failed(self, error: LettaError, session: SessionPort | None = None) -> int:
        more = {"conversation_id": session.status.conversation_id} if session else {}
        self._output.result(result_of_error(error, **more))
        return error.exit_code

    def _bug(self, error: Exception, session: SessionPort | None) -> int:
        import traceback

        from letta_code.agent.redaction import secrets_of
        from letta_code.config.paths import Paths

        clean = secrets_of(Paths.find()).clean  # what went wrong may quote anything
        self._output.progress.trace(clean("".join(traceback.format_exception(error))))
        words = clean(f"This is a bug in letta-code: {type(error).__name__}: {error}")
        return self._failed(LettaError(words, hint="What was said is kept: letta-code --continue"), session)

    def _stopped(self) -> int:
        result = self._interrupted("Stopped before anything was sent.")
        self._output.result(result)
        return result.exit_code

    def _interrupted(self, words: str) -> Result:
        status = self._session.status if self._session else None
        return Result(
            subtype="interrupted",
            is_error=True,
            conversation_id=status.conversation_id if status else "",
            model=status.model if status else "",
            stop_reason=StopReason.INTERRUPTED,
            exit_code=self._stop_code() or EXIT_READER_GONE,
            error=Failure(kind="interrupted", message=words),
        )
