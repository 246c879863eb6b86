"""A command and what it printed."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from letta_code.core.display import ShellBlock
from letta_code.tui.blocks import render
from letta_code.tui.clean import cap_lines, clean, clean_output, head_and_tail

HEAD, TAIL = 3, 6


@render.register
def shell(block: ShellBlock, full: bool) -> Widget:
    """The command when it does not fit the card's title, and its output: head and tail unless `full`."""
    return Static(shell_content(block, full), markup=False, classes="shell")


def shell_content(block: ShellBlock, full: bool) -> Content:
    """Command, output and how it ended."""
    parts: list[Content] = []
    command = clean(block.command).rstrip("\n")
    if full or "\n" in command:
        parts.append(Content.styled("$ " + command, "bold"))
    output = output_content(block.output, full)
    if output is not None:
        parts.append(output)
    if block.background_id:
        parts.append(Content.styled(f"runs in the background as {clean(block.background_id)}", "$foreground 75%"))
    elif block.exit_code not in (0, None):
        parts.append(Content.styled(f"exit code {block.exit_code}", "$text-error"))
    if full and block.full_output:
        parts.append(Content.styled(f"whole output: {clean(block.full_output)}", "$foreground 75%"))
    return Content("\n").join(parts)


def output_content(output: str, full: bool) -> Content | None:
    """What a command printed, None when that was nothing."""
    text = cap_lines(clean_output(output)).strip("\n")
    if not text.strip():
        return None
    head, hidden, tail = (text.split("\n"), 0, []) if full else head_and_tail(text.split("\n"), HEAD, TAIL)
    parts = [Content.styled("\n".join(head), "$foreground 85%")]
    if hidden:
        parts.append(Content.styled(f"… {hidden:,} lines", "$foreground 75%"))
        parts.append(Content.styled("\n".join(tail), "$foreground 85%"))
    return Content("\n").join(parts)
