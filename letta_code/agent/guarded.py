"""Guarded: a request is looked through for secrets before it goes out, each part of it once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from letta_code.agent.looked import Looked
from letta_code.core.messages import Message
from letta_code.llm.model import ChatRequest
from letta_code.safety.vault import Vault, redacted

_BATCH = 64  # messages that are looked through at once: in a long conversation one by one takes twice as long
# What is read in another way beside other texts, as it stands in JSON: a private key of which a part is elsewhere, a
# terminal sequence that another text ends (the second line: begun by a single sign), the one letter whose lower case is
# longer.
_NOT_BESIDE_OTHERS = (b"PRIVATE KEY", rb"\u001b")
_NOR_THESE = tuple(chr(sign).encode() for sign in (0x90, 0x98, 0x9D, 0x9E, 0x9F, 0x130))


class Guarded:
    """Requests of one conversation without secrets.

    What is stored since has none; what an older version stored, and what came by another way, may have some.
    """

    def __init__(self, vault: Vault, looked: Looked | None = None) -> None:
        """`looked` says what was looked through before, by an earlier process."""
        self._vault = vault
        self._looked = looked
        self._system = ("", "")
        self._given: list[Message] = []  # the messages of the last request as they came
        self._instead: dict[int, Message] = {}  # by place: those that held a secret, as they go out

    def request(self, request: ChatRequest, seqs: Sequence[int] = ()) -> ChatRequest:
        """The request without secrets; the same object when it held none.

        `seqs` are the events that its messages came with.
        """
        if self._system[0] is not request.system:
            self._system = (request.system, self._vault.clean(request.system))
        messages = list(request.messages)
        self._look_at(messages, seqs)
        if self._system[1] is request.system and not self._instead:
            return request
        for place, message in self._instead.items():
            messages[place] = message
        return replace(request, system=self._system[1], messages=tuple(messages))

    def keep(self, messages: Sequence[Message], seqs: Sequence[int]) -> None:
        """Note for the next process what was looked through of a conversation's messages; it held no secret."""
        count = len(self._given)
        if self._looked is not None and not self._instead and [*messages[:count]] == self._given:
            self._looked.keep(seqs[:count])

    def _look_at(self, messages: list[Message], seqs: Sequence[int]) -> None:
        known = len(self._given)
        if not known or messages[:known] != self._given:  # a comparison by identity, as long as the list only grew
            known = self._looked.leading(seqs) if self._looked is not None else 0
            self._instead.clear()
        for place in range(known, len(messages), _BATCH):
            batch = messages[place : place + _BATCH]
            for at, (message, clean) in enumerate(zip(batch, self._cleaned(batch), strict=True), place):
                if clean is not message:
                    self._instead[at] = clean
        self._given = [*messages]

    def _cleaned(self, batch: Sequence[Message]) -> Sequence[Message]:
        """The messages without secrets, each the same object where it held none."""
        together = tuple(batch)
        if not _must_be_alone(together) and redacted(together, self._vault) is together:
            return batch
        return [redacted(message, self._vault) for message in batch]


def _must_be_alone(messages: Sequence[Message]) -> bool:
    """Whether a secret of one message could be overlooked beside the others."""
    try:
        data = msgspec.json.encode(messages)
    except UnicodeEncodeError:  # half a character, of a file's name
        return True
    signs = _NOT_BESIDE_OTHERS if data.isascii() else (*_NOT_BESIDE_OTHERS, *_NOR_THESE)
    return any(sign in data for sign in signs)
