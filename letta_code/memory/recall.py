"""Recall: search over every message of every conversation of an agent."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from letta_code.core.errors import StoreBusy
from letta_code.core.events import AssistantMessage, Event, ToolResult, UserMessage
from letta_code.core.messages import Value, text_of
from letta_code.memory.block import BlockError
from letta_code.memory.query import NEWEST, PART, expressions, searchable, time_range
from letta_code.store.text_index import MessageHit, TextIndex
from letta_code.store.text_window import Spoken, Window

ROLES = ("user", "assistant", "tool")
MOST_RESULTS = 50
TAKEN_BACK = "taken back later"
BUDGET = 5.0  # seconds that a search may spend on indexing what is new; what is left is said

_LONGEST = 1_000_000  # characters of a message that are searched: of a longer one its beginning and its end
_SHOWN = 400  # characters of a message that was found without words
# Their results only repeat what stands elsewhere.
_ECHOES = frozenset(
    {
        "conversation_search",
        "archival_memory_insert",
        "archival_memory_search",
        "memory",
        "memory_apply_patch",
        "memory_rethink",
        "Todo",
    }
)


class Found(Value):
    """A message that was found; `found_by` says how (all words, some words, word beginnings, part, newest).

    It says too where the person went back to a point before the message, so that it counts no longer.
    """

    conversation_id: str
    seq: int
    role: str
    at: str
    text: str
    found_by: str
    message_id: str = ""


class Recalled(Value):
    """What a search gave; `left` is how many events are not indexed yet, and so were not searched.

    `busy` says that this is because another process holds the index.
    """

    found: tuple[Found, ...]
    left: int = 0
    busy: bool = False


def spoken(event: Event) -> Spoken | None:
    """What of an event can be searched; what the harness said to the model is not."""
    match event:
        case UserMessage():
            return _spoken("user", event.message_id, text_of(event.content))
        case AssistantMessage():
            calls = "".join(f"\n{call.name} {call.arguments}" for call in event.tool_calls if call.name not in _ECHOES)
            return _spoken("assistant", event.message_id, event.text + calls)
        case ToolResult() if event.name not in _ECHOES:
            return _spoken("tool", event.message_id, text_of(event.content))
        case _:
            return None


def _spoken(role: str, message_id: str, text: str) -> Spoken | None:
    if not text.strip():
        return None
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST * 3 // 4]}\n…\n{text[-_LONGEST // 4 :]}"
    # Half a surrogate pair cannot be stored; it came from a model's broken text.
    return Spoken(role=role, message_id=message_id, text=text.encode("utf-8", "replace").decode("utf-8", "replace"))


class Recall:
    """The messages of one agent.  Synchronous: call it off the event loop."""

    def __init__(self, index: TextIndex, agent_id: str) -> None:
        self._index = index
        self._agent_id = agent_id

    def catch_up(self, seconds: float | None = None) -> int:
        """Index what was said since the last time (a background task of a quiet moment); how many events are left."""
        return self._index.catch_up(self._agent_id, seconds).events

    def search(
        self,
        query: str = "",
        *,
        roles: Sequence[str] = (),
        conversations: Sequence[str] = (),
        start_date: str = "",
        end_date: str = "",
        limit: int = 10,
        but_from: tuple[str, int] | None = None,
    ) -> Recalled:
        """The best messages, or the newest for an empty query.

        Filters hold before the limit counts.  A date means that whole day where the person is, both ends included.
        `but_from` leaves out a conversation from an event on, such as what the model has before it.
        Raises `BlockError` for arguments that cannot mean anything, `StoreError` when the index cannot be used.
        """
        wrong = [role for role in roles if role not in ROLES]
        if wrong:
            raise BlockError(f"There is no role {wrong[0]!r}: use {', '.join(ROLES)}.")
        unknown = self._index.unknown(self._agent_id, conversations)
        if unknown:
            raise BlockError(
                f"There is no conversation {unknown[0][:60]!r} of yours. Give ids as results show them, or "
                "none to search all."
            )
        start, end = time_range(start_date, end_date)
        window = Window(
            agent_id=self._agent_id,
            start=start,
            end=end,
            roles=tuple(roles),
            conversations=tuple(conversations),
            but_from=but_from,
        )
        limit = max(1, min(limit, MOST_RESULTS))
        behind = self._index.catch_up(self._agent_id, BUDGET)
        try:
            found = tuple(self._marked(self._found(query, window, limit)))
        except StoreBusy:  # the index is just being made elsewhere: nothing of it can be read yet
            found, behind = (), replace(behind, busy=True)
        return Recalled(found=found, left=behind.events, busy=behind.busy)

    def wider(self, found: Found, characters: int) -> Found:
        """A find with about so much of its message around what was found; as it is where that is no more."""
        if "…" not in found.text or len(found.text) >= characters:
            return found
        whole = self._index.text_of(found.conversation_id, found.seq)
        piece = next((part.strip() for part in found.text.split("…") if part.strip()), "")
        at = max(whole.find(piece) - characters // 4, 0) if len(whole) > characters else 0
        text = whole[at : at + characters]
        end = " …" if at + characters < len(whole) else ""
        return replace(found, text=f"{'… ' if at else ''}{text}{end}") if text else found

    def taint(self, found: Sequence[Found], but: str) -> str:
        """Where text from outside came from that one of these may repeat; messages of the conversation `but` aside."""
        taints = (self._index.taint(one.conversation_id, one.seq) for one in found if one.conversation_id != but)
        return next(filter(None, taints), "")

    def _marked(self, found: Sequence[Found]) -> list[Found]:
        """What a person took back by going back is found all the same: it was said; but that is told with it."""
        views = {name: self._index.view(name) for name in {one.conversation_id for one in found}}
        return [
            one
            if views[one.conversation_id].counts(one.seq)
            else replace(one, found_by=f"{one.found_by}, {TAKEN_BACK}")
            for one in found
        ]

    def _found(self, query: str, window: Window, limit: int) -> list[Found]:
        query = searchable(query)
        if not query:
            return [_found(hit, NEWEST) for hit in self._index.newest_messages(window, limit)]
        results: dict[tuple[str, int], Found] = {}
        for expression in expressions(query):
            if len(results) >= limit:
                break
            for hit in self._index.messages(expression.match, window, limit):
                results.setdefault((hit.conversation_id, hit.seq), _found(hit, expression.found_by))
        if not results:  # within words, and in scripts that do not part them
            for hit in self._index.newest_messages(window, limit, query):
                results[hit.conversation_id, hit.seq] = _found(hit, PART, query)
        return list(results.values())[:limit]


def _found(hit: MessageHit, found_by: str, part: str = "") -> Found:
    return Found(
        conversation_id=hit.conversation_id,
        seq=hit.seq,
        role=hit.role,
        at=hit.at,
        text=_around(hit.text, part),
        found_by=found_by,
        message_id=hit.message_id,
    )


def _around(text: str, part: str) -> str:
    if len(text) <= _SHOWN:
        return text
    at = max(text.lower().find(part.lower()) - _SHOWN // 2, 0) if part else 0
    end = at + _SHOWN
    return ("… " if at else "") + text[at:end] + (" …" if end < len(text) else "")
