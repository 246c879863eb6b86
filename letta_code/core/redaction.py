"""Redaction: the seam through which everything that is kept or sent loses its secrets."""

from __future__ import annotations

from typing import Protocol, TypeVar

T = TypeVar("T")


class Redactor(Protocol):
    """Puts placeholders in the place of secrets (safety/vault.py); safe to call from any thread."""

    def clean(self, text: str, conversation_id: str = "") -> str:
        """The text without secrets; a clean one comes back as the same object.

        Placeholders are those of the conversation ("" for what belongs to none), and the same value gets the same one.
        """
        ...

    def redact(self, value: T, conversation_id: str = "") -> T:
        """A frozen struct (an event, a message) without secrets in its texts; the same object when it held none."""
        ...
