"""Scripts are played from where the conversation stands, and fail loudly when they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from letta_code.config.settings import Settings
from letta_code.core.errors import BadRequest, ConfigError, Overloaded, RateLimited, StreamBroken
from letta_code.core.messages import Message, Usage
from letta_code.llm.connect import open_model
from letta_code.llm.model import ChatModel, Finish, ReasoningPiece, StreamPart, TextPiece, UsagePiece
from tests.llm.contract import calls_in, parts_of, text_in
from tests.llm.examples import assistant, call, reminder, request, result, user


def scripted(tmp_path: Path, text: str) -> ChatModel:
    path = tmp_path / "script.yaml"
    path.write_text(text)
    return open_model(f"scripted:{path}", Settings(), lambda _: None)


async def play(model: ChatModel, *messages: Message) -> list[StreamPart]:
    return await parts_of(model, request(*messages))


def said(turns: int) -> list[Message]:
    """A conversation in which the model has spoken so often."""
    story: list[Message] = [user("go")]
    for turn in range(turns):
        story += [assistant("", call(f"c{turn}"), id=f"a{turn}"), result(f"c{turn}", text=f"out {turn}")]
    return story


STORY = """
- text: I look first.
  reasoning: It must be in app.py.
  tools:
    - {name: Read, args: {path: app.py}}
    - {name: Bash, arguments: '{"command": "ls', id: mine}
  usage: {input: 900, output: 40, cache_read: 800}
  pieces: 5
- text: Turn {{turn}}.
  tools: [{name: Bash, args: {command: "echo {{turn}}"}}]
  repeat: 2
- text: Done.
  finish: length
"""


async def test_a_turn_has_reasoning_text_calls_and_usage(tmp_path: Path) -> None:
    parts = await play(scripted(tmp_path, STORY), *said(0))
    assert "".join(part.text for part in parts if isinstance(part, ReasoningPiece)) == "It must be in app.py."
    assert text_in(parts) == "I look first."
    assert max(len(part.text) for part in parts if isinstance(part, TextPiece)) == 5
    assert calls_in(parts) == [("call_1_0", "Read", '{"path":"app.py"}'), ("mine", "Bash", '{"command": "ls')]
    assert UsagePiece(usage=Usage(input=900, output=40, cache_read=800)) in parts
    assert parts[-1] == Finish(reason="tool_calls")


async def test_the_place_is_counted_from_the_conversation(tmp_path: Path) -> None:
    for played, words in enumerate(["I look first.", "Turn 2.", "Turn 3.", "Done."]):
        fresh = scripted(tmp_path, STORY)  # another process that resumes
        assert text_in(await play(fresh, *said(played))) == words


async def test_numbers_stand_in_arguments_and_ids_differ(tmp_path: Path) -> None:
    model = scripted(tmp_path, STORY)
    assert calls_in(await play(model, *said(1))) == [("call_2_0", "Bash", '{"command":"echo 2"}')]
    assert calls_in(await play(model, *said(2))) == [("call_3_0", "Bash", '{"command":"echo 3"}')]


async def test_finish_can_be_said(tmp_path: Path) -> None:
    assert (await play(scripted(tmp_path, STORY), *said(3)))[-1] == Finish(reason="length")


async def test_a_script_that_has_run_out_fails_loudly(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no turn 5") as caught:
        await play(scripted(tmp_path, STORY), *said(4))
    assert "out 3" in caught.value.hint


async def test_repeat_forever(tmp_path: Path) -> None:
    model = scripted(tmp_path, "- text: first\n- {text: again, repeat: forever}\n")
    assert [text_in(await play(model, *said(n))) for n in (0, 1, 7)] == ["first", "again", "again"]


async def test_expected_words_must_stand_in_what_was_said_last(tmp_path: Path) -> None:
    script = "- text: a\n- {text: b, expect: [out 0, noted]}\n- {text: c, expect: out 0}\n"
    model = scripted(tmp_path, script)
    assert text_in(await play(model, *said(1), reminder("noted"))) == "b"
    with pytest.raises(BadRequest, match=r"Turn 2 of .* expected 'noted'"):
        await play(model, *said(1))
    with pytest.raises(BadRequest, match="expected 'out 0'"):  # that was a turn ago
        await play(model, *said(2))


async def test_errors_are_raised_so_often_and_then_the_turn_is_played(tmp_path: Path) -> None:
    model = scripted(tmp_path, "- {text: ok, error: {status: 429, message: slow, retry_after: 2, times: 2}}\n")
    for _ in range(2):
        with pytest.raises(RateLimited, match="slow") as caught:
            await play(model, *said(0))
        assert caught.value.retry_after == 2
    assert text_in(await play(model, *said(0))) == "ok"


async def test_errors_in_the_middle(tmp_path: Path) -> None:
    script = "- {text: one two three, pieces: 4, error: {after: 2, %s}}\n"
    for fields, kind in (("status: 529", Overloaded), ("cut: true", StreamBroken)):
        parts: list[StreamPart] = []
        with pytest.raises(kind):
            async for part in scripted(tmp_path, script % fields).stream(request(*said(0))):
                parts.append(part)
        assert text_in(parts) == "one two "


async def test_answers_by_match_once_the_turns_have_run_out(tmp_path: Path) -> None:
    script = "turns: [{text: first}]\nanswers: [{match: hello, text: Hello.}, {text: 'What?'}]\n"
    model = scripted(tmp_path, script)
    assert text_in(await play(model, user("hello"))) == "first"
    assert text_in(await play(model, user("x"), assistant("first"), user("well, hello"))) == "Hello."
    assert text_in(await play(model, user("x"), assistant("first"), user("tell me"))) == "What?"


async def test_info_can_be_said(tmp_path: Path) -> None:
    model = scripted(tmp_path, "info: {window: 8000, edit_family: apply_patch}\nturns: []\n")
    assert (model.info.window, model.info.edit_family, model.info.loopback) == (8000, "apply_patch", True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- {txt: typo}", "txt"),
        ("- {tools: [{args: {}}]}", "name"),
        ("- {repeat: 0}", "repeat"),
        ("- {error: {times: never}}", "times"),
        ("turns: [", "no YAML"),
        ("just words", "off"),
        ("info: {window: many}\nturns: []", "info"),
    ],
)
def test_a_wrong_script_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scripted(tmp_path, text)
    assert words in str(caught.value)
    assert caught.value.hint


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml"):
        open_model(f"scripted:{tmp_path / 'nothing.yaml'}", Settings(), lambda _: None)


async def test_pieces_take_their_time(tmp_path: Path) -> None:
    import time

    model: Any = scripted(tmp_path, "- {text: one two three four, pieces: 5, delay: 0.05}\n")
    began = time.monotonic()
    await play(model, *said(0))
    assert 0.15 <= time.monotonic() - began < 1.0
