"""A stranger's agent file: what is wrong in it costs itself or is told, and nothing is written beside the new agent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from letta_code.agent.agentfile.bring import Brought, bring
from letta_code.agent.agentfile.form import FORMAT, AgentFileError
from letta_code.agent.agentfile.gather import gather
from letta_code.agent.agentfile.read import read_agent_file
from letta_code.agent.agentfile.write import write_file, write_folder
from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError
from letta_code.memory.blocks import Blocks
from letta_code.store.database import Store
from tests.agent.agentfile.homes import full_agent, open_home

Home = tuple[Paths, Store]
BY = "ada <ada@x.invalid> 1700000000 +0000"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    paths, store = open_home(tmp_path / "home")
    with store:
        yield paths, store


def written(tmp_path: Path, **fields: Any) -> Path:
    path = tmp_path / "hostile.json"
    path.write_bytes(msgspec.json.encode({"format": FORMAT, "agent": {"name": "eve"}, **fields}))
    return path


def commit(files: dict[str, Any], name: str = "c1", **more: Any) -> dict[str, Any]:
    return {"id": name, "author": BY, "committer": BY, "message": "m\n", "files": files, **more}


async def brought(path: Path, home: Home) -> tuple[Brought, str]:
    file, notices = read_agent_file(path)
    result = await bring(home[1], home[0], file)
    return result, "\n".join((*notices, *result.notices))


def all_files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "path",
    [
        "../../../escaped.md",
        "/etc/escaped.md",
        "system/../../escaped.md",
        ".git/hooks/post-checkout",
        "system/.hidden.md",
        "GIT~1/config",
        "a\\..\\b.md",
        "system//x.md",
        "./x.md",
        "",
        "a\u0000b.md",
        "a\nb.md",
        "x" * 200 + ".md",
        "/".join("abcdefghijk") + ".md",
    ],
)
async def test_paths_that_lead_elsewhere_are_left_out(home: Home, tmp_path: Path, path: str) -> None:
    before = all_files(tmp_path)
    result, told = await brought(written(tmp_path, memory=[commit({path: "bad", "system/human.md": "good"})]), home)
    assert "was left out" in told
    assert Blocks(home[0].home, result.agent.id).view().find("human").value == "good"
    new = all_files(tmp_path) - before
    assert all(
        name.startswith((f"home/agents/{result.agent.id}", "home/letta.db", "home/run", "hostile")) for name in new
    )
    assert not any("escaped" in name or "hooks" in name or "hidden" in name for name in new)


async def test_a_label_that_is_a_path_is_no_block(home: Home, tmp_path: Path) -> None:
    bad = [{"label": label, "value": "bad"} for label in ("../../x", "/etc/x", "a b", "", "x" * 300)]
    result, told = await brought(written(tmp_path, blocks=[*bad, {"label": "fine", "value": "good"}]), home)
    assert Blocks(home[0].home, result.agent.id).view().find("fine").value == "good"
    assert told.count("was left out") == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no whole agent file"),
        (b"{", "no whole agent file"),
        (b"[]", "no whole agent file"),
        (b"\xff\xfe", "no whole agent file"),
        (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
        (b'{"x": 1}', "neither"),
        (b'{"format": "letta-code agent file 99", "agent": {}}', "Update|reads"),
        (msgspec.json.encode({"format": FORMAT}), "agent"),
        (msgspec.json.encode({"format": FORMAT, "agent": {"name": 5}}), "agent.name"),
        (msgspec.json.encode({"format": FORMAT, "agent": {}, "memory": [{"id": 5}]}), "memory"),
        (b'{"format": "' + FORMAT.encode() + b'", "agent": {"name": 1e999}}', "no whole agent file"),
    ],
)
async def test_what_is_no_agent_file_says_so(home: Home, tmp_path: Path, text: bytes, words: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(text)
    with pytest.raises(AgentFileError, match=words):
        read_agent_file(path)


async def test_every_torn_copy_is_refused_and_leaves_nothing(home: Home, tmp_path: Path) -> None:
    agent, _ = await full_agent(*home)
    whole = write_file(gather(home[1], home[0], agent)[0], tmp_path / "whole.json").read_bytes()
    before = all_files(home[0].home)
    path = tmp_path / "torn.json"
    for at in range(1, len(whole) - 2, max(1, len(whole) // 60)):
        path.write_bytes(whole[:at])
        with pytest.raises(AgentFileError):
            read_agent_file(path)
    assert all_files(home[0].home) == before


@pytest.mark.parametrize(
    "history",
    [
        [commit({}, parents=["c9"])],
        [commit({}, parents=["c1"])],
        [commit({}), commit({})],
        [commit({}, "c2", parents=["c1"]), commit({})],
    ],
)
async def test_a_history_that_makes_no_sense_is_refused(home: Home, tmp_path: Path, history: list[Any]) -> None:
    with pytest.raises(AgentFileError, match="history of memory"):
        await brought(written(tmp_path, memory=history), home)
    assert home[1].agents.list() == [] and not list(home[0].agents.iterdir())


async def test_signatures_and_contents_of_any_kind(home: Home, tmp_path: Path) -> None:
    history = [
        commit({"system/a.md": {"base64": "gICA"}}, author="evil\nparent 00 <x> 1 +0000"),
        commit({"system/b.md": "b" * (2 << 20)}, "c2", parents=["c1"], committer="x <x> 99999999999999999999 +0000"),
        commit({"system/a.md": None, "system/c.md": "c", "system/c.md/d.md": "d"}, "c3", parents=["c2"]),
    ]
    result, told = await brought(written(tmp_path, memory=history), home)
    assert "larger than" in told
    assert len(Blocks(home[0].home, result.agent.id).past.changes()) == 3


def event(kind: str, seq: int = 1, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "seq": seq, "at": "2025-01-01T00:00:00.000Z", **fields}


async def test_bad_events_are_left_out_and_the_rest_is_numbered(home: Home, tmp_path: Path) -> None:
    said = {"message_id": "m", "content": [{"kind": "text", "text": "hello"}]}
    events = [
        5,
        "text",
        [],
        {"no": "type"},
        event("run_started", model="m", mode="ask"),
        event("user_message", 10**12, **said),
        event("user_message", -7, message_id=5, content="wrong types"),
        event("of_the_future", 3, x=10**30),
        {"type": "user_message", "at": "zzzz", **said},
        event("conversation_started", conversation_id=3, agent_id=[], cwd={}, version=None, run_id=7),
    ]
    conversations = [
        {"id": "../../evil", "cwd": "/w", "events": events},
        {"id": 5},
        {"id": "conv-00000000000000000001", "events": "none"},
        {"id": "conv-00000000000000000002"},
    ]
    result, told = await brought(written(tmp_path, conversations=conversations), home)
    assert told.count("number") >= 2 and "event" in told.lower()
    name = result.renamed["../../evil"]
    stored = home[1].read(name)
    assert [one.seq for one in stored] == list(range(1, len(stored) + 1)) and not any(one.damage for one in stored)
    row = home[1].conversations.get(name)
    assert row and row.opening == "hello" and row.updated_at < "3"
    assert home[1].conversations.get("conv-00000000000000000002")
    assert not (tmp_path / "evil.jsonl").exists() and not (home[0].home / "evil.jsonl").exists()


async def test_another_agents_conversation_is_not_taken(home: Home, tmp_path: Path) -> None:
    agent, name = await full_agent(*home)
    start = event("conversation_started", conversation_id=name, agent_id=agent.id, cwd="/", version="")
    result, _ = await brought(written(tmp_path, conversations=[{"id": name, "events": [start]}]), home)
    mine = home[1].conversations.get(name)
    assert mine and mine.agent_id == agent.id and mine.last_seq == 9
    assert result.renamed[name] != name
    theirs = home[1].conversations.get(result.renamed[name])
    assert theirs and theirs.agent_id == result.agent.id
    twice = [{"id": "conv-x"}, {"id": "conv-x"}]
    with pytest.raises(AgentFileError, match="twice"):
        await brought(written(tmp_path, conversations=twice), home)


async def test_numbers_and_times_that_fit_nowhere(home: Home, tmp_path: Path) -> None:
    passages = [
        {"content": "kept", "seq": 10**30, "created_at": "9999", "trust": "very"},
        {"content": "", "seq": 1},
        {"content": "x" * 30_000},
        {"content": 5},
        {"content": "tags", "tags": ["a"] * 50 + [str(n) for n in range(50)]},
    ]
    result, told = await brought(
        written(tmp_path, passages=passages, blocks=[{"label": "a", "value": "x", "limit": 10**12}]), home
    )
    [one] = home[1].passages.list(result.agent.id)
    assert (one.content, one.seq, one.trust) == ("kept", 0, "untrusted") and one.created_at.startswith("20")
    assert told.count("left out") == 4
    assert Blocks(home[0].home, result.agent.id).view().find("a").limit <= 100_000


async def test_unknown_fields_are_passed_over_and_a_name_is_made_fit(home: Home, tmp_path: Path) -> None:
    path = written(tmp_path, surprise={"deep": [1, {"x": None}]}, agent={"name": "e\x1b[2Jve\n" * 30, "power": 9})
    result, _ = await brought(path, home)
    assert result.agent.name.isprintable() and len(result.agent.name) <= 80


async def test_a_failure_at_the_end_leaves_no_agent(home: Home, tmp_path: Path) -> None:
    path = written(tmp_path, memory=[commit({"system/a.md": "a"})])
    file, _ = read_agent_file(path)
    with pytest.raises(LettaError):
        await bring(home[1], home[0], file, name="\x07")
    frozen = Store.open(home[0].database, run_dir=home[0].run, read_only=True)
    with frozen, pytest.raises(LettaError, match="reading only"):
        await bring(frozen, home[0], file)
    assert not list(home[0].agents.iterdir()) and home[1].agents.list() == []


@pytest.mark.parametrize(
    "where", ["memory/.git/HEAD", "agent.json", "passages.jsonl", "memory/system", "conversations"]
)
async def test_a_folder_with_a_link_is_not_read(home: Home, tmp_path: Path, where: str) -> None:
    agent, _ = await full_agent(*home)
    folder = write_folder(gather(home[1], home[0], agent)[0], tmp_path / "out")
    target = folder / where
    moved = tmp_path / "moved"
    os.rename(target, moved)
    target.symlink_to(moved)
    with pytest.raises(AgentFileError, match="is a link"):
        read_agent_file(folder)


async def test_a_folder_whose_repository_is_broken_says_so(home: Home, tmp_path: Path) -> None:
    agent, _ = await full_agent(*home)
    folder = write_folder(gather(home[1], home[0], agent)[0], tmp_path / "out")
    head = folder / "memory" / ".git" / "refs" / "heads" / "main"
    for text in ("0" * 40, "../../../x", "\xff"):
        head.write_text(text, encoding="latin-1")
        with pytest.raises(AgentFileError, match="cannot be read"):
            read_agent_file(folder)
    (folder / "agent.json").unlink()
    with pytest.raises(AgentFileError, match="no agent folder"):
        read_agent_file(folder)
