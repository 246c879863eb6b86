"""Memory told to a person: trees, histories, origins and passages as lines.

What comes from memory goes through `visible` piece by piece, before columns are made.
"""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from letta_code.core.messages import Value
from letta_code.safety.terminal import visible

if TYPE_CHECKING:
    from letta_code.core.display import DiffBlock
    from letta_code.memory.archival import FoundPassage
    from letta_code.memory.block import Block
    from letta_code.memory.origin import Origin
    from letta_code.memory.outcome import Written
    from letta_code.memory.pending import PendingEdit
    from letta_code.memory.proposals import Proposal
    from letta_code.memory.provenance import Change
    from letta_code.memory.recall import Recalled
    from letta_code.memory.view import View
    from letta_code.memory.waiting import HeldEdit

WIDTH = 70  # columns where the terminal's are not known: what a card has on a screen of 80
SHORT = 10  # signs of a commit's name
_BAR = 10  # cells of a fill bar
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_FEW_FILES = 5
_LINES_SHOWN = 12  # of a text that waits, a passage or a message
_SCOPES = {
    "agent": "agent · in every conversation",
    "shared": "shared · with other agents too",
    "project": "project · in this folder only",
    "conversation": "conversation · in this one only",
}


class Waits(Value):
    """What waits for a person."""

    pending: tuple[PendingEdit, ...] = ()
    held: tuple[HeldEdit, ...] = ()
    proposals: tuple[Proposal, ...] = ()


