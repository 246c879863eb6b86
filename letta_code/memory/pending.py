"""Pending: text from outside that waits for a person's yes; kept in the repository, never rendered."""

from __future__ import annotations

import msgspec

from letta_code.core.ids import new_id, utc_now
from letta_code.core.messages import Value
from letta_code.memory.block import PENDING, BlockError, clean_value, one_line
from letta_code.memory.edits import Append, ApplyPatch, Create, Edit, Hunks, Insert, Replace, Rethink, added_text
from letta_code.memory.provenance import Provenance

LARGEST = 20_000  # characters of text that may wait in one entry


class PendingEdit(Value):
    """An edit that waits: the text that would come in, for which block, and from where.  `at` is UTC."""

    id: str
    label: str
    text: str
    provenance: Provenance
    at: str
    description: str = ""
    creates: bool = False

    @property
    def path(self) -> str:
        """Its file in the repository."""
        return f"{PENDING}/{self.id}.json"

    @property
    def quoted(self) -> str:
        """The text as it is stored after a yes: evidence with its source, not a line of one's own."""
        by = self.provenance
        where = f", {one_line(by.conversation)} event {by.seq}" if by.conversation else ""
        lines = [f"> {line}".rstrip() for line in clean_value(self.text).split("\n")]
        return "\n".join([f"Evidence from {one_line(by.source, 300)} ({self.at[:10]}{where}), not verified:", *lines])

    def edit(self) -> Edit:
        """What a yes does."""
        if self.creates:
            description = f"Evidence from {self.provenance.source}: {self.description}"
            return Create(label=self.label, value=self.quoted, description=description)
        return Append(label=self.label, text=self.quoted)


def held_back(edits: list[Edit], by: Provenance) -> list[PendingEdit]:
    """The entries for untrusted edits; raises `BlockError` for those that text from outside may never ask for."""
    found: list[PendingEdit] = []
    for edit in edits:
        if not isinstance(edit, Create | Replace | Insert | Append | Rethink | Hunks):
            what = "change several blocks" if isinstance(edit, ApplyPatch) else f"{edit.__struct_config__.tag} a block"
            raise BlockError(
                f"Text from outside ({by.source}) cannot {what}. Nothing was changed. Tell the person what it says and "
                "let them decide."
            )
        text = added_text(edit)
        if not text.strip():
            raise BlockError(f"Text from outside ({by.source}) cannot remove anything. Nothing was changed.")
        if len(text) > LARGEST:
            raise BlockError(f"The text has {len(text)} characters; at most {LARGEST} can wait. Store what matters.")
        creates = isinstance(edit, Create)
        found.append(
            PendingEdit(
                id=new_id("pending"),
                label=edit.label,
                text=text,
                provenance=by,
                at=utc_now(),
                description=edit.description if isinstance(edit, Create) else "",
                creates=creates,
            )
        )
    return found


def read_pending(data: bytes) -> PendingEdit | None:
    """An entry from its file; None when it cannot be read."""
    try:
        return msgspec.json.decode(data, type=PendingEdit)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def written_pending(entry: PendingEdit) -> bytes:
    """The entry's file."""
    return msgspec.json.format(msgspec.json.encode(entry), indent=2) + b"\n"
