"""Runs: the line that tells of other runs at the start, and the list of them to follow one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from letta_code.core.counts import many
from letta_code.core.errors import LettaError
from letta_code.tui.clean import clean_line
from letta_code.tui.widgets.choices import Option
from letta_code.tui.wording import folder_text

if TYPE_CHECKING:
    from letta_code.tui.ports import RunRow
    from letta_code.tui.screens.chat import ChatScreen


async def told(chat: ChatScreen) -> str:
    """One line when other runs go on without a face or wait for an answer, else ""."""
    lists = chat.ports.lists
    if lists is None:
        return ""
    try:
        rows = await chat.core.run(lists().runs())
    except LettaError:  # nobody asked
        return ""
    return quiet_line([row for row in rows if row.conversation_id != chat.state.conversation_id])


def quiet_line(rows: Sequence[RunRow]) -> str:
    """`2 runs in the background, 1 waits for you: /runs`; "" where there is none."""
    away = [row for row in rows if row.open and (row.background or row.waits)]
    waiting = sum(row.waits for row in away)
    if not away:
        return ""
    alone = sum(row.background for row in away)
    parts = [f"{many(alone, 'run')} in the background"] if alone else []
    if waiting:
        count = str(waiting) if alone else many(waiting, "run")
        parts.append(f"{count} {'waits' if waiting == 1 else 'wait'} for you")
    return f"{', '.join(parts)}: /runs"


def run_options(rows: Sequence[RunRow], cwd: str, width: int) -> list[Option]:
    """The list for a screen of so many columns: status, since when, title; behind it the folder."""
    from rich.cells import cell_len, set_cell_size

    states = max((len(row.status) for row in rows), default=0)
    times = max((len(row.since) for row in rows), default=0)
    titles = min(max(width - states - times - 34, 16), 60)
    options: list[Option] = []
    for row in rows:
        title = " ".join(clean_line(row.title or row.conversation_id).split())
        title = set_cell_size(title if cell_len(title) <= titles else f"{set_cell_size(title, titles - 1)}…", titles)
        where = "this folder" if row.folder == cwd else folder_text(row.folder)
        options.append(Option(row.id, f"{row.status:<{states}}  {row.since:>{times}}  {title}", where, also=row.id))
    return options


async def pick_run(chat: ChatScreen) -> None:
    """The list in the prompt's place; Enter follows one."""
    lists = chat.ports.lists
    try:
        rows = await chat.core.run(lists().runs()) if lists is not None else ()
    except LettaError as error:
        chat.state.notice("error", str(error), error.hint)
        chat.redraw()
        return
    here = chat.state.conversation_id
    rows = [row for row in rows if row.conversation_id != here]
    if not rows:
        chat.flash("There are no other runs.")
        return
    conversations = {row.id: row.conversation_id for row in rows}

    async def go(run_id: str) -> None:
        chat.open_conversation(conversations[run_id])

    from letta_code.tui.widgets.picker import Picker

    options = run_options(rows, chat.state.cwd, chat.size.width)
    await chat.place.put(Picker(chat, "Follow which run?", options, go, hint="type to search titles, folders, states"))
