"""Cut: where the context is parted into what leaves and what stays.

Calls stay together with their results, and what the model has not answered yet stays (but for an overflow, where it is
that which does not fit).  A cut that would not shrink the context by a fifth is not made: so no compaction follows
another at once, and a context whose instructions alone are near the limit is left alone until there is something to
win.  Until then it is above the limit by what came last; a message that is too long for good leaves as soon as it was
answered, and its beginning and end stand in the summary.
"""

from __future__ import annotations

from collections.abc import Sequence

from letta_code.agent.compacting.limits import SHRINK
from letta_code.agent.history import History
from letta_code.core.messages import AssistantText, Summary, ToolText, UserText, Value

_SMALL_ROOM = 2_000  # tokens for messages that are planned with where the head leaves less
_SMALL_SUMMARY = 400
_REQUESTS_SHARE = 0.4  # of the limit: what the person asked for stays whole up to that, where the head leaves it
_SMALL_REQUESTS = 300
_SUMMARY_SHARE = 5  # the summary gets a fifth of the room for messages
_TAILS = {"overflow": (0.2, 0.1, 0.0)}
_USUAL_TAILS = (0.3, 0.1, 0.0)  # shares of the room that stay word for word, the first that is enough


class Weights(Value):
    """What the parts of a context weigh, in tokens of one and the same count; `limit` is where it is compacted.

    `requests` are event and tokens of what the person asked for in the work that goes on: it comes back with the
    summary.
    """

    head: int
    messages: tuple[int, ...]
    limit: int
    requests: tuple[tuple[int, int], ...] = ()

    @property
    def total(self) -> int:
        """The whole context."""
        return self.head + sum(self.messages)


class Cut(Value):
    """A cut: the messages at `evicted` leave, those of events from `first_kept_seq` on stay.

    `staying` are the tokens of the context without a summary, `budget` those that the summary may have, `requests`
    those of what comes back with it, of `most_requests` at most.
    """

    first_kept_seq: int
    evicted: tuple[int, ...]
    evicted_tokens: int
    staying: int
    budget: int
    requests: int = 0
    most_requests: int = 0

    @property
    def after(self) -> int:
        """Tokens of the context when the summary takes all its budget."""
        return self.staying + self.budget + self.requests


def find_cut(history: History, weights: Weights, reason: str, *, added: int = 0) -> Cut | None:
    """The best cut, None where there is nothing to win.  `added` tokens are about to come behind the messages."""
    parts = _Parts(history, weights)
    before = weights.total + added
    enough = SHRINK * min(before, weights.limit)
    found: list[Cut] = []
    for unanswered in (False, True) if reason == "overflow" else (False,):
        places = parts.places(unanswered=unanswered)
        for share in _TAILS.get(reason, _USUAL_TAILS):
            cut = parts.cut(places, share)
            if cut is None:
                continue
            if cut.after + added <= enough:
                return cut
            found.append(cut)
    smallest = min(found, key=lambda cut: cut.after, default=None)
    return smallest if smallest is not None and smallest.after + added <= SHRINK * before else None


class _Parts:
    """A history with the weight of each message."""

    def __init__(self, history: History, weights: Weights) -> None:
        self._messages, self._seqs, self._sizes = history.messages, history.seqs, weights.messages
        self._standing = history.standing()
        self._floor = history.compaction.first_kept_seq if history.compaction else 0
        self._last_seq = history.last_seq
        self._requests = weights.requests
        self._head = weights.head + sum(self._sizes[at] for at in self._standing)
        self._room = max(weights.limit - self._head, _SMALL_ROOM)
        beside = max(self._room // _SUMMARY_SHARE, _SMALL_SUMMARY) + self._room // 10  # a summary, and what is newest
        spare = int(weights.limit * SHRINK) - self._head - beside
        self._most_requests = max(min(int(weights.limit * _REQUESTS_SHARE), spare), _SMALL_REQUESTS)
        self._behind = _tails(self._sizes, self._standing)

    def places(self, *, unanswered: bool) -> list[int]:
        """Where a cut may be made (before the message at that place), the earliest first."""
        last = max((at for at, m in enumerate(self._messages) if isinstance(m, AssistantText)), default=-1)
        end = len(self._messages) if unanswered else last + 1
        open_calls: set[str] = set()
        found: list[int] = []
        for at in range(end + 1):
            if at and not open_calls and self._may_begin(at):
                found.append(at)
            if at < len(self._messages):
                message = self._messages[at]
                if isinstance(message, AssistantText):
                    open_calls = {call.id for call in message.tool_calls}
                elif isinstance(message, ToolText):
                    open_calls.discard(message.call_id)
        return found

    def _may_begin(self, at: int) -> bool:
        """Whether what stays may begin here: behind the last cut, and not with a result."""
        if at == len(self._messages):
            return True
        return self._seqs[at] > self._floor and not isinstance(self._messages[at], ToolText | Summary)

    def cut(self, places: Sequence[int], share: float) -> Cut | None:
        """The cut that keeps about this share of the room, or as little as may be; before a person's words if it can"""
        wanted = share * min(self._room, sum(self._sizes))
        fitting = [at for at in places if self._behind[at] <= wanted] or list(places[-1:])
        said = [at for at in fitting if self._begins_with_a_person(at) and self._behind[at] >= wanted / 2]
        return self._made((said or fitting)[0]) if fitting else None

    def _begins_with_a_person(self, at: int) -> bool:
        return at < len(self._messages) and isinstance(self._messages[at], UserText)

    def _made(self, place: int) -> Cut | None:
        evicted = tuple(at for at in range(place) if at not in self._standing)
        if all(isinstance(self._messages[at], Summary) for at in evicted):
            return None
        tokens = sum(self._sizes[at] for at in evicted)
        first_kept = self._seqs[place] if place < len(self._seqs) else self._last_seq + 1
        requests = min(sum(size for seq, size in self._requests if seq < first_kept), self._most_requests)
        budget = max(min(self._room // _SUMMARY_SHARE, (tokens - requests) // 2), _SMALL_SUMMARY)
        return Cut(
            first_kept_seq=first_kept,
            evicted=evicted,
            evicted_tokens=tokens,
            staying=self._head + self._behind[place],
            budget=budget,
            requests=requests,
            most_requests=self._most_requests,
        )


def _tails(sizes: Sequence[int], standing: set[int]) -> list[int]:
    """Tokens from each place on, without what stays in any case."""
    behind = [0]
    for at in range(len(sizes) - 1, -1, -1):
        behind.append(behind[-1] + (0 if at in standing else sizes[at]))
    return behind[::-1]
