"""Main: `run` opens the full-screen face and gives the exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from letta_code.agent.live.succession import OpenAgain
from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.tui.ports import OpenSession, Ports


def run(
    options: SessionOptions,
    open_session: OpenSession | None = None,
    ports: Ports | None = None,
    *,
    history_folder: Path | None = None,
    open_again: OpenAgain | None = None,
) -> int:
    """Show the screen until the person leaves; 0, or 128 + N when signal N ended it.

    A conversation that another process runs is followed live: `options.conversation` is all that this needs.
    Without `open_session` the real agent is opened (imported after the first frame); without `history_folder` prompts
    and drafts are kept in the person's home.  Raises `UsageError`, after the screen was given back, when the command
    line named a conversation that is not there.
    """
    # Esc is told from the start of a key sequence by this pause; textual's 100 ms is all that an interrupt may take.
    os.environ.setdefault("ESCDELAY", "40")
    from letta_code.host.hangup import let_go
    from letta_code.tui.app import LettaApp
    from letta_code.tui.left import stay

    if history_folder is None:
        from letta_code.config.paths import Paths

        history_folder = Paths.find().home / "prompts"
    if open_session is None:
        open_session, open_again = _open_session, _open_again
    app = LettaApp(options, open_session, ports or Ports(), history_folder=history_folder, open_again=open_again)
    code = app.run(mouse=options.settings.face.mouse)
    if app.hung_up:
        let_go()
    if app.left_running:
        return asyncio.run(stay(app.core))
    if app.refused is not None:
        raise app.refused
    for path in app.unsaved:
        sys.stdout.write(f"Not saved in memory, kept in {path}\n")
    for line in app.farewell.lines():
        sys.stdout.write(f"{line}\n")
    if app.resume_id:
        sys.stdout.write(f"letta-code --resume {app.resume_id}\n")
    return code or app.return_code or 0


async def _open_session(options: SessionOptions) -> SessionPort:
    from letta_code.agent.live.opening import open_session

    return await open_session(options)


async def _open_again(options: SessionOptions, patience: float) -> SessionPort:
    from letta_code.agent.live.again import open_again

    return await open_again(options, patience=patience)
