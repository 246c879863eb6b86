"""A conversation on the wire: calls and results balanced, each message encoded once, the whole only growing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias

import msgspec

from letta_code.core.messages import AssistantText, Message, Reminder, Summary, TextPart, ToolCall, ToolText, UserText

NO_RESULT = "No result was kept for this call: it was interrupted, and whether it had an effect is unknown."
EMPTY = "(empty)"  # providers refuse empty texts

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_REMINDER_TAG = re.compile(r"<(?=\s*/?\s*system-reminder)", re.IGNORECASE)


class Results:
    """The results of all calls of one assistant message, in the order of the calls."""

    __slots__ = ("items",)

    def __init__(self, items: tuple[ToolText, ...]) -> None:
        self.items = items


Spoken: TypeAlias = UserText | Reminder | Summary
Item: TypeAlias = Spoken | AssistantText | Results


class Balance:
    """Puts results right behind their calls, as every provider demands.

    A seat belt: the session keeps its history balanced by itself.  The rules depend on the messages alone:
    what stands between a call and its results comes after them; a call without a result when the model speaks again (or
    at the end) gets `NO_RESULT`; a result without a call, or a second one for the same call, is left out.
    """

    def __init__(self) -> None:
        self._open: dict[str, ToolCall] = {}
        self._got: dict[str, ToolText] = {}
        self._held: list[Spoken] = []

    def add(self, message: Message) -> list[Item]:
        """What goes on the wire now that this message is known."""
        if isinstance(message, ToolText):
            return self._result(message)
        if isinstance(message, AssistantText):
            ready = self.rest() if self._open else []
            self._open = {call.id: call for call in message.tool_calls}
            self._got = {}
            self._held = []
            return [*ready, message]
        if self._open:
            self._held.append(message)
            return []
        return [message]

    def rest(self) -> list[Item]:
        """What must follow if nothing else comes; changes nothing."""
        if not self._open:
            return []
        return [self._group(), *self._held]

    def _result(self, message: ToolText) -> list[Item]:
        if message.call_id not in self._open or message.call_id in self._got:
            return []
        self._got[message.call_id] = message
        if len(self._got) < len(self._open):
            return []
        ready = self.rest()
        self._open = {}
        self._held = []
        return ready

    def _group(self) -> Results:
        return Results(tuple([self._got.get(call.id) or _missing(call) for call in self._open.values()]))


def _missing(call: ToolCall) -> ToolText:
    return ToolText(message_id="", call_id=call.id, name=call.name, content=(TextPart(text=NO_RESULT),), is_error=True)


class Encode(Protocol):
    """Wire messages for one item: JSON objects as bytes, each with whether its role is user."""

    def __call__(self, item: Item) -> list[tuple[bytes, bool]]: ...


class History:
    """The messages of one conversation as bytes, joined by commas.

    As long as the messages only grow at their end, only the new ones are encoded: a request late in a long conversation
    costs one comparison of the list (by identity) and one copy of the bytes.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._reset()

    def _reset(self) -> None:
        self._seen: list[Message] = []
        self._balance = Balance()
        self._done = bytearray()
        self._turns: list[int] = []  # ends of the last user-role turns in `_done`, at most 2
        self._after_user = False
        self.call_ids: set[str] = set()

    def update(self, messages: Sequence[Message]) -> tuple[bytes | bytearray, tuple[int, ...]]:
        """The messages as `{…},{…}`, not to be altered, and where the last two user-role turns end in them (offsets
        behind their last bytes)."""
        known = len(self._seen)
        new = list(messages)
        if new[:known] != self._seen:
            self._reset()
            known = 0
        self._turns, self._after_user = self._append(self._done, self._balanced(new[known:]))
        self._seen = new
        rest = self._balance.rest()
        if not rest:
            return self._done, tuple(self._turns)
        whole = bytearray(self._done)
        turns, _ = self._append(whole, rest)
        return whole, tuple(turns)

    def _balanced(self, messages: Sequence[Message]) -> Iterator[Item]:
        add = self._balance.add
        for message in messages:
            if isinstance(message, AssistantText):
                for call in message.tool_calls:
                    self.call_ids.add(call.id)
            yield from add(message)

    def _append(self, done: bytearray, items: Iterable[Item]) -> tuple[list[int], bool]:
        """Write items behind what is done (one loop: a long conversation has thousands); the ends of the last turns."""
        encode, turns, after_user = self._encode, self._turns, self._after_user
        for item in items:
            for piece, is_user in encode(item):
                if done:
                    done += b","
                done += piece
                if is_user:
                    end = len(done)
                    turns = [*turns[:-1], end] if after_user else [*turns[-1:], end]
                after_user = is_user
        return turns, after_user


class Histories:
    """The histories of the conversations that a client serves; the least recently used is forgotten."""

    def __init__(self, encode: Encode, most: int = 4) -> None:
        self._encode = encode
        self._most = most
        self._by_id: dict[str, History] = {}

    def of(self, conversation_id: str) -> History:
        """The history of a conversation, empty at first."""
        history = self._by_id.pop(conversation_id, None) or History(self._encode)
        self._by_id[conversation_id] = history
        if len(self._by_id) > self._most:
            del self._by_id[next(iter(self._by_id))]
        return history


class CallIds:
    """Ids of calls, unique within a conversation.

    `taken` are those that stand in it.  A missing id becomes `call_<n>`, n counted over the conversation; one that is
    taken already (servers that count from 0 in every answer) gets `-2`, `-3` … behind it.
    """

    def __init__(self, taken: set[str]) -> None:
        self._taken = set(taken)

    def unique(self, id: str) -> str:
        """The id to use for a call that the server named so."""
        wanted = id or f"call_{len(self._taken)}"
        unique, n = wanted, 2
        while unique in self._taken:
            unique, n = f"{wanted}-{n}", n + 1
        self._taken.add(unique)
        return unique


def reminder_text(text: str) -> str:
    """A reminder in its tags; the text can neither close nor open one."""
    return f"<system-reminder>\n{_REMINDER_TAG.sub('&lt;', text)}\n</system-reminder>"


def sendable(text: str) -> str:
    """The text, lone surrogates (undecodable bytes of a file name or a command) replaced: JSON in UTF-8 has no place
    for them."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def arguments_object(arguments: str) -> bytes:
    """A call's arguments as a JSON object.

    What the model wrote, when that is an object; `{}` for nothing at all; otherwise `{"_invalid": "<what it wrote>"}`:
    providers answer 400 to a history with broken JSON in it, and so the model still sees its own mistake.
    """
    raw = sendable(arguments).encode()
    if not raw.strip():
        return b"{}"
    try:
        _object.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.json.encode({"_invalid": sendable(arguments)})
    return raw
