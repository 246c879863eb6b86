"""Outcomes: what came of an edit, as data for the caller and as text for the model."""

from __future__ import annotations

from typing import TypeAlias

from letta_code.core.display import DiffBlock
from letta_code.core.messages import Value
from letta_code.memory.block import Block

# Above the settings of a block in its diff: they are no lines of its value, and have no numbers.
SETTINGS_HUNK = "@@ -0,0 +0,0 @@ settings"


class BlockChange(Value):
    """What happened to one block: `before` None where it was made, `after` None where it was removed.

    `by` says who did it, where several edits may have (`the person, the agent in conv-2 at event 12`).
    """

    before: Block | None
    after: Block | None
    diff: DiffBlock
    by: str = ""

    @property
    def label(self) -> str:
        """The label afterwards."""
        block = self.after or self.before
        return block.label if block else ""

    @property
    def told(self) -> str:
        """One line for the model and the person."""
        if self.after is None:
            return f"`{self.label}` was deleted; undo brings it back."
        if self.before is None:
            return f"`{self.label}` was created ({self.after.fill} characters)."
        renamed = f", before `{self.before.label}`" if self.before.label != self.after.label else ""
        lines = f", +{self.diff.added} -{self.diff.removed} lines" if self.diff.added or self.diff.removed else ""
        settings = "".join(f", {what}" for what in _changed_settings(self.before, self.after))
        return f"`{self.label}`{renamed}: {self.after.fill} characters{lines}{settings}."


class Written(Value, tag_field="outcome", tag="written"):
    """The edit is in memory, durable, as `commit` ("" when there was nothing to change).

    `pin` is memory's state afterwards; `merged` says that another edit had come in between and both stand; `conflict`
    names the file that keeps this edit's version where both had changed the same lines; `risks` are what a person was,
    or would have been, asked about; `notices` are sentences for the person; `detached` are shared blocks that this
    agent does not see any more.
    """

    commit: str
    pin: str
    changes: tuple[BlockChange, ...] = ()
    merged: bool = False
    conflict: str = ""
    risks: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    detached: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """For the model."""
        if self.conflict:
            label = self.conflict.removesuffix(".md")
            return (
                "Not merged: somebody else changed the same lines meanwhile. Their version stands; yours is kept in "
                f"`{label}`. Look at both (memory view), put what is true into the block, and delete `{label}`."
            )
        if not self.commit:
            return "Nothing to change: memory says that already."
        lines = ["Saved.", *(change.told for change in self.changes)]
        for label in self.detached:
            lines.append(f"`{label}` is shared: it was taken from your memory only, and stays for the others.")
        if self.merged:
            lines.append("Another edit had come in between: both stand now. Look at the block before the next edit.")
        return " ".join(lines)


class NeedsApproval(Value, tag_field="outcome", tag="needs_approval"):
    """Nothing was written: a person should say yes first.

    `why` are the reasons and `diffs` what would change.  After the yes the same edit is applied again with `base=pin`
    and `approved=True`: what was shown is what is merged.
    """

    why: tuple[str, ...]
    diffs: tuple[DiffBlock, ...]
    pin: str

    @property
    def text(self) -> str:
        """The question's reason."""
        return "This memory edit needs a person's yes: " + "; ".join(self.why) + "."


class HeldBack(Value, tag_field="outcome", tag="held_back"):
    """Untrusted text: it waits in the pending list under `id`, is not in memory and not shown to the model."""

    id: str
    label: str

    @property
    def text(self) -> str:
        """For the model."""
        return (
            f"Not in memory yet: the text comes from outside, so it waits for the person's yes (pending {self.id}, for "
            f"`{self.label}`). Go on without it."
        )


Outcome: TypeAlias = Written | NeedsApproval | HeldBack


def diff_of(before: Block | None, after: Block | None) -> DiffBlock:
    """The change of a block's value as a unified diff; changed settings of a block stand as a hunk of their own before.

    `added` and `removed` count lines of the value.
    """
    lines = _unified(_value(before), _value(after))
    settings: list[str] = []
    if before is not None and after is not None:
        settings = _unified(_settings(before), _settings(after))
    elif after is not None and not lines and after.description:  # an empty new block
        settings = [f"+description: {after.description}"]
    settings = [SETTINGS_HUNK, *(line for line in settings if line[:2] != "@@")] if settings else []
    status = "added" if before is None else "deleted" if after is None else "modified"
    block = after or before
    renamed = before is not None and after is not None and before.label != after.label
    return DiffBlock(
        path=block.label if block else "",
        diff="\n".join([*settings, *lines]),
        status="renamed" if renamed else status,
        old_path=before.label if renamed and before else "",
        added=sum(line.startswith("+") for line in lines),
        removed=sum(line.startswith("-") for line in lines),
    )


def _unified(old: list[str], new: list[str]) -> list[str]:
    from difflib import unified_diff

    return [line.rstrip("\n") for line in unified_diff(old, new, lineterm="", n=3)][2:]


def _settings(block: Block) -> list[str]:
    lines = [f"description: {block.description}"] if block.description else []
    lines += ["read_only: true"] if block.read_only else []
    return [*lines, f"limit: {block.limit}"]


def _changed_settings(before: Block, after: Block) -> list[str]:
    """What changed beside the value, in words."""
    found = [] if before.read_only == after.read_only else ["read-only now" if after.read_only else "not read-only now"]
    found += ["described anew"] if before.description != after.description else []
    return found + ([f"limit {before.limit} before"] if before.limit != after.limit else [])


def _value(block: Block | None) -> list[str]:
    return block.value.split("\n") if block and block.value else []
