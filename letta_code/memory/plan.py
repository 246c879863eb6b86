"""Plan: what an edit makes of the blocks as they are now, though its author may have seen older ones."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from letta_code.core.messages import Value
from letta_code.memory.block import (
    DEFAULT_LIMIT,
    FILE_LIMIT,
    LARGEST_LIMIT,
    Block,
    BlockError,
    clean_value,
    one_line,
    path_for,
)
from letta_code.memory.edits import (
    Append,
    ApplyPatch,
    Create,
    Delete,
    Describe,
    Edit,
    Hunks,
    Insert,
    Rename,
    Replace,
    Rethink,
    SetLimit,
    SetReadOnly,
    ValueEdit,
    shown,
    value_after,
)
from letta_code.memory.guard import refuse_over_limit, refuse_protected
from letta_code.memory.merge import merged
from letta_code.memory.patch import read_patch
from letta_code.memory.provenance import Provenance
from letta_code.memory.view import View


class Planned(Value):
    """A block before and after; `merged` when another's edit was merged in.

    `refused` is this edit's version of the value where a true conflict left the block as it is.
    """

    before: Block | None
    after: Block | None
    merged: bool = False
    refused: str | None = None


def edits_of(edit: Edit) -> Sequence[Edit]:
    """The single edits of a patch, else the edit itself; raises `BlockError` for a patch that cannot be read."""
    return read_patch(edit.patch) if isinstance(edit, ApplyPatch) else (edit,)


def plan(edits: Sequence[Edit], view: View, base: View | None, by: Provenance) -> list[Planned]:
    """What the edits do, one entry for each block; raises `BlockError` and then none of them is done.

    `base` is what their author saw, None when that is not known or is what stands now.
    """
    steps: list[Planned] = []
    for edit in edits:
        step = _step(edit, view, base, by)
        if step.after is not None and step.after.is_new:
            step = msgspec.structs.replace(step, after=msgspec.structs.replace(step.after, is_new=False))
        if step.refused is None:
            view = view.with_block(step.before, step.after)
        steps.append(step)
    return _joined(steps)


def _joined(steps: Sequence[Planned]) -> list[Planned]:
    """Several steps of one block as one."""
    found: list[Planned] = []
    for step in steps:
        last = next((n for n, other in enumerate(found) if other.after is not None and other.after == step.before), -1)
        if last < 0 or step.before is None:
            found.append(step)
        else:
            found[last] = Planned(
                before=found[last].before,
                after=step.after,
                merged=found[last].merged or step.merged,
                refused=step.refused if step.refused is not None else found[last].refused,
            )
    return found


def _step(edit: Edit, view: View, base: View | None, by: Provenance) -> Planned:
    match edit:
        case Create():
            return _created(edit, view)
        case ApplyPatch():
            raise BlockError("A patch cannot stand within a patch.")
        case _:
            pass
    block = view.find(edit.label)
    if not isinstance(edit, SetReadOnly) or not by.may_change_protected:
        refuse_protected(block, by)
    match edit:
        case Delete():
            if block.is_new:
                what = "says what every new agent is given" if block.value else "is a standard block that is empty"
                raise BlockError(f"`{block.label}` {what}: there is nothing to delete. Nothing was changed.")
            return Planned(before=block, after=None)
        case Rename():
            return _renamed(edit, block, view)
        case Describe():
            text = one_line(edit.description, 500)
            return Planned(before=block, after=msgspec.structs.replace(block, description=text))
        case SetReadOnly():
            refuse_protected(block, by)
            if not by.may_change_protected:
                raise BlockError(f"Only the person can protect a block. `{block.label}` was not changed.")
            return Planned(before=block, after=msgspec.structs.replace(block, read_only=edit.read_only))
        case SetLimit():
            return _limited(edit, block)
        case Replace() | Insert() | Append() | Rethink() | Hunks():
            return _revalued(edit, block, base)


def _created(edit: Create, view: View) -> Planned:
    path, scope, in_context = path_for(edit.label, edit.scope, view.place)
    there = view.get(edit.label)
    if there is not None and not (there.is_new and there.path == path):
        raise BlockError(
            f"There is a block `{there.label}` already ({there.scope} scope). Nothing was changed. Edit it with "
            f"str_replace, insert or memory_rethink, or choose another label. {shown(there)}"
        )
    block = Block(
        label=edit.label,
        value=clean_value(edit.value),
        description=one_line(edit.description, 500),
        limit=_good_limit(edit.limit or (DEFAULT_LIMIT if in_context else FILE_LIMIT)),
        scope=scope,
        path=path,
        in_context=in_context,
    )
    refuse_over_limit(None, block)
    return Planned(before=there, after=block)


def _renamed(edit: Rename, block: Block, view: View) -> Planned:
    # The agent's own block goes where `create` without a scope would put it: out of context, by a label with a folder.
    # One that stands in a folder in context was put there by its scope, and stays in context.
    moves_out = block.scope == "agent" and "/" in edit.new_label and "/" not in block.label
    scope = block.scope if block.in_context and not moves_out else ""
    path, _, in_context = path_for(edit.new_label, scope, view.place)
    there = view.get(edit.new_label)
    if there is not None and there.path != block.path and not (there.is_new and there.path == path):
        raise BlockError(f"There is a block `{there.label}` already. Nothing was changed. Choose another label.")
    if block.is_new:
        raise BlockError(f"`{block.label}` is a standard block without a value yet: create `{edit.new_label}` instead.")
    return Planned(
        before=block, after=msgspec.structs.replace(block, label=edit.new_label, path=path, in_context=in_context)
    )


def _limited(edit: SetLimit, block: Block) -> Planned:
    limit = _good_limit(edit.limit)
    if limit < block.chars:
        raise BlockError(f"`{block.label}` has {block.chars} characters: its limit cannot be {limit}.")
    return Planned(before=block, after=msgspec.structs.replace(block, limit=limit))


def _good_limit(limit: int) -> int:
    if 0 < limit <= LARGEST_LIMIT:
        return limit
    raise BlockError(f"A limit must be from 1 to {LARGEST_LIMIT} characters, not {limit}.")


def _revalued(edit: ValueEdit, block: Block, base: View | None) -> Planned:
    old = base.get(block.path) or base.get(block.label) if base else None
    if old is not None and block.is_new and not old.is_new and not isinstance(edit, Append):
        raise BlockError(
            f"`{block.label}` was renamed or removed meanwhile: it is a standard block without a text of its own. "
            "Nothing was changed. Look (memory view) where its text is now, and edit that block."
        )
    if old is None or old.value == block.value or isinstance(edit, Append):
        after = msgspec.structs.replace(block, value=value_after(edit, block))
        refuse_over_limit(block, after)
        return Planned(before=block, after=after)
    if isinstance(edit, Replace | Hunks):  # they find their place by themselves, wherever it is now
        try:
            after = msgspec.structs.replace(block, value=value_after(edit, block))
        except BlockError as error:
            return _merged_in(edit, block, old, error)
        refuse_over_limit(block, after)
        return Planned(before=block, after=after)
    return _merged_in(edit, block, old, None)


def _merged_in(edit: ValueEdit, block: Block, old: Block, unfit: BlockError | None) -> Planned:
    try:
        wanted = value_after(edit, old)
    except BlockError as error:  # it does not fit what its author saw either: told with what stands now
        raise (unfit or error) from error
    result = merged(old.value, block.value, wanted)
    if result.conflicts:
        return Planned(before=block, after=block, refused=wanted)
    after = msgspec.structs.replace(block, value=clean_value(result.text))
    refuse_over_limit(block, after)
    return Planned(before=block, after=after, merged=True)
