"""Memory authors: who did it, when and where, as a person in one conversation reads it."""

from __future__ import annotations

import re

from letta_code.memory.provenance import Provenance
from letta_code.tui.clean import clean_line

_PLACE = re.compile(r" in (\S+?)(?: at event \d+)?(?=[,;:( .]|$)")


def placed(text: str, here: str) -> str:
    """A sentence about who did something, without ids: this conversation is not named, another one as such."""

    def place(found: re.Match[str]) -> str:
        if not found[1].startswith("conv"):
            return found[0]
        return "" if found[1] == here else " in another conversation"

    return _PLACE.sub(place, text)


def authors(by: str, here: str) -> str:
    """The authors of an edit, each once."""
    return ", ".join(dict.fromkeys(clean_line(placed(by, here)).replace("the person", "you").split(", ")))


def author(by: Provenance, here: str) -> str:
    """Who made a change, in a word or two: `you`, `agent`, `agent elsewhere`, `letta-code`, `tool Todo`."""
    kind, _, name = clean_line(by.source).partition(":")
    who = {"user": "you", "letta": "letta-code"}.get(kind, kind)
    if name:  # tool:Todo, web:https://example.org/page
        who += f" {name.partition('://')[2].partition('/')[0] or name}"[:24]
    elsewhere = by.conversation not in ("", here) and kind == "agent"
    return f"{who} elsewhere" if elsewhere else who


def place_of(by: Provenance, here: str) -> str:
    """Where a change was made: `in this conversation at event 12`; "" where that is not known."""
    if not by.conversation:
        return ""
    where = "in this conversation" if by.conversation == here else f"in {clean_line(by.conversation)}"
    return where + (f" at event {by.seq}" if by.seq else "")
