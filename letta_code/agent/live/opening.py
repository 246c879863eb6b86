"""Opening: a conversation for a face: run here where it is free, followed where another process runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.agent.start import start_session

if TYPE_CHECKING:
    from letta_code.config.paths import Paths


async def open_session(options: SessionOptions, *, paths: Paths | None = None) -> SessionPort:
    """The conversation of `options`: a session of this process, or, where another one runs it, that one followed.

    A face tells the two apart by `status.owner`.  Raises what `start_session` raises; `ConversationBusy` only when
    the owner can neither be followed nor replaced within two seconds.
    """
    return await start_session(options, paths=paths)
