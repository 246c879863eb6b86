"""Guard: which writes need a person's yes, and which are refused; limits and read-only blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from letta_code.memory.block import TODO, Block, BlockError
from letta_code.memory.edits import shown
from letta_code.memory.provenance import Provenance

UNREADABLE = "an encoded text"  # as the person is asked about it
OWN_LINES = "of your own lines"  # as the person is asked about them
SHRINK = 0.7  # a block that keeps less than this part of its characters …
SHRINK_FROM = 100  # … and had at least so many is being emptied rather than corrected
_ENCODED = re.compile(r"[A-Za-z0-9+/=_-]{200,}")


def unreadable(*texts: str) -> bool:
    """Whether a long encoded text (200 signs and more without a blank) stands in one of them: nobody can check it."""
    return any(_ENCODED.search(text) for text in texts)


def refuse_protected(block: Block, by: Provenance) -> None:
    """Raises `BlockError` when this block may not be changed by whoever asks."""
    if block.read_only and not by.may_change_protected:
        raise BlockError(
            f"`{block.label}` is read-only: neither its value nor its settings can be changed by you. Nothing was "
            "changed. If it is wrong, tell the person; they can unlock it with /memory."
        )
    if block.problem and "not UTF-8" in block.problem and not by.by_person:
        raise BlockError(
            f"`{block.label}` holds signs that are not UTF-8, and an edit would destroy them. Nothing was changed. "
            f"Tell the person to save {block.path} as UTF-8."
        )


def refuse_over_limit(before: Block | None, after: Block) -> None:
    """Raises `BlockError` when the value does not fit; one that is too long already may become shorter."""
    if after.chars <= after.limit or (before is not None and after.chars < before.chars):
        return
    over = after.chars - after.limit
    now = f" {shown(before)}" if before is not None and before.value else ""
    raise BlockError(
        f"`{after.label}` would have {after.fill} characters, {over} too many. Nothing was changed. Merge lines that "
        "say the same and drop what is out of date (memory_rethink writes a whole new value), or put details into a "
        f"file that is read on demand (create `notes/{after.label.rpartition('/')[2]}`) or into archival memory.{now}"
    )


def risks(before: Block | None, after: Block | None, by: Provenance, persons_lines: Sequence[int]) -> tuple[str, ...]:
    """Why a person should say yes first; nothing for what a person does, or for the todo list.

    `persons_lines` are the numbers of the lines of `before` that a person wrote.
    """
    if by.may_change_protected or TODO in {block.label for block in (before, after) if block}:
        return ()
    found: list[str] = []
    if before is not None:
        old, new = before.chars, after.chars if after else 0
        if persons_lines and (lost := _lost(before, after, persons_lines)):
            quoted = "; ".join(f"“{line[:80]}”" for line in lost[:3]) + ("; …" if len(lost) > 3 else "")
            found.append(f"it removes {len(lost)} {OWN_LINES} from `{before.label}`: {quoted}")
        if after is None and before.value:
            found.append(f"it deletes `{before.label}` with its {old} characters")
        elif old >= SHRINK_FROM and new < old * SHRINK:
            found.append(f"it shrinks `{before.label}` by {round(100 - 100 * new / old)} % ({old} to {new} characters)")
    if after is not None and any(match[0] not in (before.value if before else "") for match in _encoded(after.value)):
        found.append(f"it puts {UNREADABLE} into `{after.label}` that nobody can read")
    return tuple(found)


def _encoded(value: str) -> list[re.Match[str]]:
    return list(_ENCODED.finditer(value))


def _lost(before: Block, after: Block | None, persons_lines: Sequence[int]) -> list[str]:
    """The person's lines that stand nowhere in the new value; one that was only moved is not lost."""
    old, new = before.value.split("\n"), after.value.split("\n") if after else []
    return [old[n] for n in persons_lines if n < len(old) and old[n].strip() and old[n] not in new]
