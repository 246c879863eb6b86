"""Summaries: what stands beside a folded card's title instead of its blocks."""

from __future__ import annotations

from functools import singledispatch

from textual.content import Content

from letta_code.core.display import DiffBlock, FileBlock, ImageBlock, MatchesBlock, MemoryBlock
from letta_code.tui.blocks.diff import counts


@singledispatch
def summary(block: object) -> Content | None:
    """A few words that say enough; None where the block itself should be shown."""
    return None


@summary.register
def _file(block: FileBlock) -> Content:
    lines = len(block.text.rstrip("\n").split("\n")) if block.text else 0
    total = f" of {block.total_lines:,}" if block.total_lines > lines > 0 else ""
    return Content.styled(f"{lines:,}{total} line{'' if lines == 1 else 's'}" if lines else "", "$foreground 75%")


@summary.register
def _matches(block: MatchesBlock) -> Content:
    total = max(block.total, len(block.lines))
    return Content.styled(f"{total:,} found" if total else "nothing found", "$foreground 75%")


@summary.register
def _diff(block: DiffBlock) -> Content:
    return counts(block)


@summary.register
def _image(block: ImageBlock) -> Content:
    size = f"{block.width} × {block.height}" if block.width else block.media_type
    return Content.styled(size, "$foreground 75%")


@summary.register
def _memory(block: MemoryBlock) -> Content:
    parts = [counts(DiffBlock(path="", diff="", added=block.added, removed=block.removed))]
    if block.limit:
        parts.append(Content.styled(f"{block.chars:,}/{block.limit:,}", "$foreground 75%"))
    return Content("  ").join([part for part in parts if part.plain])


# Blocks whose summary is enough until the card is unfolded.
ENOUGH = (FileBlock, MatchesBlock, ImageBlock)
