"""Memory views: what stands at the right of the memory screen; a value, its history, where its lines came from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from letta_code.commands.memory_words.told import when
from letta_code.core.display import DiffBlock
from letta_code.core.errors import LettaError
from letta_code.memory.block import Block
from letta_code.memory.pending import PendingEdit
from letta_code.memory.provenance import Change
from letta_code.memory.waiting import HeldEdit
from letta_code.safety.terminal import visible
from letta_code.tui.blocks.code import CodeView
from letta_code.tui.blocks.code import Row as CodeRow
from letta_code.tui.blocks.memory import memory_diff
from letta_code.tui.clean import clean, clean_line
from letta_code.tui.memory_authors import author, place_of
from letta_code.tui.memory_look import Line, Proposed
from letta_code.tui.widgets.markdown_cards import SafeMarkdown
from letta_code.tui.widgets.memory_bar import QUIET, bar, size
from letta_code.tui.widgets.memory_rows import Row, Rows


class Page(VerticalScroll, can_focus=True):
    """Something to read."""

    def __init__(self, *parts: Widget) -> None:
        super().__init__(*parts, classes="memory-page")


def head_content(block: Block) -> Content:
    """Label, scope, size, and what it is for."""
    marks = [("  read-only", "$text-accent")] if block.read_only else []
    first = Content.assemble(
        (clean_line(block.label), "bold"),
        (f"  {block.scope if block.in_context else 'file'}  ", QUIET),
        bar(block, 10),
        "  ",
        size(block),
        *marks,
    )
    lines = [first]
    if block.description:
        lines.append(Content.styled(clean_line(block.description), QUIET))
    if block.problem:
        lines.append(Content.styled(f"! {clean_line(block.path)}: {clean_line(block.problem)}", "$text-warning"))
    return Content("\n").join(lines)


def value_page(block: Block, *, rendered: bool) -> Page:
    """The value: numbered lines, or as Markdown."""
    if not block.value:
        return Page(Static(Content.styled("Nothing in it yet.  e writes", QUIET), markup=False, classes="line"))
    text = clean(block.value)
    if rendered:
        return Page(SafeMarkdown(text, classes="memory-markdown"))
    rows = [CodeRow("same", str(number), Content(line)) for number, line in enumerate(text.split("\n"), 1)]
    return Page(CodeView(rows, path="value.md", prose=True))


def pending_page(entry: PendingEdit) -> Page:
    """A text from outside, whole, with every hidden sign written out, and where it came from."""
    by = entry.provenance
    what = "wants to make the block" if entry.creates else "wants to add to the block"
    where = f", in {visible(by.conversation)} at event {by.seq}" if by.conversation else ""
    head = Content.assemble(
        ("Text from outside ", "bold $text-warning"),
        (f"{what} ", ""),
        (visible(entry.label), "bold"),
        (f"\nFrom {visible(by.source)}, {when(entry.at)}{where}.", QUIET),
        (f"\n{visible(by.reason)}" if by.reason else "", QUIET),
        ("\nThe agent has not seen it in memory. After a yes it stands there as quoted evidence:", QUIET),
    )
    quoted = Static(visible(entry.quoted), markup=False, classes="memory-quoted")
    return Page(Static(head, markup=False, classes="line"), quoted)


def held_page(edit: HeldEdit) -> Page:
    """A hand edit that was not taken in, and why."""
    head = Content.assemble(
        ("Hand edit of ", "bold $text-warning"), (visible(edit.path), "bold"), (f"\n{visible(edit.why)}", QUIET)
    )
    return Page(Static(head, markup=False, classes="line"), memory_diff(edit.diff, full=True))


def proposal_page(proposed: Proposed) -> Page:
    """What a reflection proposes, why, and what it would change."""
    proposal = proposed.proposal
    by = proposal.by
    where = (
        f"\nIt read {visible(by.conversation)} up to event {by.seq}, {when(proposal.at)}." if by.conversation else ""
    )
    head = Content.assemble(
        ("A reflection proposes this", "bold $text-warning"),
        (f"\n{visible(proposal.why)}", ""),
        (where, QUIET),
        *[(f"\nAsked, because {visible(why)}", QUIET) for why in proposal.asks],
    )
    parts: list[Widget] = [Static(head, markup=False, classes="line")]
    if proposed.problem:
        text = Content.styled(f"It does not fit any more: {visible(proposed.problem)}", "$text-warning")
        return Page(*parts, Static(text, markup=False, classes="line"), Static(visible(proposal.patch), markup=False))
    for diff in proposed.diffs:
        parts.append(Static(Content.styled(clean_line(diff.path), "bold"), markup=False))
        parts.append(memory_diff(diff, full=True))
    return Page(*parts)


class HistoryView(Vertical):
    """The changes of a block (None: of all), newest first, and what the highlighted one did."""

    def __init__(
        self,
        block: Block | None,
        changes: Sequence[Change],
        here: str,
        read: Callable[[str], Awaitable[Sequence[DiffBlock]]],
    ) -> None:
        super().__init__(classes="memory-view")
        self.block = block
        self.changes = {change.commit: change for change in changes}
        self._read = read
        self.list = Rows(empty="Nobody has changed it yet.", classes="memory-rows memory-history")
        self._diff = VerticalScroll(classes="memory-detail", can_focus=False)
        self._rows = [_change_row(change, here) for change in changes]

    def compose(self) -> ComposeResult:
        """List and diff."""
        yield self.list
        yield self._diff

    def on_mount(self) -> None:
        """As high as there are changes, at most a third."""
        self.list.styles.height = max(min(len(self._rows), self.app.size.height // 3), 1)
        self.list.fill(self._rows)
        self.list.focus()

    @property
    def current(self) -> Change | None:
        """The highlighted change."""
        row = self.list.current
        return self.changes.get(row.id) if row else None

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """Show another diff."""
        event.stop()
        if event.row is not None:
            self.run_worker(self._show(event.row.id), group="diff", exclusive=True)

    def on_rows_picked(self, event: Rows.Picked) -> None:
        """Enter scrolls on through the diff."""
        event.stop()
        self._diff.scroll_page_down(animate=False)

    async def _show(self, commit: str) -> None:
        try:
            diffs = await self._read(commit)
        except LettaError as error:
            parts: list[Widget] = [Static(Content.styled(clean(str(error)), "$text-warning"), markup=False)]
        else:
            parts = []
            for diff in diffs:
                if len(diffs) > 1:
                    parts.append(Static(Content.styled(clean_line(diff.path), "bold"), markup=False, classes="line"))
                parts.append(memory_diff(diff, full=True))
        await self._diff.remove_children()
        await self._diff.mount_all(parts)
        self._diff.scroll_home(animate=False)


def _change_row(change: Change, here: str) -> Row:
    left = Content.assemble((when(change.at), QUIET), "  ", clean_line(change.summary))
    return Row(change.commit, left, Content.styled(author(change.provenance, here), "$text-accent"))


class OriginView(Vertical):
    """The lines of a block, each with who brought it; below, what was said at that moment."""

    def __init__(self, lines: Sequence[Line], here: str) -> None:
        super().__init__(classes="memory-view")
        self.lines = {str(line.number): line for line in lines}
        self._here = here
        self.list = Rows(empty="There are no lines in it.", classes="memory-rows memory-origin")
        self._detail = Static("", markup=False)
        self._rows = _line_rows(lines, here)

    def compose(self) -> ComposeResult:
        """Lines and the moment."""
        yield self.list
        with VerticalScroll(classes="memory-detail memory-moment", can_focus=False):
            yield self._detail

    def on_mount(self) -> None:
        """Show the first line's origin."""
        self.list.fill(self._rows)
        self.list.focus()

    @property
    def current(self) -> Line | None:
        """The highlighted line."""
        row = self.list.current
        return self.lines.get(row.id) if row else None

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """Another line."""
        event.stop()
        line = self.current
        self._detail.update(moment_content(line, self._here) if line else "")


