"""Shown: what a command or key may open by name; imported when something is opened."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from letta_code.core.errors import LettaError
from letta_code.core.requests import ApprovalRequest, Request
from letta_code.tui.clean import clean_line
from letta_code.tui.widgets.choices import Option
from letta_code.tui.wording import folder_text

if TYPE_CHECKING:
    from textual.widget import Widget

    from letta_code.tui.ports import ConversationRow
    from letta_code.tui.screens.chat import ChatScreen

T = TypeVar("T")


async def show(chat: ChatScreen, name: str) -> None:
    """Open a screen or card: help, diff, memory, rewind, connect, models, resume, history, editor, mouse.

    no-model is connect, shown by itself: nothing is connected to before the person says so.
    """
    match name:
        case "help":
            await _help(chat)
        case "diff":
            _diff(chat)
        case "connect":
            await _connect(chat)
        case "no-model":
            await _connect(chat, servers=False)
        case "models":
            await _models(chat)
        case "resume":
            await _resume(chat)
        case "runs":
            from letta_code.tui.screens.runs import pick_run

            await pick_run(chat)
        case "background":
            chat.leaving.background()
        case "takeover":
            chat.leaving.take_over()
        case "history":
            await _history(chat)
        case "editor":
            _edit(chat)
        case "mouse":
            _mouse(chat)
        case "memory":
            _memory(chat)
        case "rewind":
            _rewind(chat)
        case _:
            chat.state.notice("warning", f"This screen has no {name}.")
            chat.redraw()


async def _help(chat: ChatScreen) -> None:
    from letta_code.tui.screens.help import HelpScreen

    if not chat.dispatch.commands:
        await chat.dispatch.load_commands()
    if chat.app.screen is chat:
        chat.app.push_screen(HelpScreen(list(chat.dispatch.commands.values())))


def _diff(chat: ChatScreen) -> None:
    from letta_code.tui.screens.review import ReviewScreen

    if chat.app.screen is chat:
        chat.app.push_screen(ReviewScreen(chat.state))


def _memory(chat: ChatScreen) -> None:
    from letta_code.tui.screens.memory import MemoryScreen

    if chat.app.screen is chat:
        chat.app.push_screen(MemoryScreen(chat, chat.memory_drafts))


def _rewind(chat: ChatScreen) -> None:
    from letta_code.tui.screens.rewind import RewindScreen

    if chat.app.screen is chat:
        chat.app.push_screen(RewindScreen(chat))


async def _connect(chat: ChatScreen, *, servers: bool = True) -> None:
    port = chat.ports.connect
    if port is None:
        chat.state.notice(
            "warning",
            "No model is configured.",
            "Leave with Ctrl+D and run `letta-code configure`, or use --model NAME.",
        )
        chat.redraw()
        return
    from letta_code.tui.screens.connect import ConnectCard

    await chat.place.put(ConnectCard(chat, port(), servers=servers))


async def _models(chat: ChatScreen) -> None:
    lists = chat.ports.lists
    rows = await _ask(chat, lists().models()) if lists is not None else ()
    options = [Option(row.name, row.name, row.note) for row in rows]
    if not options and not chat.state.model:
        chat.state.notice("warning", "No model is configured.", "/connect sets one up.")
        chat.redraw()
        return

    async def use(name: str) -> None:
        await chat.dispatch.submit(f"/model {name}")  # the command tries it first

    from letta_code.tui.widgets.picker import Picker

    now = f"  Now: {chat.state.model}" if chat.state.model else ""
    hint = "type to narrow, or another name such as provider/model"
    await chat.place.put(Picker(chat, f"Use which model?{now}", options, use, free=True, hint=hint))


def conversation_options(rows: Sequence[ConversationRow], cwd: str, width: int) -> list[Option]:
    """The resume list for a screen of so many columns: when, how many messages, title; behind it whose and where."""
    from rich.cells import cell_len, set_cell_size

    dates = max((len(row.when) for row in rows), default=0)
    notes = [_whose_and_where(row, cwd) for row in rows]
    # 16 columns stand between; the notes of a few in deep folders must not leave the titles no room
    titles = min(max(width - dates - 16 - min(max(map(len, notes), default=0), 36), 20), 70)
    options: list[Option] = []
    for row, note in zip(rows, notes, strict=True):
        title = " ".join(clean_line(row.title or row.id).split())
        title = set_cell_size(title if cell_len(title) <= titles else f"{set_cell_size(title, titles - 1)}…", titles)
        text = f"{row.when:>{dates}}  {row.messages or '':>5}  {title}"
        options.append(Option(row.id, text, note, also=f"{row.title}\n{row.opening}\n{row.folder}"))
    return options


def _whose_and_where(row: ConversationRow, cwd: str) -> str:
    where = "this folder" if row.folder == cwd else folder_text(row.folder)
    return " · ".join(filter(None, ["running now" if row.running else "", row.agent, where]))


async def _resume(chat: ChatScreen) -> None:
    lists = chat.ports.lists
    rows = await _ask(chat, lists().conversations()) if lists is not None else ()
    here = chat.state.conversation_id
    options = conversation_options([row for row in rows if row.id != here], chat.state.cwd, chat.size.width)

    async def go(conversation: str) -> None:
        chat.open_conversation(conversation)

    if not options:
        chat.flash("There is no other conversation yet.")
        return
    from letta_code.tui.widgets.picker import Picker

    hint = "type to search titles, first words, folders, agents"
    await chat.place.put(Picker(chat, "Go on with which conversation?", options, go, hint=hint))


async def _history(chat: ChatScreen) -> None:
    from letta_code.tui.widgets.picker import Picker

    prompts = list(dict.fromkeys(reversed(chat.prompts)))
    if not prompts:
        chat.flash("Nothing was sent from this project yet.")
        return

    async def put(text: str) -> None:
        chat.restore(text)

    options = [Option(text, text) for text in prompts]
    await chat.place.put(Picker(chat, "Which prompt?", options, put))


async def _ask(chat: ChatScreen, work: Coroutine[Any, Any, Sequence[T]]) -> Sequence[T]:
    try:
        return await chat.core.run(work)
    except LettaError as error:
        chat.state.notice("error", str(error), error.hint)
        chat.redraw()
        return ()


def _edit(chat: ChatScreen) -> None:
    from textual.app import SuspendNotSupported

    from letta_code.tui.editor import edit_text

    area = chat.prompt.area
    text = area.text
    failed: LettaError | None = None
    try:
        with chat.app.suspend():
            try:  # inside: textual takes the terminal back only when nothing is raised here
                text = edit_text(text)
            except LettaError as error:
                failed = error
    except SuspendNotSupported:
        chat.flash("This terminal cannot be given to an editor.")
        return
    if failed is not None:
        chat.state.notice("error", str(failed), failed.hint)
        chat.redraw()
        return
    area.put(text)


def _mouse(chat: ChatScreen) -> None:
    driver = chat.app._driver  # textual has no public way to do this at run time
    enable = getattr(driver, "_enable_mouse_support", None)
    disable = getattr(driver, "_disable_mouse_support", None)
    if enable is None or disable is None:
        chat.flash("This terminal has no mouse to give away.")
        return
    chat.mouse = not chat.mouse
    if chat.mouse:
        enable()
        chat.flash("The mouse scrolls and selects here; with Shift it is the terminal's.")
    else:
        disable()
        chat.flash("The mouse is the terminal's own now: select and copy as everywhere. /mouse takes it back.")


def card_for(request: Request) -> Widget:
    """The card that asks."""
    if isinstance(request, ApprovalRequest):
        from letta_code.tui.widgets.approval import ApprovalCard

        return ApprovalCard(request)
    from letta_code.tui.widgets.question import QuestionCard

    return QuestionCard(request)
