"""Memory search: passages of archival memory and messages of every conversation, by words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.widgets import Input, Static

from letta_code.commands.memory_words.told import when
from letta_code.core.errors import LettaError
from letta_code.memory.archival import FoundPassage
from letta_code.memory.recall import Found
from letta_code.tui.clean import clean, clean_line
from letta_code.tui.memory_look import Results
from letta_code.tui.widgets.memory_bar import QUIET, heading
from letta_code.tui.widgets.memory_rows import Row, Rows

_ROLES = {"user": "you", "assistant": "agent", "tool": "tool"}
_WHOLE = 20_000  # characters of what is found that are shown


class SearchView(Vertical):
    """A line to search in, what was found, and the highlighted one in full."""

    def __init__(self, search: Callable[[str], Awaitable[Results]]) -> None:
        super().__init__(classes="memory-view")
        self._search = search
        self._input = Input(placeholder="words, or nothing for the newest; Enter searches", compact=True)
        self.list = Rows(classes="memory-rows memory-found")
        self._detail = Static("", markup=False)
        self._found: dict[str, FoundPassage | Found] = {}

    def compose(self) -> ComposeResult:
        """Line, list, text."""
        yield self._input
        yield self.list
        with VerticalScroll(classes="memory-detail memory-text", can_focus=False):
            yield self._detail

    def on_mount(self) -> None:
        """Write at once."""
        self._input.focus()

    @property
    def current(self) -> FoundPassage | Found | None:
        """The highlighted result."""
        row = self.list.current
        return self._found.get(row.id) if row else None

    def on_key(self, event: Key) -> None:
        """Down goes from the line into the list, up from the first result back."""
        if event.key == "down" and self._input.has_focus and self._found:
            event.stop()
            self.list.focus()
        elif event.key == "tab":
            event.stop()
            (self.list if self._input.has_focus and self._found else self._input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search."""
        event.stop()
        self.again()

    def again(self) -> None:
        """Search for the words that stand there."""
        self.run_worker(self._run(self._input.value.strip()), group="search", exclusive=True)

    async def _run(self, words: str) -> None:
        self.list.empty = "Searching…"
        self.list.fill([])
        try:
            results = await self._search(words)
        except LettaError as error:
            self.list.empty = clean_line(str(error))
            self.list.refresh()
            return
        self._show(results)

    def _show(self, results: Results) -> None:
        self._found = {found.passage.id: found for found in results.passages}
        self._found |= {f"{found.conversation_id}#{found.seq}": found for found in results.messages}
        rows: list[Row] = []
        if results.passages:
            rows.append(heading("archival memory", str(len(results.passages))))
            rows += [_passage_row(found) for found in results.passages]
        if results.messages:
            left = f", {results.left:,} events are not indexed yet" if results.left else ""
            rows.append(heading("past messages", f"{len(results.messages)}{left}"))
            rows += [_message_row(found) for found in results.messages]
        self.list.empty = "Nothing has that."
        self.list.fill(rows, keep=False)
        if rows:
            self.list.focus()

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """Show it in full."""
        event.stop()
        found = self.current
        self._detail.update(_whole(found) if found is not None else "")


def _passage_row(found: FoundPassage) -> Row:
    passage = found.passage
    left = Content.assemble((f" {passage.created_at[:10]}  ", QUIET), clean_line(passage.content[:300]))
    return Row(passage.id, left, Content.styled(" ".join(f"#{clean_line(tag)}" for tag in passage.tags[:2]), QUIET))


def _message_row(found: Found) -> Row:
    left = Content.assemble((f" {found.at[:10]}  ", QUIET), clean_line(found.text[:300]))
    return Row(f"{found.conversation_id}#{found.seq}", left, Content.styled(_ROLES.get(found.role, found.role), QUIET))


def _whole(found: FoundPassage | Found) -> Content:
    if isinstance(found, FoundPassage):
        passage = found.passage
        marks = [when(passage.created_at), *(f"#{tag}" for tag in passage.tags)]
        marks += [f"from {passage.source}, not verified"] if passage.trust == "untrusted" else []
        text = passage.content
    else:
        marks = [when(found.at), _ROLES.get(found.role, found.role), f"{found.conversation_id} event {found.seq}"]
        text = found.text
    head = Content.styled(clean_line(" · ".join([*marks, f"found by {found.found_by}"])), QUIET)
    return Content("\n").join([head, Content(clean(text[:_WHOLE]))])
