"""/compact: what is asked of the session, and what is said of it."""

from __future__ import annotations

import pytest

from letta_code.commands.base import load_commands
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


@pytest.mark.parametrize(("method", "said"), [("summary", "summarised"), ("cut", "without a summary")])
async def test_compact_says_in_one_line_what_it_did(method: str, said: str) -> None:
    event = ev.ContextCompacted(
        message_id="m", summary="…", first_kept_seq=9, evicted=12, method=method, tokens_before=30_000,
        tokens_after=9000, put_back=("a", "b"), note="The model was slow.",
    )  # fmt: skip
    session = Compacting(words=[], event=event)

    class Given(Value):
        session: Compacting
        settings: Settings = Settings()
        store: object = None

    outcome = await load_commands()["compact"].run(Given(session=session), " keep the list ")  # type: ignore[arg-type]
    assert session.words == ["keep the list"]
    assert "12 messages" in outcome.say and said in outcome.say and "30,000 → 9,000" in outcome.say
    assert "2 items" in outcome.say and "The model was slow." in outcome.say and "\n" not in outcome.say
