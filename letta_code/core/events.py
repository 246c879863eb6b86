"""Events: everything that can happen in a conversation, as data that is stored, streamed and drawn.

Durable events are the conversation's journal: the store gives each its `seq` (1, 2, 3 … without a gap) and its time.
Live events are told while something goes on and never stored; what they say is said again by a durable event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from letta_code.core.display import DisplayBlock
from letta_code.core.live import (
    CallDelta,
    ContextMeter,
    DraftDropped,
    ReasoningDelta,
    TextDelta,
    ToolOutput,
    ToolStarted,
    Waiting,
)
from letta_code.core.messages import ContentPart, ReasoningPart, ToolCall, Usage, Value
from letta_code.core.requests import Answer, Request

# ---------------------------------------------------------------- durable


class Durable(Value, tag_field="type", kw_only=True):
    """Base of the journal's events.  `seq` is 0 and `at` empty until the store has kept the event."""

    seq: int = 0
    at: str = ""
    run_id: str = ""


class ConversationStarted(Durable, tag="conversation_started"):
    """The first event of every conversation."""

    conversation_id: str
    agent_id: str
    cwd: str
    version: str
    forked_from: str = ""


class ConversationRenamed(Durable, tag="conversation_renamed"):
    """The conversation's title was set, by a person or from its first message."""

    title: str
    by: str = "person"


class ContextPinned(Durable, tag="context_pinned"):
    """The head of the context from here on, byte for byte: instructions with the memory blocks, and tools.

    `key` names what the head was made from (version, model family, tool names); `tools` is the JSON array of tool
    specifications as sent, `memory` the state of memory (memory/view.py's pin) whose blocks stand at the end of
    `system`, `reason` why it was pinned anew.
    """

    key: str
    system: str
    tools: str
    memory: str = ""
    reason: str = ""


class RunStarted(Durable, tag="run_started"):
    """The work on one or more user messages begins; `background` says that it goes on without a face."""

    model: str
    mode: str
    background: bool = False


class RunDetached(Durable, tag="run_detached"):
    """Whether the run is to go on without a face from here on; its owner stays for now.  `by` names who wants it so."""

    background: bool = True
    by: str = ""


class RunMoved(Durable, tag="run_moved"):
    """The run was given away at a step boundary; it is still open and waits for its next owner.

    `background` says that it goes on without a face from here; `by` names who asked for it.
    """

    background: bool = False
    by: str = ""


class RunResumed(Durable, tag="run_resumed"):
    """Another process goes on with an open run: it was `moved`, or its owner `died` (`attempt` counts those)."""

    reason: str = "moved"
    attempt: int = 0
    background: bool = False
    mode: str = ""


class RunFinished(Durable, tag="run_finished"):
    """The work ended.

    `reason` is a `StopReason` value; `error_kind`, `error` and `hint` say more when it is `error`.
    """

    reason: str
    steps: int = 0
    usage: Usage = Usage()
    cost: float | None = None
    seconds: float = 0.0
    error_kind: str = ""
    error: str = ""
    hint: str = ""


class MessageQueued(Durable, tag="message_queued"):
    """A person wrote while a run was going on; it is delivered at the next step boundary as a `UserMessage`."""

    client_id: str
    content: tuple[ContentPart, ...]


class MessageUnqueued(Durable, tag="message_unqueued"):
    """A queued message was taken back before it was delivered."""

    client_id: str


class UserMessage(Durable, tag="user_message"):
    """What a person said.  `client_id` makes sending idempotent."""

    message_id: str
    content: tuple[ContentPart, ...]
    client_id: str = ""


class ReminderAdded(Durable, tag="reminder_added"):
    """What the harness told the model: environment, instructions, mode, limits; `kind` names which.

    `fact_key` identifies the state it describes, so that it is said again only when that changed.
    """

    message_id: str
    kind: str
    text: str
    fact_key: str = ""


