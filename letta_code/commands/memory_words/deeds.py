"""Deeds: what is done for each word, on the memory of one agent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import msgspec

from letta_code.agent.reflecting import proposing
from letta_code.commands.memory_words import told
from letta_code.commands.memory_words.words import SLASH, Asked, whole_number
from letta_code.core.display import DiffBlock
from letta_code.core.errors import UsageError
from letta_code.core.messages import Value
from letta_code.memory.block import BlockError, given_label
from letta_code.memory.edits import Append, Create, Delete, Describe, Edit, Rename, Rethink, SetLimit, SetReadOnly
from letta_code.memory.origin import chosen, named_line, origins
from letta_code.memory.outcome import BlockChange, Written
from letta_code.memory.provenance import USER, Provenance
from letta_code.safety.terminal import strip_controls, visible

if TYPE_CHECKING:
    from letta_code.memory.desk import Desk
    from letta_code.store.database import Store
    from letta_code.store.journal import StoredEvent

_REFLECTION = "refl-"  # how the names of proposals begin
_FOUND = 10  # passages and messages without --count
_CHANGES = 20


class Here(Value):
    """Where something is asked: the memory, the store that has the conversations, and how commands are typed there.

    Without a store (it cannot be opened) only blocks and their history are to be had.
    """

    desk: Desk
    store: Store | None
    call: str
    agent: str = ""
    width: int = told.WIDTH

    @property
    def by(self) -> Provenance:
        """The person, in the conversation where there is one."""
        return Provenance(source=USER, conversation=self.desk.conversation_id)


class Told(Value):
    """An answer: sentences, then lines that keep their columns, then blocks; all fit for a terminal.

    `changes` are what an edit did to blocks, under `commit`; `raw` a value just as it is kept; `data` the same answer
    for programs; `aside` what a person should know beside it; `notices` what was found before anything was done.
    """

    said: str = ""
    lines: tuple[str, ...] = ()
    blocks: tuple[DiffBlock, ...] = ()
    changes: tuple[BlockChange, ...] = ()
    commit: str = ""
    raw: str | None = None
    data: Any = None
    aside: str = ""
    notices: tuple[str, ...] = ()


Deed = Callable[[Asked, Here], Told]


async def do(asked: Asked, here: Here) -> Told:
    """Do what was asked; hand edits are taken in first.  Raises `BlockError`, `UsageError`, `StoreError`."""
    with usable():
        notices = await asyncio.to_thread(here.desk.blocks.refresh, everything=True)
        if asked.name in ("forget", "unforget"):
            answer = await _passage(asked, here)
        else:
            answer = await asyncio.to_thread(_DEEDS[asked.name], asked, here)
    return msgspec.structs.replace(answer, notices=tuple(visible(notice) for notice in notices))


@contextlib.contextmanager
def usable() -> Generator[None]:
    """A folder of memory that cannot be read or written is told as a `BlockError`."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise BlockError(
            f"The memory folder cannot be used: {where}{error.strerror or error}.",
            hint="Check its rights and the room on its disk; nothing was changed.",
        ) from error


# ---------------------------------------------------------------- looking


def _list(asked: Asked, here: Here) -> Told:
    from letta_code.llm.tokens import TokenCounter
    from letta_code.memory.blocks import WARN_TOKENS

    blocks, counter = here.desk.blocks, TokenCounter()
    counter.load()
    view, tokens = blocks.view(), blocks.tokens(counter.count)
    warnings = blocks.warnings(counter.count)
    waits = _waits(here)
    lines = [f"Memory of {told.cut(here.agent, 40)}: {tokens:,} of {WARN_TOKENS:,} tokens in context"]
    lines += told.tree(view, waits, call=here.call, files=asked.on("files"), width=here.width)
    lines += ["", *(f"! {visible(warning)}" for warning in warnings)] if warnings else []
    data = {
        "agent": here.agent,
        "folder": str(blocks.root),
        "tokens": tokens,
        "blocks": view.blocks,
        "files": view.others,
        "pending": waits.pending,
        "held": waits.held,
        "proposals": waits.proposals,
        "warnings": warnings,
    }
    return Told(lines=tuple(lines), data=data)


