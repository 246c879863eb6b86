"""What happens, as lines; and numbered choices: pure functions."""

from __future__ import annotations

import pytest
from msgspec import structs

from letta_code.core.display import (
    DiffBlock,
    FileBlock,
    ImageBlock,
    MatchesBlock,
    NoteBlock,
    QuestionBlock,
    ShellBlock,
    TextBlock,
    TodoBlock,
    TodoItem,
)
from letta_code.core.events import (
    AssistantMessage,
    ContextCompacted,
    DraftDropped,
    Event,
    LiveEvent,
    Notice,
    ReminderAdded,
    RunFinished,
    TextDelta,
    ToolResult,
    ToolStarted,
    Waiting,
)
from letta_code.core.messages import TextPart
from letta_code.core.requests import ApprovalRequest, Approve, Choice, Deny, QuestionRequest, Reply, RuleOffer
from letta_code.plain import dialog, shell
from letta_code.plain.render import MOST_LINES, Lines, block_lines
from letta_code.tui import wording


def told(*events: Event | LiveEvent) -> list[str]:
    lines: list[str] = []
    renderer = Lines(lines.append)
    for event in events:
        renderer.event(event)
    return lines


def delta(offset: int, text: str) -> TextDelta:
    return TextDelta(message_id="m", offset=offset, text=text)


def message(text: str, finish: str = "stop") -> AssistantMessage:
    return AssistantMessage(message_id="m", model="a/b", text=text, finish=finish)


def test_an_answer_comes_line_by_line_and_nothing_twice() -> None:
    lines: list[str] = []
    renderer = Lines(lines.append)
    renderer.event(delta(0, "one\ntw"))
    assert lines == ["one"]
    renderer.event(delta(6, "o\n\nthree"))
    assert lines == ["one", "two", ""]
    renderer.event(message("one\ntwo\n\nthree"))
    assert lines == ["one", "two", "", "three"]


def test_repeated_and_missed_pieces_do_no_harm() -> None:
    assert told(delta(0, "one\n"), delta(0, "one\n"), delta(4, "two\n"), message("one\ntwo\n")) == ["one", "two"]
    assert told(delta(0, "one\n"), delta(20, "lost\n"), message("one\ntwo\nlost\n")) == ["one", "two", "lost"]
    assert told(message("whole")) == ["whole"]
    assert told(delta(0, "draft\n"), message("other\n")) == ["draft", "other"]


def test_an_answer_that_is_asked_for_again_is_said_to_be() -> None:
    again = told(delta(0, "one\ntwo"), DraftDropped(message_id="m"), delta(0, "new\n"), message("new\n"))
    assert again == ["one", "(That answer broke off and is asked for again.)", "new"]
    assert told(delta(0, "tw"), DraftDropped(message_id="m"), message("new")) == ["new"]
    assert told(message("half", "stalled"))[-1] == "(The answer is not whole: stalled.)"


def test_control_characters_never_reach_the_terminal() -> None:
    evil = "\x1b[2Jx\x07\x9b31m\r"
    block = ShellBlock(command=evil, output=evil, exit_code=0)
    result = ToolResult(message_id="m", call_id="c", name="Bash", status="ok", content=(), blocks=(block,))
    lines = told(
        message(evil), ToolStarted(call_id="c", name="Bash", title=evil), result, Notice(level="info", text=evil),
        RunFinished(reason="error", error=evil, hint=evil),
    )  # fmt: skip
    assert lines and not any(ord(char) < 32 or 127 <= ord(char) < 160 for line in lines for char in line)


def test_tools_waiting_and_ends() -> None:
    failed = ToolResult(
        message_id="m", call_id="c", name="Read", status="error", content=(TextPart(text="No file.\nx"),)
    )
    denied = ToolResult(message_id="m", call_id="c", name="Edit", status="denied", content=(), title="Edit a.py")
    assert told(ToolStarted(call_id="c", name="Read", title="Read a.py"), failed, denied) == [
        "* Read a.py",
        "  error: No file.",
        "  not done: Edit a.py",
    ]
    waits = [Waiting(phase="retry", seconds=left, attempt=2, reason="slow down") for left in (3.0, 2.0, 1.0)]
    assert told(*waits) == ["Waiting 3 s before try 2: slow down"]
    assert told(RunFinished(reason="done")) == []
    assert told(RunFinished(reason="interrupted")) == ["Interrupted."]
    ended = told(RunFinished(reason="error", error_kind="quota", error="No money.", hint="Pay."))
    assert ended == ["error: No money.", "  Pay."]


