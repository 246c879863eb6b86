"""/agents, /rename, /fork, /export, /search."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from letta_code.agent.port import SessionOptions, Status
from letta_code.agent.roster import remembered_agent
from letta_code.commands.base import Outcome, load_commands
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings
from letta_code.core.errors import UsageError
from letta_code.core.events import ConversationRenamed
from letta_code.core.messages import Value
from letta_code.store.agents import Agent
from letta_code.store.database import Store
from tests.agent.agentfile.homes import open_home
from tests.headless.fake import FakeSession
from tests.store.support import said, started


class Session(FakeSession):
    """The fake session with the agent of the store."""

    agent = ""

    @property
    def status(self) -> Status:
        return msgspec.structs.replace(super().status, agent_id=self.agent)


class Context(Value):
    session: Any  # as much of a session as these commands need
    settings: Settings
    store: Store


class Here(Value):
    """The conversation conv-1 of the agent ada in a folder."""

    context: Context
    agent: Agent
    folder: Path

    async def run(self, line: str) -> Outcome:
        name, _, arguments = line.removeprefix("/").partition(" ")
        return await load_commands()[name].run(self.context, arguments)


@pytest.fixture
async def here(letta_home: Path, tmp_path: Path) -> AsyncIterator[Here]:
    async def script(session: FakeSession) -> None:
        raise AssertionError("no command starts a run")

    _, store = open_home(letta_home)
    folder = tmp_path / "project"
    folder.mkdir()
    with store:
        agent = await store.agents.create("ada")
        await store.append("conv-1", [started("conv-1", agent.id, str(folder)), said("mend the parser")])
        options = SessionOptions(cwd=str(folder), settings=Settings(model="openai/one"))
        session = Session(options, script)  # type: ignore[arg-type]
        session.agent = agent.id
        yield Here(context=Context(session=session, settings=options.settings, store=store), agent=agent, folder=folder)


def paths() -> Paths:
    return Paths.find()


async def test_agents_are_listed_with_marks(here: Here) -> None:
    await here.context.store.agents.create("b_o_b", "does\nthings")
    say = (await here.run("/agents")).say
    assert "**ada** (now, this folder)" in say and ", 1 conversation" in say and here.agent.id in say
    assert "b\\_o\\_b: does things" in say


async def test_use_remembers_and_opens(here: Here) -> None:
    store = here.context.store
    bob = await store.agents.create("bob")
    outcome = await here.run("/agents use bo")
    assert outcome.open == "new" and "bob" in outcome.say
    assert remembered_agent(paths(), str(here.folder)) == bob.id


async def test_use_goes_before_a_setting_for_once(here: Here) -> None:
    store = here.context.store
    bob = await store.agents.create("bob")
    context = msgspec.structs.replace(here.context, settings=Settings(agent="ada"))
    outcome = await msgspec.structs.replace(here, context=context).run("/agents use bob")
    opened = store.conversations.get(outcome.open)
    assert opened and opened.agent_id == bob.id and opened.cwd == str(here.folder)
    assert "ada" in outcome.say


async def test_agents_are_made_renamed_described_deleted_and_restored(here: Here) -> None:
    store = here.context.store
    assert "is made" in (await here.run("/agents create Carl the Great")).say
    assert "Ada II" in (await here.run("/agents rename Ada II")).say
    await here.run("/agents describe counts things")
    agent = store.agents.get(here.agent.id)
    assert agent and (agent.name, agent.description) == ("Ada II", "counts things")
    assert "30 days" in (await here.run("/agents delete carl")).say
    assert [one.name for one in store.agents.list()] == ["Ada II"]
    assert "is back" in (await here.run("/agents restore carl")).say
    with pytest.raises(UsageError, match="of this conversation"):
        await here.run("/agents delete ada")
    for wrong in ("/agents fly", "/agents use", "/agents use zoe", "/agents create ada ii"):
        with pytest.raises(UsageError):
            await here.run(wrong)


async def test_rename_needs_a_title(here: Here) -> None:
    with pytest.raises(UsageError, match="Nothing was said"):
        await here.run("/rename too early")
    here.context.session.keep(said("mend the parser"))
    outcome = await here.run("/rename The \x1b[31mparser")
    renamed = here.context.session.stored[-1]
    assert isinstance(renamed, ConversationRenamed) and renamed.title == "The parser" and "The parser" in outcome.say
    for wrong in ("/rename", "/rename " + "x" * 201):
        with pytest.raises(UsageError):
            await here.run(wrong)


async def test_fork_opens_a_copy(here: Here) -> None:
    outcome = await here.run("/fork second try")
    copy = here.context.store.conversations.get(outcome.open)
    assert copy and (copy.title, copy.forked_from, copy.opening) == ("second try", "conv-1", "mend the parser")


async def test_export_writes_what_is_asked_for_and_replaces_nothing(here: Here) -> None:
    assert "mend-the-parser.md" in (await here.run("/export")).say
    text = (here.folder / "mend-the-parser.md").read_text()
    assert "# mend the parser" in text and "## Person" in text
    assert "mend-the-parser-2.md" in (await here.run("/export --format md")).say
    await here.run("/export sub.jsonl")
    stored = b"".join(here.context.store.conversations.export_lines("conv-1"))
    assert (here.folder / "sub.jsonl").read_bytes() == stored
    await here.run("/export page.HTML")
    assert "<h1>mend the parser</h1>" in (here.folder / "page.HTML").read_text()
    await here.run("/export all.txt --format=json")
    document = json.loads((here.folder / "all.txt").read_text())
    assert document == [json.loads(line) for line in stored.splitlines()] and len(document) > 1
    await here.run("/export x.json")
    assert (here.folder / "x.json").read_bytes() == (here.folder / "all.txt").read_bytes()
    with pytest.raises(UsageError, match="already"):
        await here.run("/export all.txt")
    with pytest.raises(UsageError, match="format"):
        await here.run("/export --format pdf")
    assert oct((here.folder / "all.txt").stat().st_mode)[-3:] == "600"


async def test_search_shows_where_it_stands(here: Here) -> None:
    say = (await here.run("/search parser")).say
    assert "conv-1#2" in say and "(title)" in say and "(all words)" in say and "user: mend the parser" in say
    assert "Nothing" in (await here.run("/search zebra")).say
    with pytest.raises(UsageError):
        await here.run("/search")