def _show(asked: Asked, here: Here) -> Told:
    block = here.desk.blocks.view().find(asked.first())
    lines = told.value_lines(block, numbers=asked.on("numbers"))
    return Told(lines=tuple(lines), raw=strip_controls(block.value), data=block)


def _path(asked: Asked, here: Here) -> Told:
    blocks = here.desk.blocks
    with contextlib.suppress(BlockError, OSError):  # a disk that takes nothing has a folder all the same
        blocks.ensure()  # so that there is a folder to go to
    aside = "It is a git repository: git log, git diff and your editor work there; what you save is taken into memory."
    folder = str(blocks.root)
    return Told(lines=(visible(folder),), raw=folder, data={"folder": folder}, aside=aside)


def _shared(asked: Asked, here: Here) -> Told:
    blocks = here.desk.blocks
    labels, attached = blocks.shared_labels(), blocks.view().attached
    data = {"labels": labels, "attached": attached}
    if not labels:
        said = f"There is no shared block yet: `{here.call} create LABEL --scope shared` makes one."
        return Told(said=said, data=data)
    lines = (f"  {'attached' if label in attached else '        '}  {visible(label)}" for label in labels)
    return Told(lines=tuple(lines), data=data)


# ---------------------------------------------------------------- changing


def edit_of(asked: Asked) -> Edit:
    """The edit that a word means; raises `UsageError`."""
    label, text = asked.first(), asked.text or ""
    match asked.name:
        case "set":
            return Rethink(label=label, value=text)
        case "append":
            return Append(label=label, text=text)
        case "create":
            return _create(asked, text)
        case "rename":
            return Rename(label=label, new_label=given_label(asked.words[1]))
        case "describe":
            return Describe(label=label, description=text)
        case "limit":
            return SetLimit(label=label, limit=whole_number(asked.words[1], "The limit"))
        case "readonly":
            return SetReadOnly(label=label, read_only=_switch(asked.words[1]))
        case _:
            return Delete(label=label)


def _create(asked: Asked, text: str) -> Create:
    scope = asked.value("scope")
    label, about, limit = given_label(asked.first()), asked.value("description"), asked.number("limit", 0)
    match scope:
        case "" | "agent" | "project" | "shared":
            return Create(label=label, value=text, description=about, limit=limit, scope=scope)
        case _:
            raise UsageError(f"--scope {scope}: it is one of agent, project, shared.")


def _switch(word: str) -> bool:
    if word.lower() not in ("on", "off"):
        raise UsageError(f"{word}: it is on or off.")
    return word.lower() == "on"


def _write(asked: Asked, here: Here) -> Told:
    return written(here.desk.blocks.apply(edit_of(asked), here.by), here.call)


def written(outcome: object, call: str) -> Told:
    """What a person's edit did."""
    if not isinstance(outcome, Written):
        raise BlockError("A person's edit was to be asked about.")  # what persons do is done
    return Told(said=told.written(outcome, call), changes=outcome.changes, commit=outcome.commit)


def _edit(asked: Asked, here: Here) -> Told:
    label = here.desk.blocks.view().find(asked.first()).label
    return Told(
        said=f"In a shell `letta-code memory edit {label}` opens your editor; `{here.call} set {label} TEXT` gives the "
        f"block a whole new value, `{here.call} append {label} TEXT` adds lines."
    )


def _attach(asked: Asked, here: Here) -> Told:
    here.desk.blocks.attach(asked.first(), here.by)
    return Told(said=f"`{given_label(asked.first())}` is attached: this agent sees it from its next step on.")


def _detach(asked: Asked, here: Here) -> Told:
    here.desk.blocks.detach(asked.first(), here.by)
    return Told(said=f"`{given_label(asked.first())}` is attached no longer; the block itself stays.")


# ---------------------------------------------------------------- the past


