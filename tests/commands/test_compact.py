"""/compact: what is asked of the session, and what is said of it."""

from __future__ import annotations

from letta_code.commands.base import Outcome, load_commands
from letta_code.config.settings import Settings
from letta_code.core import events as ev
from letta_code.core.messages import Value


class Compacting(Value):
    """A session that notes what it was told to keep."""

    words: list[str]
    event: ev.ContextCompacted

    async def compact(self, instructions: str = "") -> ev.ContextCompacted:
        self.words.append(instructions)
        return self.event


async def test_compact_asks_the_session_and_leaves_the_telling_to_the_event() -> None:
    session = Compacting(words=[], event=ev.ContextCompacted(message_id="m", summary="…", first_kept_seq=9))

    class Given(Value):
        session: Compacting
        settings: Settings = Settings()
        store: object = None

    outcome = await load_commands()["compact"].run(Given(session=session), " keep the list ")  # type: ignore[arg-type]
    assert session.words == ["keep the list"]
    assert outcome == Outcome()
