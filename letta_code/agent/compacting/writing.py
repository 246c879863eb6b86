"""Writing: the text that stands for evicted messages: a summary with what it lost put back, or the cut without one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from letta_code.agent.compacting import must_keep, standing
from letta_code.agent.compacting.outline import outline
from letta_code.agent.compacting.summary import Summariser, SummaryFailed, Task
from letta_code.agent.compacting.wording import SEARCH, Place, wrapped
from letta_code.agent.transcript import SHORT, entries_of
from letta_code.core.messages import Value

log = logging.getLogger(__name__)


class Written(Value):
    """The text of a summary message, and how it came about; `method` and `note` as in `ContextCompacted`."""

    text: str
    method: str
    put_back: tuple[must_keep.Item, ...] = ()
    note: str = ""


class Writer:
    """Writes what stands for evicted messages.

    `most` are the tokens that there is room for, `head` the new head of the context: what its blocks `todo` and `task`
    hold need not be said again.
    """

    def __init__(self, summariser: Summariser, count: Callable[[str], int], place: Place, head: str, most: int) -> None:
        self._summariser = summariser
        self._count = count
        self._place = place
        self._head = head
        self._most = most

    async def write(self, task: Task) -> Written:
        """The text; never longer than there is room.  Raises what `Summariser.summarise` lets through."""
        try:
            summary = await self._summariser.summarise(task)
        except SummaryFailed as why:
            return self._cut(task, f"No summary was made: {str(why).rstrip('.')}.")
        lost = standing.missing(task.kept, summary, self._head)
        text = wrapped(summary, self._place, self._listed(lost, task))
        if (tokens := self._count(text)) <= self._most:
            return Written(text=text, method="summary", put_back=lost)
        what = "The summary with what it had lost" if lost else "The summary"
        return self._cut(task, f"{what} was too long: {tokens:,} tokens, {self._most:,} have room.")

    def _listed(self, items: Sequence[must_keep.Item], task: Task) -> str:
        said = f"{task.left_out} {SEARCH} finds what had no room." if task.left_out and self._place.can_search else ""
        return "\n".join(filter(None, (must_keep.listed(items), said or task.left_out)))

    def _cut(self, task: Task, why: str) -> Written:
        """First lines in place of a summary; the items have their room before them."""
        log.warning("compaction without a model: %s", why)
        items = standing.missing(task.kept, "", self._head)
        listed = self._listed(items, task)
        frame = self._count(wrapped("", self._place, listed, by_model=False))
        body = outline(entries_of(task.events, SHORT), task.before, self._count, max(self._most - frame - 20, 0))
        text = wrapped(body, self._place, listed, by_model=False)
        note = f"{why} The first and last lines of what left stand in its place."
        return Written(text=text, method="cut", put_back=items, note=note)
