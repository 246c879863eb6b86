"""Contained: the words for what holds commands: a badge, and one notice where it is less than all."""

from __future__ import annotations

from letta_code.core.events import Notice
from letta_code.safety.containment import Containment


def badge(held: Containment, mode: str) -> str:
    """What a status bar shows of the sandbox: "" while it holds all, is not known yet, or the mode wants none."""
    if held.confines or not held.says or mode == "full":
        return ""
    return "no sandbox" if held.kind == "none" else "weak sandbox"


def notice(held: Containment, wish: str, mode: str) -> Notice | None:
    """What is said once in a session where less than all is held; None where that is as it was `wish`ed."""
    if not badge(held, mode) or wish in ("off", held.kind):
        return None
    return Notice(level="warning", code="sandbox", text=held.says, hint=mend(held))


def bare(wish: str, mode: str) -> Notice | None:
    """What is said where no badge is seen and commands have no sandbox because that was asked for; None otherwise."""
    if mode == "full":
        words, way = "Mode full: nothing is asked, and commands run without a sandbox.", "--mode ask or auto has one."
    elif wish == "off":
        words = "There is no sandbox, as LETTA_SANDBOX or the setting `sandbox` says: what runs has all of your rights."
        way = "LETTA_SANDBOX=auto letta-code … has one."
    else:
        return None
    return Notice(level="warning", code="sandbox", text=words, hint=way)


def mend(held: Containment) -> str:
    """What to do about it, "" where nothing helps."""
    return f"The full sandbox: {held.mend}" if held.mend else ""


def described(held: Containment) -> str:
    """All of it, for a command's answer: the sentence and the command that mends."""
    return " ".join(part for part in (held.says, f"The full sandbox: `{held.mend}`." if held.mend else "") if part)
