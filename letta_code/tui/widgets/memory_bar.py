"""Memory bar: how blocks look in a list: label, marks, fill bar, percent; grouped by scope."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content

from letta_code.memory.block import Block
from letta_code.tui.clean import clean_line
from letta_code.tui.memory_look import SCOPES, Look
from letta_code.tui.widgets.memory_rows import Row

AMBER = 0.8  # of a block's limit
QUIET = "$foreground 75%"
_FLASH = "on $warning 35%"
_NOTES = {
    "agent": "everywhere",
    "shared": "with other agents",
    "project": "this folder",
    "conversation": "this one",
}


def share(block: Block) -> float:
    """How full it is; above 1 it is over its limit."""
    return block.chars / block.limit if block.limit else 1.0


def tone(block: Block) -> str:
    """The colour that says how full it is."""
    full = share(block)
    return "$text-error" if full > 1 else "$text-warning" if full >= AMBER else "$text-primary"


def bar(block: Block, cells: int) -> Content:
    """A line that is thick as far as the block is full; something shows as soon as it holds anything."""
    halves = min(round(share(block) * cells * 2), cells * 2)
    halves = max(halves, 1 if block.chars else 0)
    thick = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return Content.assemble((thick, tone(block)), ("─" * (cells - len(thick)), "$foreground 30%"))


def percent(block: Block) -> Content:
    """The same as a number."""
    full = share(block)
    style = QUIET if full < AMBER else tone(block)
    text = f"{full:.0%}" if full < 9.995 else "999%"
    return Content.styled(f"{text if block.chars else '–':>4}", style)


def size(block: Block) -> Content:
    """`1,530/5,000`, in the colour of its share."""
    return Content.styled(f"{block.chars:,}/{block.limit:,}", QUIET if share(block) < AMBER else tone(block))


def block_row(block: Block, *, cells: int, flash: bool = False, indent: int = 1) -> Row:
    """One block."""
    marks = [(" ro", "$text-accent")] if block.read_only else []
    marks += [(" !", "$text-warning")] if block.problem else []
    left = Content.assemble(" " * indent, clean_line(block.label), *marks)
    return Row(row_id(block), left, Content(" ").join([bar(block, cells), percent(block)]), _FLASH if flash else "")


def row_id(block: Block) -> str:
    """What names a block among all rows."""
    return f"block:{block.scope}:{block.path}"


def heading(title: str, note: str = "") -> Row:
    """A line above a group."""
    return Row("", Content.assemble((title, "bold"), (f" · {note}" if note else "", "$foreground 60%")))


def block_rows(look: Look, *, cells: int, flash: Iterable[str] = (), notes: bool = True) -> list[Row]:
    """The blocks in context, grouped by scope."""
    bright = set(flash)
    rows: list[Row] = []
    for scope in SCOPES:
        blocks = [block for block in look.blocks if block.scope == scope]
        if blocks:
            rows.append(heading(scope, _NOTES[scope] if notes else ""))
            rows += [block_row(block, cells=cells, flash=row_id(block) in bright) for block in blocks]
    return rows


def waiting_rows(look: Look) -> list[Row]:
    """What waits for the person, each with an id of its kind."""
    rows: list[Row] = []
    for entry in look.pending:
        source = Content.styled(f"from {clean_line(entry.provenance.source).partition(':')[0][:10]}", QUIET)
        rows.append(Row(f"pending:{entry.id}", Content.assemble(" ", (f"? {clean_line(entry.label)}", "")), source))
    for one in look.proposed:
        left = Content(f" ◆ {clean_line(one.proposal.why)}")
        rows.append(Row(f"reflection:{one.proposal.id}", left, Content.styled("reflection", QUIET)))
    for edit in look.held:
        rows.append(
            Row(f"held:{edit.path}", Content(f" ✎ {clean_line(edit.path)}"), Content.styled("hand edit", QUIET))
        )
    for block in look.unmerged:
        left = Content(f" ≠ {clean_line(block.label.partition('/')[2])}")
        rows.append(Row(row_id(block), left, Content.styled("two edits", QUIET)))
    return rows


def tree_rows(look: Look, *, cells: int, flash: Iterable[str] = ()) -> list[Row]:
    """Everything there is, for the screen: what waits comes first."""
    waiting = waiting_rows(look)
    rows = [Row("", Content.styled("waits for you", "bold $text-warning")), *waiting] if waiting else []
    rows += block_rows(look, cells=cells, flash=flash)
    if look.files:
        rows.append(heading("files", "read on demand"))
        rows += [block_row(block, cells=cells, flash=row_id(block) in set(flash)) for block in look.files]
    return rows