class AssistantMessage(Durable, tag="assistant_message"):
    """What the model answered, whole.

    `finish` is stop, tool_calls, length, refusal, or, for a part that was kept: interrupted, stalled or broken.
    `cost` is in US dollars, None where no price is known.
    """

    message_id: str
    model: str
    text: str = ""
    reasoning: tuple[ReasoningPart, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    usage_exact: bool = False
    cost: float | None = None
    finish: str = "stop"
    first_part_seconds: float = 0.0
    seconds: float = 0.0


class FileSeen(Value):
    """A version of a file that the model knows: `sha` is the SHA-256 of its bytes in hex."""

    path: str
    sha: str


class ToolResult(Durable, tag="tool_result"):
    """What came of one call.

    `status` is ok, error, denied, interrupted (stopped; `content` says whether it had begun: then its
    effect is unknown) or unknown (the process died, effect unknown).
    `content` is for the model, `blocks` for the person; `files` are the versions that the model has now seen; `state`
    is what the tool wants to find again on resume (the shell's cwd), by tool name; `taint` names where its text comes
    from when somebody else wrote it ("" where it is the person's own).
    """

    message_id: str
    call_id: str
    name: str
    status: str
    content: tuple[ContentPart, ...]
    title: str = ""
    blocks: tuple[DisplayBlock, ...] = ()
    files: tuple[FileSeen, ...] = ()
    state: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    seconds: float = 0.0
    taint: str = ""


class RequestMade(Durable, tag="request_made"):
    """Something is asked of a person; a face answers it."""

    request: Request


class RequestAnswered(Durable, tag="request_answered"):
    """The first answer to a request; `by` names the face or rule that gave it."""

    request_id: str
    answer: Answer
    by: str = ""


class SettingChanged(Durable, tag="setting_changed"):
    """The mode, the model or another setting of this conversation was changed."""

    name: str
    value: str
    by: str = "person"


class TodoChanged(Durable, tag="todo_changed"):
    """The todo list after a change, as JSON-free lines (`[x] done`, `[>] in progress`, `[ ] pending`)."""

    lines: tuple[str, ...] = ()


class ToolsLoaded(Durable, tag="tools_loaded"):
    """Deferred tools that `tool_search` brought into the conversation: their specifications as a JSON array."""

    tools: str


class ContextCompacted(Durable, tag="context_compacted"):
    """Messages left the context; `summary` stands for them from here on, under `message_id`.

    Messages of events before `first_kept_seq` are evicted (`evicted` counts them), but for the newest reminder of each
    fact.  `method` is summary or cut (made without a model), `reason` threshold, overflow or asked.  `kept` are the
    items that had to survive and stand word for word in the summary itself, or in a block of the head; `put_back` those
    that were added to it from the log; `note` tells what was cut or had no room, and what else the person should know.
    `usage` and `cost` are those of making the summary.
    """

    message_id: str
    summary: str
    first_kept_seq: int
    evicted: int = 0
    method: str = "summary"
    reason: str = "threshold"
    tokens_before: int = 0
    tokens_after: int = 0
    kept: tuple[str, ...] = ()
    put_back: tuple[str, ...] = ()
    note: str = ""
    model: str = ""
    usage: Usage = Usage()
    cost: float | None = None
    seconds: float = 0.0


class ReflectionDone(Durable, tag="reflection_done"):
    """A background reading of the transcript up to `read_until` ended.

    `status` is merged, waiting (for the person's yes), nothing (there was nothing to keep), failed or cancelled (only
    what it cost is told; the same is read again).  `patch` is what it proposes for the blocks (memory/patch.py) on the
    state of memory `base`, `why` in its own words, `blocks` what that changes; `commit` is the memory commit of a
    merged one.
    """

    reflection_id: str
    status: str
    read_until: int
    why: str = ""
    patch: str = ""
    base: str = ""
    blocks: tuple[DisplayBlock, ...] = ()
    commit: str = ""
    error: str = ""
    model: str = ""
    usage: Usage = Usage()
    cost: float | None = None
    seconds: float = 0.0


class ReflectionDecided(Durable, tag="reflection_decided"):
    """A person decided about a reflection that waited: `verdict` is merged or rejected."""

    reflection_id: str
    verdict: str
    commit: str = ""


class CheckpointMade(Durable, tag="checkpoint_made"):
    """A point to come back to: the conversation up to `until_seq`, memory as of the pin `memory`, the work tree `tree`.

    `kind` is asked (`/save`), run (before the first effect of a run), danger (before a command that can destroy) or
    rewind (before a rewind, so that it can be undone).  `tree` is the snapshot's object id in the store of `root`
    (host/snapshots.py), "" where none could be made, and `note` says why; `left_out` are sentences about files that it
    does not hold.
    """

    checkpoint_id: str
    kind: str
    until_seq: int
    name: str = ""
    root: str = ""
    tree: str = ""
    memory: str = ""
    files: int = 0
    new_bytes: int = 0
    left_out: tuple[str, ...] = ()
    note: str = ""
    seconds: float = 0.0


class Rewound(Durable, tag="rewound"):
    """The person went back to a checkpoint.

    `what` names the parts: code, conversation, memory.  With conversation, what happened after `to_seq` and before this
    event counts no longer (it stays in the journal); otherwise `to_seq` is 0.  `undo` is the checkpoint made before it.
    `written` and `removed` count files, `failed` are sentences about those that could not be brought back.
    """

    checkpoint_id: str
    what: tuple[str, ...]
    to_seq: int = 0
    undo: str = ""
    written: int = 0
    removed: int = 0
    failed: tuple[str, ...] = ()


class Notice(Durable, tag="notice"):
    """Something the person should know that is not an answer: `level` is info, warning or error."""

    level: str
    text: str
    hint: str = ""
    code: str = ""


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event of a newer version: kept as its bytes, shown by its type, copied as it is."""

    raw: bytes
    type: str = ""
    seq: int = 0
    at: str = ""


KnownEvent: TypeAlias = (
    ConversationStarted
    | ConversationRenamed
    | ContextPinned
    | RunStarted
    | RunDetached
    | RunMoved
    | RunResumed
    | RunFinished
    | MessageQueued
    | MessageUnqueued
    | UserMessage
    | ReminderAdded
    | AssistantMessage
    | ToolResult
    | RequestMade
    | RequestAnswered
    | SettingChanged
    | TodoChanged
    | ToolsLoaded
    | ContextCompacted
    | ReflectionDone
    | ReflectionDecided
    | CheckpointMade
    | Rewound
    | Notice
)
Event: TypeAlias = KnownEvent | UnknownEvent
LiveEvent: TypeAlias = (
    TextDelta | ReasoningDelta | CallDelta | DraftDropped | ToolStarted | ToolOutput | Waiting | ContextMeter
)


class StopReason:
    """Why a run ended: the values of `RunFinished.reason`."""

    DONE = "done"
    INTERRUPTED = "interrupted"
    DENIED = "denied"
    MAX_TURNS = "max_turns"
    TIME_LIMIT = "time_limit"
    REPEATED_CALL = "repeated_call"
    REPEATED_ERROR = "repeated_error"
    LENGTH = "length"
    REFUSAL = "refusal"
    ERROR = "error"
    ORPHANED = "orphaned"
    MOVED = "moved"  # never of a `RunFinished`: the run goes on elsewhere


# ---------------------------------------------------------------- JSON

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[KnownEvent] = msgspec.json.Decoder(KnownEvent)
_live_decoder: msgspec.json.Decoder[LiveEvent] = msgspec.json.Decoder(LiveEvent)


class _Envelope(msgspec.Struct):
    type: str = ""
    seq: int = 0
    at: str = ""


_envelope: msgspec.json.Decoder[_Envelope] = msgspec.json.Decoder(_Envelope)


def encode(event: Event | LiveEvent) -> bytes:
    """One line of JSON without its newline; an unknown event gives the very bytes it came as."""
    return event.raw if isinstance(event, UnknownEvent) else _encoder.encode(event)


def decode(raw: bytes) -> Event:
    """A durable event from its JSON.

    An unknown type, or a known type whose fields a newer version changed beyond reading, becomes `UnknownEvent`.
    Raises `msgspec.DecodeError` only when the bytes are no JSON object at all.
    """
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError:
        head = _envelope.decode(raw)
        return UnknownEvent(raw=bytes(raw), type=head.type, seq=head.seq, at=head.at)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"not UTF-8 ({error.reason})") from error


def decode_live(raw: bytes) -> LiveEvent:
    """A live event from its JSON; raises `msgspec.DecodeError`."""
    return _live_decoder.decode(raw)


def type_of(event: Event | LiveEvent) -> str:
    """The event's type as it stands in its JSON."""
    if isinstance(event, UnknownEvent):
        return event.type
    config: Any = event.__struct_config__
    return str(config.tag)
