"""Proposing: what becomes of a patch that a reflection thought of: a branch, and then memory or a person's decision."""

from __future__ import annotations

from letta_code.core.display import MemoryBlock
from letta_code.core.errors import LettaError
from letta_code.core.messages import Value
from letta_code.memory.block import one_line
from letta_code.memory.blocks import Blocks
from letta_code.memory.desk import blocks_of
from letta_code.memory.edits import ApplyPatch
from letta_code.memory.outcome import NeedsApproval, Outcome, Written
from letta_code.memory.proposals import Proposal
from letta_code.safety.terminal import visible

MERGED, WAITING, NOTHING, FAILED, REJECTED = "merged", "waiting", "nothing", "failed", "rejected"


class Settled(Value):
    """What became of a proposal: its status, what it changes, and where it is in memory.

    `waits` names another one that would do the same, so that this one was not kept.
    """

    status: str
    blocks: tuple[MemoryBlock, ...] = ()
    commit: str = ""
    conflict: str = ""
    asks: tuple[str, ...] = ()
    waits: str = ""


def settle(blocks: Blocks, proposal: Proposal) -> Settled:
    """Put a proposal on its branch and, where nothing is to be asked, into memory.  Raises `BlockError`."""
    if blocks.proposals.stands(proposal):
        return Settled(status=NOTHING)
    if other := blocks.proposals.same(proposal):
        return Settled(status=NOTHING, waits=other.id)
    blocks.proposals.put(proposal)
    outcome = _merge(blocks, proposal, approved=False) if not proposal.asks else _preview(blocks, proposal)
    if isinstance(outcome, NeedsApproval):
        asks = proposal.asks or outcome.why
        if not proposal.asks:  # somebody wrote meanwhile what it would take away
            blocks.proposals.drop(proposal.id)
            blocks.proposals.put(_asking(proposal, asks))
        return Settled(status=WAITING, blocks=blocks_of(outcome), asks=asks)
    blocks.proposals.drop(proposal.id)
    return _settled(outcome)


def approve(blocks: Blocks, wanted: str) -> tuple[Proposal, Settled]:
    """A person's yes: merge what waits into memory as it is now.  Raises `BlockError`, and then it still waits."""
    proposal = blocks.proposals.get(wanted)
    settled = _done_already(blocks, proposal)
    if settled is None:
        settled = _settled(_merge(blocks.at(proposal.place), proposal, approved=True))
    blocks.proposals.drop(proposal.id)
    return proposal, settled


def _done_already(blocks: Blocks, proposal: Proposal) -> Settled | None:
    """What a process that was killed before it dropped the branch did, or somebody else; None when it is to be done."""
    if commit := blocks.proposals.merged(proposal):
        return Settled(status=MERGED, commit=commit)
    return Settled(status=NOTHING) if blocks.proposals.stands(proposal) else None


def reject(blocks: Blocks, wanted: str) -> Proposal:
    """A person's no: the branch goes."""
    proposal = blocks.proposals.get(wanted)
    blocks.proposals.drop(proposal.id)
    return proposal


def _merge(blocks: Blocks, proposal: Proposal, *, approved: bool) -> Outcome:
    edit = ApplyPatch(patch=proposal.patch)
    return blocks.apply(edit, proposal.by, base=proposal.base, approved=approved)


def _preview(blocks: Blocks, proposal: Proposal) -> Outcome:
    return blocks.preview(ApplyPatch(patch=proposal.patch), proposal.by, base=proposal.base)


def _asking(proposal: Proposal, asks: tuple[str, ...]) -> Proposal:
    from msgspec.structs import replace

    return replace(proposal, asks=asks)


def _settled(outcome: Outcome) -> Settled:
    if not isinstance(outcome, Written):
        raise LettaError(f"The reflection was not merged: {outcome.text}")
    status = MERGED if outcome.commit else NOTHING
    return Settled(status=status, blocks=blocks_of(outcome), commit=outcome.commit, conflict=outcome.conflict)


def told(settled: Settled, proposal: Proposal) -> tuple[str, str]:
    """One line for the person, and what they can do about it."""
    why = visible(one_line(proposal.why, 140))
    changes = ", ".join(f"{visible(block.label)} +{block.added} -{block.removed}" for block in settled.blocks)
    match settled.status:
        case "merged":
            hint = f"Take it back: /memory undo {settled.commit[:8]}"
            if settled.conflict:
                hint = f"Both versions of the same lines are kept: see {settled.conflict}. {hint}"
            return f"Reflection: {why} ({changes or 'no lines'})", hint
        case "waiting":
            asks = visible(one_line("; ".join(settled.asks), 140))
            decide = f"/reflect approve {proposal.id}, /reflect reject {proposal.id}, or /reflect waiting to see it"
            return f"Reflection proposes: {why} ({changes})", f"It waits for your yes ({asks}): {decide}"
        case _ if settled.waits:
            return (
                f"Reflection: {settled.waits} proposes the same, and waits for your yes.",
                "/reflect waiting shows it",
            )
        case _:
            return "Reflection: memory says that already.", ""