def when(at: str) -> str:
    """A UTC time as date and minute where the person is."""
    try:
        seconds = timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return visible(at)
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def bar(chars: int, limit: int) -> str:
    """How full a block is, in ten cells of eighths; something shows as soon as it holds anything, `!` when over."""
    if chars > limit:
        return "█" * (_BAR - 1) + "!"
    eighths = min(max(round(_BAR * 8 * chars / limit), 1), _BAR * 8) if chars and limit else 0
    cells = "█" * (eighths // 8) + _EIGHTHS[eighths % 8]
    return cells + "░" * (_BAR - len(cells))


def cut(text: str, width: int) -> str:
    """A text on one line and safe to show, cut to a width with an ellipsis."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


# ---------------------------------------------------------------- the tree


def tree(view: View, waits: Waits, *, call: str, files: bool = False, width: int = WIDTH) -> list[str]:
    """The blocks by scope, the files that are read on demand, and what waits, each with the command that decides."""
    lines: list[str] = []
    label_width = min(max((len(block.label) for block in view.blocks), default=0), 30)
    for scope, title in _SCOPES.items():
        blocks = [block for block in view.blocks if block.scope == scope]
        if blocks:
            lines += ["", title, *(_row(block, label_width, width) for block in blocks)]
    unmerged = [block for block in view.others if block.path.startswith("conflicts/")]
    others = [block for block in view.others if not block.path.startswith("conflicts/")]
    if others:
        shown = others if files or len(others) <= _FEW_FILES + 1 else others[:_FEW_FILES]
        lines += ["", "files · read on demand", *(_row(block, label_width, width) for block in shown)]
        if len(others) > len(shown):
            lines.append(f"  … and {len(others) - len(shown)} more: {call} list --files")
    if unmerged:
        lines += ["", "not merged · two edits met: put what is true into the block, then delete these"]
        lines += [f"  {visible(block.label)}    {call} show {visible(block.label)}" for block in unmerged]
    return [*lines, *waiting(waits, call=call, width=width)]


def _row(block: Block, label_width: int, width: int) -> str:
    marks = "read-only · " if block.read_only else ""
    about = block.description
    if block.problem:
        about = f"{block.path}: {block.problem}"
    head = f"  {visible(block.label):<{label_width}}  {bar(block.chars, block.limit)} {block.fill:>11}  {marks}"
    return f"{head}{cut(about, max(width - len(head), 20))}".rstrip()


def waiting(waits: Waits, *, call: str, width: int = WIDTH, whole: bool = False) -> list[str]:
    """What waits, and how it is decided; `whole` shows the texts, not only how they begin."""
    if not (waits.pending or waits.held or waits.proposals):
        return []
    lines = ["", "waiting for you"]
    for entry in waits.pending:
        made = "a new block" if entry.creates else "for"
        lines.append(f"  {made} {visible(entry.label)}, from {cut(entry.provenance.source, 60)}, {when(entry.at)}:")
        if whole:
            lines += quoted(entry.text, _LINES_SHOWN)
        else:
            lines.append(f"    “{cut(entry.text, width - 8)}”")
        lines += [f"    yes: {call} approve {entry.id}", f"    no:  {call} reject {entry.id}"]
    for edit in waits.held:
        path = visible(edit.path)
        lines.append(f"  hand edit of {path} (+{edit.diff.added} -{edit.diff.removed} lines): {visible(edit.why)}")
        lines += diff_lines(edit.diff) if whole else []
        lines += [f"    yes: {call} adopt {path}", f"    no:  {call} putback {path}"]
    for one in waits.proposals:
        lines.append(f"  a reflection, {when(one.at)}: {cut(one.why, width - 34)}")
        lines += (
            quoted(one.patch, _LINES_SHOWN) if whole else [f"    asked because {cut('; '.join(one.asks), width - 18)}"]
        )
        decide = "/reflect" if call.startswith("/") else call
        lines += [f"    yes: {decide} approve {one.id}", f"    no:  {decide} reject {one.id}"]
    return lines


def quoted(text: str, most: int) -> list[str]:
    """A text's first lines, indented and marked."""
    lines = visible(text).split("\n")
    rest = len(lines) - most
    return [*(f"    │ {line}" for line in lines[:most]), *([f"    │ … {rest} more lines"] if rest > 0 else [])]


# ---------------------------------------------------------------- one block


def value_lines(block: Block, *, numbers: bool) -> list[str]:
    """A block's value, with its settings above it."""
    marks = ", read-only" if block.read_only else ""
    lines = [f"{visible(block.label)} ({block.scope}, {block.fill} characters{marks})"]
    lines += [f"{visible(block.description)}"] if block.description else []
    lines += [f"! {visible(block.path)}: {visible(block.problem)}"] if block.problem else []
    if not block.value:
        return [*lines, "", "  (empty)"]
    rows = visible(block.value).split("\n")
    width = len(str(len(rows)))
    return [*lines, "", *(f"  {n:>{width}}  {row}" if numbers else f"  {row}" for n, row in enumerate(rows, 1))]


def written(outcome: Written, call: str) -> str:
    """What an edit did, in sentences for the person who made it."""
    if outcome.conflict:
        label = visible(outcome.conflict.removesuffix(".md"))
        said = f"Not merged: somebody else changed the same lines meanwhile. Theirs stands; yours is kept in `{label}`."
    elif not outcome.commit:
        said = " ".join(("Nothing to change: memory says that already.", *outcome.notices))
        return visible(said)
    else:
        said = " ".join(change.told for change in outcome.changes) or "Done."
        if outcome.merged:
            said += " Somebody else had edited it meanwhile: both edits stand."
    parts = [visible(said), *(visible(notice) for notice in outcome.notices)]
    return " ".join([*parts, take_back(outcome.commit, call)])


def take_back(commit: str, call: str) -> str:
    """How a change is undone."""
    return f"(Take it back: `{call} undo {commit[:SHORT]}`)"


def diff_lines(diff: DiffBlock) -> list[str]:
    """A change of a block as lines."""
    before = f" (was {diff.old_path})" if diff.old_path else ""
    head = f"  {visible(diff.path)}{visible(before)}, {diff.status}, +{diff.added} -{diff.removed}"
    return [head, *(f"    {line}" for line in visible(diff.diff).split("\n") if diff.diff)]


# ---------------------------------------------------------------- the past


def history(changes: Sequence[Change]) -> list[str]:
    """A line a change: its name, when, what, who."""
    summaries = [cut(change.summary, 40) for change in changes]
    wide = max(map(len, summaries), default=0)
    pairs = zip(changes, summaries, strict=True)
    return [
        f"{change.commit[:SHORT]}  {when(change.at)}  {summary:<{wide}}  {cut(change.provenance.named, 80)}"
        for change, summary in pairs
    ]


def origin(found: Origin, titles: Mapping[str, str], *, width: int = WIDTH) -> list[str]:
    """The lines of one change, who brought them and when, and what was said at that moment."""
    change = found.change
    by = change.provenance
    digits = len(str(found.lines[-1].number))
    lines = [f"{line.number:>{digits + 2}}  {visible(line.text)}" for line in found.lines]
    pad = " " * (digits + 4)
    told = f"{when(change.at)}, {visible(by.named)} ({change.commit[:SHORT]}: {cut(change.summary, 40)})"
    first, *more = wrap(told, max(width - len(pad) - 2, 30))
    lines += [f"{pad}└ {first}", *(f"{pad}  {row}" for row in more)]
    if by.trust != "trusted":
        lines.append(f"{pad}  {by.trust}, approved by {visible(change.approved_by) or 'nobody'}")
    if title := titles.get(by.conversation):
        lines.append(f"{pad}  in “{cut(title, width - len(pad) - 8)}”")
    for moment in found.moments:
        head = f"{pad}  {visible(moment.who)}, event {moment.seq}: "
        rows = wrap(f"“{visible(moment.text)}”", max(width - len(head), 30))
        lines += [f"{head}{rows[0]}", *(" " * len(head) + row for row in rows[1:])]
    if found.missing:
        lines.append(f"{pad}  ({found.missing})")
    return lines


# ---------------------------------------------------------------- what is searched


def passages(found: Sequence[FoundPassage]) -> list[str]:
    """Passages with their date, name, place and tags."""
    from letta_code.memory.archival import told

    lines: list[str] = []
    for one in found:
        head, _, text = told(one).partition("\n")
        lines += [visible(head), *quoted(text, _LINES_SHOWN), ""]
    return lines[:-1]


def messages(recalled: Recalled) -> list[str]:
    """Messages with their place, and how they were found."""
    who = {"user": "you", "assistant": "the agent"}
    lines: list[str] = []
    for one in recalled.found:
        head = f"{when(one.at)}  {who.get(one.role, one.role)}  {visible(one.conversation_id)}#{one.seq}"
        lines += [f"{head}  ({one.found_by})", *quoted(one.text.strip(), _LINES_SHOWN), ""]
    if recalled.left:
        lines += [f"{recalled.left} events are not indexed yet, and were not searched: ask again.", ""]
    return lines[:-1]
