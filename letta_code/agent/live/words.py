"""Words: how a conversation's owner and a change of it are told to people."""

from __future__ import annotations


def short(owner: str) -> str:
    """`process 4711 (tui)`: since when it runs matters to nobody here."""
    return owner.partition(" since ")[0]


def silent_text(process: str, seconds: float) -> str:
    """That a conversation's owner does not answer, and what can be done; fits on one line of 80 columns."""
    passed = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{process} does not answer for {passed} (stopped? fg, or kill it)"


def change_text(now: str, before: str, *, wanted: bool) -> str:
    """One line that tells who has the conversation now; "" is this process.  `wanted`: the person here took it over."""
    now, before = short(now), short(before)
    if now and not before:
        kind = "in the background" if "(worker)" in now else "elsewhere"
        return f"This conversation goes on {kind}: {now} has it now. You watch it; /takeover brings it back."
    if now == before:
        return f"You watch {now} again." if now else "Nobody else has taken this conversation: it goes on here."
    if now:
        return f"{now} has this conversation now, not {before} any more. You still watch it."
    if wanted:
        return f"This conversation is yours now: it runs here, not in {before} any more."
    return f"{before} let this conversation go: it is yours now and runs here."
