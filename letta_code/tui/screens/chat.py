"""Chat: the conversation, the prompt, one line of status; what stands in the prompt's place when something is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import Key, TextSelected
from textual.message import Message
from textual.screen import Screen
from textual.widgets import TextArea

from letta_code.agent.contained import notice
from letta_code.agent.live.succession import Handed
from letta_code.agent.live.words import change_text
from letta_code.agent.port import SessionOptions
from letta_code.core.errors import LettaError
from letta_code.core.events import Event, LiveEvent, type_of
from letta_code.tui.core_thread import CoreItem, CoreThread, Failed, Opened
from letta_code.tui.dispatch import Dispatch
from letta_code.tui.history import PromptHistory
from letta_code.tui.keymap import CHAT
from letta_code.tui.leaving import Leaving
from letta_code.tui.panes.beside import Beside
from letta_code.tui.panes.transcript import Foldable, Transcript
from letta_code.tui.ports import Ports
from letta_code.tui.prompt_place import PromptPlace
from letta_code.tui.view_state import ViewState
from letta_code.tui.widgets.completer import Completer
from letta_code.tui.widgets.prompt import Prompt, PromptArea
from letta_code.tui.widgets.queue import QueueView
from letta_code.tui.widgets.status_bar import StatusBar, WorkingLine
from letta_code.tui.widgets.welcome import Welcome
from letta_code.tui.wording import folder_text

if TYPE_CHECKING:
    from letta_code.tui.widgets.memory_editor import Draft

Clock: TypeAlias = Callable[[], float]
STOPPING = "Stopping…"
SLICE = 1500  # events taken at a time, so that a long conversation never freezes the keys


class CoreReady(Message):
    """The core has something to take."""


class ChatScreen(Screen[None]):
    """One conversation.  Implements `Face` for the dispatch."""

    BINDINGS = [*CHAT]

    def __init__(
        self, core: CoreThread, options: SessionOptions, ports: Ports, history: PromptHistory, clock: Clock
    ) -> None:
        super().__init__()
        self.core = core
        self.options = options
        self.ports = ports
        self.prompt = Prompt(history)
        self.dispatch = Dispatch(core, self, options.settings, ports)
        self.place = PromptPlace(self)
        self.leaving = Leaving(self)
        self._history = history
        self._state = ViewState(clock)
        self._transcript = Transcript()
        wanted = options.settings.face.memory_pane
        self._beside = Beside(core, lambda: self.show("memory"), self.flash, memory=wanted)
        self._working = WorkingLine()
        self._queue = QueueView()
        self._completer = Completer(self.prompt.area, self.dispatch, core, ports, options.cwd)
        self._status = StatusBar()
        self._welcome = Welcome()
        self._items: list[CoreItem] = []
        self._replay_until = 0
        self._branch_for = ""
        self.mouse = options.settings.face.mouse
        self.memory_drafts: dict[str, Draft] = {}  # texts of blocks that were not saved

    def compose(self) -> ComposeResult:
        """Transcript and dock, and the place beside them."""
        with Horizontal(id="body"):
            with Vertical(id="main"):
                yield self._transcript
                yield self._welcome
                with Vertical(id="dock"):
                    yield self._queue
                    yield self._working
                    yield self._completer
                    yield self.prompt
            yield self._beside
        yield self._status

    def on_mount(self) -> None:
        """Show what is known before the core is there."""
        settings = self.options.settings
        self._state.mode = self.options.mode or settings.mode
        self._state.model = self.options.model or settings.model
        self._state.cwd = self.options.cwd
        self._status.folder = folder_text(self.options.cwd)
        self._refresh_lines()
        self.prompt.area.focus()

    # ------------------------------------------------------------ Face

    @property
    def prompts(self) -> Sequence[str]:
        """What was sent from this project, oldest first."""
        return self._history.entries

    @property
    def state(self) -> ViewState:
        """What is shown."""
        return self._state

    def use(self, options: SessionOptions) -> None:
        """Take other options, before a session is open."""
        self.options = options
        self.dispatch.settings = options.settings

    def redraw(self) -> None:
        """The state changed by something else than an event."""
        self.call_later(self._draw)

    def flash(self, text: str, seconds: float = 3.0) -> None:
        """Say something short, for a moment."""
        self._working.flash(text, seconds)

    def restore(self, text: str) -> None:
        """Give words back to the prompt."""
        self.prompt.restore(text)

    def show(self, name: str) -> None:
        """Open a screen or card by its name."""
        from letta_code.tui.screens.shown import show

        self.run_worker(show(self, name), group="show")

    def open_conversation(self, conversation: str, say: str = "") -> None:
        """Go to another conversation, "" for a new one, and say something there."""
        self.run_worker(self._reopen(conversation, say), group="open", exclusive=True)

    def leave(self) -> None:
        """End the program, or ask first what becomes of the run."""
        self.leaving.leave()

    # ------------------------------------------------------------ events of the core

    async def on_core_ready(self) -> None:
        """Take a batch; only the newest state is drawn."""
        self._items += self.core.take()
        taken, self._items = self._items[:SLICE], self._items[SLICE:]
        for item in taken:
            if isinstance(item, Opened):
                await self._opened(item)
            elif isinstance(item, Failed):
                self._state.notice("error", item.text, item.hint)
                self._replay_until = 0
            elif isinstance(item, Handed):
                self._state.handed(item.status)
                self._state.notice("info", change_text(item.status.owner, item.before, wanted=item.wanted))
            else:
                self._apply(item)
        if self._items:
            self.post_message(CoreReady())
        if self._state.last_seq >= self._replay_until:
            await self._draw()

    def _apply(self, item: Event | LiveEvent) -> None:
        try:
            self._state.apply(item)
        except Exception as error:  # noqa: BLE001 - the app's border: one event that cannot be drawn must not end the screen
            text = f"An event ({type_of(item)}) could not be shown: {type(error).__name__}: {error}"
            self._state.notice("error", text, "This is a fault of letta-code; the event itself is kept.")

    async def _opened(self, item: Opened) -> None:
        status, before = item.status, self._state
        self._state = ViewState(before.clock)
        if before.conversation_id in ("", status.conversation_id) and not item.anew:
            for card in [card for card in before.cards.values() if card.key.startswith("local-")]:
                card.key = self._state.local_key()
                self._state.add(card)
        elif not item.anew:
            self.dispatch.forget()
        self._state.opened(status)
        self._replay_until = status.last_seq
        self._begun = False
        if not status.model:
            self.call_later(self.show, "no-model")
        self.run_worker(self._read_containment(), group="containment", exclusive=True)
        if not self._looked_for_runs:
            self._looked_for_runs = True
            self.run_worker(self._other_runs(), group="runs")

    _to_say = ""  # below what was said in the conversation that is being opened
    _looked_for_runs = False
    _told_of_sandbox = False
    _begun = True  # False between the opening of a conversation and its first drawing

    async def _draw(self) -> None:
        """Draw the state: cards that changed, and every line around them."""
        state = self._state
        if state.last_seq < self._replay_until:
            return
        if not self._begun and self._to_say:
            state.say(self._to_say)
            self._to_say = ""
        keys, returned = state.take_changes(), state.take_returned()
        self.set_class(bool(state.cards), "has-cards")
        if self._begun:
            await self._transcript.sync(state, keys)
        else:
            self._begun, returned = True, ""
            await self._transcript.begin(state)
        if returned:
            self.restore(returned)
        if self._branch_for != state.last_run:
            self._branch_for = state.last_run
            self.app.bell_when_away()  # type: ignore[attr-defined]  # LettaApp's
            self.run_worker(self._read_branch(), group="branch", exclusive=True)
        if not state.running and not self.dispatch.shell_runs:
            self._working.unflash(STOPPING)
        self._refresh_lines()
        await self._beside.show(state)
        await self.place.look()
        self.leaving.look()

    async def _read_containment(self) -> None:
        with suppress(LettaError):  # nothing could be opened, which is told
            held = self._state.containment = await self.core.call(lambda session: session.contained())
            told = notice(held, self.options.settings.sandbox, self._state.mode)
            if told is not None and not self._told_of_sandbox:
                self._told_of_sandbox = True
                self._state.notice(told.level, told.text, told.hint)
            self.redraw()

    async def _other_runs(self) -> None:
        from letta_code.tui.screens.runs import told

        self._working.quiet = await told(self)
        self._refresh_lines()

    async def _read_branch(self) -> None:
        async def read() -> str:
            return await self.ports.git_branch(self.options.cwd)

        self._status.branch = await self.core.run(read())
        self._status.refresh()

    def _refresh_lines(self) -> None:
        state = self._state
        self._status.show(state)
        self._welcome.show(state)
        self._working.show(state)
        self._queue.show(state)
        self.prompt.show_mode(state.mode)

    async def _reopen(self, conversation: str, say: str) -> None:
        # A conversation has its agent; the one that the start asked for was for the first.
        agent = "" if conversation else self.options.agent
        options = msgspec.structs.replace(self.options, conversation=conversation, agent=agent)
        self._to_say = say
        try:
            await self.core.reopen(options)
        except LettaError as error:
            self._to_say = ""
            if say:
                self._state.say(say)
            self._state.notice("error", str(error), error.hint)
            self.redraw()
        else:
            self.options = options

    # ------------------------------------------------------------ what the person does

    @on(PromptArea.Submitted)
    async def _submitted(self, event: PromptArea.Submitted) -> None:
        event.stop()
        text = event.text.strip()
        self._history.remember(text)
        self._working.quiet = ""
        self.prompt.save_draft()
        self._completer.close()
        self._transcript.anchor()
        self.run_worker(self.dispatch.submit(text), group="submit")

    @on(PromptArea.Warned)
    def _warned(self, event: PromptArea.Warned) -> None:
        event.stop()
        self._state.notice("warning", event.text)
        self._transcript.anchor()
        self.redraw()

    @on(PromptArea.Wanted)
    async def _wanted(self, event: PromptArea.Wanted) -> None:
        event.stop()
        match event.what:
            case "end":
                self.leave()
            case "take_back":
                if not await self.dispatch.take_back():
                    self.prompt.area.recall_earlier()
            case "go_on":
                if self._state.offers_to_go_on:
                    self.run_worker(self.dispatch.submit("/continue"), group="submit")
            case "editor" | "history":
                self.show(event.what)
            case what:
                self._completer.obey(what)

    @on(TextArea.Changed)
    def _typed(self) -> None:
        self._completer.look()

    def action_interrupt(self) -> None:
        """Stop the run; in an idle prompt Esc only takes a waiting message back."""
        if self.leaving.stay():
            return
        if self._state.running:
            self.flash(STOPPING)
            self.run_worker(self.dispatch.interrupt(), group="interrupt")
        elif self.dispatch.stop_shell():
            self.flash(STOPPING)
        elif self._state.queue:
            self.run_worker(self.dispatch.take_back(), group="interrupt")
        elif self.focused is not self.prompt.area:
            self.prompt.area.focus()

    def action_cycle_mode(self) -> None:
        """The next mode."""
        self.run_worker(self.dispatch.cycle_mode(), group="mode")

    def action_fold(self) -> None:
        """Unfold everything, or fold it again."""
        self._transcript.fold_all()

    async def action_page(self, direction: int) -> None:
        """Scroll by a page; in the card that asks, if there is one."""
        from letta_code.tui.widgets.ask import Ask  # only when a key asks for it: not needed for the first frame

        if isinstance(self.place.card, Ask):
            self.place.card.scroll_body(direction)
        else:
            await self._transcript.page(direction)

    def action_to_end(self, direction: int) -> None:
        """To the oldest mounted card, or to the end, and stay there."""
        self._transcript.to_end(direction)

    def action_card(self, step: int) -> None:
        """Walk through the cards that fold."""
        self._transcript.walk(self.focused, step, self.prompt.area)

    def on_key(self, event: Key) -> None:
        """Typing while a card has the focus goes to the prompt."""
        if event.is_printable and event.character and isinstance(self.focused, Foldable) and self.place.card is None:
            event.stop()
            self.prompt.area.focus()
            self.prompt.area.insert(event.character)

    def on_text_selected(self, event: TextSelected) -> None:
        """Copy on release."""
        text = self.get_selected_text()
        if text and text.strip():
            self.app.copy_to_clipboard(text)

    async def on_ask_answered(self, event: Message) -> None:
        """An answer was given; the card goes at once, the core hears of it."""
        event.stop()
        request_id, answer = event.request_id, event.answer  # type: ignore[attr-defined]  # Ask.Answered, imported late
        self._state.requests.pop(request_id, None)
        self.place.clear()
        self.run_worker(self.dispatch.answer(request_id, answer), group="answer")
        await self.place.look()

    # ------------------------------------------------------------ the pane beside

    async def action_changes(self) -> None:
        """Show or hide the changes; on a narrow screen they get all of it."""
        if not self._beside.fits:
            self.show("diff")
            return
        self._beside.toggle()
        await self._beside.show(self._state)

    async def action_memory(self, pane: bool = True) -> None:
        """Show or hide memory beside the transcript; without the pane, or room for it, it gets all of the screen."""
        if not (pane and self._beside.fits):
            self.show("memory")
            return
        self._beside.toggle_memory()
        await self._beside.show(self._state)

    async def on_resize(self) -> None:
        """The pane has its place only on wide screens."""
        await self._beside.show(self._state)
