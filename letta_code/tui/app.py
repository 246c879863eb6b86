"""App: wiring of core thread, screen and terminal; nothing else."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from pathlib import Path

from textual.app import App
from textual.screen import Screen

from letta_code.agent.live.succession import OpenAgain
from letta_code.agent.port import SessionOptions
from letta_code.core.errors import UsageError
from letta_code.host.allocator import collect_as_usual
from letta_code.tui.clipboard import Copy, osc52
from letta_code.tui.core_thread import CoreThread
from letta_code.tui.driver import TerminalDriver
from letta_code.tui.history import PromptHistory
from letta_code.tui.keymap import APP, teach_terminal_keys
from letta_code.tui.leaving import Farewell
from letta_code.tui.ports import OpenSession, Ports
from letta_code.tui.screens.chat import ChatScreen, Clock, CoreReady
from letta_code.tui.signals import EndSignals

QUIT_SECONDS = 2.0  # between two Ctrl-C


class LettaApp(App[int]):
    """The full-screen face.  `exit_code` is 0, or 128 and the number of the signal that ended it."""

    CSS_PATH = "app.tcss"
    BINDINGS = [*APP]
    ENABLE_COMMAND_PALETTE = False
    PAUSE_GC_ON_SCROLL = True
    TITLE = "letta-code"

    def __init__(
        self,
        options: SessionOptions,
        open_session: OpenSession,
        ports: Ports,
        *,
        history_folder: Path | None = None,
        copy: Copy | None = None,
        clock: Clock = time.monotonic,
        open_again: OpenAgain | None = None,
    ) -> None:
        super().__init__(driver_class=TerminalDriver)
        teach_terminal_keys()
        self._options = options
        self._history = PromptHistory(history_folder, options.cwd)
        self._history_folder = history_folder
        self._copy = copy
        self._clock = clock
        self._core = CoreThread(open_session, self._wake, warm, open_again)
        self._ports = ports
        self._chat: ChatScreen | None = None
        self._quit_at = 0.0
        self.hung_up = False  # the terminal has gone away
        self.left_running = False  # and the run goes on without it
        self.resume_id = ""
        self.farewell = Farewell()
        self.unsaved: list[Path] = []  # files with texts of memory blocks that were not saved
        self.refused: UsageError | None = None  # the command line named what is not there; nothing was opened
        if options.settings.face.theme in self.available_themes:
            self.theme = options.settings.face.theme

    def get_default_screen(self) -> Screen[None]:
        """The conversation."""
        self._chat = ChatScreen(self._core, self._options, self._ports, self._history, self._clock)
        return self._chat

    @property
    def core(self) -> CoreThread:
        """The agent's thread; it outlives the screen where `left_running`."""
        return self._core

    @property
    def chat(self) -> ChatScreen:
        """The conversation's screen."""
        assert self._chat is not None
        return self._chat

    def on_mount(self) -> None:
        """Everything that may wait until the first frame is on the screen waits."""
        if not self.is_headless:
            EndSignals(self._signalled, waits=self._goes_on, on_first=self._core.close, on_late=self._late)
        self.app_resume_signal.subscribe(self, self._resumed)
        self.call_after_refresh(self._painted)

    def _handle_exception(self, error: Exception) -> None:
        """End the app as textual does, but show no values of variables: they may be anything that was said."""
        from letta_code.tui.crash import told_of

        # Set here as in textual's own method, whose second half is what shows the values.
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self.bell()
        self.panic(told_of(error))

    def _resumed(self, _app: App[object]) -> None:
        # The terminal gave us an empty screen: what textual believes to be on it is not.
        self.call_later(self.screen.refresh, layout=True)
        self.call_after_refresh(self.screen.refresh)

    # ------------------------------------------------------------ the end

    def _goes_on(self, number: int) -> bool:
        """Whether the run goes on without a terminal (called on any thread)."""
        if number != signal.SIGHUP or not self._core.running:
            return False
        return self._core.moves or self._options.settings.on_hangup == "background"  # the person's own word first

    def _signalled(self, number: int) -> None:
        if number == signal.SIGHUP:
            self.hung_up = True
            self.left_running = self._goes_on(number)
        self.exit(0 if self.left_running else 128 + number)

    def _late(self, number: int) -> None:
        """The event loop did not end in time (a terminal that nobody reads holds it): end without it."""
        try:
            if isinstance(self._driver, TerminalDriver):
                self._driver.give_back()
        finally:
            os._exit(128 + number)

    def on_terminal_gone(self) -> None:
        """As SIGHUP, which does not reach everybody (nohup, a wrapper that keeps it for itself)."""
        if not self.hung_up:
            self._signalled(signal.SIGHUP)

    def action_suspend_process(self) -> None:
        """Ctrl-Z: stop, where there is a shell that can bring us back."""
        if os.getpgrp() == os.getsid(0):
            self.chat.flash("There is no shell here that could bring it back.")
            return
        super().action_suspend_process()

    def _painted(self) -> None:
        listing = os.environ.get("LETTA_DEBUG_MODULES")
        if listing:
            Path(listing).write_text("\n".join(sorted(sys.modules)), encoding="utf-8")
        draft = self._history.load()
        if draft:
            self.chat.restore(draft)
            self.chat.flash("Your draft from last time.")
        for notice in self._ports.notices:
            self.chat.state.notice(notice.level, notice.text, notice.hint)
        if self._ports.notices:
            self.chat.redraw()
        self._core.start(self._options if self._ports.trust is None else None)
        if self._ports.trust is not None:
            from letta_code.tui.trusting import ask

            self.run_worker(ask(self.chat, self._ports.trust, self._open_as, self.action_leave), group="trust")
        gc.collect()
        gc.freeze()
        collect_as_usual()

    def _open_as(self, options: SessionOptions) -> None:
        """The person has said whether the folder's settings hold: open the conversation with what holds now."""
        self._options = options
        self.chat.use(options)
        if options.settings.face.theme in self.available_themes:
            self.theme = options.settings.face.theme
        self._core.open(options)

    async def on_unmount(self) -> None:
        """Give everything back."""
        self._history.save_draft(self.chat.prompt.text)
        state = self.chat.state
        self.resume_id = state.conversation_id if state.cards else ""
        self.farewell = self.chat.leaving.farewell
        if self.chat.memory_drafts and self._history_folder is not None:
            from letta_code.tui.memory_drafts import keep

            self.unsaved = keep(self.chat.memory_drafts.values(), self._history_folder)
        await self.chat.dispatch.close()
        await (self._core.detach() if self.left_running else self._core.stop())

    def _wake(self) -> None:
        self.refused = self._core.refused
        if self.refused is not None:
            self.exit(self.refused.exit_code)
            return
        if self._chat is not None and self._chat.is_attached:
            self._chat.post_message(CoreReady())

    # ------------------------------------------------------------ terminal

    def copy_to_clipboard(self, text: str) -> None:
        """Copy through the port, or through the terminal, and say so."""
        self._clipboard = text
        sequence = "" if self._copy is not None else osc52(text)
        if self._copy is not None:
            self._copy(text)
        elif sequence and self._driver is not None:
            self._driver.write(sequence)
        lines = text.count("\n") + 1
        what = f"{lines} lines" if lines > 1 else f"{len(text)} characters"
        self.chat.flash(f"Copied {what}." if sequence or self._copy else "Too long for the terminal's clipboard.")

    def bell_when_away(self) -> None:
        """Ring when the person looks elsewhere."""
        if self._options.settings.face.bell and not self.app_focus:
            self.bell()

    # ------------------------------------------------------------ keys

    def action_copy_clear_quit(self) -> None:
        """Ctrl-C: copy a selection, else clear the prompt into the history, else stop, and twice leave."""
        chat = self.chat
        if chat.leaving.asks:
            chat.leaving.stop()
            return
        selected = self.screen.get_selected_text()
        if selected:
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
            return
        if self.screen is not chat:
            self.screen.dismiss()
            return
        area = chat.prompt.area
        if area.has_focus and area.selected_text:
            self.copy_to_clipboard(area.selected_text)
            return
        if chat.prompt.text.strip():
            self._history.remember(chat.prompt.take())
            chat.flash("Cleared; ↑ brings it back. Ctrl+C again leaves.")
        elif time.monotonic() - self._quit_at < QUIT_SECONDS:
            if chat.leaving.moves:
                chat.leaving.stop()
            else:
                chat.leave()
            return
        elif chat.leaving.moves:
            chat.flash("Ctrl+C again stops the run instead.")
        elif chat.state.ownership.owner:
            chat.flash("Ctrl+C again leaves; Esc stops the run.")
        else:
            if chat.state.running:
                chat.action_interrupt()
            chat.flash("Ctrl+C again leaves.")
        self._quit_at = time.monotonic()

    def action_leave(self) -> None:
        """End the program; the conversation can be resumed."""
        self.chat.leave()

    def action_help(self) -> None:
        """Keys and commands."""
        self.chat.show("help")


def warm() -> None:
    """Import in the core's thread what the screen will need soon, so that its first use is not felt."""
    import letta_code.tui.widgets.markdown_cards
    import letta_code.tui.widgets.tool_card  # noqa: F401  imported for their import