def _history(asked: Asked, here: Here) -> Told:
    found = here.desk.blocks.past.changes(asked.first(), asked.number("count", _CHANGES))
    if not found:
        return Told(said="Nothing was changed yet.", data=[])
    return Told(lines=tuple(told.history(found)), data=found)


def _diff(asked: Asked, here: Here) -> Told:
    past = here.desk.blocks.past
    lines, commit = (), asked.first()
    if not commit:
        newest = past.changes(limit=1)
        if not newest:
            return Told(said="Nothing was changed yet.", data={"commit": "", "blocks": ()})
        commit, lines = newest[0].commit, tuple(told.history(newest))
    diffs = past.diff(commit)
    return Told(lines=lines, blocks=diffs, data={"commit": commit, "blocks": diffs})


def _why(asked: Asked, here: Here) -> Told:
    label, number = named_line(asked.first())
    blocks = here.desk.blocks
    view = blocks.view()
    block = view.find(label)
    read = here.store.read if here.store is not None else _nothing_said
    found = origins(chosen(view, label, blocks.past.blame(label), number), read)
    if not found:
        return Told(said=_nobody(block.label, bool(block.value)), data=[])
    titles = _titles(here, [one.change.provenance.conversation for one in found])
    lines = [f"{visible(block.label)} ({block.scope}, {block.fill} characters)"]
    for one in found:
        lines += ["", *told.origin(one, titles, width=here.width)]
    resume = "/resume" if here.call == SLASH else "letta-code --resume"
    aside = f"To read on: {resume} {next(iter(titles))}" if titles else ""
    return Told(lines=tuple(lines), data=found, aside=aside)


def _nobody(label: str, has_value: bool) -> str:
    if has_value:
        return f"`{label}` says what letta-code gives every new agent; nobody has changed it yet."
    return f"`{label}` is empty."


def _nothing_said(conversation: str, after: int, limit: int | None) -> list[StoredEvent]:
    return []


def _titles(here: Here, conversations: list[str]) -> dict[str, str]:
    """The conversations that are there, each with its title ("" for one without)."""
    if here.store is None:
        return {}
    known = here.store.conversations
    found = ((name, known.get(name)) for name in dict.fromkeys(conversations) if name)
    return {name: conversation.title for name, conversation in found if conversation is not None}


def _undo(asked: Asked, here: Here) -> Told:
    undone = here.desk.blocks.past.undo(asked.first() or "last", here.by)
    change = undone.change
    said = (
        f"Taken back: {change.commit[: told.SHORT]} “{visible(change.summary)}” of {told.when(change.at)} by "
        f"{visible(change.provenance.named)}. (To have it again: `{here.call} undo {undone.commit[: told.SHORT]}`)"
    )
    return Told(said=said, blocks=undone.diffs)


def _restore(asked: Asked, here: Here) -> Told:
    label, commit = asked.words
    past = here.desk.blocks.past
    new = past.restore(label, commit, here.by)
    if not new:
        return Told(said=f"`{given_label(label)}` stands like that already.")
    said = f"`{given_label(label)}` is again what it was after {commit}. {told.take_back(new, here.call)}"
    return Told(said=visible(said), blocks=past.diff(new))


# ---------------------------------------------------------------- what waits


def _waits(here: Here) -> told.Waits:
    blocks = here.desk.blocks
    return told.Waits(
        pending=tuple(blocks.waiting.pending()),
        held=tuple(blocks.waiting.held()),
        proposals=tuple(blocks.proposals.waiting()),
    )


def _pending(asked: Asked, here: Here) -> Told:
    waits = _waits(here)
    lines = told.waiting(waits, call=here.call, width=here.width, whole=True)
    if not lines:
        return Told(said="Nothing waits.", data=waits)
    return Told(lines=tuple(lines[1:]), data=waits)


def _approve(asked: Asked, here: Here) -> Told:
    if asked.first().startswith(_REFLECTION):
        return _merged(asked.first(), here)
    return written(here.desk.blocks.waiting.approve(asked.first(), here.by), here.call)


