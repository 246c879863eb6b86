"""One event of every type with every field set; `python -m tests.core.samples` writes missing golden files.

A golden file of a released version is never written again: old conversations hold exactly those bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from letta_code.core import display, events, messages, requests
from letta_code.core.events import KnownEvent, LiveEvent, encode, type_of
from letta_code.core.live import Live

GOLDEN = Path(__file__).parent / "golden"

_DURABLE = {"seq": 7, "at": "2026-11-21T08:15:30.123Z", "run_id": "run-1"}
_LIVE = {"after_seq": 7}

_USAGE = messages.Usage(input=5_000, output=120, cache_read=4_000, cache_write=900, reasoning=60)
_CONTENT = (
    messages.TextPart(text='Zeile 1\nline "2"\t\u2028 ✓'),
    messages.ImagePart(media_type="image/png", data="aGVsbG8=", name="shot.png"),
)
_BLOCKS = (
    display.TextBlock(text="plain", title="A title"),
    display.DiffBlock(
        path="b.py", diff="@@ -1 +1 @@\n-a\n+b", status="renamed", old_path="a.py", added=1, removed=1, cut=3
    ),
    display.ShellBlock(
        command="make", output="ok", exit_code=0, seconds=1.5, cwd="/w", background_id="bg-1", full_output="/t/o.txt"
    ),
    display.FileBlock(path="a.py", text="x = 1", first_line=3, total_lines=90),
    display.MatchesBlock(query="needle", lines=("a.py:1:needle",), total=2),
    display.TodoBlock(items=(display.TodoItem(text="write it", status="done"),)),
    display.ImageBlock(path="a.png", media_type="image/png", width=2, height=3, bytes=70),
    display.QuestionBlock(question="Which?", answer="That"),
    display.MemoryBlock(
        label="human",
        diff="+short answers",
        status="renamed",
        old_label="person",
        scope="agent",
        added=1,
        removed=2,
        chars=13,
        limit=5000,
        commit="c0ffee",
    ),
    display.NoteBlock(text="Look out", level="warning"),
)
_APPROVAL = requests.ApprovalRequest(
    request_id="req-1",
    call_id="call-1",
    tool="Bash",
    title="make",
    reason="commands are asked for",
    blocks=_BLOCKS,
    offers=(requests.RuleOffer(pattern="Bash(make)", text="this command"),),
    destructive=True,
    allowed_in="full",
    yes="Yes, and run this repository's hooks until they change",
)

DURABLE_SAMPLES: tuple[KnownEvent, ...] = (
    events.ConversationStarted(
        **_DURABLE, conversation_id="conv-1", agent_id="agent-1", cwd="/w", version="0.1.0", forked_from="conv-0"
    ),
    events.ConversationRenamed(**_DURABLE, title="Fix the parser", by="model"),
    events.ContextPinned(
        **_DURABLE, key="0.1/claude/9", system="Be useful.", tools='[{"name":"Read"}]', memory="c0ffee", reason="new"
    ),
    events.RunStarted(**_DURABLE, model="anthropic/claude", mode="ask", background=True),
    events.RunDetached(**_DURABLE, background=False, by="tui"),
    events.RunMoved(**_DURABLE, background=True, by="tui"),
    events.RunResumed(**_DURABLE, reason="died", attempt=1, background=True, mode="auto"),
    events.RunFinished(
        **_DURABLE,
        reason="error",
        steps=3,
        usage=_USAGE,
        cost=0.25,
        seconds=12.5,
        error_kind="bad_key",
        error="The key was refused",
        hint="Run letta-code connect",
    ),
    events.MessageQueued(**_DURABLE, client_id="c-1", content=_CONTENT),
    events.MessageUnqueued(**_DURABLE, client_id="c-1"),
    events.UserMessage(**_DURABLE, message_id="msg-1", content=_CONTENT, client_id="c-1"),
    events.ReminderAdded(**_DURABLE, message_id="msg-2", kind="environment", text="cwd: /w", fact_key="env-1"),
    events.AssistantMessage(
        **_DURABLE,
        message_id="msg-3",
        model="anthropic/claude",
        text="I look.",
        reasoning=(messages.ReasoningPart(text="Hm.", signature="c2ln", redacted="cmVk"),),
        tool_calls=(messages.ToolCall(id="call-1", name="Read", arguments='{"path": "a.py"'),),
        usage=_USAGE,
        usage_exact=True,
        cost=0.125,
        finish="tool_calls",
        first_part_seconds=0.5,
        seconds=2.25,
    ),
    events.ToolResult(
        **_DURABLE,
        message_id="msg-4",
        call_id="call-1",
        name="Read",
        status="ok",
        content=_CONTENT,
        title="Read a.py",
        blocks=_BLOCKS,
        files=(events.FileSeen(path="/w/a.py", sha="00ff"),),
        state={"cwd": "/w"},
        seconds=0.125,
        taint="the output of `curl x`, which could reach the network",
    ),
    events.RequestMade(**_DURABLE, request=_APPROVAL),
    events.RequestAnswered(
        **_DURABLE, request_id="req-1", answer=requests.Approve(remember="project", pattern="Bash(make)"), by="tui"
    ),
    events.SettingChanged(**_DURABLE, name="mode", value="auto", by="rule"),
    events.TodoChanged(**_DURABLE, lines=("[x] write it", "[ ] test it")),
    events.ToolsLoaded(**_DURABLE, tools='[{"name":"Git"}]'),
    events.ContextCompacted(
        **_DURABLE,
        message_id="msg-9",
        summary="We fixed the parser.",
        first_kept_seq=5,
        evicted=4,
        method="cut",
        reason="overflow",
        tokens_before=40_100,
        tokens_after=9_000,
        kept=("todo: test it",),
        put_back=("file: /w/a.py",),
        note="The summary failed.",
        model="anthropic/claude",
        usage=_USAGE,
        cost=0.01,
        seconds=2.5,
    ),
    events.CheckpointMade(
        **_DURABLE,
        checkpoint_id="cp-1",
        kind="asked",
        until_seq=6,
        name="before the parser",
        root="/w",
        tree="c0ffee",
        memory="abc",
        files=20,
        new_bytes=3_000,
        left_out=("big.bin (30 MB) is too large.",),
        note="No git.",
        seconds=0.1,
    ),
    events.Rewound(
        **_DURABLE,
        checkpoint_id="cp-1",
        what=("code", "conversation"),
        to_seq=6,
        undo="cp-2",
        written=3,
        removed=1,
        failed=("a.txt: no permission",),
    ),
    events.ReflectionDone(
        **_DURABLE,
        reflection_id="refl-1",
        status="waiting",
        read_until=6,
        why="They prefer tabs.",
        patch="*** Begin Patch",
        base="c0ffee",
        blocks=_BLOCKS,
        commit="badcafe",
        error="none",
        model="anthropic/claude",
        usage=_USAGE,
        cost=0.02,
        seconds=3.5,
    ),
    events.ReflectionDecided(**_DURABLE, reflection_id="refl-1", verdict="merged", commit="badcafe"),
    events.Notice(**_DURABLE, level="warning", text="Nearly full", hint="Compact it", code="context"),
)

LIVE_SAMPLES: tuple[LiveEvent, ...] = (
    events.TextDelta(**_LIVE, message_id="msg-3", offset=7, text="I lo"),
    events.ReasoningDelta(**_LIVE, message_id="msg-3", offset=1, text="Hm"),
    events.CallDelta(**_LIVE, message_id="msg-3", call_id="call-1", name="Write", characters=512),
    events.DraftDropped(**_LIVE, message_id="msg-3"),
    events.ToolStarted(**_LIVE, call_id="call-1", name="Bash", title="make"),
    events.ToolOutput(**_LIVE, call_id="call-1", offset=80, text="ok\n"),
    events.Waiting(**_LIVE, phase="retry", seconds=4.5, attempt=2, reason="429"),
    events.ContextMeter(**_LIVE, tokens=9_000, window=200_000, limit=40_000, cost=0.5, exact=True),
)

# Every member of the unions inside events that no sample above holds.
REQUEST_SAMPLES = (
    events.RequestMade(
        **_DURABLE,
        request=requests.QuestionRequest(
            request_id="req-2",
            call_id="call-2",
            question="Which?",
            choices=(requests.Choice(label="That", description="the other"),),
            several=True,
        ),
    ),
    events.RequestAnswered(**_DURABLE, request_id="req-2", answer=requests.Deny(message="No", stop=True), by="tui"),
    events.RequestAnswered(**_DURABLE, request_id="req-2", answer=requests.Reply(text="That"), by="tui"),
    events.RequestAnswered(**_DURABLE, request_id="req-2", answer=requests.Unanswered(reason="nobody"), by="rule"),
)


def golden_path(event: KnownEvent | LiveEvent) -> Path:
    """Where the event's JSON is kept; unions inside an event are told apart by their kind."""
    kind = ""
    if event in REQUEST_SAMPLES:
        inner = event.request if isinstance(event, events.RequestMade) else event.answer
        kind = f".{inner.__struct_config__.tag}"
    folder = GOLDEN / "live" if isinstance(event, Live) else GOLDEN
    return folder / f"{type_of(event)}{kind}.json"


ALL_SAMPLES: tuple[KnownEvent | LiveEvent, ...] = (*DURABLE_SAMPLES, *REQUEST_SAMPLES, *LIVE_SAMPLES)


def main() -> None:
    """Write what is missing."""
    for event in ALL_SAMPLES:
        path = golden_path(event)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(encode(event) + b"\n")
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
