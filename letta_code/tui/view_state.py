"""View state: everything the screen shows, made from events alone (no textual here)."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import takewhile

from letta_code.agent.port import Status
from letta_code.core import events as ev
from letta_code.core.display import DiffBlock, DisplayBlock
from letta_code.core.live import Live
from letta_code.core.messages import text_of
from letta_code.core.requests import ApprovalRequest, Request
from letta_code.safety.containment import Containment
from letta_code.tui.cards import (
    AssistantCard,
    Card,
    FileChange,
    NoticeCard,
    Queued,
    ReasoningCard,
    SayCard,
    ToolCard,
    UserCard,
)
from letta_code.tui.memory_events import note, note_wait
from letta_code.tui.ownership import Ownership, note_end, note_owner
from letta_code.tui.unfinished import Unfinished, thought_of
from letta_code.tui.wording import age, said, title_of


class ViewState:
    """The screen's state.  `apply` takes every durable and live event; what changed is named in `take_changes`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.cards: dict[str, Card] = {}
        self.requests: dict[str, Request] = {}
        self.queue: list[Queued] = []
        self.todo: tuple[str, ...] = ()
        self.changed_files: dict[str, FileChange] = {}
        self.conversation_id = ""
        self.agent = ""  # its name
        self.several = False  # whether there are other agents
        self.cwd = ""
        self.title = ""
        self.model = ""
        self.mode = "ask"
        self.containment = Containment()  # says nothing while it is not known
        self.outside = False  # whether somebody else's text is in the conversation
        self.running, self.run_since = False, 0.0
        self.waiting: ev.Waiting | None = None
        self.waiting_since = 0.0
        self.tokens = self.window = 0
        self.limit = 0  # tokens at which the context is compacted
        self.places: dict[str, int] = {}  # seq of the event that a message's card came with
        self.evicted = ""  # key of the line below what the model does not see any more
        self.memory_mark = 0  # counts what may have changed memory
        self.cost: float | None = None
        self._spent: float | None = None
        self.last_seq = 0
        self.opened_at = 0  # the settings of events up to here are history: a flag of this start may differ
        self.ownership = Ownership()
        self.last_run = "open"  # changes when a run ended: what files and git say may have changed with it
        self._unfinished = Unfinished(self)
        self._of_run: list[str] = []  # keys of the cards that the run at hand made: only they can be open
        self._prompts: list[str] = []  # what was said since the model last did something
        self._returned = ""
        self._changes: dict[str, None] = {}
        self._local = 0

    def opened(self, status: Status) -> None:
        """Begin with what a session says of itself."""
        self.model, self.mode, self.cwd = status.model, status.mode, status.cwd
        self.agent, self.several = status.agent, status.several
        self.containment = status.containment
        self.conversation_id, self.title = status.conversation_id, status.title
        self.tokens, self.window, self.limit = status.context_tokens, status.window, status.compact_at
        self.cost, self.opened_at = status.cost, status.last_seq
        self.ownership.of(status)

    def handed(self, status: Status) -> None:
        """The conversation has another owner: what was being written is told again, or was never finished."""
        self._unfinished.drop_all()
        self.waiting = None
        self.model, self.mode = status.model or self.model, status.mode
        self.window, self.limit = status.window or self.window, status.compact_at or self.limit
        self.opened_at = max(self.opened_at, self.last_seq)
        self.ownership.of(status)

    @property
    def offers_to_go_on(self) -> bool:
        """Whether the last run was cut off and can be gone on with from here."""
        return self.ownership.cut_off and not self.running and not self.ownership.owner

    # ------------------------------------------------------------ what changed

    def take_changes(self) -> list[str]:
        """Keys of the cards that were added, changed or removed since the last call, oldest first."""
        changes, self._changes = list(self._changes), {}
        return changes

    def take_returned(self) -> str:
        """The words of a prompt that was interrupted before anything came of it ("" for none), once."""
        returned, self._returned = self._returned, ""
        return returned

    def add(self, card: Card) -> None:
        """Put a card at the end, or in its place when its key is known."""
        self.cards[card.key] = card
        self._changes[card.key] = None

    def add_to_run(self, card: Card) -> None:
        """Put a card of the run at hand at the end; it is drawn once it has something to show."""
        self.cards[card.key] = card
        self._of_run.append(card.key)

    def add_before(self, other: str, card: Card) -> None:
        """Put a card before another one, which is near the end."""
        behind = list(takewhile(lambda key: key != other, reversed(self.cards)))
        self.add(card)
        for key in (other, *reversed(behind)):
            self.cards[key] = self.cards.pop(key)

    def remove(self, key: str) -> None:
        """Take a card away."""
        if self.cards.pop(key, None) is not None:
            self._changes[key] = None

    def touch(self, key: str) -> None:
        """Say that a card changed."""
        self._changes[key] = None

    def local_key(self) -> str:
        """A key for a card that belongs to no event."""
        self._local += 1
        return f"local-{self._local}"

    def notice(self, level: str, text: str, hint: str = "") -> None:
        """Show something that is not in the journal."""
        self.add(NoticeCard(key=self.local_key(), level=level, text=text, hint=hint))

    def say(self, text: str, blocks: tuple[DisplayBlock, ...] = ()) -> None:
        """Show a command's words."""
        self.add(SayCard(key=self.local_key(), text=text, blocks=blocks))

    # ------------------------------------------------------------ events

    def apply(self, event: ev.Event | ev.LiveEvent) -> None:
        """Take one event; a durable event that was taken before is ignored."""
        if isinstance(event, Live):
            self._live(event)
            return
        if event.seq and event.seq <= self.last_seq:
            return
        self.last_seq = max(self.last_seq, event.seq)
        self._durable(event)
        note(self, event)
        note_owner(self, event)

    def _durable(self, event: ev.Event) -> None:  # noqa: PLR0912 - one case an event type, each a line or two
        match event:
            case ev.UserMessage():
                self._user(event)
            case ev.AssistantMessage():
                self._assistant(event)
            case ev.ToolResult():
                self._result(event)
            case ev.RequestMade(request=request):
                self._request(request)
            case ev.RequestAnswered(request_id=request_id):
                self._answered(request_id)
            case ev.RunStarted():
                self._run_started(event)
            case ev.RunFinished():
                self._run_finished(event)
            case ev.MessageQueued(client_id=client_id, content=content):
                self.queue.append(Queued(client_id, text_of(content)))
            case ev.MessageUnqueued(client_id=client_id):
                self._leave_queue(client_id)
            case ev.ConversationStarted(conversation_id=conversation_id, cwd=cwd):
                self.conversation_id, self.cwd = conversation_id, cwd
            case ev.ConversationRenamed(title=title):
                self.title = title
            case ev.SettingChanged(name=name, value=value):
                if name in ("mode", "model") and (not event.seq or event.seq > self.opened_at):
                    setattr(self, name, value)
            case ev.TodoChanged(lines=lines):
                self.todo = lines
            case ev.Notice(level=level, text=text, hint=hint):
                self.add(NoticeCard(key=f"notice-{event.seq}", level=level, text=text, hint=hint))
            case ev.UnknownEvent(type=kind, seq=seq):
                text = f"Something a newer version of letta-code wrote: {kind or 'an event without a type'}"
                self.add(NoticeCard(key=f"notice-{seq}", level="info", text=text, hint="It is kept as it is."))
            case _:  # memory and the context: memory_events; reminders, loaded tools: for the model, not for the screen
                pass

    def _live(self, event: ev.LiveEvent) -> None:
        match event:
            case ev.TextDelta() | ev.ReasoningDelta() | ev.CallDelta():
                if self._unfinished.grow(event):
                    self._came()
            case ev.DraftDropped(message_id=message_id):
                self._unfinished.drop(message_id)
            case ev.ToolStarted(call_id=call_id, name=name, title=title):
                card = self.tool(call_id, name)
                if card.open:
                    card.status, card.since, card.title = "running", self.clock(), title or card.title
                self.waiting = None
            case ev.ToolOutput(call_id=call_id, offset=offset, text=text):
                self._unfinished.output(call_id, offset, text)
            case ev.Waiting(phase="moving" | "stays" | "silent" | "answers"):
                self.ownership.waits(event, self.clock())
            case ev.Waiting(phase="done"):  # a compaction beside a run: it has no other end
                self.running, self.waiting = False, None
                note_wait(self, event)
            case ev.Waiting():
                if not self.running and event.phase in ("loading", "compacting"):
                    self.running, self.run_since = True, self.clock()
                if self.waiting is None or _waits_anew(self.waiting, event):
                    self.waiting_since = self.clock()
                self.waiting = event
                note_wait(self, event)
            case ev.ContextMeter():
                self.tokens, self.limit = event.tokens, event.limit or self.limit
                self.window = event.window or self.window
                self._costs(event.cost)

    # ------------------------------------------------------------ messages

    def _user(self, event: ev.UserMessage) -> None:
        self._leave_queue(event.client_id)
        text, attached = said(event.content)
        self._prompts.append(text)
        self.add(UserCard(key=event.message_id, text=text, attached=attached))

    def _leave_queue(self, client_id: str) -> None:
        self.queue = [waiting for waiting in self.queue if waiting.client_id != client_id]

    def _assistant(self, event: ev.AssistantMessage) -> None:
        self._unfinished.written(event.message_id)
        thought_key = thought_of(event.message_id)
        thought = "\n\n".join(part.text for part in event.reasoning if part.text)
        if thought or thought_key in self.cards:
            known = self.cards.get(thought_key)
            text = thought or (known.text if isinstance(known, ReasoningCard) else "")
            self.add(ReasoningCard(key=thought_key, text=text, done=True))
        if event.text:
            self.add(AssistantCard(key=event.message_id, text=event.text, done=True, finish=event.finish))
        else:
            self.remove(event.message_id)
        for call in event.tool_calls:
            card = self.tool(call.id, call.name)
            card.title = card.title if card.title not in ("", card.name) else title_of(call)
            if card.status == "writing":
                card.status = "waiting"
        self._came()
        if event.cost is not None:
            self._spent = (self._spent or 0.0) + event.cost
            self._costs(self._spent)

    def _came(self) -> None:
        """Something came of what was said."""
        self.waiting = None
        self._prompts.clear()

    def _costs(self, cost: float | None) -> None:
        # The meter and the sum of the messages say the same money, one a little before the other: it never goes down.
        if cost is not None:
            self.cost = max(self.cost or 0.0, cost)

    # ------------------------------------------------------------ tools

    def tool(self, call_id: str, name: str) -> ToolCard:
        """The card of a call, made where there is none yet."""
        card = self.cards.get(call_id)
        if not isinstance(card, ToolCard):
            card = ToolCard(key=call_id, name=name, title=name)
            self.add_to_run(card)
        self.touch(call_id)
        return card

    def _result(self, event: ev.ToolResult) -> None:
        card = self.tool(event.call_id, event.name)
        card.status, card.seconds, card.blocks = event.status, event.seconds, event.blocks
        card.title = event.title or card.title
        # What blocks show is not kept twice; what went wrong may need the words as well.
        card.text = "" if event.blocks and event.status == "ok" else text_of(event.content)
        card.output = "" if event.blocks else card.output
        self.outside = self.outside or bool(event.taint)  # when it is taken back, all is told anew
        self._unfinished.printed(event.call_id)
        for request_id in [i for i, request in self.requests.items() if request.call_id == event.call_id]:
            del self.requests[request_id]
        if event.status == "ok":
            self._note_changes(event)

    def _note_changes(self, event: ev.ToolResult) -> None:
        for block in event.blocks:
            if not isinstance(block, DiffBlock):
                continue
            change = self.changed_files.setdefault(block.path, FileChange(path=block.path, status=block.status))
            change.blocks.append(block)
            change.added += block.added
            change.removed += block.removed
            change.status = change.status if change.status == "added" and block.status != "deleted" else block.status

    # ------------------------------------------------------------ requests

    def _request(self, request: Request) -> None:
        self.requests[request.request_id] = request
        card = self.cards.get(request.call_id)
        if isinstance(card, ToolCard):
            card.status = "approval"
            if isinstance(request, ApprovalRequest):
                card.title = request.title or card.title
            self.touch(card.key)
        self.waiting = None

    def _answered(self, request_id: str) -> None:
        request = self.requests.pop(request_id, None)
        card = self.cards.get(request.call_id) if request is not None else None
        if isinstance(card, ToolCard) and card.status == "approval":
            card.status = "waiting"
            self.touch(card.key)

    # ------------------------------------------------------------ runs

    def begins(self, at: str = "") -> None:
        """A run goes on; `at` is when it began, where the journal says so: who comes later sees how long it takes."""
        if at or not self.running:
            self.run_since = self.clock() - (age(at) if self.last_seq <= self.opened_at else 0.0)
        self.running = True

    def hand_back(self) -> None:
        """A prompt that was interrupted before anything came of it goes back to whoever wrote it."""
        self._returned = "\n\n".join(text for text in self._prompts if text)

    def _run_started(self, event: ev.RunStarted) -> None:
        self.begins(event.at or "now")
        self.model, self.mode = event.model or self.model, event.mode or self.mode
        self.waiting = None

    def _run_finished(self, event: ev.RunFinished) -> None:
        self.running = False
        self.last_run = f"end-{event.seq}"
        self.waiting = None
        self.requests.clear()
        for key in self._of_run:
            card = self.cards.get(key)
            if isinstance(card, ToolCard) and card.open:
                card.status = "interrupted"
                self.touch(card.key)
            elif isinstance(card, AssistantCard | ReasoningCard) and not card.done:
                card.done = True
                self.touch(card.key)
        self._of_run.clear()
        self._unfinished.forget()
        note_end(self, event)
        self._prompts.clear()


def _waits_anew(before: ev.Waiting, now: ev.Waiting) -> bool:
    """Whether another wait begins: the phases of one model call are one wait, each pause before a retry is its own."""
    call = ("sent", "first_part")
    return now.phase == "retry" or (before.phase != now.phase and not (before.phase in call and now.phase in call))
