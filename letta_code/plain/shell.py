"""What a person types after `!`: run in the folder's shell; its output goes along with the next message."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence

from letta_code.core.display import ShellBlock
from letta_code.safety.terminal import readable

Say = Callable[[str], None]
# Runs a command and gives its output piece by piece; being cancelled kills it.
RunShell = Callable[[str, Callable[[str], None]], Awaitable[ShellBlock]]

ATTACHED = "[The person ran this in the shell]\n$ "  # the full screen knows such a part by these words
_MOST = 20_000  # characters of output that go to the model


class TypedCommands:
    """Runs what is typed and keeps it for the next message."""

    def __init__(self, run: RunShell | None, say: Say) -> None:
        self._run = run
        self._say = say
        self._kept: list[str] = []

    def taken(self) -> list[str]:
        """What goes along with the message that is sent now."""
        kept, self._kept = self._kept, []
        return kept

    def keep(self, attached: Sequence[str]) -> None:
        """Keep what was taken for the next message after all: this one was not accepted."""
        self._kept = [*attached, *self._kept]

    async def type(self, command: str) -> None:
        """Run one to its end; Ctrl-C kills it.  Raises `LettaError`."""
        if self._run is None:
            self._say("There is no shell here. Leave out the ! to ask the agent instead.")
            return
        lines = _Lines(self._say)
        running = asyncio.ensure_future(self._run(command, lines.add))
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, running.cancel)
        try:
            await asyncio.wait({running})
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            running.cancel()  # where we are cancelled ourselves
        lines.end()
        if running.cancelled():
            self._say("(stopped)")
            return
        block = running.result()
        self._kept.append(attachment(block))
        self._say(f"(exit code {block.exit_code}, {block.seconds:.1f} s; the output goes along with your next message)")


class _Lines:
    """Pieces of output as whole lines."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._rest = ""

    def add(self, text: str) -> None:
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._line(line)

    def end(self) -> None:
        if self._rest:
            self._line(self._rest)

    def _line(self, line: str) -> None:
        for part in readable(line.rstrip("\r")).split("\n"):
            self._say(part)


def attachment(block: ShellBlock) -> str:
    """A command and its output for the model, the middle of a long one left out."""
    output = readable(block.output).rstrip()
    if len(output) > _MOST:
        half = _MOST // 2
        output = f"{output[:half]}\n… {len(output) - _MOST} characters left out …\n{output[-half:]}"
    return f"{ATTACHED}{block.command}\n{output}\n[exit code {block.exit_code}]"
