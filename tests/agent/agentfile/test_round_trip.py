"""Out of one home and into another, and out again: the same agent but for ids."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from letta_code.agent.agentfile.bring import Brought, bring
from letta_code.agent.agentfile.form import AgentFile
from letta_code.agent.agentfile.gather import gather
from letta_code.agent.agentfile.read import read_agent_file
from letta_code.agent.agentfile.write import write_file, write_folder
from letta_code.agent.history import History
from letta_code.config.paths import Paths
from letta_code.core.messages import Value
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append, Create
from letta_code.store.agents import Agent
from letta_code.store.database import Store
from tests.agent.agentfile.homes import PERSON, full_agent, kept, normal, open_home


class Made(Value):
    paths: Paths
    store: Store
    agent: Agent
    conversation: str


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    paths, store = open_home(tmp_path / "one")
    with store:
        agent, name = await full_agent(paths, store)
        yield Made(paths=paths, store=store, agent=agent, conversation=name)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[Paths, Store]]:
    paths, store = open_home(tmp_path / "two")
    with store:
        yield paths, store


def exported(made: Made) -> AgentFile:
    file, notices = gather(made.store, made.paths, made.agent)
    assert notices == ()
    return file


async def brought(file: Path, home: tuple[Paths, Store], name: str = "") -> Brought:
    found, notices = read_agent_file(file)
    assert notices == ()
    return await bring(home[1], home[0], found, name=name)


async def both_ways(made: Made, tmp_path: Path, form: str) -> Path:
    file = exported(made)
    return write_file(file, tmp_path / "a.json") if form == "file" else write_folder(file, tmp_path / "out")


@pytest.mark.parametrize("form", ["file", "folder"])
async def test_a_round_trip_keeps_everything_but_ids(
    made: Made, other: tuple[Paths, Store], tmp_path: Path, form: str
) -> None:
    path = await both_ways(made, tmp_path, form)
    result = await brought(path, other)
    again, _ = gather(other[1], other[0], result.agent)
    assert normal(again) == normal(exported(made))
    assert result.agent.name == "ada" and result.agent.id != made.agent.id
    assert result.renamed == {} and other[1].conversations.get(made.conversation)
    # The state of memory that events name is there: ids of commits are the same where nothing changed.
    old = Blocks(made.paths.home, made.agent.id)
    assert Blocks(other[0].home, result.agent.id).pin() == old.pin()


async def test_events_are_byte_for_byte_in_the_file(made: Made, tmp_path: Path) -> None:
    path = write_file(exported(made), tmp_path / "a.json")
    lines = path.read_bytes().split(b"\n")
    for event in made.store.read(made.conversation):
        assert any(line.rstrip(b",") == event.raw for line in lines)
    folder = write_folder(exported(made), tmp_path / "out")
    told = (folder / "conversations" / f"{made.conversation}.jsonl").read_bytes()
    assert told == b"".join(made.store.conversations.export_lines(made.conversation))
    assert oct(path.stat().st_mode)[-3:] == "600"


async def test_a_brought_agent_remembers_who_said_what(made: Made, other: tuple[Paths, Store], tmp_path: Path) -> None:
    result = await brought(write_file(exported(made), tmp_path / "a.json"), other)
    blocks = Blocks(other[0].home, result.agent.id, "proj-12345678", made.conversation)
    view = blocks.view()
    assert view.find("human").value == "Likes tabs.\nLives in Lviv."
    assert (view.find("rules").read_only, view.find("rules").limit) == (True, 700)
    assert view.find("todo").value == "- [ ] one" and view.find("project").value == "Build with make."
    first, second = blocks.past.blame("human")
    assert (first.change.provenance.conversation, first.change.provenance.seq) == (made.conversation, 3)
    assert second.change.provenance.source == "user"
    [waiting] = blocks.waiting.pending()
    assert waiting.text == "Obey me." and "Obey" not in view.find("human").value
    assert (blocks.root / "system" / "human.md").read_text().endswith("Lviv.\n")
    assert kept(blocks.apply(Append(label="human", text="more"), PERSON)).commit
    with pytest.raises(Exception, match="undone already"):  # the undo names its commit still
        blocks.past.undo(next(c.undoes for c in blocks.past.changes() if c.undoes), PERSON)
    found = other[1].passages.list(result.agent.id)
    assert sorted((one.content, one.tags, one.trust, one.created_at[:10]) for one in found) == [
        ("Buy now.", (), "untrusted", "2025-03-04"),
        ("The port is 8080.", ("ops",), "trusted", "2025-03-04"),
    ]


async def test_a_brought_conversation_goes_on_under_its_new_agent(
    made: Made, other: tuple[Paths, Store], tmp_path: Path
) -> None:
    result = await brought(write_file(exported(made), tmp_path / "a.json"), other)
    row = other[1].conversations.get(made.conversation)
    assert row and (row.agent_id, row.title, row.message_count) == (result.agent.id, "Mend the parser", 2)
    history = History()
    history.extend(stored.event for stored in other[1].read(made.conversation))
    assert history.started and history.started.agent_id == result.agent.id
    # What was allowed on another machine is not allowed here, and the head is made anew.
    assert history.approvals == [] and history.mode == "ask"
    assert history.pinned and history.pinned.key == "imported"
    assert any("Bash(make)" in notice for notice in result.notices)
    other[1].close()
    for path in other[0].home.glob("letta.db*"):
        path.unlink()
    _, again = open_home(other[0].home)
    with again:  # and it comes back from the mirrors as the new agent's
        restored = again.conversations.get(made.conversation)
        assert restored and restored.agent_id == result.agent.id
        assert again.agents.list()[0].name == "ada" and again.passages.count(result.agent.id) == 2


async def test_importing_where_it_is_gives_another_agent(made: Made, tmp_path: Path) -> None:
    path, home = write_file(exported(made), tmp_path / "a.json"), (made.paths, made.store)
    first, second = await brought(path, home), await brought(path, home, "bea")
    assert [agent.name for agent in made.store.agents.list()] == ["ada", "ada 2", "bea"]
    name = first.renamed[made.conversation]
    assert name != made.conversation and second.renamed[made.conversation] != name
    for result in (first, second):
        blocks = Blocks(made.paths.home, result.agent.id, "", result.renamed[made.conversation])
        assert blocks.view().find("todo").value == "- [ ] one"
        assert blocks.past.blame("human")[0].change.provenance.conversation == result.renamed[made.conversation]
        assert blocks.waiting.pending()[0].provenance.conversation == result.renamed[made.conversation]
        [passage, _] = made.store.passages.list(result.agent.id)
        assert passage.conversation_id == result.renamed[made.conversation]
        again, _ = gather(made.store, made.paths, result.agent)
        assert normal(again) == normal(exported(made))
    assert len(made.store.read(made.conversation)) == 9  # the first one's own is as it was


async def test_shared_blocks_become_the_agents_own(made: Made, other: tuple[Paths, Store], tmp_path: Path) -> None:
    blocks = Blocks(made.paths.home, made.agent.id)
    by = PERSON
    kept(blocks.apply(Create(label="team", value="We ship on Mondays.", scope="shared"), by))
    kept(blocks.apply(Create(label="secret_plan", value="not for ada", scope="shared"), by))
    blocks.detach("secret_plan", by)
    kept(blocks.apply(Append(label="team", text="And rest."), by))
    file = exported(made)
    assert [block.label for block in file.blocks if block.scope == "shared"] == ["team"]
    assert b"not for ada" not in msgspec.json.encode(file)
    assert len(file.shared) == 2 and not any("secret_plan" in commit.message for commit in file.shared)
    result = await brought(write_file(file, tmp_path / "a.json"), other)
    copy = Blocks(other[0].home, result.agent.id)
    assert copy.view().find("team").value == "We ship on Mondays.\nAnd rest."
    assert copy.view().find("team").scope == "agent" and copy.view().attached == ()
    assert [line.change.provenance.source for line in copy.past.blame("team")] == ["user", "user"]
    assert not (other[0].home / "shared").exists()
    assert any("team" in notice for notice in result.notices)


async def test_the_folder_is_a_git_repository_that_git_reads(made: Made, tmp_path: Path) -> None:
    folder = write_folder(exported(made), tmp_path / "out")
    git = ["git", "-C", str(folder / "memory")]
    assert subprocess.run([*git, "fsck", "--strict"], capture_output=True, check=False).returncode == 0
    assert subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True, text=True).stdout == ""
    log = subprocess.run([*git, "log", "--format=%an|%s"], capture_output=True, check=True, text=True).stdout
    assert "Person|" in log and "ada|add to human" in log
    assert sorted(path.name for path in folder.iterdir()) == [
        "agent.json",
        "conversations",
        "memory",
        "passages.jsonl",
    ]
    with pytest.raises(Exception, match="is there already"):
        write_folder(exported(made), folder)


async def test_a_person_hand_edit_is_in_the_export(made: Made) -> None:
    path = made.paths.agents / made.agent.id / "memory" / "system" / "human.md"
    path.write_text(path.read_text() + "By hand.\n")
    assert "By hand." in next(block.value for block in exported(made).blocks if block.label == "human")


async def test_an_agent_without_anything(tmp_path: Path, other: tuple[Paths, Store]) -> None:
    paths, store = open_home(tmp_path / "one")
    with store:
        agent = await store.agents.create("empty")
        path = write_file(gather(store, paths, agent)[0], tmp_path / "e.json")
    result = await brought(path, other)
    assert (result.conversations, result.passages, result.commits) == (0, 0, 0)
