"""Reading what a person types: with history and editing on a terminal, line by line from anything else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import termios
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from prompt_toolkit.history import History
    from prompt_toolkit.output import Output

_HISTORY_LIMIT = 4_000_000


class Reader(Protocol):
    """Asks for one line."""

    async def line(self, prompt: str, *, remember: bool = False, secret: bool = False) -> str:
        """A line without its newline; `remember` puts it into the history, `secret` does not show it.

        Raises `EOFError` at the end of the input and `KeyboardInterrupt` for Ctrl-C.
        """
        ...


async def read_text(reader: Reader, prompt: str) -> str:
    """What was typed; a line that ends with a backslash goes on in the next one."""
    lines: list[str] = []
    while True:
        line = await reader.line(prompt if not lines else "… ", remember=not lines)
        if not line.endswith("\\"):
            return "\n".join([*lines, line])
        lines.append(line[:-1])


def open_reader(history_folder: Path, cwd: str) -> Reader:
    """A prompt with history where both ends are a terminal, else plain lines."""
    if os.isatty(0) and os.isatty(1):
        return TerminalReader(history_folder, cwd)
    return PipeReader()


class TerminalReader:
    """prompt_toolkit's line editor; it knows dumb terminals, and draws no more than the line being typed."""

    def __init__(self, history_folder: Path, cwd: str) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.application import create_app_session
        from prompt_toolkit.output import create_output
        from prompt_toolkit.output.vt100 import Vt100_Output
        from prompt_toolkit.utils import is_dumb_terminal

        dumb = is_dumb_terminal()
        # Without an output of ours the library sees a dumb terminal by itself, and prompts without escape sequences.
        output = None if dumb else create_output()
        if isinstance(output, Vt100_Output):
            output.enable_cpr = False  # asking where the cursor is confuses simple terminals, and one line needs it not
        self._history = _history(history_folder, cwd)
        with create_app_session(output=_dumb_output() if dumb else output):
            self._prompt: PromptSession[str] = PromptSession(
                history=self._history, enable_history_search=True, output=output
            )
            # A second prompt for answers, so that `1` and `yes` do not fill the history.
            self._question: PromptSession[str] = PromptSession(output=output)

    async def line(self, prompt: str, *, remember: bool = False, secret: bool = False) -> str:
        """See `Reader`."""
        if secret:  # not by prompt_toolkit: on a dumb terminal it shows what is typed
            from getpass import getpass

            return getpass(prompt)
        session = self._prompt if remember else self._question
        if not remember:  # what was typed before the question was asked is no answer to it
            termios.tcflush(0, termios.TCIFLUSH)
        # An answer is asked for during a run, whose SIGINT handler the library would take away for good.
        return await session.prompt_async(prompt, handle_sigint=remember)


class PipeReader:
    """Lines from a descriptor that is no terminal; read on a thread, so that a run goes on while nothing comes."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._lines: asyncio.Queue[str | None] | None = None

    async def line(self, prompt: str, *, remember: bool = False, secret: bool = False) -> str:
        """See `Reader`."""
        sys.stdout.write(prompt)
        sys.stdout.flush()
        if self._lines is None:
            self._lines = asyncio.Queue()
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._pump, args=(loop, self._lines), name="stdin", daemon=True).start()
        line = await self._lines.get()
        if line is None:
            self._lines.put_nowait(None)
            raise EOFError
        sys.stdout.write(
            "\n" if secret else line + "\n"
        )  # nothing echoes a pipe: a transcript should show what was said
        return line

    def _pump(self, loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str | None]) -> None:
        kept = b""
        with suppress(RuntimeError):  # the loop has ended; what still comes is for nobody
            with suppress(OSError):  # closed: the same as its end
                while data := os.read(self._descriptor, 65536):
                    *whole, kept = (kept + data).split(b"\n")
                    for line in whole:
                        loop.call_soon_threadsafe(lines.put_nowait, line.decode("utf-8", "replace").rstrip("\r"))
            if kept:
                loop.call_soon_threadsafe(lines.put_nowait, kept.decode("utf-8", "replace"))
            loop.call_soon_threadsafe(lines.put_nowait, None)


def _dumb_output() -> Output:
    """An output that leaves the cursor alone: the library shows it as soon as a prompt is made, on any terminal."""
    from prompt_toolkit.output.vt100 import Vt100_Output

    class DumbOutput(Vt100_Output):
        def show_cursor(self) -> None:
            """Nothing: it was never hidden."""

    return DumbOutput.from_pty(sys.stdout, term="dumb")


class _Line(msgspec.Struct):
    text: str = ""


def _history(folder: Path, cwd: str) -> History:
    """The prompts of one project, in the file that the full-screen face keeps as well."""
    from prompt_toolkit.history import History

    from letta_code.host.files import append_line, ensure_private_dir, read_bounded
    from letta_code.safety.secrets import without_secrets

    key = hashlib.sha256(os.path.realpath(cwd).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = folder / f"{key}.jsonl"

    class ProjectHistory(History):
        """One JSON object a line; a torn line is passed over, an unwritable file costs the history only."""

        def load_history_strings(self) -> Iterable[str]:
            """The newest first."""
            try:
                raw = read_bounded(path, _HISTORY_LIMIT)
            except OSError:
                return
            for line in reversed(raw.split(b"\n")):
                with suppress(msgspec.DecodeError):
                    if text := msgspec.json.decode(line, type=_Line).text:
                        yield text

        def store_string(self, string: str) -> None:
            """Keep one."""
            with suppress(OSError):
                ensure_private_dir(folder)
                append_line(path, msgspec.json.encode(_Line(text=without_secrets(string)[0])))

    return ProjectHistory()
