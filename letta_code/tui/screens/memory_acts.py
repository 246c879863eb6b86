"""Memory acts: what each key of the memory screen does to what is highlighted."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from letta_code.commands.memory_words.told import when
from letta_code.core.display import DiffBlock
from letta_code.memory.archival import FoundPassage
from letta_code.memory.block import Block
from letta_code.memory.blocks import Blocks
from letta_code.memory.provenance import PROGRAM, Change, Provenance
from letta_code.memory.recall import Found
from letta_code.tui import memory_writing as writing
from letta_code.tui.clean import clean_line
from letta_code.tui.memory_authors import author
from letta_code.tui.memory_look import decide_reflection, diff_of, forget, history_of, lines_of, search
from letta_code.tui.memory_writing import Done
from letta_code.tui.widgets.memory_bar import row_id
from letta_code.tui.widgets.memory_editor import Draft, EditView
from letta_code.tui.widgets.memory_search import SearchView
from letta_code.tui.widgets.memory_views import HistoryView, OriginView

if TYPE_CHECKING:
    from letta_code.tui.screens.memory import MemoryScreen

Act: TypeAlias = "Callable[[MemoryScreen], Coroutine[Any, Any, None]]"

_SCOPES = {"a": "agent", "p": "project", "c": "conversation", "s": "shared"}


# ---------------------------------------------------------------- writing


async def edit(screen: MemoryScreen) -> None:
    """Write in the block."""
    if screen.block is not None:
        await screen.edit(screen.draft_of(screen.block))


async def save(screen: MemoryScreen) -> None:
    """Keep what was written."""
    if isinstance(screen.view, EditView):
        await _save(screen, screen.view.draft)


async def _save(screen: MemoryScreen, draft: Draft) -> None:
    done = await screen.do(writing.save(draft.block, draft.text, draft.base, draft.leftover))
    if done.conflict:
        await screen.edit(Draft(block=draft.block, text=draft.text, base=done.pin, leftover=done.conflict))
        screen.say(
            "Somebody else changed the same lines meanwhile. Theirs stands in memory; yours is still here, and kept in "
            "conflicts/ too. Ctrl+S again puts yours in the place of theirs.",
            bad=True,
        )
        return
    screen.drafts.pop(row_id(draft.block), None)
    if isinstance(screen.view, EditView):
        await screen.back_to_block()


async def editor(screen: MemoryScreen) -> None:
    """Write in the person's own editor."""
    from letta_code.tui.editor import edit_text

    draft = screen.view.draft if isinstance(screen.view, EditView) else None
    if draft is None and screen.block is not None:
        draft = screen.draft_of(screen.block)
    if draft is None:
        return
    now = draft.text
    text = screen.suspended(lambda: edit_text(now))
    if text is None or text == now:
        return
    edited = Draft(block=draft.block, text=text, base=draft.base, leftover=draft.leftover)
    await screen.edit(edited)  # so that nothing is lost where it cannot be saved
    await _save(screen, edited)


async def new(screen: MemoryScreen) -> None:
    """A new block; for what waits, `n` is a no."""
    if _waiting(screen):
        await _decide(screen, yes=False)
        return
    question = "Label of the new block (notes/… is read on demand):"
    label = await screen.fitting(question, "", lambda label: _free(screen, label))
    if not label:
        return
    scope = ""
    if "/" not in label:  # a label with a folder is a file that is read on demand
        hint = "a agent · p project · c this conversation · s shared · Esc"
        scope = _SCOPES.get(await screen.ask.key("Where?", "".join(_SCOPES), hint) or "", "")
        if not scope:
            return
    question = "What is it for (for the agent to read)?"
    about = await screen.fitting(question, "", lambda about: screen.do(writing.create(label, scope, about)))
    made = screen.point_at(label) if about is not None else None
    if made is not None:
        await screen.edit(screen.draft_of(made))


async def _free(screen: MemoryScreen, label: str) -> None:
    """Raises `BlockError` where no block can be made of that label."""
    if label:
        await screen.core.call(lambda session: writing.work(session, writing.could_create(label)))


async def rename(screen: MemoryScreen) -> None:
    """Another label."""
    block = screen.block
    if block is None:
        return

    async def renamed(label: str) -> None:
        if label and label != block.label:
            await screen.do(writing.rename(block, label))
            screen.point_at(label)

    await screen.fitting(f"New label of {clean_line(block.label)}:", block.label, renamed)


async def describe(screen: MemoryScreen) -> None:
    """What it is for."""
    block = screen.block
    if block is None:
        return

    async def described(about: str) -> None:
        if about != block.description:
            await screen.do(writing.describe(block, about))

    await screen.fitting("What is it for?", block.description, described)


async def limit(screen: MemoryScreen) -> None:
    """Its room."""
    block = screen.block
    if block is None:
        return

    async def limited(room: str) -> None:
        if room and room != str(block.limit):
            await screen.do(writing.limit(block, room))

    await screen.fitting(f"Room in characters ({block.chars:,} are used):", str(block.limit), limited)


async def protect(screen: MemoryScreen) -> None:
    """Read-only for the agent, or not."""
    if screen.block is not None:
        await screen.do(writing.protect(screen.block))


async def delete(screen: MemoryScreen) -> None:
    """Delete the block after a question; in the search, forget the passage."""
    block = screen.block
    if isinstance(screen.view, SearchView):
        await _forget(screen, screen.view)
    elif block is not None:
        what = f"Delete {clean_line(block.label)} with its {block.chars:,} characters?"
        if await screen.ask.key(what, "y", "y deletes · any other key keeps it") == "y":
            await screen.do(writing.delete(block))


