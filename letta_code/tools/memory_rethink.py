"""memory_rethink: gives a block a whole new value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from letta_code.memory.block import given_label, one_line
from letta_code.tools.base import Args
from letta_code.tools.remembering import MemoryEditor

if TYPE_CHECKING:
    from letta_code.memory.edits import Edit


class MemoryRethinkArgs(Args, frozen=True):
    """Arguments of memory_rethink."""

    label: str
    new_memory: str


class MemoryRethink(MemoryEditor[MemoryRethinkArgs]):
    """Rewrites a block."""

    name = "memory_rethink"
    args = MemoryRethinkArgs
    order = 71
    meant: ClassVar[Mapping[str, str]] = {
        "path": "label",
        "block": "label",
        "value": "new_memory",
        "content": "new_memory",
    }

    def title(self, args: MemoryRethinkArgs) -> str:
        """Such as `Memory: rewrite human`."""
        return f"Memory: rewrite {one_line(given_label(args.label), 60)}"

    def edit_of(self, args: MemoryRethinkArgs) -> Edit | None:
        """The new value."""
        from letta_code.memory.edits import Rethink

        return Rethink(label=given_label(args.label), value=args.new_memory)
