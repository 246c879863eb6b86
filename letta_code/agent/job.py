"""Job: what a process without a face is told that goes on with a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_code.core.messages import Value

if TYPE_CHECKING:
    from letta_code.agent.port import SessionOptions


class Job(Value):
    """What a worker is told on its stdin: the conversation, and what its starter was allowed.

    `mode` may be full: that holds for this process only and is never kept.  `unattended`: nobody will answer.
    `trusted_as` is a digest of what of the folder the starter trusted: it is trusted here while it is that.
    """

    conversation: str
    cwd: str
    mode: str = ""
    model: str = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    max_turns: int = 0
    time_limit: float = 0.0
    unattended: bool = False
    trusted_as: str = ""


def job_of(options: SessionOptions, conversation_id: str, *, mode: str, model: str) -> Job:
    """What a worker is told that goes on with a conversation which was opened so."""
    return Job(
        conversation=conversation_id,
        cwd=options.cwd,
        mode=mode,
        model=model,
        allow=options.allow,
        deny=options.deny,
        max_turns=options.settings.max_turns,
        time_limit=options.settings.time_limit,
        unattended=not options.interactive,
        trusted_as=options.trusted_as,
    )