# ---------------------------------------------------------------- looking


async def history(screen: MemoryScreen) -> None:
    """The changes of the block."""
    if screen.block is not None:
        await _history(screen, screen.block)


async def history_of_all(screen: MemoryScreen) -> None:
    """The changes of all blocks, also of those that were deleted."""
    await _history(screen, None)


async def _history(screen: MemoryScreen, block: Block | None) -> None:
    core = screen.core
    changes = await core.call(lambda session: history_of(session, block))

    async def read(commit: str) -> Sequence[DiffBlock]:
        return await core.call(lambda session: diff_of(session, commit))

    screen.headline(block)
    await screen.put(HistoryView(block, changes, screen.look.here, read))


async def origin(screen: MemoryScreen) -> None:
    """Where each line came from."""
    block = screen.block
    if block is None:
        return
    lines = await screen.core.call(lambda session: lines_of(session, block))
    await screen.put(OriginView(lines, screen.look.here))


async def find(screen: MemoryScreen) -> None:
    """Search archival memory and past messages."""
    core = screen.core
    screen.headline(None, "Search")
    await screen.put(SearchView(lambda words: core.call(lambda session: search(session, words))))


async def read_on(screen: MemoryScreen) -> None:
    """Open the conversation that a line or a result comes from."""
    name = _conversation(screen)
    if not name:
        return
    if name == screen.look.here:
        screen.say("That is this conversation.")
        return
    screen.chat.open_conversation(name)
    screen.dismiss()


def _conversation(screen: MemoryScreen) -> str:
    view = screen.view
    if isinstance(view, OriginView) and view.current is not None and view.current.change is not None:
        return view.current.change.provenance.conversation
    if isinstance(view, HistoryView) and view.current is not None:
        return view.current.provenance.conversation
    if isinstance(view, SearchView):
        match view.current:
            case Found(conversation_id=name):
                return name
            case FoundPassage(passage=passage):
                return passage.conversation_id
            case None:
                return ""
    return ""


async def _forget(screen: MemoryScreen, view: SearchView) -> None:
    found = view.current
    if not isinstance(found, FoundPassage):
        return
    hint = f"y forgets it (/memory unforget {found.passage.id} brings it back) · any other key keeps it"
    if await screen.ask.key("Forget this passage?", "y", hint) == "y":
        await screen.core.call(lambda session: forget(session, found.passage.id))
        screen.say(f"Forgotten. `/memory unforget {found.passage.id}` brings it back.")
        view.again()


# ---------------------------------------------------------------- deciding


async def undo(screen: MemoryScreen) -> None:
    """Take the highlighted change back, or the block's newest."""
    if isinstance(screen.view, HistoryView):
        await _in_history(screen, screen.view, lambda change: writing.undo(change.commit))
    elif screen.block is not None:
        await _undo_newest(screen, screen.block)


async def undo_last(screen: MemoryScreen) -> None:
    """Take back the newest change of all, also of a block that was deleted."""
    await _undo_newest(screen, None)


async def _undo_newest(screen: MemoryScreen, block: Block | None) -> None:
    changes = await screen.core.call(lambda session: history_of(session, block))
    taken = {change.undoes for change in changes}
    standing = (change for change in changes if not change.undoes and change.commit not in taken)
    newest = next((change for change in standing if change.provenance.source != PROGRAM), None)
    if newest is None:
        screen.say("There is no change to take back.")
        return
    by = author(newest.provenance, screen.look.here)
    what = f"Take back “{clean_line(newest.summary)}” ({by}, {when(newest.at)})?"
    if await screen.ask.key(what, "y", "y does") == "y":
        await screen.do(writing.undo(newest.commit))


async def restore(screen: MemoryScreen) -> None:
    """Make the block what it was after the highlighted change."""
    view = screen.view
    if not isinstance(view, HistoryView) or view.block is None or view.current is None:
        return
    what = "Make the block what it was after this change?"
    if await screen.ask.key(what, "y", "y does, u takes it back") == "y":
        block = view.block
        await _in_history(screen, view, lambda change: writing.restore(block, change.commit))


async def _in_history(
    screen: MemoryScreen, view: HistoryView, deed: Callable[[Change], Callable[[Blocks, Provenance], Done]]
) -> None:
    change = view.current
    if change is None:
        return
    done = await screen.do(deed(change))
    await _history(screen, view.block)
    screen.say(done.said)


async def yes(screen: MemoryScreen) -> None:
    """Yes to what waits."""
    await _decide(screen, yes=True)


def _waiting(screen: MemoryScreen) -> str:
    kind = screen.row.id.partition(":")[0] if screen.row else ""
    return kind if kind in ("pending", "held", "reflection") else ""


async def _decide(screen: MemoryScreen, *, yes: bool) -> None:
    kind = _waiting(screen)
    if not kind or screen.row is None:
        return
    name = screen.row.id.partition(":")[2]
    if kind != "reflection":
        await screen.do(writing.decide(kind, name, yes))
        return
    said = await screen.core.call(lambda session: decide_reflection(session, name, yes))
    await screen.read()
    screen.say(said)


ACTS: dict[str, Act] = {
    "edit": edit,
    "save": save,
    "editor": editor,
    "new": new,
    "rename": rename,
    "describe": describe,
    "limit": limit,
    "protect": protect,
    "delete": delete,
    "history": history,
    "history_of_all": history_of_all,
    "origin": origin,
    "find": find,
    "read_on": read_on,
    "undo": undo,
    "undo_last": undo_last,
    "restore": restore,
    "yes": yes,
}
