"""Proposals: edits that somebody thought of and nobody decided yet, each a commit on a git branch of its own.

`git diff main..reflection/refl-x1m9c7` shows one to whoever prefers git.  The branch is all there is: its commit says
what is proposed, why, on which state of memory, and what a person is asked about.
"""

from __future__ import annotations

import re
from collections import Counter

from letta_code.core.display import DiffBlock
from letta_code.core.ids import new_id
from letta_code.core.messages import Value
from letta_code.host.git_packs import GitDamage
from letta_code.host.memory_git import Commit
from letta_code.memory.block import TASK, TODO, BlockError, Place
from letta_code.memory.edits import Create, added_text
from letta_code.memory.outcome import diff_of
from letta_code.memory.patch import read_patch
from letta_code.memory.plan import Planned, plan
from letta_code.memory.provenance import MADE_BY, Provenance, change_of, message, trailers
from letta_code.memory.reader import Reader
from letta_code.memory.view import Pin, View
from letta_code.memory.writer import Writer

BRANCHES = "refs/heads/reflection/"
LARGEST = 8_000  # characters that one proposal may bring in
_NAME = re.compile(r"refl-[0-9a-z]{6}")
_INDENT = "    "
_ASKS, _BASE, _PROJECT = "Letta-Asks", "Letta-Base", "Letta-Project"


class Proposal(Value):
    """A patch (patch.py) on the state of memory `base`, by whom and why; `at` is UTC, `commit` its branch's.

    Its labels mean what they mean at `place`, wherever it is decided.  `asks` says what a person is asked about; a
    proposal that asks nothing is merged as soon as it was made.
    """

    id: str
    patch: str
    base: str
    place: Place
    by: Provenance
    why: str = ""
    asks: tuple[str, ...] = ()
    at: str = ""
    commit: str = ""

    @property
    def branch(self) -> str:
        """Its branch as git names it."""
        return f"reflection/{self.id}"


def proposal_id() -> str:
    """A name that a person can type."""
    return f"refl-{new_id('x')[-6:]}"


def check_proposal(patch: str, view: View) -> None:
    """Raises `BlockError` for what may never be proposed behind the scenes, whoever would be asked."""
    edits = read_patch(patch)
    for edit in edits:
        label = getattr(edit, "label", "")
        block = view.get(label)
        if label in (TODO, TASK):
            raise BlockError(f"`{label}` is kept by the program: leave it out. Nothing was changed.")
        if (block is not None and block.scope == "shared") or (isinstance(edit, Create) and edit.scope == "shared"):
            raise BlockError(f"`{label}` is shared with other agents: leave it out. Nothing was changed.")
    size = sum(len(added_text(edit)) for edit in edits)
    if size > LARGEST:
        raise BlockError(f"The patch brings in {size} characters; {LARGEST} are allowed. Keep what matters most.")


