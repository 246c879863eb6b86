"""Rewind: the points to come back to, what going back to one would change, and which parts of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from letta_code.agent.port import SessionPort
from letta_code.agent.rewinding import CODE, PARTS, Listed, Preview, parts_of
from letta_code.agent.rewinding.words import preview_text
from letta_code.commands.checkpoints import row
from letta_code.commands.rewind import prompt_of
from letta_code.commands.wording import columns
from letta_code.core.counts import many
from letta_code.core.display import DiffBlock
from letta_code.core.errors import LettaError
from letta_code.tui.clean import clean_line

if TYPE_CHECKING:
    from letta_code.tui.screens.chat import ChatScreen

_DIFFS = 8  # files whose changes are shown
_LINES = 40  # of each
_FOOT = "↑↓ choose  ·  1 2 3 parts  ·  PgUp PgDn  ·  Enter goes back  ·  Esc leaves"


class RewindScreen(Screen[None]):
    """A list of checkpoints over the preview of the one that is chosen; nothing is changed before Enter."""

    BINDINGS = [
        ("escape,q", "dismiss", "Close"),
        ("1", "part(0)", "Code"),
        ("2", "part(1)", "Conversation"),
        ("3", "part(2)", "Memory"),
        ("pageup", "page(-1)", "Page up"),
        ("pagedown,space", "page(1)", "Page down"),
    ]

    def __init__(self, chat: ChatScreen) -> None:
        super().__init__()
        self._chat = chat
        self._found: Sequence[Listed] = ()
        self._preview: Preview | None = None
        self._off: set[str] = set()  # parts that are not wanted
        self._going = False
        self._warned: tuple[str, ...] = ()  # the parts for which it was said that files go
        self._list = OptionList(id="rewind-list", markup=False)
        self._what = Static("", markup=False, id="rewind-what")
        self._text = Static("Looking…", markup=False)
        self._diffs = Static("", markup=False)

    def compose(self) -> ComposeResult:
        """The list, the parts, the preview, the keys."""
        yield Static(" Go back to which point?", markup=False, classes="heading")
        yield self._list
        yield self._what
        with VerticalScroll(id="rewind-page"):
            yield self._text
            yield self._diffs
        yield Static(_FOOT, markup=False, classes="foot")

    def on_mount(self) -> None:
        """Ask for the list; it may take a moment."""
        self._list.focus()
        self.run_worker(self._load(), group="rewind")

    async def _load(self) -> None:
        try:
            self._found = await self._chat.core.call(_listed)
        except LettaError as error:
            self._text.update(clean_line(f"{error} {error.hint}"))
            return
        if not self._found:
            self._text.update("There is no checkpoint yet. Each run that may change files makes one; /save makes one.")
            return
        lines = columns([row(one) for one in self._found], right=(0,))
        left = [one.target.checkpoint.kind == "rewind" or not one.target.counts for one in self._found]
        # `row` made the lines clean; what a rewind left or took back is there, but is not what one looks for
        shown = [Content.styled(line, "dim" if dim else "") for line, dim in zip(lines, left, strict=True)]
        self._list.add_options([Option(line) for line in shown])
        self._list.highlighted = left.index(False) if False in left else 0

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Another point: look what it would change."""
        self._preview, self._warned = None, ()
        self._text.update("Looking…")
        self._diffs.update("")
        self.run_worker(self._look(event.option_index), group="look", exclusive=True)

    async def _look(self, index: int) -> None:
        target = self._found[index].target
        try:
            self._preview = await self._chat.core.call(lambda session: _preview(session, index, self._found))
        except LettaError as error:
            self._text.update(clean_line(f"{error} {error.hint}"))
            return
        self._show()
        if self._preview.target != target or not self._preview.files:
            return
        paths = [change.path for change in self._preview.files[:_DIFFS]]
        preview = self._preview
        try:
            blocks = await self._chat.core.call(lambda session: _diffs(session, preview, paths))
        except LettaError as error:
            self._diffs.update(clean_line(f"The changes cannot be shown: {error}"))
            return
        self._diffs.update("\n".join(line for block in blocks for line in _lines(block)))

    @property
    def _wanted(self) -> tuple[str, ...]:
        return tuple(part for part in parts_of(self._preview, ()) if part not in self._off) if self._preview else ()

    def _show(self) -> None:
        preview = self._preview
        if preview is None:
            return
        marks = [
            f"[{'x' if part in self._wanted else ' ' if part in preview.parts else '-'}] {number} {part}"
            for number, part in enumerate(PARTS, 1)
        ]
        self._what.update("   ".join(marks))
        self._text.update("\n".join(map(clean_line, preview_text(preview, self._wanted).split("\n"))))
        self._diffs.display = CODE in self._wanted

    def action_part(self, index: int) -> None:
        """Take a part in or leave it out."""
        self._off ^= {PARTS[index]}
        self._show()

    def action_page(self, step: int) -> None:
        """Scroll the preview."""
        page = self.query_one("#rewind-page", VerticalScroll)
        page.scroll_relative(y=step * max(page.size.height - 1, 1), animate=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter: go back, once the preview is there."""
        if self._preview is None or self._going or not self._wanted:
            return
        deleted = sum(one.kind == "deleted" for one in self._preview.files) if CODE in self._wanted else 0
        if deleted and self._warned != self._wanted:
            self._warned = self._wanted
            self._what.update(f"{many(deleted, 'file')} would be deleted. Enter once more goes back, Esc leaves.")
            return
        self._going = True
        # The chat's worker: this screen goes, and its workers with it.
        self._chat.run_worker(_go(self._chat, self._preview, self._wanted), group="rewind")
        self.dismiss()


async def _go(chat: ChatScreen, preview: Preview, what: tuple[str, ...]) -> None:
    async def go(session: SessionPort) -> None:
        await session.checkpoints.rewinding.go(preview, what)

    try:
        await chat.core.call(go)
    except LettaError as error:
        chat.state.notice("error", str(error), error.hint)
        chat.redraw()
        return
    if prompt := prompt_of(preview, what):
        chat.restore(prompt)


async def _listed(session: SessionPort) -> Sequence[Listed]:
    return await session.checkpoints.rewinding.listed()


async def _preview(session: SessionPort, index: int, found: Sequence[Listed]) -> Preview:
    return await session.checkpoints.rewinding.preview(found[index].target)


async def _diffs(session: SessionPort, preview: Preview, paths: Sequence[str]) -> list[DiffBlock]:
    return [await session.checkpoints.rewinding.diff(preview, path) for path in paths]


def _lines(block: DiffBlock) -> list[str]:
    lines = [clean_line(line) for line in block.diff.split("\n")]
    more = len(lines) - _LINES + block.cut
    counts = f"+{block.added} -{block.removed}" if block.added or block.removed else ""
    head = ["", f"── {clean_line(block.path)} {counts}".rstrip(), *lines[:_LINES]]
    return [*head, f"… {more} more lines"] if more > 0 else head
