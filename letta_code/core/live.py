"""Live events: told while something goes on and never stored; what they say is said again by a durable event."""

from __future__ import annotations

from letta_code.core.messages import Value


class Live(Value, tag_field="type", kw_only=True):
    """Base of live events: `after_seq` is the last durable event when it happened."""

    after_seq: int = 0


class TextDelta(Live, tag="text_delta"):
    """More of an assistant message's text, to stand at `offset` characters."""

    message_id: str
    offset: int
    text: str


class ReasoningDelta(Live, tag="reasoning_delta"):
    """More of an assistant message's reasoning."""

    message_id: str
    offset: int
    text: str


class CallDelta(Live, tag="call_delta"):
    """A call is being written by the model: `characters` of its arguments have come."""

    message_id: str
    call_id: str
    name: str
    characters: int


class DraftDropped(Live, tag="draft_dropped"):
    """The partial text of this message stands no longer: the request is tried again."""

    message_id: str


class ToolStarted(Live, tag="tool_started"):
    """A call passed the policy and runs now."""

    call_id: str
    name: str
    title: str


class ToolOutput(Live, tag="tool_output"):
    """More output of a running call, to stand at `offset` characters; not all of a huge output is told."""

    call_id: str
    offset: int
    text: str


class Waiting(Live, tag="waiting"):
    """A model call is under way: `phase` is sent, first_part, retry, loading or compacting; `seconds` left or passed.

    For `retry`, `reason` says what failed, `attempt` which try comes next and `seconds` how long until then.
    A compaction beside a run begins with `loading` and ends with `done`, whatever came of it; `moving` lasts until the
    step ends at which the run changes its owner, or until `stays`: it does not after all.  A follower itself tells
    `silent` (its owner has not answered for `seconds`, `reason` says so to people) and then `answers`.
    """

    phase: str
    seconds: float = 0.0
    attempt: int = 0
    reason: str = ""


class ContextMeter(Live, tag="context_meter"):
    """How full the context is: tokens used of the window (0 where unknown), cost so far in US dollars.

    At `limit` tokens it is compacted.
    """

    tokens: int
    window: int = 0
    limit: int = 0
    cost: float | None = None
    exact: bool = False
