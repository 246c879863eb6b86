"""Display blocks: what a person is shown of a tool's work, as data; each face has one renderer per kind."""

from __future__ import annotations

from typing import TypeAlias

from letta_code.core.messages import Value


class TextBlock(Value, tag_field="kind", tag="text"):
    """Plain text, never interpreted as markup."""

    text: str
    title: str = ""


class DiffBlock(Value, tag_field="kind", tag="diff"):
    """A change of one file as a unified diff (no file header lines, `@@` hunks with 3 lines of context).

    `status` is modified, added, deleted or renamed; `old_path` is set for a rename. `cut` counts the lines left out of
    a diff too long to keep.
    """

    path: str
    diff: str
    status: str = "modified"
    old_path: str = ""
    added: int = 0
    removed: int = 0
    cut: int = 0


class ShellBlock(Value, tag_field="kind", tag="shell"):
    """A command and what it printed (stdout and stderr merged, already shortened to head and tail)."""

    command: str
    output: str = ""
    exit_code: int | None = None
    seconds: float = 0.0
    cwd: str = ""
    background_id: str = ""
    full_output: str = ""  # path of the file with the whole output, when it was longer


class FileBlock(Value, tag_field="kind", tag="file"):
    """Lines of a file that were read: `first_line` is the number of the first line of `text`."""

    path: str
    text: str = ""
    first_line: int = 1
    total_lines: int = 0


class MatchesBlock(Value, tag_field="kind", tag="matches"):
    """A list of places or paths that a search found, one a line."""

    query: str
    lines: tuple[str, ...] = ()
    total: int = 0


class TodoItem(Value):
    """One task: `status` is pending, in_progress or done."""

    text: str
    status: str = "pending"


class TodoBlock(Value, tag_field="kind", tag="todo"):
    """The whole todo list after a change."""

    items: tuple[TodoItem, ...] = ()


class ImageBlock(Value, tag_field="kind", tag="image"):
    """A picture by path and size; faces that cannot draw name it."""

    path: str
    media_type: str = ""
    width: int = 0
    height: int = 0
    bytes: int = 0


class QuestionBlock(Value, tag_field="kind", tag="question"):
    """A question that the agent asked and what was answered."""

    question: str
    answer: str = ""


class MemoryBlock(Value, tag_field="kind", tag="memory"):
    """A change of one memory block: `diff` as in DiffBlock, `chars` and `limit` as they are afterwards.

    `status` is modified, added, deleted or renamed (then `old_label` is set); `commit` is "" where it was not made yet.
    """

    label: str
    diff: str = ""
    status: str = "modified"
    old_label: str = ""
    scope: str = ""
    added: int = 0
    removed: int = 0
    chars: int = 0
    limit: int = 0
    commit: str = ""


class NoteBlock(Value, tag_field="kind", tag="note"):
    """One line for the person: `level` is info, warning or error."""

    text: str
    level: str = "info"


DisplayBlock: TypeAlias = (
    TextBlock
    | DiffBlock
    | ShellBlock
    | FileBlock
    | MatchesBlock
    | TodoBlock
    | ImageBlock
    | QuestionBlock
    | MemoryBlock
    | NoteBlock
)
