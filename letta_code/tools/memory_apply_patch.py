"""memory_apply_patch: changes several blocks by one patch, all of it or nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from letta_code.memory.block import one_line
from letta_code.tools.base import Args
from letta_code.tools.remembering import MemoryEditor

if TYPE_CHECKING:
    from letta_code.memory.edits import Edit

_NAMED = re.compile(r"^\*\*\* (?:Update|Add|Delete|Move) (?:Block|File): *(.+?) *$", re.MULTILINE)


class MemoryApplyPatchArgs(Args, frozen=True):
    """Arguments of memory_apply_patch."""

    patch: str


class MemoryApplyPatch(MemoryEditor[MemoryApplyPatchArgs]):
    """Patches blocks."""

    name = "memory_apply_patch"
    args = MemoryApplyPatchArgs
    order = 72
    meant: ClassVar[Mapping[str, str]] = {"input": "patch", "diff": "patch"}

    def title(self, args: MemoryApplyPatchArgs) -> str:
        """Such as `Memory: patch human, project`."""
        return f"Memory: patch {one_line(', '.join(dict.fromkeys(_NAMED.findall(args.patch))), 100)}".rstrip()

    def edit_of(self, args: MemoryApplyPatchArgs) -> Edit | None:
        """The patch as it is."""
        from letta_code.memory.edits import ApplyPatch

        return ApplyPatch(patch=args.patch)