def _line_rows(lines: Sequence[Line], here: str) -> list[Row]:
    digits, last = len(str(len(lines))), ""
    rows: list[Row] = []
    for line in lines:
        commit = line.change.commit if line.change else ""
        who = f"{author(line.change.provenance, here)} {when(line.change.at)[:10]}" if line.change else ""
        right = Content.styled(who if commit != last else "·", "$text-accent" if commit != last else QUIET)
        if line.text.strip():
            last = commit
        else:
            right = Content("")
        text = clean_line(line.text)[:400] if not line.text.startswith(" ") else clean(line.text)[:400]
        rows.append(Row(str(line.number), Content.assemble((f"{line.number:>{digits}}  ", QUIET), text), right))
    return rows


def moment_content(line: Line, here: str) -> Content:
    """Who brought a line, when and where, and what was said then."""
    change = line.change
    if change is None:
        return Content.styled("It is what every new agent begins with, or its history cannot be read.", QUIET)
    by = change.provenance
    who = {"user": "you", "agent": "the agent", "letta": "letta-code"}.get(by.source, clean_line(by.source))
    parts: list[Content] = [
        Content.assemble(
            (f"Line {line.number}", "bold"),
            (f"  {who} {place_of(by, here)}".rstrip() + f", {when(change.at)}", ""),
            (f"  “{clean_line(change.summary)}”", QUIET),
        )
    ]
    if line.title:
        parts.append(Content.styled(f"in “{clean_line(line.title)}”", QUIET))
    if by.trust != "trusted":
        yes = f", approved by {clean_line(change.approved_by)}" if change.approved_by else ""
        parts.append(Content.styled(f"{clean_line(by.trust)} source{yes}", "$text-warning"))
    for moment in line.moments:
        parts.append(Content.assemble((f"{clean_line(moment.who)}: ", "$text-accent"), f"“{clean_line(moment.text)}”"))
    if line.missing:
        parts.append(Content.styled(f"({clean_line(line.missing)})", QUIET))
    return Content("\n").join(parts)
