"""First events: how the journal of a new conversation begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from letta_code import __version__
from letta_code.core import events as ev
from letta_code.core.messages import text_of

TITLE_LENGTH = 60


def first_events(
    conversation_id: str, agent_id: str, cwd: str, messages: Sequence[ev.UserMessage], settings: Mapping[str, str]
) -> list[ev.KnownEvent]:
    """The start, a title of the first message, and the settings that hold (mode full is for one start only)."""
    title = " ".join(text_of(messages[0].content).split())[:TITLE_LENGTH] if messages else ""
    started = ev.ConversationStarted(conversation_id=conversation_id, agent_id=agent_id, cwd=cwd, version=__version__)
    kept = [
        ev.SettingChanged(name=name, value=value, by="start")
        for name, value in settings.items()
        if value and not (name == "mode" and value == "full")
    ]
    return [started, ev.ConversationRenamed(title=title, by="first message"), *kept]
