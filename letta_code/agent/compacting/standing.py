"""Standing: which items stand word for word where they count: as a line of their section, or in their own block.

A name that occurs somewhere is not enough, nor a sentence about an item: "the rule '…' is void" would pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from letta_code.agent.compacting.must_keep import DECISION, FILE, REQUEST, RULE, TODO, Item
from letta_code.memory.block import TASK, clean_value
from letta_code.memory.render import escaped, parted

_GOALS, _DECISIONS, _STATE, _NEXT = "goals", "decisions and exact identifiers", "current state", "next step"
_SECTIONS = {
    REQUEST: (_GOALS,),
    TODO: (_GOALS, _STATE, _NEXT),
    RULE: (_GOALS, _DECISIONS),
    DECISION: (_DECISIONS,),
    FILE: (_STATE, _DECISIONS),
}
_HEADING = re.compile(r"#{1,6}\s+(.+?)[\s#:]*")
_MARKS = re.compile(r"(?:(?:[-*+•]|\d+[.)]|\[\d+\]|\[[ >]\])\s+)*")  # bullet, event, box of an open task
_LINE = 600  # characters
_AROUND = (("**", "**"), ("`", "`"), ('"', '"'), ("“", "”"), ("„", "“"), ("*", "*"))


def missing(items: Sequence[Item], summary: str, head: str) -> tuple[Item, ...]:
    """The items that stand neither in their section of a summary nor in their block of a head."""
    lines = _lines(summary)
    return tuple(
        item
        for item in items
        if not in_block(item, head) and not any((title, plain(item.text)) in lines for title in _SECTIONS[item.kind])
    )


def in_block(item: Item, head: str) -> bool:
    """Whether the block `todo` or `task` of a head holds an item whole."""
    match item.kind:
        case "todo":
            return f"- {escaped(item.text)}" in _block(head, TODO).split("\n")
        case "request":
            return task_in(head) == escaped(_as_task(item.text))
        case _:
            return False


def task_in(head: str) -> str:
    """What the block `task` of a head says; "" when it has none."""
    return _block(head, TASK)


def _as_task(text: str) -> str:
    from letta_code.safety.secrets import without_secrets

    return without_secrets(clean_value(text))[0]


def _block(head: str, label: str) -> str:
    _, blocks = parted(head)
    found = next((text for name, text in blocks if name == f"{label} (conversation)"), "")
    return "\n".join(found.split("\n")[1:-1])


def _lines(summary: str) -> set[tuple[str, str]]:
    """Section and words of each line."""
    title, found = "", set[tuple[str, str]]()
    for line in summary.split("\n"):
        if heading := _HEADING.fullmatch(line.strip()):
            title = heading[1].casefold()
        elif line.strip():
            found.add((title, plain(line)))
    return found


def plain(line: str) -> str:
    """A line as it is compared: without bullet, event, marks around the whole, runs of blanks and the full stop."""
    text = " ".join(line.split())
    before = ""
    while text != before:
        before, text = text, _MARKS.sub("", text, count=1).rstrip(".! ")
        text = _without_marks_around(text)
    return text


def _without_marks_around(text: str) -> str:
    for first, last in _AROUND:
        inner = text[len(first) : -len(last)]
        if len(text) > len(first + last) and text.startswith(first) and text.endswith(last) and last not in inner:
            return inner
    return text


def to_copy(items: Iterable[Item], head: str) -> tuple[Item, ...]:
    """What the model is asked to copy: lines; a long text is added by the program in any case."""
    return tuple(
        item for item in items if "\n" not in item.text and len(item.text) <= _LINE and not in_block(item, head)
    )