def _merged(wanted: str, here: Here) -> Told:
    """A person's yes to what a reflection proposed."""
    proposal, settled = proposing.approve(here.desk.blocks, wanted)
    if not settled.commit:
        return Told(said=f"{proposal.id} changed nothing: memory says that already.")
    both = f" Both versions of the same lines are kept: see {settled.conflict}." if settled.conflict else ""
    back = told.take_back(settled.commit, here.call)
    return Told(said=f"{proposal.id} is in memory: {visible(proposal.why)}{both} {back}")


def _reject(asked: Asked, here: Here) -> Told:
    if asked.first().startswith(_REFLECTION):
        return Told(said=f"{proposing.reject(here.desk.blocks, asked.first()).id} is rejected: memory stays as it is.")
    here.desk.blocks.waiting.reject(asked.first(), here.by)
    return Told(said=f"{asked.first()} was thrown away; only history still has it.")


def _adopt(asked: Asked, here: Here) -> Told:
    path = _held_path(asked.first(), here)
    commit = here.desk.blocks.waiting.adopt(path, here.by)
    said = (
        f"The hand edit of {visible(path)} is in memory now. (Take it back: `{here.call} undo {commit[: told.SHORT]}`)"
    )
    return Told(said=said)


def _putback(asked: Asked, here: Here) -> Told:
    path = _held_path(asked.first(), here)
    here.desk.blocks.waiting.put_back(path, here.by)
    return Told(said=f"{visible(path)} says again what memory says; history keeps the hand edit.")


def _held_path(given: str, here: Here) -> str:
    """A held edit's path, which may be given as the block's label."""
    if given in {edit.path for edit in here.desk.blocks.waiting.held()}:
        return given
    block = here.desk.blocks.view().get(given)
    return block.path if block else given


# ---------------------------------------------------------------- what is searched


def _archive(asked: Asked, here: Here) -> Told:
    archive = here.desk.archive
    found = archive.search(asked.text or "", tags=asked.many("tag"), top_k=asked.number("count", _FOUND))
    if not found:
        asks = asked.text or asked.many("tag")
        return Told(said="No passage has that." if asks else "Archival memory is empty.", data=[])
    tags = archive.tags()
    listed = ", ".join(f"{visible(tag)} {count}" for tag, count in list(tags.items())[:20])
    aside = (f"Tags: {listed}. " if listed else "") + f"{here.call} forget ID takes a passage out."
    return Told(lines=tuple(told.passages(found)), data=found, aside=aside)


async def _passage(asked: Asked, here: Here) -> Told:
    """Forget a passage, or bring it back."""
    forget, name = asked.name == "forget", asked.first()
    archive = await asyncio.to_thread(lambda: here.desk.archive)
    passage = await (archive.delete(name) if forget else archive.restore(name))
    text = f"“{told.cut(passage.content, 60)}”"
    if forget:
        return Told(said=f"Forgotten: {passage.id} {text}. (To have it again: `{here.call} unforget {passage.id}`)")
    return Told(said=f"Back in archival memory: {passage.id} {text}.")


def _search(asked: Asked, here: Here) -> Told:
    recalled = here.desk.recall.search(asked.text or "", limit=asked.number("count", _FOUND))
    if not recalled.found and not recalled.left:
        return Told(said="Nobody said that." if asked.text else "Nothing was said yet.", data=recalled)
    return Told(lines=tuple(told.messages(recalled)), data=recalled)


_DEEDS: dict[str, Deed] = {
    "list": _list,
    "show": _show,
    "edit": _edit,
    **dict.fromkeys(("set", "append", "create", "rename", "describe", "limit", "readonly", "delete"), _write),
    "attach": _attach,
    "detach": _detach,
    "shared": _shared,
    "history": _history,
    "diff": _diff,
    "why": _why,
    "undo": _undo,
    "restore": _restore,
    "pending": _pending,
    "approve": _approve,
    "reject": _reject,
    "adopt": _adopt,
    "putback": _putback,
    "archive": _archive,
    "search": _search,
    "path": _path,
}
