"""/context and /dump on a real session with a scripted model."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from letta_code.agent.context import Section
from letta_code.agent.port import SessionOptions, Status
from letta_code.agent.session import Session
from letta_code.agent.start import start_session
from letta_code.commands.base import Outcome, load_commands
from letta_code.commands.context import Line, bar, report
from letta_code.commands.dump import asked, outlined
from letta_code.commands.logged import last_messages, lines_of
from letta_code.config.settings import ContextSettings, Settings
from letta_code.core import events as ev
from letta_code.core.errors import LettaError, UsageError
from letta_code.core.messages import TextPart, Usage, Value
from letta_code.memory.edits import Append
from letta_code.memory.provenance import Provenance

WIDTH = 74  # what a screen of 80 columns has for the words of a command


class Context(Value):
    session: Session
    settings: Settings

    @property
    def store(self) -> object:
        return self.session.store


def script(tmp_path: Path, *turns: dict[str, Any]) -> str:
    file = tmp_path / "script.yaml"
    file.write_text(json.dumps({"info": {"window": 200_000}, "turns": [*turns, {"text": "done", "repeat": 90}]}))
    return f"scripted:{file}"


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.txt").write_text("one ```\n" * 400)
    reads = {"text": "I read.", "tools": [{"name": "Read", "args": {"path": "a.txt"}}]}
    settings = Settings(model=script(tmp_path, reads), context=ContextSettings(compact_at_tokens=30_000))
    session = await start_session(SessionOptions(cwd=str(work), settings=settings))
    yield Context(session=session, settings=settings)
    await session.close()


async def run(context: Context, line: str) -> Outcome:
    name, _, arguments = line.removeprefix("/").partition(" ")
    return await load_commands()[name].run(context, arguments)


async def talk(context: Context, *texts: str) -> None:
    for text in texts:
        await context.session.send(text)
        await context.session.idle()


def tables(markdown: str) -> list[str]:
    """The lines inside of fences."""
    found: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        if line.startswith("```") and not fence:
            fence = line.removesuffix("text")
        elif line == fence:
            fence = ""
        elif fence:
            found.append(line)
    assert not fence, "a fence is left open"
    return found


# ---------------------------------------------------------------- /context


async def test_context_shows_every_part_with_its_tokens(context: Context) -> None:
    assert "nothing was sent yet" in (await run(context, "/context")).say
    context.session.memory.blocks.apply(Append(label="human", text="Ann likes tea"), Provenance(source="user"))
    await talk(context, "look at a.txt")
    say = (await run(context, "/context")).say
    lines = tables(say)
    for name in ("instructions", "tools", "memory", "  human", "  persona", "reminders", "what you said", "  Read"):
        assert any(re.match(rf"{name}( \(\d+\))? +\d[\d.k]* +(<?\d+%)", line) for line in lines), name
    assert "the biggest messages" in lines and any(" Result of Read " in line for line in lines)
    assert "of 30.0k tokens" in say and "75%: 22.5k" in say and "window has 200.0k" in say
    assert "`context.compact_at_tokens`" in say and "Nothing has left the context yet." in say
    assert max(map(len, lines)) <= WIDTH
    every = tables((await run(context, "/context all")).say)
    assert not any("more (/context all)" in line for line in every)
    assert {s.title for s in context.session.context_sections() if s.kind == "tools"} <= {
        line.split()[0] for line in every if line.startswith("  ")
    }


def part(kind: str, tokens: int, title: str = "x", seq: int = 0, text: str = "") -> Section:
    return Section(kind=kind, title=title, text=text, tokens=tokens, seq=seq)


def test_percents_are_of_all_parts_and_groups_are_sums() -> None:
    sections = [
        part("instructions", 500),
        part("memory", 300, "human"),
        part("memory", 200, "todo"),
        part("tool", 900, "Result of Read", 4),
        part("tool", 50, "Result of Read", 6),
        part("tool", 50, "Result of Bash", 8),
    ]
    lines = tables(report(sections, Line(used=2000, limit=4000)))
    assert any(re.fullmatch(r"memory \(2\) +500 +25% +▇{5}", line) for line in lines)
    assert any(re.fullmatch(r"tool results \(3\) +1.0k +50% +▇{10}", line) for line in lines)
    assert any(re.fullmatch(r"  Read x 2 +950 +48%", line) for line in lines)
    assert lines[lines.index("the biggest messages") + 1].split()[:3] == ["event", "4", "900"]


def test_only_the_biggest_parts_are_shown_and_the_rest_is_summed() -> None:
    sections = [part("memory", 1000 - n, f"b{n}") for n in range(50)]
    lines = tables(report(sections, Line(used=1, limit=2)))
    assert [line.split()[0] for line in lines if line.startswith("  b")] == [f"b{n}" for n in range(12)]
    [rest] = [line for line in lines if "38 more" in line]
    assert f"{sum(1000 - n for n in range(12, 50)) / 1000:.1f}k" in rest
    assert len([line for line in tables(report(sections, Line(used=1, limit=2), every=True)) if "  b" in line]) == 50


@pytest.mark.parametrize(("used", "cells"), [(0, 0), (20_000, 22), (30_000, 33), (40_000, 44), (90_000, 44)])
def test_the_bar_shows_how_full_it_is_and_where_the_lines_are(used: int, cells: int) -> None:
    head, row, mark, *more = bar(Line(used=used, limit=40_000))
    assert row.count("█") == cells and row.endswith("40.0k") and len(row) == len("▏40.0k") + 44
    assert row.find("┊") in (33, -1) and mark.index("└") == 33 and more == []
    assert f"{used / 40_000:.0%}" in head


@pytest.mark.parametrize(
    ("limit", "said"),
    [(40_000, "`context.compact_at_tokens` moves it"), (9_000, "90% of the model's window"), (7_000, "refused")],
)
def test_what_puts_the_line_where_it_is_is_told(limit: int, said: str) -> None:
    status = Status(conversation_id="c", agent_id="a", context_tokens=10, window=10_000, compact_at=limit)
    line = Line.of(status, ContextSettings())
    say = report([part("user", 10, seq=2)], line)
    assert line.limit == limit and said in say and f"at {limit:,} tokens" in say


def test_what_left_the_context_is_told_with_its_events() -> None:
    compacted = [
        ev.ContextCompacted(
            message_id="s", summary="…", first_kept_seq=790, seq=812 + n, at="2025-11-21T06:20:00.000Z", evicted=212,
            tokens_before=39_800, tokens_after=12_100, put_back=("the rule about tabs",), note="It was said.",
        )
        for n in range(20)
    ]  # fmt: skip
    say = report([part("summary", 10, seq=790)], Line(used=1, limit=9000), compacted)
    assert "20 times" in say and "4240 in all" in say
    assert any("212 up to event 789" in line and "39.8k → 12.1k" in line for line in tables(say))
    assert "the rule about tabs" in say and "It was said." in say
    assert "/search" in say and "conversation_search" in say
    assert max(map(len, tables(say))) <= WIDTH


def test_what_a_message_says_cannot_leave_its_line() -> None:
    text = "```\n# big\x1b[31m\u202e " + "x" * 500
    lines = report([part("user", 10, seq=2, text=text)], Line(used=1, limit=9000)).split("\n")
    assert lines.count("```") == 1 and not any("\x1b" in line or "\u202e" in line for line in lines)


# ---------------------------------------------------------------- /dump


async def test_dump_shows_the_last_messages_and_the_request(context: Context) -> None:
    assert "Nothing was said" in (await run(context, "/dump")).say
    await talk(context, "look at a.txt", "and again")
    say = (await run(context, "/dump")).say
    lines = tables(say)
    last = context.session.history.last_seq
    assert [line for line in lines if re.match(rf" *{last}  \d\d:\d\d:\d\d  run finished: done", line)]
    assert any("result of Read: ok" in line for line in lines) and any('→ Read {"path"' in line for line in lines)
    assert "more lines" in say and "characters …" in say and '"system": "' in say
    assert "look at a.txt" in say and "look at a.txt" not in (await run(context, "/dump 2")).say
    with pytest.raises(UsageError):
        await run(context, "/dump 0")


async def test_dump_writes_the_stored_events_and_the_exact_request(context: Context) -> None:
    await talk(context, "look at a.txt")
    say = (await run(context, "/dump my file.json")).say
    path = Path(context.session.options.cwd, "my file.json")
    assert str(path) in say and stat.S_IMODE(path.stat().st_mode) == 0o600
    raw = path.read_bytes()
    whole = json.loads(raw)
    assert [event["seq"] for event in whole["log"]] == list(range(1, context.session.history.last_seq + 1))
    assert b'"request":' + context.session.context_request() + b"}\n" in raw
    assert "one ```" in json.dumps(whole["request"]["messages"])
    with pytest.raises(UsageError, match="already"):
        await run(context, "/dump 1 my file.json")
    assert path.read_bytes() == raw
    await run(context, "/dump 1 last.json")
    assert len(json.loads(path.with_name("last.json").read_bytes())["log"]) < len(whole["log"])
    with pytest.raises(LettaError, match="could not be written"):
        await run(context, "/dump no/such/folder.json")


def test_a_line_of_dump_is_a_number_and_a_file() -> None:
    assert asked("") == (0, "")
    assert asked(" 7 ") == (7, "")
    assert asked("~/a b.json") == (0, "~/a b.json")
    assert asked("7 a b.json") == (7, "a b.json")


def test_an_outline_keeps_the_last_messages_and_says_what_is_left_out() -> None:
    body = {"model": "m", "messages": [{"content": f"text {n} " + "y" * 1000} for n in range(20)]}
    shown = json.loads(outlined(json.dumps(body).encode(), 3))
    assert shown["messages"][0] == "… 17 messages before …"
    assert [one["content"][:7] for one in shown["messages"][1:]] == ["text 17", "text 18", "text 19"]
    assert "characters …" in shown["messages"][1]["content"]
    assert outlined(b"not JSON", 3) == "not JSON"
    tools = outlined(b'{"tools":[{"name":"A","input_schema":{"type":"object"}}]}', 3)
    assert json.loads(tools)["tools"] == [{"name": "A", "input_schema": "… 17 bytes of schema …"}]


def test_events_read_as_lines() -> None:
    events: list[ev.Event] = [
        ev.ConversationStarted(conversation_id="c", agent_id="a", cwd="/w", version="1", seq=1),
        ev.UserMessage(message_id="1", content=(TextPart(text="a\x1b[2Jb\n" * 30),), seq=2, at="2026-11-21T06:20:07Z"),
        ev.AssistantMessage(message_id="2", model="m", text="fine", usage=Usage(input=1200, output=3), seq=3),
        ev.UnknownEvent(raw=b'{"type":"from_2030"}', type="from_2030", seq=4),
        ev.ReminderAdded(message_id="3", kind="memory", text="changed", seq=5),
    ]
    lines = lines_of(events)
    assert lines[0].strip().startswith("1") and '"cwd":"/w"' in lines[1]
    assert "    2  06:20:07  you" in lines and "       … 18 more lines" in lines
    assert any("answer of m: ~1.2k in, ~3 out" in line for line in lines)
    assert any("from 2030" in line for line in lines) and any("reminder: memory" in line for line in lines)
    assert not any("\x1b" in line for line in lines)
    assert [event.seq for event in last_messages(events, 2)] == [3, 4, 5]
    assert [event.seq for event in last_messages(events, 9)] == [1, 2, 3, 4, 5]