def test_a_compaction_is_said_in_one_line() -> None:
    event = ContextCompacted(
        message_id="m", summary="…", first_kept_seq=9, evicted=12, tokens_before=30_000, tokens_after=9000, note="So."
    )
    assert told(event) == ["Context compacted: 30,000 → 9,000 tokens, 12 messages summarised. So."]


def test_a_compaction_is_announced_once_and_an_edit_of_memory_is_told_without_its_text() -> None:
    wait = Waiting(phase="compacting")
    assert told(wait, wait) == ["Making room in the context."]
    text = 'Your memory changed:\n`human` was changed by the person, and is now:\n<block label="human">\nx\n</block>'
    reminder = ReminderAdded(message_id="m", kind="memory", text=text)
    assert told(reminder) == ["The agent was told: `human` was changed by the person"]
    assert told(ReminderAdded(message_id="m", kind="environment", text="It is Tuesday.")) == []


def test_a_silent_server_is_named_every_ten_seconds_of_each_call() -> None:
    call = [Waiting(phase="sent"), *(Waiting(phase="first_part", seconds=s + 0.1) for s in range(1, 25))]
    said = [f"Waiting for the model's first words: {seconds} s so far." for seconds in (10, 20)]
    assert told(*call, *call) == said + said
    assert told(Waiting(phase="loading", seconds=9.0)) == []
    assert told(Waiting(phase="loading", seconds=31.0)) == ["Waiting for the model to be loaded: 31 s so far."]


@pytest.mark.parametrize(
    ("block", "lines"),
    [
        (TextBlock(text="a\nb\n", title="t"), ["t", "a", "b"]),
        (DiffBlock(path="a.py", diff="@@ -1 +1 @@\n-x\n+y\n", added=1, removed=1, cut=5),
         ["modified a.py, +1 -1", "@@ -1 +1 @@", "-x", "+y", "… 5 more lines"]),
        (DiffBlock(path="b", diff="", status="renamed", old_path="a"), ["renamed b (was a), +0 -0", ""]),
        (ShellBlock(command="ls", output="x\n", exit_code=1, seconds=0.25, full_output="/tmp/o"),
         ["x", "exit code 1, 0.2 s", "whole output: /tmp/o"]),
        (ShellBlock(command="ls", output="", seconds=2.0), ["killed, 2.0 s"]),
        (ShellBlock(command="serve", background_id="sh-1"), ["running in the background as sh-1"]),
        (FileBlock(path="a.py", text="x\ny", total_lines=9), ["a.py, 2 of 9 lines"]),
        (MatchesBlock(query="x", lines=("a:1",), total=4), ["a:1", "… 3 more"]),
        (TodoBlock(items=(TodoItem(text="a", status="done"), TodoItem(text="b"))), ["[x] a", "[ ] b"]),
        (ImageBlock(path="p.png", width=2, height=3), ["image p.png, 2 x 3"]),
        (QuestionBlock(question="Which?", answer="a"), ["Which?", "answer: a"]),
        (NoteBlock(text="careful", level="warning"), ["warning: careful"]),
    ],
)  # fmt: skip
def test_every_block_has_lines(block: object, lines: list[str]) -> None:
    assert block_lines(block) == lines  # type: ignore[arg-type]


def test_a_long_block_is_cut_and_counted() -> None:
    lines = block_lines(TextBlock(text="\n".join(str(number) for number in range(500))))
    assert len(lines) == MOST_LINES + 1 and lines[-1] == f"… {500 - MOST_LINES} more lines"


