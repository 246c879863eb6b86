"""Memory screen: what the agent remembers; the tree at the left, one block at the right, every change at hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from letta_code.core.errors import LettaError
from letta_code.memory.block import Block
from letta_code.memory.blocks import Blocks
from letta_code.memory.outcome import BlockChange
from letta_code.memory.provenance import Provenance
from letta_code.tui import memory_writing as writing
from letta_code.tui.clean import clean_line
from letta_code.tui.core_thread import CoreThread
from letta_code.tui.memory_authors import authors
from letta_code.tui.memory_look import Look, look_at, moved
from letta_code.tui.memory_writing import Done
from letta_code.tui.screens.memory_acts import ACTS
from letta_code.tui.screens.memory_keys import BINDINGS, foot_content
from letta_code.tui.widgets.memory_ask import AskLine
from letta_code.tui.widgets.memory_bar import row_id, tree_rows
from letta_code.tui.widgets.memory_editor import Draft, EditView
from letta_code.tui.widgets.memory_rows import Row, Rows
from letta_code.tui.widgets.memory_search import SearchView
from letta_code.tui.widgets.memory_views import (
    HistoryView,
    OriginView,
    Page,
    head_content,
    held_page,
    pending_page,
    proposal_page,
    value_page,
)

if TYPE_CHECKING:
    from letta_code.tui.screens.chat import ChatScreen

_FLASH_SECONDS = 6.0
_SLOW_SECONDS = 0.7
_WIDE = 110
_STOP = "Nothing was changed."


class MemoryScreen(Screen[None]):
    """Follows memory while it is open.  What is done here is done as the person."""

    BINDINGS = BINDINGS

    def __init__(self, chat: ChatScreen, drafts: dict[str, Draft]) -> None:
        """`drafts` keeps texts that were not saved, by block, for as long as the program runs."""
        super().__init__()
        self.chat = chat
        self.drafts = drafts
        self.look = Look()
        self._tree = Rows(empty="Reading memory…", id="memory-tree")
        self._head = Static("", markup=False, classes="memory-title")
        self._side = Vertical(id="memory-right")
        self._said = Static("", markup=False, classes="memory-said")
        self._foot = Static("", markup=False, classes="memory-foot")
        self.ask = AskLine()
        self.view: Widget | None = None
        self._shown: tuple[object, ...] = ()
        self.said = ""
        self._rendered = False
        self._flash: frozenset[str] = frozenset()

    def compose(self) -> ComposeResult:
        """Tree, the block, what was said, keys."""
        with Horizontal(id="memory-body"):
            yield self._tree
            with self._side:
                yield self._head
        yield self._said
        yield self.ask
        yield self._foot

    def on_mount(self) -> None:
        """Read memory, and follow it."""
        self._said.display = False
        self._tree.focus()
        self._tell_keys()
        self.run_worker(self._follow(), group="follow")

    def on_resize(self) -> None:
        """On a wide screen there is room for tree and view, and for longer bars."""
        wide = self.size.width >= _WIDE
        self.set_class(wide, "wide")
        self.set_class(not wide, "narrow")
        self._tell_keys()
        self._fill()

    # ------------------------------------------------------------ what is there

    @property
    def core(self) -> CoreThread:
        """Where work is done."""
        return self.chat.core

    @property
    def row(self) -> Row | None:
        """The highlighted row of the tree."""
        return self._tree.current

    @property
    def block(self) -> Block | None:
        """The highlighted block."""
        row = self._tree.current
        if row is None or not row.id.startswith("block:"):
            return None
        _, scope, path = row.id.split(":", 2)
        return self.look.block(scope, path)

    async def _follow(self) -> None:
        hand_edits = False  # first what is known: taking them in may have to wait for another process
        while True:
            try:
                await self.read(hand_edits=hand_edits)
                if not hand_edits:
                    hand_edits = True
                    continue
                pin = self.look.pin
                await self.core.call(lambda session, pin=pin: moved(session, pin))
            except LettaError as error:
                self._tree.empty = clean_line(str(error))
                self._tree.refresh()
                self.say(str(error), error.hint, bad=True)
                return

    async def read(self, *, hand_edits: bool = False) -> None:
        """Look at memory again and show it."""
        since = self.look.pin
        look = await self.core.call(lambda session: look_at(session, since, hand_edits=hand_edits))
        self.look = look
        changed = frozenset(row_id(change.after) for change in look.changes if change.after is not None)
        if changed:
            self._flash = changed
            self.set_timer(_FLASH_SECONDS, self._calm)
            self.say("; ".join(_news(change, look.here) for change in look.changes[:3]))
        if look.problems:
            self.say(" ".join(look.problems), bad=True)
        self._fill()
        await self._refresh_view(changed)

    def _calm(self) -> None:
        self._flash = frozenset()
        self._fill()

    def _fill(self) -> None:
        rows = tree_rows(self.look, cells=8 if self.size.width >= _WIDE else 6, flash=self._flash)
        self._tree.empty = "There is no memory yet."
        self._tree.fill(rows)

    # ------------------------------------------------------------ the right side

    async def on_rows_moved(self, event: Rows.Moved) -> None:
        """Another block: show it."""
        event.stop()
        if event.rows is self._tree and not isinstance(self.view, EditView | SearchView):
            await self._show_row()

    async def on_rows_picked(self, event: Rows.Picked) -> None:
        """Enter reads on at the right."""
        event.stop()
        await self._show_row()
        if self.view is not None:
            self.view.focus()

    async def _refresh_view(self, changed: frozenset[str]) -> None:
        """What is shown follows memory, but for what is being written or read through."""
        if isinstance(self.view, EditView):
            if row_id(self.view.block) in changed:
                self.say(
                    "Somebody changed this block meanwhile. Saving puts both edits together where that is possible."
                )
            return
        if isinstance(self.view, HistoryView | OriginView | SearchView):
            return
        await self._show_row()

    async def _show_row(self) -> None:
        row, block = self._tree.current, self.block
        shown = (row.id if row else "", block, self._rendered)  # what waits never changes, only goes
        if shown == self._shown and self.view is not None and self.view.is_attached:
            return
        await self.put(self._page(row))
        self._shown = shown

    def _page(self, row: Row | None) -> Page:
        block = self.block
        self._head.update(head_content(block) if block else "")
        if block is not None:
            return value_page(block, rendered=self._rendered)
        kind, _, name = row.id.partition(":") if row else ("", "", "")
        if kind == "pending" and (entry := next((e for e in self.look.pending if e.id == name), None)):
            return pending_page(entry)
        if kind == "held" and (edit := next((e for e in self.look.held if e.path == name), None)):
            return held_page(edit)
        if kind == "reflection" and (found := next((p for p in self.look.proposed if p.proposal.id == name), None)):
            return proposal_page(found)
        return Page()

    def headline(self, block: Block | None, title: str = "All changes of memory") -> None:
        """Say what the right side is about: a block, or what `title` says."""
        self._head.update(head_content(block) if block else Content.styled(title, "bold"))

    async def put(self, view: Widget) -> None:
        """Show something else at the right."""
        old, self.view, self._shown = self.view, view, ()
        whole = not isinstance(view, Page)
        self.set_class(whole, "whole")  # on a narrow screen it gets the tree's place too
        with self.app.batch_update():
            if old is not None:
                await old.remove()
            await self._side.mount(view)
        self._tell_keys()

    def _tell_keys(self) -> None:
        row = self._tree.current
        kind = row.id.partition(":")[0] if row else ""
        self._foot.update(foot_content(self.view, kind, self.block, self.size.width - 2))

    def say(self, text: str, hint: str = "", *, bad: bool = False) -> None:
        """Say something in the line above the keys, until something else is said or done."""
        self.said = text = " ".join(part for part in (clean_line(text), clean_line(hint)) if part)
        self._said.update(Content.styled(text, "$text-warning" if bad else "$text-accent"))
        self._said.display = bool(text)

    # ------------------------------------------------------------ leaving

    async def action_back(self) -> None:
        """One step back: from a view to the block, from the block to the conversation."""
        self.say("")
        if self.ask.asking:
            self.ask.cancel()
            return
        if isinstance(self.view, EditView) and self._keep_draft(self.view):
            self.say(f"Not saved: your text of `{self.view.block.label}` is kept; e goes on with it.")
        if self.view is None or isinstance(self.view, Page):
            if self._tree.has_focus or not self._tree.display:
                self.dismiss()
            else:
                self._tree.focus()
            return
        await self.back_to_block()

    def action_leave(self) -> None:
        """Back to the conversation at once."""
        self.dismiss()

    async def action_markdown(self) -> None:
        """Numbered lines, or as Markdown."""
        if isinstance(self.view, Page):
            self._rendered = not self._rendered
            await self._show_row()

    async def back_to_block(self) -> None:
        """Show the highlighted block again."""
        await self.put(self._page(self._tree.current))
        self._tree.focus()

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Leave; what is being written is kept."""
        if isinstance(self.view, EditView) and self._keep_draft(self.view):
            label = clean_line(self.view.block.label)
            self.chat.flash(f"Your text of {label} is not saved: F2, then e, goes on with it.")
        return super().dismiss(result)

    def on_unmount(self) -> None:
        """The same, when the program ends."""
        if isinstance(self.view, EditView):
            self._keep_draft(self.view)

    def _keep_draft(self, view: EditView) -> bool:
        """Whether there was something to keep."""
        name = row_id(view.block)
        if view.changed:
            self.drafts[name] = view.draft
        else:
            self.drafts.pop(name, None)
        return view.changed

    # ------------------------------------------------------------ what the person does

    def action_act(self, name: str) -> None:
        """Do one of the acts; one at a time, and what it says is shown."""
        if self.ask.has_focus_within:
            return  # Ctrl+S and Ctrl+G come through a question, and mean nothing there
        self.ask.cancel()
        self.say("")
        self.run_worker(self._told(ACTS[name](self)), group="act", exclusive=True)

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except LettaError as error:
            self._tell(error)

    def _tell(self, error: LettaError) -> None:
        # What follows is for a model: it would be told the whole value, which stands on the screen here.
        what, stop, _ = str(error).partition(_STOP)
        self.say(what + stop, error.hint, bad=True)

    async def fitting(self, question: str, value: str, deed: Callable[[str], Awaitable[object]]) -> str | None:
        """Ask for words until the deed takes them; what does not fit stays there to be changed.  None after Esc."""
        words: str | None = value
        while (words := await self.ask.words(question, words)) is not None:
            self.say("")
            try:
                await deed(words)
                return words
            except LettaError as error:
                self._tell(error)
        self.say("")
        return None

    async def do(self, deed: Callable[[Blocks, Provenance], Done]) -> Done:
        """Do it off this loop, look again, and tell what came of it."""
        slow = self.set_timer(_SLOW_SECONDS, lambda: self.say("Waiting until memory can be written…"))
        try:
            done = await self.core.call(lambda session: writing.work(session, deed))
        finally:
            slow.stop()
        await self.read()
        if done.said:
            self.say(done.said)
        return done

    def point_at(self, label: str) -> Block | None:
        """Highlight a block by its label."""
        everything = (*self.look.blocks, *self.look.files)
        made = next((block for block in everything if block.label == label), None)
        if made is not None:
            self._tree.point_at(row_id(made))
        return made

    def draft_of(self, block: Block) -> Draft:
        """What is to be edited: what was not saved, or the block as it is."""
        kept = self.drafts.get(row_id(block))
        return kept or Draft(block=block, text=block.value, base=self.look.pin)

    async def edit(self, draft: Draft) -> None:
        """Write in a block."""
        self._head.update(head_content(draft.block))
        await self.put(EditView(draft))

    def suspended(self, work: Callable[[], str]) -> str | None:
        """Do something that needs the terminal; None where it cannot be given away.  Raises `LettaError`."""
        from textual.app import SuspendNotSupported

        failed: LettaError | None = None
        text = ""
        try:
            with self.app.suspend():
                try:  # inside: textual takes the terminal back only when nothing is raised here
                    text = work()
                except LettaError as error:
                    failed = error
        except SuspendNotSupported:
            self.say("This terminal cannot be given to an editor.", bad=True)
            return None
        if failed is not None:
            raise failed
        return text


def _news(change: BlockChange, here: str) -> str:
    return f"{change.label} was changed by {authors(change.by, here) or 'somebody'}"
