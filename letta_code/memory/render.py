"""Render: blocks as the prompt's text, byte-stable for a pin, and what changed since as a reminder."""

from __future__ import annotations

import re
from collections.abc import Sequence

from letta_code.memory.block import Block, one_line
from letta_code.memory.outcome import BlockChange
from letta_code.memory.view import View

_INTRODUCTION = (
    "Your memory blocks as they stood when this context began; edits since then stand further down, in your own calls "
    "and in reminders. What they say about code or the world may be out of date: check before you rely on it."
)
_MOST_FILES = 100
_WHOLE = 1_200  # characters up to which a changed value is told whole rather than as a diff

# Tags that mean something in a prompt: text of a block can neither close its own nor open one of these. Everything else
# stays as it is, so that what the model copies into an edit is what stands in the block.
_TAGS = re.compile(
    r"<(?=\s*/?\s*(?:memory|memory_files|block|system|system[-_]reminder|user|human|assistant|tool\w*|function\w*|"
    r"invoke|parameter|antml|think|thinking|transcript|conversation_summary|earlier_summary|"
    r"instructions|skills?|available_skills|project_instructions)\b)|<(?=\|)",
    re.IGNORECASE,
)


def escaped(text: str) -> str:
    """A block's text as the prompt may carry it."""
    return _TAGS.sub("&lt;", text)


def memory_section(view: View, blocks: Sequence[Block] | None = None) -> str:
    """The prompt's section of memory: the same bytes for the same blocks; `blocks` are shown in place of the view's."""
    shown = view.blocks if blocks is None else blocks
    parts = ["<memory>", _INTRODUCTION, *(_block(block) for block in shown), "</memory>"]
    others = [block for block in view.others if not block.path.startswith("conflicts/")]
    if others:
        parts.append("<memory_files>\nMore of your memory, not shown here; read with the memory tool's view:")
        parts += [_listed(block) for block in others[:_MOST_FILES]]
        if len(others) > _MOST_FILES:
            parts.append(f"and {len(others) - _MOST_FILES} more")
        parts.append("</memory_files>")
    return "\n".join(parts)


_OPENING = "\n\n<memory>\n"
# Compiled when first needed: this module is on the start path.
_WHOLE_BLOCK = r'(?ms)^<block label="([^"\n]*)"(?: scope="([a-z]+)")?[^\n]*>\n.*?\n</block>$'
_FILES = "<memory_files>\n"


def parted(system: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A head that ends with the section of memory, taken apart: what stands before it, and name and text of each part.

    A block's text can neither open nor close one (`escaped`), so this finds exactly what `memory_section` wrote.
    """
    before, opening, memory = system.rpartition(_OPENING)
    if not opening:
        return system, ()
    blocks = [(_named(found), found.group(0)) for found in re.finditer(_WHOLE_BLOCK, memory)]
    frame, listed, files = re.sub(_WHOLE_BLOCK, "", memory).partition(_FILES)
    parts = [("(about memory)", f"<memory>\n{' '.join(frame.split())}"), *blocks]
    if listed:
        parts.append(("(list of other files)", listed + files))
    return before, tuple(parts)


def _named(block: re.Match[str]) -> str:
    label, scope = block.groups()
    return f"{label} ({scope})" if scope else str(label)


def _block(block: Block) -> str:
    marks = [f'label="{_attribute(block.label)}"']
    if block.scope != "agent":
        marks.append(f'scope="{block.scope}"')
    if block.description:
        marks.append(f'description="{_attribute(block.description)}"')
    marks.append(f'chars="{block.fill}"')
    if block.read_only:
        marks.append('read_only="true"')
    return f"<block {' '.join(marks)}>\n{_shown_value(block)}\n</block>"


def _shown_value(block: Block) -> str:
    """The value; what a hand edit put beyond the limit is not sent, and that is said."""
    if not block.value:
        return "(empty)"
    if block.chars <= block.limit:
        return escaped(block.value)
    left = block.chars - block.limit
    return (
        f"{escaped(block.value[: block.limit])}\n[{left} more characters are over the limit and not shown: view the "
        "block, then shorten it]"
    )


def _listed(block: Block) -> str:
    description = f": {_attribute(block.description)}" if block.description else ""
    return f"{_attribute(block.label)} ({block.chars} characters){description}"


def _attribute(text: str) -> str:
    return one_line(text, 300).replace('"', "'").replace("<", "&lt;").replace(">", "&gt;")


def rendered(block: Block) -> str:
    """One block as the prompt shows it, for a tool's view."""
    return _block(block)


def reminder(changes: Sequence[BlockChange]) -> str:
    """What changed in memory since the model last saw it, for a system reminder; "" when nothing did."""
    if not changes:
        return ""
    return "\n".join(["Your memory changed:", *(_told(change) for change in changes)])


def begun_anew(view: View, lost: Sequence[str]) -> str:
    """What a model is told when its memory was taken away: what is lost, as far as that is known, and what stands."""
    names = f" Lost or changed: {', '.join(f'`{label}`' for label in lost)}." if lost else ""
    return "\n".join(
        [
            f"The folder of your memory was gone, or its history was replaced, and memory began anew.{names} What this "
            "conversation still knows of the rest, write back when it matters, and tell the person. All blocks in "
            "context now:",
            *(_block(block) for block in view.blocks),
        ]
    )


def _told(change: BlockChange) -> str:
    who = f" by {one_line(change.by, 200)}" if change.by else ""
    before, after = change.before, change.after
    if after is None:
        return f"`{change.label}` was removed{who}."
    if before is None:
        return f"A block came{who}:\n{_block(after)}"
    if before.value == after.value:
        return f"`{change.label}` has other settings{who}: {_settings(before, after)}."
    if after.chars <= _WHOLE or len(change.diff.diff) >= after.chars:
        return f"`{change.label}` was changed{who}, and is now:\n{_block(after)}"
    return f"`{change.label}` was changed{who} ({after.fill} characters now):\n{escaped(change.diff.diff)}"


def _settings(before: Block, after: Block) -> str:
    found: list[str] = []
    if before.label != after.label:
        found.append(f"its label was `{before.label}` before")
    if before.description != after.description:
        found.append(f"its description is now “{escaped(one_line(after.description, 300))}”")
    if before.read_only != after.read_only:
        found.append("it is read-only now" if after.read_only else "it can be edited now")
    if before.limit != after.limit:
        found.append(f"it has room for {after.limit} characters now")
    return ", ".join(found)
