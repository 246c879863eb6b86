"""Waiting: what needs a person before it becomes memory; untrusted text, and hand edits of protected blocks."""

from __future__ import annotations

from letta_code.core.display import DiffBlock
from letta_code.core.messages import Value
from letta_code.host.git_packs import GitDamage
from letta_code.memory.block import PENDING, Block, BlockError, path_for
from letta_code.memory.edits import Append, Create, Edit
from letta_code.memory.folder import held_reason
from letta_code.memory.outcome import HeldBack, Written, diff_of
from letta_code.memory.pending import PendingEdit, held_back, read_pending, written_pending
from letta_code.memory.provenance import USER, Provenance
from letta_code.memory.writer import Writer

MOST = 200  # entries that may wait


class HeldEdit(Value):
    """A hand edit that was not taken in: the file, why, and what it would change."""

    path: str
    why: str
    diff: DiffBlock


class Waiting:
    """What waits for a person in one agent's memory."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    # ------------------------------------------------------------ untrusted text

    def pending(self) -> list[PendingEdit]:
        """The texts from outside that wait, oldest first."""
        own, head = self._writer.own, self._writer.own.head()
        try:
            files = own.repository.files(head, PENDING) if head else {}
            found = {path: read_pending(own.blob(path, sha)) for path, sha in sorted(files.items())}
        except GitDamage as error:
            raise BlockError(f"What waits cannot be read: {error}.", hint=error.hint) from error
        return [entry for path, entry in found.items() if entry is not None and entry.path == path]

    def hold_back(self, edits: list[Edit], by: Provenance) -> HeldBack:
        """Put edits into the list, durable; nothing else changes."""
        if len(self.pending()) + len(edits) > MOST:
            raise BlockError(
                f"{MOST} texts from outside wait for the person already. Nothing was changed. Go on without it."
            )
        entries = held_back(edits, by)
        view = self._writer.reader.view()
        for entry in entries:
            if view.get(entry.label) is None:  # a yes makes the block: it must be able to
                path_for(entry.label, "", view.place)
        files = {entry.path: written_pending(entry) for entry in entries}
        self._writer.put(self._writer.own, files, by, f"held back for {entries[0].label}")
        return HeldBack(id=entries[0].id, label=entries[0].label)

    def get(self, pending_id: str) -> PendingEdit:
        """One entry; raises `BlockError` that names those there are."""
        entries = self.pending()
        found = next((entry for entry in entries if entry.id == pending_id), None)
        if found is None:
            listed = ", ".join(entry.id for entry in entries) or "none"
            raise BlockError(f"Nothing waits under {pending_id!r}. Waiting: {listed}.")
        return found

    def approve(self, pending_id: str, by: Provenance) -> Written:
        """A person's yes: the text becomes part of its block, quoted as evidence with its source."""
        self._person_only(by)
        entry = self.get(pending_id)
        edit = entry.edit()
        block = self._writer.reader.view().get(entry.label)
        if isinstance(edit, Create) and block is not None:  # made by somebody else meanwhile
            edit = Append(label=entry.label, text=entry.quoted)
        elif isinstance(edit, Append) and block is None:  # deleted meanwhile
            edit = Create(label=entry.label, value=entry.quoted)
        more = {"Letta-Approved-By": by.source}
        also = {entry.path: None}  # in the same commit: it is in one place only, whenever the process is killed
        outcome = self._writer.again(
            lambda: self._writer.applied([edit], entry.provenance, None, True, more=more, also=also)
        )
        if not isinstance(outcome, Written):
            raise BlockError("The text was approved and is still to be asked about.")  # approved=True asks nothing
        if block is not None and block.scope == "shared":  # another repository has it
            self._remove(entry, by, "approved")
        return outcome

    def reject(self, pending_id: str, by: Provenance) -> None:
        """A person's no: the entry goes; history still has it."""
        self._person_only(by)
        self._remove(self.get(pending_id), by, "rejected")

    def _remove(self, entry: PendingEdit, by: Provenance, what: str) -> None:
        self._writer.put(self._writer.own, {entry.path: None}, by, f"{what} {entry.id}")

    def _person_only(self, by: Provenance) -> None:
        if not by.by_person:
            raise BlockError("Only the person can decide about text from outside.")

    # ------------------------------------------------------------ hand edits of protected blocks

    def held(self) -> list[HeldEdit]:
        """Hand edits that wait."""
        own = self._writer.own
        head = own.head()
        found: list[HeldEdit] = []
        for path in own.work.record().behind:
            now, hand = own.content(head, path), own.work.read(path)
            why = held_reason(path, now, hand)
            if why:
                diff = diff_of(self._block(path, now), self._block(path, hand))
                found.append(HeldEdit(path=path, why=why, diff=diff))
        return found

    def _block(self, path: str, data: bytes | None) -> Block | None:
        return None if data is None else self._writer.reader.view().block_of(path, data)

    def adopt(self, path: str, by: Provenance) -> str:
        """Take a held hand edit in; returns its commit."""
        self._person_only(by)
        self._check_held(path)
        data = self._writer.own.work.read(path)
        commit = self._writer.put(self._writer.own, {path: data}, Provenance(source=USER), f"hand edit of {path}")
        self._writer.own.refresh(("",))  # the file may be in no folder of this place
        return commit

    def put_back(self, path: str, by: Provenance) -> str:
        """Make the file again what memory says; the hand edit stays in history, as a change that was taken back."""
        own = self._writer.own
        commit = self.adopt(path, by)
        if not commit:  # memory says that already
            return ""
        taken = own.repository.commit(commit)
        hand, before = own.content(commit, path), own.content(taken.parents[0] if taken.parents else "", path)

        def changes() -> dict[str, bytes | None]:
            now = own.content(own.head(), path)  # what somebody wrote since stays
            return {path: before if now == hand else now}

        return self._writer.put(own, changes, by, f"put back {path}")

    def _check_held(self, path: str) -> None:
        paths = [edit.path for edit in self.held()]
        if path not in paths:
            raise BlockError(f"No hand edit of {path} waits. Waiting: {', '.join(paths) or 'none'}.")
