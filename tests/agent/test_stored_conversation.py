"""The store seen from one conversation: what was read at its opening is not read again, a short copy is told."""

from __future__ import annotations

from pathlib import Path

from letta_code.agent.port import SessionOptions
from letta_code.agent.start import StoredConversation, start_session
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings
from letta_code.core.events import ConversationStarted, Notice
from letta_code.store.database import Store
from tests.fakes.redaction import NoSecrets


async def test_known_events_serve_the_first_reader_and_the_store_all_others(tmp_path: Path) -> None:
    with Store.open(tmp_path / "letta.db", run_dir=tmp_path / "run", redactor=NoSecrets()) as store:
        agent = await store.agents.ensure_default()
        started = ConversationStarted(conversation_id="conv-1", agent_id=agent.id, cwd="/", version="1")
        await store.append("conv-1", [started, *(Notice(level="info", text=str(n)) for n in range(4))])
        known = [one.event for one in store.read("conv-1")]
        journal = StoredConversation(store, "conv-1", None, known)
        first = await journal.read(1, 4)
        assert [event.seq for event in first] == [2, 3, 4]
        assert first[0] is known[1]
        again = await journal.read(1, 4)
        assert again == first
        assert again[0] is not known[1]
        assert await journal.read(5, 5) == ()


async def test_what_came_after_the_opening_is_read_from_the_store(tmp_path: Path) -> None:
    with Store.open(tmp_path / "letta.db", run_dir=tmp_path / "run", redactor=NoSecrets()) as store:
        agent = await store.agents.ensure_default()
        started = ConversationStarted(conversation_id="conv-1", agent_id=agent.id, cwd="/", version="1")
        await store.append("conv-1", [started])
        journal = StoredConversation(store, "conv-1", None, [one.event for one in store.read("conv-1")])
        await store.append("conv-1", [Notice(level="info", text="later")])
        assert [event.seq for event in await journal.read(0, 2)] == [1, 2]


async def test_a_readable_copy_that_misses_the_last_event_is_told_at_the_close(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text('{"turns": [{"text": "done"}]}')
    settings = Settings(model=f"scripted:{script}")
    session = await start_session(SessionOptions(cwd=str(tmp_path), settings=settings, interactive=False))
    copies = Paths.find().conversations
    copies.write_text("no folder, so no copy can be written")
    with session.listening() as listening:
        await session.send("go on")
        await session.idle()
        await session.close()
    told: list[str] = []
    while (event := listening.queue.get_nowait()) is not None:
        if isinstance(event, Notice) and event.level == "warning":
            told.append(event.text)
    assert len(told) == 1 and str(copies / f"{session.conversation_id}.jsonl") in told[0]
