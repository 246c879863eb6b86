"""Memory in whole sessions, seen from the wire: what is learned is there in the next request and conversation."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from letta_code.agent.facts import project_root
from letta_code.agent.port import SessionOptions
from letta_code.agent.session import Session
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings
from letta_code.core import events as ev
from letta_code.core.display import MemoryBlock, NoteBlock
from letta_code.core.messages import text_of
from letta_code.core.requests import Answer, ApprovalRequest, Approve, Deny
from letta_code.memory.block import project_key
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append
from letta_code.memory.provenance import Provenance
from tests.fakes.model_server import Call, ModelServer, Recorded, Reply

PERSON = Provenance(source="user")
# Another process, another conversation of the same agent: home, agent, project key, label, text.
_ELSEWHERE = """
import sys
from pathlib import Path
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append
from letta_code.memory.provenance import Provenance
home, agent, project, label, text = sys.argv[1:]
blocks = Blocks(Path(home), agent, project, "conv-elsewhere")
blocks.apply(Append(label=label, text=text), Provenance(source="agent", conversation="conv-elsewhere", seq=5))
"""


def use(name: str, **arguments: Any) -> Call:
    return Call(name, json.dumps(arguments))


def learn(text: str, label: str = "human") -> Call:
    return use("memory", command="insert", label=label, insert_text=text)


class Stage:
    """One home and project; sessions in it talk to one server, which `on_request` may use to meddle."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.work = folder / "work"
        self.work.mkdir()
        self.server = ModelServer(on_request=self._came)
        self.meddle: dict[int, Callable[[], None]] = {}  # by the number of the request, from 1
        self._count = 0
        monkeypatch.setenv("OPENAI_API_KEY", "test-key")
        self._environment = monkeypatch

    def __enter__(self) -> Stage:
        self.server.__enter__()
        self._environment.setenv("OPENAI_BASE_URL", self.server.url + "/v1")
        return self

    def __exit__(self, *error: Any) -> None:
        self.server.__exit__(*error)

    def _came(self, _: Recorded) -> None:
        self._count += 1
        self.meddle.pop(self._count, lambda: None)()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.json for request in self.server.requests]

    async def open(self, conversation: str = "", *, interactive: bool = True, mode: str = "ask") -> Session:
        options = SessionOptions(
            cwd=str(self.work),
            settings=Settings(model="openai/fake"),
            conversation=conversation,
            interactive=interactive,
            mode=mode,
            face="test",
            trusted=True,
        )
        return await start_session(options)

    async def run(self, session: Session, text: str, *replies: Reply, answer: Answer | None = None) -> list[ev.Event]:
        """One run on the given answers of the model; what was asked is answered.  The events of the session."""
        self.server.reply(*replies)
        answered = asyncio.create_task(self._answer(session, answer)) if answer else None
        await session.send(text)
        ended = await session.idle()
        assert ended is not None
        assert ended.reason == "done", ended
        if answered:
            answered.cancel()
        return list(await session.read(0, session.history.last_seq))

    async def _answer(self, session: Session, answer: Answer) -> None:
        async for event in session.events(session.history.last_seq):
            if isinstance(event, ev.RequestMade):
                await session.answer(event.request.request_id, answer, by="test")

    def blocks(self, session: Session) -> Blocks:
        key = project_key(project_root(str(self.work)))
        return Blocks(Paths.find().home, session.agent_id, key, session.conversation_id)

    def elsewhere(self, session: Session, label: str, text: str) -> None:
        key = project_key(project_root(str(self.work)))
        words = (str(Paths.find().home), session.agent_id, key, label, text)
        subprocess.run([sys.executable, "-c", _ELSEWHERE, *words], check=True, cwd=Path(__file__).parents[2])


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def system(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"])


def told(body: dict[str, Any], text: str) -> int:
    """How many reminders of changed memory in a request tell of a text."""
    found = [m for m in body["messages"][1:] if m["role"] != "tool" and "Your memory changed" in json.dumps(m)]
    return json.dumps(found).count(text)


def of(events: list[ev.Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


async def test_what_is_learned_in_one_conversation_is_in_the_head_of_the_next(stage: Stage) -> None:
    with stage:
        first = await stage.open()
        events = await stage.run(
            first,
            "I am Ada.",
            Reply(tools=(learn("Name: Ada"),)),
            Reply(tools=(use("memory_rethink", label="project", new_memory="Tests: make test"),)),
            Reply(text="Noted."),
        )
        await stage.run(first, "Good.", Reply(text="Yes."))
        await first.close()
        second = await stage.open()
        await stage.run(second, "Who am I?", Reply(text="Ada."))
        await second.close()
        bodies = stage.bodies
    assert "Name: Ada" in system(bodies[-1])
    assert "Tests: make test" in system(bodies[-1])
    own = bodies[:-1]
    assert len({system(body) for body in own}) == 1, "the head moved"
    assert "Name: Ada" not in system(own[0])
    for before, after in pairwise(own):
        text = json.dumps(before["messages"])[:-1]
        assert json.dumps(after["messages"]).startswith(text)
    assert not any("Your memory changed" in json.dumps(body) for body in own), "its own edits are no news"
    shown = [block for result in of(events, ev.ToolResult) for block in result.blocks]
    assert [(block.label, block.added) for block in shown if isinstance(block, MemoryBlock)] == [
        ("human", 1),
        ("project", 1),
    ]


async def test_an_edit_from_elsewhere_is_told_once_and_stays_until_the_head_carries_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage:
        session = await stage.open()
        stage.meddle[2] = lambda: stage.elsewhere(session, "human", "Likes tea")
        await stage.run(
            session,
            "go",
            Reply(tools=(learn("Name: Ada"),)),
            Reply(tools=(use("List"),)),
            Reply(tools=(learn("Age: 36"),)),
            Reply(text="Done."),
        )
        await stage.run(session, "more", Reply(text="Yes."))
        await session.close()
        monkeypatch.setattr("letta_code.agent.run.__version__", "another")
        again = await stage.open(session.conversation_id)
        await stage.run(again, "and now", Reply(text="Yes."))
        await again.close()
        bodies = stage.bodies
    assert [told(body, "Likes tea") for body in bodies] == [0, 0, 1, 1, 1, 0]
    assert "Likes tea" not in system(bodies[4])
    assert "Likes tea" in system(bodies[5]), "pinned again"
    for before, after in pairwise(bodies[:5]):
        assert json.dumps(after["messages"]).startswith(json.dumps(before["messages"])[:-1])


async def test_rewriting_again_and_again_is_no_conflict_with_oneself(stage: Stage) -> None:
    def rethink(text: str) -> Call:
        return use("memory_rethink", label="project", new_memory=text)

    with stage:
        session = await stage.open()
        stage.elsewhere(session, "project", "zero")  # before the head is pinned: edits have a base to conflict with
        events = await stage.run(
            session,
            "go",
            Reply(tools=(rethink("one\ntwo"), rethink("three\nfour"))),
            Reply(tools=(rethink("five"),)),
            Reply(tools=(rethink("six\nseven"), learn("eight", "project"))),
            Reply(text="Done."),
        )
        value = stage.blocks(session).view().find("project").value
        await session.close()
    assert value == "six\nseven\neight"
    texts = [text_of(result.content) for result in of(events, ev.ToolResult)]
    assert len(texts) == 5
    assert all(re.match(r"Saved\. `project`: ", text) and "Another" not in text for text in texts)


async def test_todo_writes_its_block_in_plan_mode_too(stage: Stage) -> None:
    with stage:
        session = await stage.open(mode="plan")
        items = [{"text": "look", "status": "in_progress"}]
        events = await stage.run(session, "plan", Reply(tools=(use("Todo", items=items),)), Reply(text="So."))
        value = stage.blocks(session).view().find("todo").value
        await session.close()
    assert value == "- [>] look"
    assert session.history.todo == ("[>] look",)
    assert not of(events, ev.RequestMade)


FORGET = use("memory", command="str_replace", label="human", old_string="Never push.", new_string="Push.")


@pytest.mark.parametrize("answer", [Approve(), Deny(message="Leave that.")])
async def test_a_persons_lines_are_asked_about(stage: Stage, answer: Answer) -> None:
    with stage:
        session = await stage.open(mode="auto")
        blocks = stage.blocks(session)
        blocks.apply(Append(label="human", text="I like tea.\nNever push."), PERSON)
        events = await stage.run(session, "go", Reply(tools=(FORGET,)), Reply(text="So."), answer=answer)
        value = blocks.view().find("human").value
        await session.close()
    (request,) = [event.request for event in of(events, ev.RequestMade)]
    assert isinstance(request, ApprovalRequest)
    assert "it removes 1 of your own lines from `human`" in request.reason
    (shown,) = request.blocks
    assert isinstance(shown, MemoryBlock)
    (result,) = of(events, ev.ToolResult)
    if isinstance(answer, Approve):
        assert value == "I like tea.\nPush."
        assert result.status == "ok"
        assert not any(isinstance(block, NoteBlock) for block in result.blocks)
    else:
        assert value == "I like tea.\nNever push."
        assert "Leave that." in text_of(result.content)


@pytest.mark.parametrize(("interactive", "mode"), [(True, "full"), (False, "auto")])
async def test_where_nobody_is_asked_it_is_written_with_a_warning(stage: Stage, interactive: bool, mode: str) -> None:
    with stage:
        session = await stage.open(interactive=interactive, mode=mode)
        blocks = stage.blocks(session)
        blocks.apply(Append(label="human", text="I like tea.\nNever push."), PERSON)
        events = await stage.run(session, "go", Reply(tools=(FORGET,)), Reply(text="So."))
        value = blocks.view().find("human").value
        await session.close()
    assert not of(events, ev.RequestMade)
    assert value == "I like tea.\nPush."
    (result,) = of(events, ev.ToolResult)
    note = result.blocks[-1]
    assert isinstance(note, NoteBlock)
    assert "memory undo" in note.text


async def test_what_was_said_in_one_conversation_is_found_in_another(stage: Stage) -> None:
    with stage:
        first = await stage.open()
        await stage.run(first, "The banana service listens on port 8473.", Reply(text="I see."))
        await first.close()
        second = await stage.open()
        search = use("conversation_search", query="banana port")
        keep = use("archival_memory_insert", content="Banana listens on 8473.", tags=["ports"])
        await stage.run(
            second,
            "Where does banana listen?",
            Reply(tools=(search, keep)),
            Reply(tools=(use("archival_memory_search", query="banana"),)),
            Reply(text="On 8473."),
        )
        await second.close()
        results = [m["content"] for m in stage.bodies[-1]["messages"] if m["role"] == "tool"]
    assert f"{first.conversation_id}#" in results[0]
    assert "port 8473" in results[0]
    assert f"{second.conversation_id}#" not in results[0]  # what is in context needs no finding
    assert results[1].startswith("Kept as ")
    assert "Banana listens on 8473." in results[2]


async def test_a_tool_that_models_know_from_letta_is_told_its_name_here(stage: Stage) -> None:
    with stage:
        session = await stage.open()
        call = use("memory_replace", label="human", old_string="a", new_string="b")
        events = await stage.run(session, "go", Reply(tools=(call,)), Reply(text="So."))
        await session.close()
    (result,) = of(events, ev.ToolResult)
    assert text_of(result.content).startswith("There is no tool 'memory_replace' here: use memory with command str_rep")