def test_what_was_typed_in_the_shell_is_known_by_the_same_words_everywhere() -> None:
    assert shell.ATTACHED == wording.ATTACHED
    long = shell.attachment(ShellBlock(command="x", output="a" * 50_000, exit_code=0))
    assert len(long) < 21_000 and "30000 characters left out" in long


# ---------------------------------------------------------------- choices


APPROVAL = ApprovalRequest(
    request_id="r", call_id="c", tool="Bash", title="$ npm test", offers=(RuleOffer(pattern="Bash(npm test)"),)
)


def test_an_approval_shows_the_rule_that_would_be_kept() -> None:
    options = dialog.approval_options(APPROVAL)
    assert [option.answer for option in options] == [
        Approve(),
        Approve(remember="conversation", pattern="Bash(npm test)"),
        Approve(remember="project", pattern="Bash(npm test)"),
        Approve(remember="always", pattern="Bash(npm test)"),
        Deny(),
        Deny(stop=True),
    ]
    lines = dialog.option_lines(options)
    assert lines[1] == "  2. Yes, and do not ask again for Bash(npm test) in this conversation"


def test_a_yes_that_holds_for_longer_says_so() -> None:
    hooks = structs.replace(APPROVAL, yes="Yes, and run this repository's hooks until they change", offers=())
    assert dialog.approval_options(hooks)[0].label == hooks.yes


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("1", Approve()),
        (" y ", Approve()),
        ("n", Deny()),
        ("6", Deny(stop=True)),
        ("use make instead", Deny(message="use make instead")),
        ("", None),
        ("0", None),
        ("7", None),
        ("99999999999", None),
    ],
)
def test_what_is_typed_means_an_answer(typed: str, answer: object) -> None:
    assert dialog.approval_answer(typed, dialog.approval_options(APPROVAL)) == answer


def test_hidden_characters_of_a_call_are_shown() -> None:
    request = ApprovalRequest(request_id="r", call_id="c", tool="Bash", title="$ ls\u202e\x1b[2K", destructive=True)
    lines = dialog.approval_lines(request)
    assert "‹U+202E›" in lines[1] and "\x1b" not in "".join(lines) and "Careful" in lines[2]


def test_an_approval_shows_every_line_of_a_command_and_no_end() -> None:
    command = "\n".join(["echo start", *("true" for _ in range(MOST_LINES)), "rm -rf ~\u202e\x1b[8m\rls"])
    request = ApprovalRequest(
        request_id="r", call_id="c", tool="Bash", title="$ echo start", blocks=(ShellBlock(command=command),)
    )
    lines = dialog.approval_lines(request)
    assert lines[2] == "  $ echo start" and len(lines) == MOST_LINES + 4
    assert lines[-1].strip() and "$ rm -rf ~‹U+202E›‹U+001B›[8m‹U+000D›ls" in lines[-1]
    assert not any("killed" in line for line in lines)


@pytest.mark.parametrize(
    ("several", "typed", "answer"),
    [
        (False, "2", Reply(text="beta")),
        (False, "something else", Reply(text="something else")),
        (False, "3", None),
        (False, "", None),
        (True, "1, 2", Reply(text="alpha, beta")),
        (True, "1,9", None),
        (True, "1 and 2", Reply(text="1 and 2")),
    ],
)
def test_questions(several: bool, typed: str, answer: object) -> None:
    choices = (Choice(label="alpha"), Choice(label="beta", description="the second"))
    request = QuestionRequest(request_id="r", call_id="c", question="Which?", choices=choices, several=several)
    assert dialog.question_answer(typed, request) == answer
    assert "  2. beta: the second" in dialog.question_lines(request)


def test_an_owner_that_does_not_answer_is_named_once_a_minute_until_it_does() -> None:
    silent = [Waiting(phase="silent", seconds=s, reason=f"process 7 does not answer for {s} s") for s in (15, 40, 80)]
    lines = told(*silent, Waiting(phase="answers"), silent[0])
    first, later = "Process 7 does not answer for 15 s.", "Process 7 does not answer for 80 s."
    assert lines == [first, later, "It answers again.", first]
