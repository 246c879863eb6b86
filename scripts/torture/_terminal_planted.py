"""letta-code with a planted fault, so that the torture can find it: `_terminal_planted.py FAULT ARGUMENTS…`."""

from __future__ import annotations

import sys
from collections.abc import Callable


def _textuals_driver() -> None:
    """The full screen uses textual's own driver."""
    from textual.drivers.linux_driver import LinuxDriver

    from letta_code.tui import app

    app.TerminalDriver = LinuxDriver


def _not_drawn() -> None:
    """After `fg` only what has changed is drawn."""
    from letta_code.tui.app import LettaApp

    def nothing(self: LettaApp, _app: object) -> None:
        return

    LettaApp._resumed = nothing


def _children_left() -> None:
    """Commands are started without the launcher's care: nobody ends them."""
    from letta_code.host.process import Child, Launcher

    spawn = Launcher.spawn

    async def kept(self: Launcher, *arguments: object, keep: bool = False, **named: object) -> Child:
        return await spawn(self, *arguments, keep=True, **named)  # type: ignore[arg-type]

    Launcher.spawn = kept


def _raw_left() -> None:
    """The terminal stays raw at the end."""
    import termios

    from letta_code.tui.driver import TerminalDriver

    stop = TerminalDriver.stop_application_mode

    def forgetful(self: TerminalDriver) -> None:
        raw = termios.tcgetattr(self.fileno)
        stop(self)
        termios.tcsetattr(self.fileno, termios.TCSANOW, raw)

    TerminalDriver.stop_application_mode = forgetful


PLANTS: dict[str, Callable[[], None]] = {
    "textuals-driver": _textuals_driver,
    "not-drawn": _not_drawn,
    "children-left": _children_left,
    "raw-left": _raw_left,
}

# The part of the torture in which each is met.
AIMS = {"textuals-driver": "ends", "not-drawn": "stops", "children-left": "ends", "raw-left": "stops"}


if __name__ == "__main__":
    PLANTS[sys.argv[1]]()
    sys.argv[1:] = sys.argv[2:]
    from letta_code.__main__ import main

    sys.exit(main())
