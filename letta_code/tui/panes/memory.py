"""Memory: the blocks in context beside the transcript, live; an edit lights up and is shown for some seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Click, Resize
from textual.geometry import Size
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from letta_code.core.errors import ConfigError, LettaError
from letta_code.tui.clean import clean_line
from letta_code.tui.core_thread import CoreThread
from letta_code.tui.view_state import ViewState

if TYPE_CHECKING:  # what draws blocks is loaded when the first of them are there, after the first frame
    from letta_code.tui.memory_look import Look
    from letta_code.tui.widgets.memory_rows import Row

FLASH_SECONDS = 10.0
_CELLS = 8  # of a fill bar
_STARTS_ANEW = -1
_LONGEST_NAME = 16  # characters of the agent's name that are shown


class Lines(Widget):
    """Rows without a highlight, as many lines as there are."""

    def __init__(self) -> None:
        super().__init__(classes="memory-lines")
        self.rows: list[Row] = []

    def fill(self, rows: list[Row]) -> None:
        """Show other rows."""
        self.refresh(layout=len(rows) != len(self.rows))
        self.rows = rows

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One line a row."""
        return len(self.rows)

    def render(self) -> Content:
        """The rows."""
        if not self.rows:
            return Content("")
        from letta_code.tui.widgets.memory_rows import fitted

        width = self.content_size.width
        return Content("\n").join([fitted(row.left, row.right, width).stylize_before(row.style) for row in self.rows])


class MemoryPane(VerticalScroll, can_focus=False):
    """Follows memory while it is on the screen; a click opens the memory screen.

    `absent` is true where the session has no memory: then there is nothing to show.
    """

    class Found(Message):
        """It is known now whether there is memory at all."""

    def __init__(self, core: CoreThread, opened: Callable[[], None]) -> None:
        super().__init__(id="memory")
        self.absent = False
        self.look: Look | None = None
        self._core = core
        self._opened = opened
        self._agent = ""
        self._head = Static(_head(0, ""), markup=False, classes="memory-head")
        self._tree = Lines()
        self._news = Static("", markup=False, classes="memory-news")
        self._mark: tuple[object, ...] = (_STARTS_ANEW,)
        self._flash: frozenset[str] = frozenset()
        self._calm: Timer | None = None

    def compose(self) -> ComposeResult:
        """Title, tree, news."""
        yield self._head
        yield self._tree
        self._news.display = False
        yield self._news

    def show(self, state: ViewState) -> None:
        """Look again where something happened that may have changed memory; cheap when nothing did."""
        if state.agent != self._agent:
            self._agent = state.agent
            self._draw()
        mark = (state.conversation_id, state.memory_mark)
        if mark == self._mark or not state.conversation_id:
            return
        if mark[0] != self._mark[0]:
            self.look = None  # another conversation may be of another agent: nothing in it is news
        self._mark = mark
        self.run_worker(self._follow(), group="memory", exclusive=True)

    def rest(self) -> None:
        """It is not on the screen: follow nothing."""
        self._mark = (_STARTS_ANEW,)
        self.workers.cancel_group(self, "memory")

    async def _follow(self) -> None:
        """Show memory, wait until it is different, and again."""
        from letta_code.tui.memory_look import look_at, moved

        while True:
            since = self.look.pin if self.look is not None else ""
            try:
                look = await self._core.call(lambda session, since=since: look_at(session, since))
                self._take(look)
                await self._core.call(lambda session, pin=look.pin: moved(session, pin))
            except ConfigError:
                self._set_absent(True)
                return
            except LettaError as error:
                self._head.update(Content.styled(f"Memory: {clean_line(str(error))}", "$text-warning"))
                return

    def _set_absent(self, absent: bool) -> None:
        if absent != self.absent:
            self.absent = absent
            self.post_message(self.Found())

    def _take(self, look: Look) -> None:
        self._set_absent(False)
        self.look = look
        if look.changes:
            self._light_up(look)
        self._draw()

    def _light_up(self, look: Look) -> None:
        from letta_code.tui.widgets.memory_bar import row_id
        from letta_code.tui.widgets.memory_news import news_content

        self._flash = frozenset(row_id(change.after) for change in look.changes if change.after is not None)
        news = news_content(look)
        if news.plain:
            self._news.update(news)
            self._news.display = True
            self.call_after_refresh(self.scroll_end, animate=False)
        if self._calm is not None:
            self._calm.stop()
        self._calm = self.set_timer(FLASH_SECONDS, self._calm_down)

    def _calm_down(self) -> None:
        self._calm = None
        self._flash = frozenset()
        self._news.display = False
        self.scroll_home(animate=False)
        self._draw()

    def _draw(self) -> None:
        look = self.look
        if look is None:
            return
        from letta_code.tui.widgets.memory_bar import block_rows

        self._head.update(_head(look.waits, self._agent))
        rows = block_rows(look, cells=_CELLS, flash=self._flash, notes=False)
        self._tree.fill([*_problem_rows(look), *rows])

    def on_resize(self, event: Resize) -> None:
        """Bars stand at the right."""
        self._tree.refresh()

    def on_click(self, event: Click) -> None:
        """Open the screen, unless text is being selected."""
        if not self.screen.selections:
            event.stop()
            self._opened()


def _head(waits: int, agent: str) -> Content:
    name = clean_line(agent)
    name = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    title = f"Memory of {name}" if name and not waits else "Memory"  # there is no room for both
    waiting = (f"  {waits} wait{'s' if waits == 1 else ''} for you", "bold $text-warning") if waits else ("", "")
    return Content.assemble((title, "bold"), ("  F2", "$foreground 60%"), waiting)


def _problem_rows(look: Look) -> list[Row]:
    from letta_code.tui.widgets.memory_rows import Row

    return [Row("", Content.styled(f"! {clean_line(problem)}", "$text-warning")) for problem in look.problems[:3]]