class Proposals:
    """The proposals for one agent's blocks.  Raises `BlockError`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def put(self, proposal: Proposal) -> str:
        """Make its branch, durable; the commit."""
        summary = f"reflection: {proposal.why}" if proposal.why else "reflection"
        project = proposal.place.project_key
        more = {MADE_BY: proposal.id, _BASE: proposal.base, _PROJECT: project, _ASKS: "; ".join(proposal.asks)}
        head, _, last = message(summary, proposal.by, more).rpartition("\n\n")
        patch = "\n".join(_INDENT + line for line in proposal.patch.strip("\n").split("\n"))
        text = "\n\n".join(part for part in (head.rstrip("\n"), patch, last) if part)
        edits = read_patch(proposal.patch)
        return self._writer.propose(edits, proposal.by, proposal.base, BRANCHES + proposal.id, text)

    def all(self) -> list[Proposal]:
        """Every proposal whose branch stands, oldest first."""
        repository = self._writer.own.repository
        try:
            branches = repository.branches(BRANCHES) if repository.exists else {}
            found = [_read(ref.removeprefix(BRANCHES), repository.commit(sha)) for ref, sha in branches.items()]
        except (GitDamage, OSError) as error:
            raise BlockError(f"What was proposed cannot be read: {error}.") from error
        return sorted(filter(None, found), key=lambda one: (one.at, one.id))

    def waiting(self) -> list[Proposal]:
        """Those that wait for a person."""
        return [one for one in self.all() if one.asks]

    def get(self, wanted: str) -> Proposal:
        """One that waits, by its id or the end of it; raises `BlockError` that names those there are."""
        waiting = self.waiting()
        found = [one for one in waiting if wanted and one.id.endswith(wanted)]
        if len(found) != 1:
            listed = ", ".join(one.id for one in waiting) or "none"
            raise BlockError(f"No reflection waits under {wanted!r}. Waiting: {listed}.")
        return found[0]

    def diffs(self, proposal: Proposal) -> tuple[DiffBlock, ...]:
        """What it would have changed where it was made, one diff for each block."""
        return tuple(diff_of(step.before, step.after) for step in self._steps(proposal))

    def _steps(self, proposal: Proposal) -> list[Planned]:
        view = self._reader(proposal).view(Pin.of(proposal.base))
        return plan(read_patch(proposal.patch), view, None, proposal.by)

    def _reader(self, proposal: Proposal) -> Reader:
        return Reader(self._writer.own, self._writer.shared, proposal.place)

    def everywhere(self, proposal: Proposal) -> tuple[str, ...]:
        """The labels of what it changes that every conversation of the agent is shown, in whatever project."""
        changed = (_shown_everywhere(step) for step in self._steps(proposal))
        return tuple(dict.fromkeys(filter(None, changed)))

    def stands(self, proposal: Proposal) -> bool:
        """Whether memory says already all that it would bring in, and nothing that it would take away."""
        view = self._reader(proposal).view()
        steps = self._steps(proposal)
        return bool(steps) and all(_stands(step, view) for step in steps)

    def same(self, proposal: Proposal) -> Proposal | None:
        """One that waits and would do the same."""
        lines = [_lines(step) for step in self._steps(proposal)]
        for one in self.waiting():
            try:
                if [_lines(step) for step in self._steps(one)] == lines:
                    return one
            except BlockError:
                continue  # its base is not there any more: nobody can say what it would do
        return None

    def merged(self, proposal: Proposal) -> str:
        """The commit that brought it into memory; "" when none did.  A killed process may have left it listed."""
        base = Pin.of(proposal.base).own
        try:
            for commit in self._writer.own.commits():
                if commit.sha == base:
                    break
                if trailers(commit).get(MADE_BY) == proposal.id:
                    return commit.sha
        except GitDamage as error:
            raise BlockError(f"History cannot be read: {error}.") from error
        return ""

    def drop(self, proposal_id: str) -> None:
        """Forget one: it is decided."""
        own = self._writer.own
        with own.writing(()):
            own.repository.delete_ref(BRANCHES + proposal_id)

    def tidy(self, conversation: str, read_until: int) -> None:
        """Forget what a killed process left: proposals of a conversation of which its journal knows nothing.

        `read_until` is the last event that a reflection of that conversation has read: what was recorded is older.
        """
        repository = self._writer.own.repository
        if not repository.exists or not repository.branches(BRANCHES):
            return
        for one in self.all():
            if one.by.conversation == conversation and (one.by.seq > read_until or not one.asks):
                self.drop(one.id)


def _shown_everywhere(step: Planned) -> str:
    """The label of a block that acts in every conversation, or of a file whose description does; else ""."""
    before, after = step.before, step.after
    for block in (before, after):
        if block is not None and block.in_context and block.scope in ("agent", "shared"):
            return block.label
    told = after is not None and after.scope in ("agent", "shared") and after.description
    return after.label if after and told and (before is None or before.description != after.description) else ""


def _lines(step: Planned) -> tuple[str, tuple[str, ...], tuple[str, ...], str]:
    """What a step does, wherever it does it: the file, the lines that come and go, and its new description."""
    before, after = step.before, step.after
    old = before.value.split("\n") if before and before.value else []
    new = after.value.split("\n") if after and after.value else []
    come, go = (tuple(sorted((Counter(a) - Counter(b)).elements())) for a, b in ((new, old), (old, new)))
    block = after or before
    said = after.description if after and (before is None or before.description != after.description) else ""
    return block.path if block else "", come, go, said


def _stands(step: Planned, view: View) -> bool:
    before, after = step.before, step.after
    if before is not None and after is not None and before.path != after.path:
        return False  # a rename: doing it again tells what is wrong
    path, come, go, said = _lines(step)
    now = next((block for block in (*view.blocks, *view.others) if block.path == path), None)
    if after is None:
        return now is None or now.is_new
    if now is None or not (come or go or said) or (said and now.description != said):
        return False
    lines = set(now.value.split("\n"))
    return lines.issuperset(come) and lines.isdisjoint(set(go) - set(after.value.split("\n")))


def _read(name: str, commit: Commit) -> Proposal | None:
    """A proposal from its branch; None when it is none of ours (a branch that a person made below that name)."""
    said = trailers(commit)
    if not _NAME.fullmatch(name) or said.get(MADE_BY) != name:
        return None
    body = commit.message.split("\n")
    patch = "\n".join(line.removeprefix(_INDENT) for line in body if line.startswith(_INDENT))
    change = change_of(commit)
    paragraphs = commit.message.split("\n\n")
    why = paragraphs[0].removeprefix("reflection: ")
    return Proposal(
        id=name,
        patch=patch,
        base=said.get(_BASE, ""),
        place=Place(project_key=said.get(_PROJECT, ""), conversation_id=change.provenance.conversation),
        by=change.provenance,
        why=" ".join(paragraphs[1].split()) if len(paragraphs) > 3 else why,
        asks=tuple(filter(None, said.get(_ASKS, "").split("; "))),
        at=change.at,
        commit=commit.sha,
    )
