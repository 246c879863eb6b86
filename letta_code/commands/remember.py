"""/remember: keep something, surely and in the person's own words."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

from letta_code.commands.base import CommandContext, Outcome, command

if TYPE_CHECKING:
    from letta_code.core.display import DisplayBlock
    from letta_code.memory.desk import Desk
    from letta_code.memory.outcome import BlockChange
    from letta_code.memory.view import View

_NAMED = re.compile(r"([A-Za-z0-9][\w./-]*):\s+(.+)", re.DOTALL)
_OF_THE_PERSON = re.compile(r"(?<![/\w])(?:I|I['’](?:m|ve|d|ll)|me|my|mine|myself)(?![/\w])")
_NOTHING_SAID = (
    "Look back over this conversation for what will still be worth knowing in later ones: what I decided, corrected or "
    "told you about myself, and what you found out the hard way. Write each into the memory block where it belongs, "
    "short and dated, correct lines that it makes wrong, then tell me in one or two sentences what you kept where. "
    "Keep nothing that only matters now."
)
_SORT = (
    "Remember this: {text}\n\n"
    "(/remember has kept my words as they are: {place}. Look at them once. If they point at something in this "
    "conversation, write down what is meant; if they belong into another block, move them; if they make an older line "
    "wrong, correct that line. Otherwise change nothing. Then say in one sentence where it stands.)"
)


@command("remember", usage="[LABEL:] [TEXT]")
async def remember(context: CommandContext, arguments: str) -> Outcome:
    """Keep something in memory: at once, in your own words, dated.

    `/remember human: likes short answers` adds the line to that block, and nothing else happens.  Without a label the
    words are kept at once as well, in `human` when they speak of you (I, my, me), else in `project`, and the agent is
    asked to look whether they stand in the right block.  Without any text the agent looks back over the conversation.

    Why both: a person who says "remember" expects that it is remembered, also when the model is busy, forgets or
    cannot be reached; so the words are durable before a model sees them.  Where they belong, what "that" means and
    which older line is now wrong needs judgement; so the agent is asked afterwards.  Which block comes first is only
    a guess, and a wrong one costs an edit.  A full block loses nothing: the words go to archival memory and the agent
    is told to make room.  `todo` and `task` are no places to remember: they are rewritten and replaced.
    """
    text = arguments.strip()
    if not text:
        return Outcome(send=_NOTHING_SAID)
    desk = context.session.memory
    view = await asyncio.to_thread(desk.blocks.view)
    label, words = named(text, view)
    if label:
        changes, commit, said = await asyncio.to_thread(_append, desk, label, words)
        return Outcome(say=said, blocks=_shown(changes, commit))
    label = "human" if _OF_THE_PERSON.search(text) or view.get("project") is None else "project"
    if not has_room(view, label, dated(text)):
        kept = await _archived(desk, text)
        full = f"in archival memory as {kept}, because `{label}` is full: make room there and put them in"
        return Outcome(say=f"`{label}` is full: your words are in archival memory ({kept}).", send=_send(text, full))
    changes, commit, said = await asyncio.to_thread(_append, desk, label, text)
    return Outcome(say=said, blocks=_shown(changes, commit), send=_send(text, f"in your block `{label}`"))


def named(text: str, view: View) -> tuple[str, str]:
    """The label that a text begins with, and the rest; "" where it names no block to remember in."""
    from letta_code.memory.block import TASK, TODO

    match = _NAMED.fullmatch(text)
    block = view.get(match[1]) if match else None
    if match is None or block is None or block.label in (TODO, TASK):
        return "", text
    return match[1], match[2].strip()


def dated(text: str) -> str:
    """The words as a block keeps them: a fact without a date cannot be judged later."""
    return f"{text} ({time.strftime('%Y-%m-%d')})"


def has_room(view: View, label: str, text: str) -> bool:
    """Whether a block can take more lines."""
    block = view.get(label)
    return block is None or block.chars + 1 + len(text) <= block.limit


def _append(desk: Desk, label: str, text: str) -> tuple[tuple[BlockChange, ...], str, str]:
    from letta_code.commands.memory_words.deeds import usable, written
    from letta_code.commands.memory_words.words import SLASH
    from letta_code.memory.edits import Append
    from letta_code.memory.provenance import USER, Provenance

    by = Provenance(source=USER, conversation=desk.conversation_id, reason="/remember")
    with usable():
        told = written(desk.blocks.apply(Append(label=label, text=dated(text)), by), SLASH)
    return told.changes, told.commit, f"Remembered. {told.said}"


async def _archived(desk: Desk, text: str) -> str:
    from letta_code.memory.provenance import USER, Provenance

    archive = await asyncio.to_thread(lambda: desk.archive)
    by = Provenance(source=USER, conversation=desk.conversation_id)
    return (await archive.insert(text, ["remember"], by=by)).passage.id


def _send(text: str, place: str) -> str:
    return _SORT.format(text=text, place=place)


def _shown(changes: tuple[BlockChange, ...], commit: str) -> tuple[DisplayBlock, ...]:
    from letta_code.memory.desk import shown_change

    return tuple(shown_change(change, commit) for change in changes)
