"""/memory, /remember and /init on a real home: what each keeps, says and sends."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from letta_code.agent.port import SessionOptions, Status
from letta_code.commands.base import Outcome, load_commands
from letta_code.commands.memory_words.told import WIDTH, bar
from letta_code.commands.memory_words.words import WORDS, parse_line, parse_words
from letta_code.config.settings import Settings
from letta_code.core.display import DiffBlock, MemoryBlock
from letta_code.core.errors import UsageError
from letta_code.core.events import ConversationStarted, UserMessage
from letta_code.core.messages import TextPart, Value
from letta_code.memory.block import BlockError
from letta_code.memory.blocks import Blocks
from letta_code.memory.desk import Desk
from letta_code.memory.edits import Append, SetLimit
from letta_code.memory.opening import open_desk
from letta_code.memory.provenance import Provenance
from letta_code.store.database import Store
from tests.fakes.redaction import NoSecrets
from tests.headless.fake import FakeSession

CONVERSATION = "conv-1"  # as FakeSession calls it
AGENT = Provenance(source="agent", conversation=CONVERSATION, seq=2)
PERSON = Provenance(source="user", conversation=CONVERSATION)
TODAY = time.strftime("%Y-%m-%d")


class Remembering(FakeSession):
    """A session with a memory."""

    def __init__(self, options: SessionOptions, desk: Desk, agent_id: str) -> None:
        async def script(session: FakeSession) -> None:
            raise AssertionError("no command starts a run")

        super().__init__(options, script)  # type: ignore[arg-type]
        self._desk = desk
        self._agent_id = agent_id

    @property
    def status(self) -> Status:
        return msgspec.structs.replace(super().status, agent_id=self._agent_id)

    @property
    def memory(self) -> Desk:
        return self._desk


class Context(Value):
    session: Remembering
    settings: Settings
    store: Store


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    with Store.open(tmp_path / "letta.db", agents_dir=tmp_path / "agents", redactor=NoSecrets()) as store:
        agent = await store.agents.ensure_default()
        started = ConversationStarted(conversation_id=CONVERSATION, agent_id=agent.id, cwd="/work/shop", version="")
        said = UserMessage(message_id="m", content=(TextPart(text="I am Ann"),))
        await store.append(CONVERSATION, [started, said])
        desk = open_desk(store, tmp_path, agent.id, "/work/shop", CONVERSATION)
        options = SessionOptions(cwd="/work/shop", settings=Settings())
        yield Context(session=Remembering(options, desk, agent.id), settings=options.settings, store=store)


@pytest.fixture
def desk(context: Context) -> Desk:
    return context.session.memory


@pytest.fixture
def blocks(desk: Desk) -> Blocks:
    return desk.blocks


async def run(context: Context, line: str) -> Outcome:
    name, _, arguments = line.removeprefix("/").partition(" ")
    return await load_commands()[name].run(context, arguments)


# ---------------------------------------------------------------- the words


def test_a_slash_text_is_taken_as_it_was_typed() -> None:
    asked = parse_line('set  human  -n "quoted"\n  --json indented  ')
    assert (asked.words, asked.text, dict(asked.flags)) == (("human",), '-n "quoted"\n  --json indented', {})
    assert parse_line("append human -").text == "-"
    asked = parse_line('create notes/x --description "What it\'s for" first words --limit=9')
    assert asked.words == ("notes/x",) and asked.text == "first words"
    assert asked.value("description") == "What it's for" and asked.number("limit", 0) == 9
    asked = parse_line('archive "build server" --tag a --tag b what\'s')
    assert asked.text == '"build server" what\'s' and asked.many("tag") == ("a", "b")


def test_words_without_a_name_mean_the_list() -> None:
    assert parse_line("").name == parse_words([]).name == "list"
    assert parse_line("--files").on("files") and parse_words(["--files"]).on("files")


async def test_the_help_fits_a_card_on_a_screen_of_80_columns(context: Context) -> None:
    lines = (await run(context, "/memory help")).say.split("\n")
    assert max(map(len, lines)) <= WIDTH
    joined = " ".join(" ".join(lines).split())
    assert all(word.name in joined and word.help in joined.replace("| ", "") for word in WORDS if len(word.help) < 30)
    assert len(lines) > len(WORDS) + 5  # some go on below


async def test_why_names_the_event_on_a_screen_of_80_columns(context: Context, blocks: Blocks) -> None:
    long = "conv-01m7yh39rvw4yn1vzdjc01m7"
    blocks.apply(Append(label="human", text="tea"), Provenance(source="agent", conversation=long, seq=4321))
    said = (await run(context, "/memory why human")).say
    assert max(map(len, said.split("\n"))) <= WIDTH
    assert f"the agent in {long} at event 4321" in " ".join(said.split())


@pytest.mark.parametrize(
    "line",
    [
        "set human",
        "set",
        "show",
        "show a b",
        "rename a",
        "path x",
        "nothing",
        "show a --json",
        "archive --tag",
        "list x",
    ],
)
def test_words_that_are_off(line: str) -> None:
    with pytest.raises(UsageError):
        parse_line(line)
    with pytest.raises(UsageError):
        parse_words(line.split())


def test_the_same_text_from_a_shell() -> None:
    assert parse_words(["append", "human", "- a", "-b"]).text == "- a -b"
    assert parse_words(["append", "human", "--", "-h"]).text == "-h"
    with pytest.raises(UsageError, match="no flag --tga"):
        parse_words(["show", "--tga", "x"])


def test_a_bar_shows_little_and_too_much() -> None:
    assert [bar(n, 5000) for n in (0, 1, 2500, 5000, 5001)] == [
        "░" * 10,
        "▏" + "░" * 9,
        "█" * 5 + "░" * 5,
        "█" * 10,
        "█" * 9 + "!",
    ]


# ---------------------------------------------------------------- /memory


async def test_the_screen_and_its_words(context: Context) -> None:
    shown = await run(context, "/memory")
    assert shown.show == "memory" and shown.say.startswith("```text\nMemory of letta: ") and "  todo " in shown.say
    listed = await run(context, "/memory list")
    assert listed.show == "" and listed.say == shown.say
    edit = await run(context, "/memory edit human")
    assert edit.show == "memory" and "letta-code memory edit human" in edit.say
    helped = await run(context, "/memory help")
    assert "why LABEL[:LINE]" in helped.say


async def test_an_edit_is_the_persons_here_and_shown(context: Context, blocks: Blocks) -> None:
    done = await run(context, "/memory append human likes tea\n- and cake")
    assert blocks.view().find("human").value == "likes tea\n- and cake"
    assert blocks.past.changes()[0].provenance == PERSON
    [shown] = done.blocks
    assert isinstance(shown, MemoryBlock) and (shown.label, shown.added) == ("human", 2)
    assert shown.commit == blocks.past.changes()[0].commit and f"/memory undo {shown.commit[:10]}" in done.say
    undone = await run(context, "/memory undo")
    assert isinstance(undone.blocks[0], DiffBlock) and blocks.view().find("human").value == ""


async def test_the_agent_is_told_what_the_person_did_here(context: Context, desk: Desk) -> None:
    desk.knows(desk.blocks.pin())
    await run(context, "/memory append human likes tea")
    assert "likes tea" in (await desk.news()).text
    desk.knows(desk.blocks.pin())
    web = Provenance(source="web:https://example.com", conversation=CONVERSATION, seq=2, trust="untrusted")
    held = desk.blocks.apply(Append(label="project", text="from the web"), web)
    assert (await desk.news()).text == ""
    await run(context, f"/memory approve {held.id}")  # type: ignore[union-attr]
    assert "> from the web" in (await desk.news()).text
    desk.knows(desk.blocks.pin())
    desk.blocks.apply(Append(label="project", text="its own"), AGENT)
    assert (await desk.news()).text == ""


async def test_text_of_memory_cannot_leave_its_frame(context: Context, blocks: Blocks) -> None:
    blocks.apply(Append(label="human", text="```\n# Heading\n````"), AGENT)
    said = (await run(context, "/memory show human")).say
    assert said.startswith("`````text\n") and said.endswith("\n`````") and said.count("`````") == 2
    path = blocks.root / "system/human.md"
    path.write_text(path.read_text() + "\x1b[31mred \u202e\n")
    said = (await run(context, "/memory why human")).say
    assert "red" in said and "\x1b" not in said and "\u202e" not in said


async def test_why_in_a_conversation(context: Context, blocks: Blocks) -> None:
    blocks.apply(Append(label="human", text="name: Ann"), AGENT)
    said = (await run(context, "/memory why human:1")).say
    assert "you, event 2: “I am Ann”" in said and f"/resume {CONVERSATION}" in said
    with pytest.raises(BlockError, match="no line 4"):
        await run(context, "/memory why human:4")


# ---------------------------------------------------------------- /remember


async def test_a_named_block_keeps_the_words_and_nothing_else_happens(context: Context, blocks: Blocks) -> None:
    done = await run(context, "/remember human: likes short answers")
    assert blocks.view().find("human").value == f"likes short answers ({TODAY})"
    assert done.send == "" and done.say.startswith("Remembered. `human`: ") and len(done.blocks) == 1
    assert blocks.past.changes()[0].provenance == PERSON


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("we deploy on Fridays", "project"),
        ("I'd like answers in German", "human"),
        ("Ask me before a push", "human"),
        ("note: buy milk", "project"),
        ("todo: fix the flaky test", "project"),
        ("see https://example.com/a: it explains I/O", "project"),
    ],
)
async def test_words_are_kept_before_the_agent_is_asked(
    context: Context, blocks: Blocks, text: str, label: str
) -> None:
    done = await run(context, f"/remember {text}")
    assert blocks.view().find(label).value == f"{text} ({TODAY})"
    assert done.send.startswith(f"Remember this: {text}\n") and f"`{label}`" in done.send
    assert blocks.past.changes()[0].provenance == PERSON


async def test_a_full_block_loses_nothing(context: Context, desk: Desk) -> None:
    desk.blocks.apply(Append(label="project", text="x" * 30), PERSON)
    desk.blocks.apply(SetLimit(label="project", limit=40), PERSON)
    done = await run(context, "/remember we deploy on Fridays")
    [found] = desk.archive.search("deploy Fridays")
    assert found.passage.content == "we deploy on Fridays" and found.passage.tags == ("remember",)
    assert (found.passage.source, found.passage.conversation_id) == ("user", CONVERSATION)
    assert found.passage.id in done.say and found.passage.id in done.send and "we deploy on Fridays" in done.send
    assert desk.blocks.view().find("project").value == "x" * 30
    with pytest.raises(BlockError, match="too many"):
        await run(context, "/remember project: we deploy on Fridays")


async def test_a_secret_is_neither_kept_nor_sent(context: Context, blocks: Blocks) -> None:
    before = blocks.pin()
    with pytest.raises(BlockError, match="not kept in memory"):
        await run(context, "/remember the key is sk-ant-api03-" + "aB3dE5gH7jK9" * 8)
    assert blocks.pin() == before


async def test_remember_without_a_text_asks_the_agent(context: Context, blocks: Blocks) -> None:
    before = blocks.pin()
    done = await run(context, "/remember")
    assert "Look back over this conversation" in done.send and blocks.pin() == before


# ---------------------------------------------------------------- /init


async def test_init_tells_the_sizes_as_they_are(context: Context, blocks: Blocks) -> None:
    first = (await run(context, "/init")).send
    assert "`project` (0 of 5,000 characters used; stay below 3,000 characters)" in first
    assert "says something already" not in first and "AGENTS.md" in first and "at most three questions" in first
    assert len(first) < 2_000 and not re.search(r"[{}]", first)
    blocks.apply(Append(label="project", text="uses make"), AGENT)
    blocks.apply(SetLimit(label="project", limit=1000), PERSON)
    again = (await run(context, "/init the server only")).send
    assert "`project` (9 of 1,000 characters used; stay below 1,000 characters)" in again
    assert "says something already" in again and again.endswith("What matters to me: the server only")
