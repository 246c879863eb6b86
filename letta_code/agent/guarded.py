"""Guarded: a request is looked through for secrets before it goes out, each part of it once."""

from __future__ import annotations

from msgspec.structs import replace

from letta_code.core.messages import Message
from letta_code.llm.model import ChatRequest
from letta_code.safety.vault import Vault, redacted


class Guarded:
    """Requests of one conversation without secrets.

    What is stored since has none; what an older version stored, and what came by another way, may have some.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._system = ("", "")
        self._given: list[Message] = []  # the messages of the last request as they came
        self._instead: dict[int, Message] = {}  # by place: those that held a secret, as they go out

    def request(self, request: ChatRequest) -> ChatRequest:
        """The request without secrets; the same object when it held none."""
        if self._system[0] is not request.system:
            self._system = (request.system, self._vault.clean(request.system))
        messages = list(request.messages)
        self._look_at(messages)
        if self._system[1] is request.system and not self._instead:
            return request
        for place, message in self._instead.items():
            messages[place] = message
        return replace(request, system=self._system[1], messages=tuple(messages))

    def _look_at(self, messages: list[Message]) -> None:
        known = len(self._given)
        if messages[:known] != self._given:  # a comparison by identity, as long as the list only grew
            known = 0
            self._instead.clear()
        for place, message in enumerate(messages[known:], known):
            clean = redacted(message, self._vault)
            if clean is not message:
                self._instead[place] = clean
        self._given = [*messages]
