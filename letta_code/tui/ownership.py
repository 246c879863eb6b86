"""Ownership: whose process runs the conversation, whether it is about to change, and how a run ended or went on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_code.agent.live.words import short
from letta_code.agent.port import Status
from letta_code.core import events as ev
from letta_code.tui.cards import EndCard, NoticeCard
from letta_code.tui.wording import END_TEXTS, run_summary

if TYPE_CHECKING:
    from letta_code.tui.view_state import ViewState


class Ownership:
    """`owner` is "" while it is this process.  `moving`: why the run changes its owner at the end of this step.

    background and here were asked for by the person at this screen, away by somebody else; "" when it stays.
    `since`: when the person chose the background; `silent_since`: when the owner last answered, None while it does
    (both by the state's clock).  `cut_off`: the last run lost its process, and nothing was said or done since.
    """

    def __init__(self) -> None:
        self.owner = ""
        self.background = False
        self.moving = ""
        self.since = 0.0
        self.silent_since: float | None = None
        self.cut_off = False

    def of(self, status: Status) -> None:
        """Take over what a session says of itself."""
        self.owner, self.background, self.moving = short(status.owner), status.background, ""
        self.silent_since = None

    def waits(self, event: ev.Waiting, now: float) -> None:
        """The run is about to be given away or is not any more; the owner does not answer or does again."""
        match event.phase:
            case "silent":
                self.silent_since = now - event.seconds
            case "answers":
                self.silent_since = None
            case phase:
                self.moving = (self.moving or "away") if phase == "moving" else ""


def note_owner(state: ViewState, event: ev.Event) -> None:
    """What an event says of the run's owner."""
    mine = state.ownership
    match event:
        case ev.RunStarted(background=background):
            mine.background, mine.moving, mine.cut_off = background, "", False
        case ev.RunMoved(background=background):
            mine.background, mine.moving = background, ""
        case ev.RunResumed(background=background, reason=reason, attempt=attempt):
            mine.background, mine.moving, mine.cut_off = background, "", False
            state.begins()
            if reason == "died":
                again = "" if attempt <= 1 else f" (for the {_nth(attempt)} time)"
                text = f"The process of this run had died{again}; the run was gone on with by itself."
                state.add(NoticeCard(key=f"notice-{event.seq}", level="info", text=text))
        case ev.RunFinished(reason=reason):
            mine.moving, mine.cut_off = "", reason == ev.StopReason.ORPHANED
        case ev.UserMessage():
            mine.cut_off = False
        case _:
            pass


def note_end(state: ViewState, event: ev.RunFinished) -> None:
    """How a run ended, where that says something."""
    key = f"end-{event.seq}"
    if event.reason == ev.StopReason.ERROR:
        state.add(NoticeCard(key=key, level="error", text=event.error or "The run failed.", hint=event.hint))
        return
    if event.reason == ev.StopReason.DONE:
        if event.steps > 1 or event.seconds >= 10:
            state.add(EndCard(key=key, text=run_summary(event)))
        return
    if event.reason == ev.StopReason.INTERRUPTED:
        state.hand_back()
    text = END_TEXTS.get(event.reason, f"Stopped: {event.reason}")
    level = "info" if event.reason in (ev.StopReason.INTERRUPTED, ev.StopReason.DENIED) else "warning"
    state.add(NoticeCard(key=key, level=level, text=text, hint=event.hint))


def _nth(number: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(number, f"{number}th")
