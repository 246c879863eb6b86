"""The screen's state is made from events alone."""

from __future__ import annotations

import itertools
import random

import pytest

from letta_code.core import events as ev
from letta_code.core.display import DiffBlock, ShellBlock
from letta_code.core.messages import ImagePart, ReasoningPart, TextPart, ToolCall, Usage
from letta_code.core.requests import ApprovalRequest, Approve, QuestionRequest
from letta_code.tui.cards import AssistantCard, EndCard, Growing, NoticeCard, ReasoningCard, Tail, ToolCard, UserCard
from letta_code.tui.view_state import ViewState
from letta_code.tui.wording import ATTACHED, seconds_text


class Feed:
    """A state, and events that get their seq by themselves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.state = ViewState(lambda: self.now)
        self._seq = itertools.count(1)

    def keep(self, event: ev.Durable) -> ev.Durable:
        import msgspec

        stored = msgspec.structs.replace(event, seq=next(self._seq))
        self.state.apply(stored)  # type: ignore[arg-type]
        return stored

    def tell(self, *events: ev.LiveEvent) -> None:
        for event in events:
            self.state.apply(event)

    def card(self, key: str, kind: type) -> object:
        card = self.state.cards[key]
        assert isinstance(card, kind)
        return card


@pytest.fixture
def feed() -> Feed:
    return Feed()


def user(text: str, message_id: str = "m-1", client_id: str = "") -> ev.UserMessage:
    return ev.UserMessage(message_id=message_id, content=(TextPart(text=text),), client_id=client_id)


def result(call_id: str, status: str = "ok", **more: object) -> ev.ToolResult:
    return ev.ToolResult(
        message_id=f"r-{call_id}", call_id=call_id, name="Bash", status=status, content=(TextPart(text="out"),), **more
    )  # type: ignore[arg-type]


def test_a_conversation_becomes_cards_in_order(feed: Feed) -> None:
    feed.keep(user("fix it"))
    feed.keep(ev.RunStarted(model="m", mode="ask"))
    call = ToolCall(id="c-1", name="Bash", arguments='{"command": "ls  -la"}')
    feed.keep(
        ev.AssistantMessage(
            message_id="a-1", model="m", text="I look.", reasoning=(ReasoningPart(text="hm"),), tool_calls=(call,)
        )
    )
    feed.keep(result("c-1", blocks=(ShellBlock(command="ls -la", output="x", exit_code=0),), title="Bash ls -la"))
    feed.keep(ev.AssistantMessage(message_id="a-2", model="m", text="Done."))
    feed.keep(ev.RunFinished(reason="done", steps=2, seconds=12))
    kinds = [type(card) for card in feed.state.cards.values()]
    assert kinds == [UserCard, ReasoningCard, AssistantCard, ToolCard, AssistantCard, EndCard]
    tool = feed.state.cards["c-1"]
    assert isinstance(tool, ToolCard)
    assert (tool.status, tool.title, len(tool.blocks)) == ("ok", "Bash ls -la", 1)
    assert not feed.state.running


def test_a_call_has_a_title_before_it_runs(feed: Feed) -> None:
    call = ToolCall(id="c-1", name="Bash", arguments='{"timeout": 5, "command": "ls\\n -la"}')
    broken = ToolCall(id="c-2", name="Edit", arguments='{"path": "a')
    feed.keep(ev.AssistantMessage(message_id="a-1", model="m", tool_calls=(call, broken)))
    assert [card.title for card in feed.state.cards.values() if isinstance(card, ToolCard)] == ["Bash ls -la", "Edit"]


def test_streamed_text_is_kept_by_the_durable_message(feed: Feed) -> None:
    feed.tell(ev.TextDelta(message_id="a-1", offset=0, text="Hel"), ev.TextDelta(message_id="a-1", offset=3, text="lo"))
    before = feed.card("a-1", AssistantCard)
    assert (before.text, before.done) == ("Hello", False)  # type: ignore[attr-defined]
    feed.state.take_changes()
    feed.keep(ev.AssistantMessage(message_id="a-1", model="m", text="Hello"))
    after = feed.card("a-1", AssistantCard)
    assert (after.text, after.done) == ("Hello", True)  # type: ignore[attr-defined]
    assert list(feed.state.cards) == ["a-1"]  # the same card: nothing to flicker
    feed.tell(ev.TextDelta(message_id="a-1", offset=5, text=" late"))
    assert feed.card("a-1", AssistantCard).text == "Hello"  # type: ignore[attr-defined]


def test_pieces_come_out_of_order_and_twice() -> None:
    text = "".join(chr(ord("a") + n % 26) for n in range(200))
    pieces = [(start, text[start : start + 7]) for start in range(0, 200, 7)]
    for seed in range(20):
        mixed = pieces * 2 + [(0, text[:50]), (30, text[30:90])]
        random.Random(seed).shuffle(mixed)
        growing = Growing()
        for offset, piece in mixed:
            growing.add(offset, piece)
        assert growing.text == text
        assert not growing.ahead


def test_a_piece_too_early_waits_for_the_gap(feed: Feed) -> None:
    feed.tell(ev.TextDelta(message_id="a-1", offset=3, text="lo"))
    assert feed.card("a-1", AssistantCard).text == ""  # type: ignore[attr-defined]
    feed.tell(ev.TextDelta(message_id="a-1", offset=0, text="Hel"))
    assert feed.card("a-1", AssistantCard).text == "Hello"  # type: ignore[attr-defined]


def test_output_that_was_not_told_leaves_a_mark() -> None:
    tail = Tail(keep=20)
    assert tail.add(0, "one\n")
    assert not tail.add(0, "one\n")
    assert tail.add(2, "e\ntwo")
    assert tail.text == "one\ntwo"
    tail.add(500, "end")
    assert tail.text == "one\ntwo\n…\nend"
    tail.add(503, "x" * 100)
    assert tail.text == "x" * 20


def test_a_dropped_draft_leaves_nothing(feed: Feed) -> None:
    feed.tell(
        ev.ReasoningDelta(message_id="a-1", offset=0, text="hm"),
        ev.TextDelta(message_id="a-1", offset=0, text="Half"),
        ev.CallDelta(message_id="a-1", call_id="c-1", name="Edit", characters=20),
    )
    assert len(feed.state.cards) == 3
    feed.state.take_changes()
    feed.tell(ev.DraftDropped(message_id="a-1"))
    assert feed.state.cards == {}
    assert set(feed.state.take_changes()) == {"a-1", "thought-a-1", "c-1"}
    feed.tell(ev.TextDelta(message_id="a-1", offset=0, text="Whole"))
    assert feed.card("a-1", AssistantCard).text == "Whole"  # type: ignore[attr-defined]


def test_a_call_is_written_then_runs_then_ends(feed: Feed) -> None:
    feed.tell(ev.CallDelta(message_id="a-1", call_id="c-1", name="Bash", characters=40))
    feed.tell(ev.CallDelta(message_id="a-1", call_id="c-1", name="Bash", characters=20))
    card = feed.state.cards["c-1"]
    assert isinstance(card, ToolCard)
    assert (card.status, card.typed) == ("writing", 40)
    feed.keep(
        ev.AssistantMessage(message_id="a-1", model="m", tool_calls=(ToolCall(id="c-1", name="Bash", arguments="{}"),))
    )
    assert card.status == "waiting"
    feed.tell(ev.ToolStarted(call_id="c-1", name="Bash", title="Bash ls"))
    feed.tell(ev.ToolOutput(call_id="c-1", offset=0, text="a\n"))
    assert (card.status, card.title, card.output) == ("running", "Bash ls", "a\n")
    feed.keep(result("c-1", blocks=(ShellBlock(command="ls", output="a"),), seconds=1.5))
    assert (card.status, card.output, card.seconds) == ("ok", "", 1.5)
    feed.tell(
        ev.ToolStarted(call_id="c-1", name="Bash", title="late"), ev.ToolOutput(call_id="c-1", offset=2, text="b")
    )
    assert (card.status, card.output) == ("ok", "")


def test_stored_events_are_taken_once(feed: Feed) -> None:
    stored = feed.keep(ev.Notice(level="info", text="hello"))
    feed.state.apply(stored)  # type: ignore[arg-type]
    assert len(feed.state.cards) == 1


def test_an_unknown_event_is_shown_by_its_type(feed: Feed) -> None:
    feed.state.apply(ev.decode(b'{"type":"moon_landed","seq":7,"place":"sea"}'))
    [card] = feed.state.cards.values()
    assert isinstance(card, NoticeCard)
    assert "moon_landed" in card.text
    assert feed.state.last_seq == 7


def test_requests_wait_until_somebody_answers(feed: Feed) -> None:
    feed.keep(
        ev.AssistantMessage(message_id="a-1", model="m", tool_calls=(ToolCall(id="c-1", name="Bash", arguments="{}"),))
    )
    feed.keep(ev.RequestMade(request=ApprovalRequest(request_id="q-1", call_id="c-1", tool="Bash", title="Bash rm x")))
    card = feed.state.cards["c-1"]
    assert isinstance(card, ToolCard)
    assert (card.status, card.title, list(feed.state.requests)) == ("approval", "Bash rm x", ["q-1"])
    feed.keep(ev.RequestAnswered(request_id="q-1", answer=Approve(), by="plain"))
    assert (card.status, feed.state.requests) == ("waiting", {})
    feed.keep(ev.RequestMade(request=QuestionRequest(request_id="q-2", call_id="c-1", question="which?")))
    feed.keep(result("c-1"))
    assert feed.state.requests == {}


def test_the_queue_follows_its_messages(feed: Feed) -> None:
    for name in ("one", "two", "three"):
        feed.keep(ev.MessageQueued(client_id=name, content=(TextPart(text=name),)))
    feed.keep(ev.MessageUnqueued(client_id="two"))
    feed.keep(user("one", client_id="one"))
    assert [waiting.text for waiting in feed.state.queue] == ["three"]


def test_an_interrupted_prompt_without_output_comes_back(feed: Feed) -> None:
    feed.keep(user("my long prompt"))
    feed.keep(ev.RunStarted(model="m", mode="ask"))
    feed.keep(ev.RunFinished(reason="interrupted"))
    assert feed.state.take_returned() == "my long prompt"
    assert feed.state.take_returned() == ""


def test_an_interrupted_prompt_with_output_does_not(feed: Feed) -> None:
    feed.keep(user("my long prompt"))
    feed.keep(ev.RunStarted(model="m", mode="ask"))
    feed.tell(ev.TextDelta(message_id="a-1", offset=0, text="I"))
    feed.keep(ev.RunFinished(reason="interrupted"))
    assert feed.state.take_returned() == ""


def test_the_end_of_a_run_leaves_nothing_open(feed: Feed) -> None:
    feed.keep(ev.RunStarted(model="m", mode="ask"))
    feed.tell(ev.Waiting(phase="sent"))
    feed.tell(ev.TextDelta(message_id="a-1", offset=0, text="Ha"))
    feed.tell(ev.ToolStarted(call_id="c-1", name="Bash", title="Bash sleep"))
    feed.keep(ev.RequestMade(request=QuestionRequest(request_id="q-1", call_id="c-1", question="which?")))
    feed.keep(ev.RunFinished(reason="error", error="The provider is gone.", hint="Try again."))
    assert (feed.state.running, feed.state.waiting, feed.state.requests) == (False, None, {})
    assert feed.card("a-1", AssistantCard).done  # type: ignore[attr-defined]
    assert feed.card("c-1", ToolCard).status == "interrupted"  # type: ignore[attr-defined]
    [notice] = [card for card in feed.state.cards.values() if isinstance(card, NoticeCard)]
    assert (notice.level, notice.text, notice.hint) == ("error", "The provider is gone.", "Try again.")


def test_a_retry_counts_from_when_it_was_told(feed: Feed) -> None:
    feed.tell(ev.Waiting(phase="retry", attempt=2, seconds=30, reason="429"))
    feed.now += 12
    assert feed.state.waiting is not None
    assert feed.state.waiting.seconds - (feed.now - feed.state.waiting_since) == 18
    feed.tell(ev.Waiting(phase="retry", attempt=3, seconds=60, reason="429"))
    assert feed.state.waiting_since == feed.now


def test_money_never_goes_down_and_is_not_counted_twice(feed: Feed) -> None:
    feed.keep(ev.AssistantMessage(message_id="a-1", model="m", text="x", cost=0.5, usage=Usage(input=900, output=100)))
    feed.tell(ev.ContextMeter(tokens=1000, window=8000, cost=0.5))
    assert (feed.state.cost, feed.state.tokens, feed.state.window) == (0.5, 1000, 8000)
    feed.tell(ev.ContextMeter(tokens=1200, window=8000, cost=0.8))
    feed.keep(ev.AssistantMessage(message_id="a-2", model="m", text="y", cost=0.3))
    assert feed.state.cost == pytest.approx(0.8)


def test_changes_of_files_are_gathered(feed: Feed) -> None:
    first = DiffBlock(path="a.py", diff="@@ -0,0 +1 @@\n+x", status="added", added=1)
    second = DiffBlock(path="a.py", diff="@@ -1 +1 @@\n-x\n+y", added=1, removed=1)
    feed.keep(result("c-1", blocks=(first,)))
    feed.keep(result("c-2", blocks=(second,)))
    feed.keep(result("c-3", status="denied", blocks=(DiffBlock(path="b.py", diff="", added=9),)))
    [change] = feed.state.changed_files.values()
    assert (change.path, change.added, change.removed, change.status, len(change.blocks)) == ("a.py", 2, 1, "added", 2)


def test_what_went_with_a_message_is_named(feed: Feed) -> None:
    parts = (
        TextPart(text=f"{ATTACHED}ls -la\nfile\n[exit code 0]"),
        ImagePart(media_type="image/png", data="", name="shot.png"),
        TextPart(text="why?"),
    )
    feed.keep(ev.UserMessage(message_id="m-1", content=parts))
    card = feed.state.cards["m-1"]
    assert isinstance(card, UserCard)
    assert (card.text, card.attached) == ("why?", ("$ ls -la", "shot.png"))


def test_settings_and_todo_are_kept(feed: Feed) -> None:
    feed.keep(ev.ConversationStarted(conversation_id="v", agent_id="a", cwd="/x", version="1"))
    feed.keep(ev.SettingChanged(name="mode", value="plan"))
    feed.keep(ev.SettingChanged(name="model", value="other/model"))
    feed.keep(ev.SettingChanged(name="cards", value="nonsense"))
    feed.keep(ev.TodoChanged(lines=("[x] one", "[ ] two")))
    feed.keep(ev.ConversationRenamed(title="A title"))
    state = feed.state
    assert (state.mode, state.model, state.conversation_id, state.title) == ("plan", "other/model", "v", "A title")
    assert state.todo == ("[x] one", "[ ] two")
    assert state.cards == {}


def test_settings_of_earlier_starts_do_not_hide_what_this_start_was_given(feed: Feed) -> None:
    feed.state.opened_at, feed.state.model = 1, "flag/model"
    feed.keep(ev.SettingChanged(name="model", value="old/model"))
    assert feed.state.model == "flag/model"
    feed.keep(ev.SettingChanged(name="model", value="new/model"))
    assert feed.state.model == "new/model"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (12.9, "12 s"), (65, "1 min 05 s"), (3725, "1 h 02 min")]
)
def test_lengths_of_time_read_well(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_a_compaction_beside_a_run_is_work_that_goes_on(feed: Feed) -> None:
    feed.tell(ev.Waiting(phase="loading"))
    began = feed.now
    feed.now += 5
    feed.tell(ev.Waiting(phase="compacting"))
    assert (feed.state.running, feed.state.run_since) == (True, began)
    feed.tell(ev.Waiting(phase="done"))
    assert (feed.state.running, feed.state.waiting) == (False, None)
    assert "compacting" not in feed.state.cards


def test_the_figure_of_the_context_is_the_core_s_alone(feed: Feed) -> None:
    """Another count than `/context` shows would be no count: an answer and a compaction are followed by a meter."""
    feed.tell(ev.ContextMeter(tokens=1234, window=8000))
    feed.keep(ev.AssistantMessage(message_id="a-1", model="m", text="x", usage=Usage(input=900, output=100)))
    feed.keep(ev.ContextCompacted(message_id="s", summary="…", first_kept_seq=1, tokens_after=300))
    assert feed.state.tokens == 1234
