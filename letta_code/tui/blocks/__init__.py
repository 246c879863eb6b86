"""Blocks: one renderer per kind of display block, one file each."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache, singledispatch

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from letta_code.core.display import DisplayBlock

PREVIEW_LINES = 8


@singledispatch
def render(block: object, full: bool) -> Widget:
    """A widget for a block; `full` shows all of it, else the first look at it.

    A block of a newer version has no renderer: its kind is named, so that nothing is hidden.
    """
    return line(f"({type(block).__name__} cannot be shown by this version)")


def draw(block: DisplayBlock, *, full: bool = False) -> Widget:
    """As `render`, with every renderer loaded first."""
    _load()
    return render(block, full)


@cache
def _load() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


def line(text: str, style: str = "$foreground 75%") -> Static:
    """One quiet line of plain text."""
    return Static(Content.styled(text, style), markup=False, classes="line")
