"""Slash commands: what each says and does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letta_code.agent.port import SessionOptions
from letta_code.commands.base import Outcome, load_commands
from letta_code.commands.cost import report
from letta_code.commands.wording import ago, columns, money, tokens
from letta_code.config.settings import Settings
from letta_code.core.display import DiffBlock
from letta_code.core.errors import LettaError, UsageError
from letta_code.core.events import AssistantMessage, ConversationStarted, Event, Notice, ToolResult, UserMessage
from letta_code.core.messages import TextPart, Usage, Value
from letta_code.store.database import Store
from tests.fakes.model_server import ModelServer, Reply
from tests.fakes.redaction import NoSecrets
from tests.headless.fake import FakeSession


class Context(Value):
    session: FakeSession
    settings: Settings
    store: Store


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    async def script(session: FakeSession) -> None:
        raise AssertionError("no command starts a run")

    with Store.open(tmp_path / "letta.db", conversations_dir=tmp_path / "c", redactor=NoSecrets()) as store:
        options = SessionOptions(cwd="/work/project", settings=Settings(model="openai/one"))
        yield Context(session=FakeSession(options, script), settings=options.settings, store=store)  # type: ignore[arg-type]


async def run(context: Context, line: str) -> Outcome:
    name, _, arguments = line.removeprefix("/").partition(" ")
    return await load_commands()[name].run(context, arguments)


async def tell(context: Context, conversation: str, cwd: str, *events: Event) -> None:
    agent = await context.store.agents.ensure_default()
    started = ConversationStarted(conversation_id=conversation, agent_id=agent.id, cwd=cwd, version="")
    await context.store.append(conversation, [started, *events])  # type: ignore[list-item]


def said(text: str) -> UserMessage:
    return UserMessage(message_id=f"msg-{text}", content=(TextPart(text=text),), client_id=text)


def test_all_commands_of_the_plan_exist_with_a_sentence_each() -> None:
    commands = load_commands()
    assert list(commands) == [
        "agents",
        "background",
        "checkpoints",
        "compact",
        "connect",
        "context",
        "continue",
        "cost",
        "diff",
        "doctor",
        "dump",
        "exit",
        "export",
        "fork",
        "help",
        "init",
        "memory",
        "mode",
        "model",
        "new",
        "permissions",
        "redo",
        "reflect",
        "remember",
        "rename",
        "resume",
        "rewind",
        "runs",
        "save",
        "search",
        "takeover",
        "undo",
    ]
    for one in commands.values():
        assert one.help.endswith((".", ":")) and len(one.help) > 5


async def test_commands_that_move(context: Context) -> None:
    assert (await run(context, "/exit")).quit
    assert (await run(context, "/new")).open == "new"
    assert (await run(context, "/connect")).show == "connect"


async def test_help_lists_all_and_explains_one(context: Context) -> None:
    listed = await run(context, "/help")
    assert all(f"/{name}" in listed.say for name in load_commands()) and listed.show == "help"
    one = await run(context, "/help /exit")
    assert "Leave letta-code." in one.say and "`/quit`" in one.say and "--continue" in one.say
    with pytest.raises(UsageError):
        await run(context, "/help nothing")


async def test_mode_explains_each_and_sets(context: Context) -> None:
    listed = await run(context, "/mode")
    assert "**`ask`** (now)" in listed.say and all(f"`{name}`" in listed.say for name in ("plan", "auto", "full"))
    assert "`auto`" in (await run(context, "/mode auto")).say
    assert context.session.mode == "auto"
    with pytest.raises(UsageError, match="wild"):
        await run(context, "/mode wild")
    assert context.session.mode == "auto"


async def test_model_is_tried_before_it_is_set(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "`openai/one`" in (await run(context, "/model")).say
    with ModelServer((Reply(text="ready"), Reply(status=401, message="no"))) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        assert "answered in" in (await run(context, "/model openai/two")).say
        assert context.session.model == "openai/two" and len(server.requests) == 1
        with pytest.raises(LettaError):
            await run(context, "/model openai/three")
        assert context.session.model == "openai/two"
    with pytest.raises(LettaError):
        await run(context, "/model nonsense")


async def test_a_script_is_not_played_for_the_try(context: Context, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("turns: [{text: hi}]")
    outcome = await run(context, f"/model scripted:{tmp_path / 's.yaml'}")
    assert context.session.model.startswith("scripted:") and "answered in" not in outcome.say


async def test_diff_shows_what_took_effect(context: Context) -> None:
    assert "changed no file" in (await run(context, "/diff")).say

    def result(number: int, status: str, *blocks: DiffBlock) -> ToolResult:
        call = f"call-{number}"
        return ToolResult(message_id=f"m{number}", call_id=call, name="Edit", status=status, content=(), blocks=blocks)

    one = DiffBlock(path="src/a.py", diff="@@\n-x\n+y", added=1, removed=1)
    two = DiffBlock(path="src/b.py", diff="@@\n+y", added=1)
    await tell(
        context,
        "conv-1",
        "/work/project",
        said("go"),
        result(1, "ok", one, two),
        result(2, "ok", one),
        result(3, "denied", two),
    )
    outcome = await run(context, "/diff")
    assert outcome.blocks == (one, two, one) and outcome.show == "diff"
    assert outcome.say == "2 files changed, +3 -2"
    assert (await run(context, "/diff b.py")).blocks == (two,)
    assert "No change of `c.py`" in (await run(context, "/diff c.py")).say


def answer(number: int, cost: float | None, *, exact: bool = True) -> AssistantMessage:
    usage = Usage(input=1000 * number, output=10, cache_read=500)
    return AssistantMessage(
        message_id=f"m{number}", model="a/b", text="x", usage=usage, usage_exact=exact, cost=cost, seconds=1.25
    )


async def test_cost_counts_turns_and_money(context: Context) -> None:
    assert "Nothing was asked" in (await run(context, "/cost")).say
    await tell(context, "conv-1", "/work/project", said("go"), answer(1, 0.01), answer(2, 0.02))
    say = (await run(context, "/cost")).say
    assert "3.0k" in say and "$0.03" in say and "~" not in say


def test_cost_says_what_it_does_not_know() -> None:
    text = report([answer(1, 0.5), answer(2, None, exact=False)])
    assert "$0.50" in text and "1 calls are not in the money" in text and "~2.0k" in text
    assert "unknown" in report([answer(1, None)])
    long = [answer(number, 0.01) for number in range(1, 31)]
    assert "\n  11 " in report(long) and "\n  10 " not in report(long) and "\n   1 " in report(long, every=True)
    assert "$0.30" in report(long)


async def test_resume_lists_this_folder_and_opens(context: Context) -> None:
    assert "no other conversation" in (await run(context, "/resume")).say
    await tell(context, "conv-1", "/work/project", said("the current one"))
    await tell(context, "conv-2", "/work/project", said("fix the parser"))
    await tell(context, "conv-3", "/elsewhere", said("other folder"))
    await asyncio.sleep(0.01)
    await tell(context, "conv-4", "/work/project", said("write docs"))
    listed = await run(context, "/resume")
    assert listed.say.index("write docs") < listed.say.index("fix the parser") and listed.show == "resume"
    assert "other folder" not in listed.say and "the current one" not in listed.say and "just now" in listed.say
    assert (await run(context, "/resume 2")).open == "conv-2"
    assert (await run(context, "/resume conv-3")).open == "conv-3"
    for wrong in ("9", "conv-9"):
        with pytest.raises(UsageError):
            await run(context, f"/resume {wrong}")


async def test_notices_are_no_answers(context: Context) -> None:
    await tell(context, "conv-1", "/work/project", said("go"), Notice(level="info", text="x"))
    assert "Nothing was asked" in (await run(context, "/cost")).say


def test_wording() -> None:
    assert [tokens(count) for count in (0, 999, 12_345, 999_949, 999_950, 1_234_567)] == [
        "0", "999", "12.3k", "999.9k", "1.0M", "1.2M",
    ]  # fmt: skip
    assert [money(value) for value in (None, 0.0, 0.0012, 1.005, 12.3)] == [
        "unknown",
        "$0.00",
        "$0.0012",
        "$1.00",
        "$12.30",
    ]
    now = 1_763_700_000.0
    assert ago("2025-11-21T04:39:58.123Z", now) == "just now"
    assert ago("2025-11-21T04:10:00.000Z", now) == "30 min ago"
    assert ago("2025-11-20T22:40:00.000Z", now) == "6 h ago"
    assert ago("2025-01-02T12:00:00.000Z", now).startswith("2025-01-0")
    assert ago("nonsense", now) == "nonsense"
    assert columns([("a", "1"), ("bb", "22")], right=(1,)) == ["a    1", "bb  22"]


async def test_doctor_names_what_is_wrong_and_counts_what_is_fine(context: Context, letta_home: Path) -> None:
    letta_home.mkdir()
    letta_home.chmod(0o755)
    said = (await run(context, "/doctor store config")).say
    assert said.startswith("**1 thing wrong") and "rights 0755" in said and "`letta-code doctor --fix`" in said
    letta_home.chmod(0o700)
    assert (await run(context, "/doctor config")).say.startswith("**Nothing is wrong")
    assert "no check" in (await run(context, "/doctor teeth")).say
