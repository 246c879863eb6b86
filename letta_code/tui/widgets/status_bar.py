"""Status bar: mode, model, branch, folder, context, cost; and the line above the prompt that says what is going on."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget

from letta_code.agent.contained import badge as sandbox_badge
from letta_code.agent.contained import described
from letta_code.agent.live.words import silent_text
from letta_code.tui.clean import clean_line
from letta_code.tui.view_state import ViewState
from letta_code.tui.wording import seconds_text

MODE_STYLES = {
    "plan": "$text-accent",
    "ask": "$text-success",
    "auto": "$text-warning",
    "full": "bold reverse $text-error",
}
AMBER = 0.75  # of what may stand in the context
OUTSIDE = "outside text"
OUTSIDE_TOLD = (
    "This conversation holds text that somebody else wrote. /permissions says whose, and what asks because of it."
)
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAMES_A_SECOND = 5
CUT_OFF = "The last run was cut off. Enter goes on with it; or say what to do instead."
MOVING = {
    "background": "moves to the background when this step ends",
    "here": "comes over to this terminal when this step ends",
    "away": "goes to another process when this step ends",
}
LEAVABLE = "moves at step's end; you may close the terminal"
LEAVABLE_SECONDS = 2.0  # then it is a long step, and the person is told that nothing holds them
KEYS = {"background": "Esc: stay"}


class StatusBar(Widget):
    """One line, fitted to the width: what matters least is cut first."""

    def __init__(self) -> None:
        super().__init__(id="status")
        self.folder = ""
        self.branch = ""
        self._state: ViewState | None = None

    def show(self, state: ViewState) -> None:
        """Draw the state."""
        self._state = state
        held = state.containment
        told = [clean_line(described(held))] if sandbox_badge(held, state.mode) else []
        told += [OUTSIDE_TOLD] if state.outside else []
        self.tooltip = Content("\n".join(told)) if told else None
        self.refresh()

    def render(self) -> Content:
        """Left and right parts with the room between them."""
        state, width = self._state, self.content_size.width
        if state is None or not width:
            return Content("")
        right = Content("  ").join([part for part in (_context(state), _cost(state)) if part])
        room = width - right.cell_length - 2
        left = self._left(state, room)
        return left.pad_right(max(width - left.cell_length - right.cell_length, 1)) + right

    def _left(self, state: ViewState, room: int) -> Content:
        name = " full " if state.mode == "full" else state.mode
        mode = Content.styled(name, MODE_STYLES.get(state.mode, "$foreground"))
        held = Content.styled(sandbox_badge(state.containment, state.mode), "$text-warning")
        model = Content.styled(
            clean_line(state.model) or "no model: /connect", "$foreground" if state.model else "$text-warning"
        )
        branch = Content.styled(clean_line(self.branch), "$foreground 75%")
        folder = Content.styled(clean_line(self.folder), "$foreground 75%")
        # Whose conversation it is matters where there are several; else it is told where there is room for all.
        agent = Content.styled(clean_line(state.agent), "$text-accent")
        outside = Content.styled(OUTSIDE if state.outside else "", "$foreground 75%")
        parts = [part for part in (mode, held, outside, model) if part]
        separator, badge = Content.styled(" · ", "$foreground 45%"), _watching(state)
        room -= badge.cell_length
        short = Content.styled(f"…/{clean_line(self.folder.rpartition('/')[2])}", "$foreground 75%")
        extras = [(branch,), (folder, short), (Content("") if state.several else agent,)]
        if badge:  # whose folder it is matters more there than the branch
            extras = [extras[1], extras[0], extras[2]]
        for choices in [(agent if state.several else Content(""),), *extras]:
            fits = [one for one in choices if one and separator.join([*parts, one]).cell_length <= room]
            parts += fits[:1]
        left = badge + separator.join(parts)
        room += badge.cell_length
        return left if left.cell_length <= room else left.truncate(max(room, 0), ellipsis=True)


def _watching(state: ViewState) -> Content:
    owner = state.ownership.owner
    if not owner:
        return Content("")
    return Content.styled(f" watching: {clean_line(owner)} ", "bold reverse $text-warning") + Content(" ")


def _context(state: ViewState) -> Content:
    if not state.tokens:
        return Content("")
    if state.limit:  # where it is compacted, which is what a person feels; the window is only the model's
        full = state.tokens >= state.limit * AMBER
        text = f"{_short(state.tokens)}/{_short(state.limit).replace('.0k', 'k')}"
        return Content.styled(text, "$text-warning" if full else "$foreground 75%")
    if not state.window:
        return Content.styled(f"{_short(state.tokens)} tokens", "$foreground 75%")
    share = state.tokens / state.window
    style = "$text-warning" if share >= AMBER else "$foreground 75%"
    return Content.styled(f"{_short(state.tokens)}/{_short(state.window)} {share:.0%}", style)


def _cost(state: ViewState) -> Content:
    if state.cost is None:
        return Content("")
    return Content.styled(f"${state.cost:.2f}" if state.cost >= 0.1 else f"${state.cost:.3f}", "$foreground 75%")


def _short(tokens: int) -> str:
    if tokens < 1000:
        return str(tokens)
    if tokens < 100_000:
        return f"{tokens / 1000:.1f}k"
    return f"{tokens / 1000:.0f}k" if tokens < 1_000_000 else f"{tokens / 1_000_000:.1f}M"


class WorkingLine(Widget):
    """What is going on, above the prompt: redrawn five times a second while something is, never while nothing is."""

    def __init__(self) -> None:
        super().__init__(id="working")
        self._state: ViewState | None = None
        self._timer: Timer | None = None
        self._flash = ""
        self._flash_timer: Timer | None = None
        self.quiet = ""  # stands there while nothing else does

    def show(self, state: ViewState) -> None:
        """Draw the state; starts or stops the clock."""
        self._state = state
        moving = state.running and not state.requests
        if moving and self._timer is None:
            self._timer = self.set_interval(1 / FRAMES_A_SECOND, self.refresh)
        elif not moving and self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._place()

    def flash(self, text: str, seconds: float = 3.0) -> None:
        """Say something short for a moment."""
        self._flash = text
        if self._flash_timer is not None:
            self._flash_timer.stop()
        self._flash_timer = self.set_timer(seconds, self._unflash) if text else None
        self._place()

    def unflash(self, text: str) -> None:
        """Take these words away, if they still stand there."""
        if text == self._flash:
            self.flash("")

    def _unflash(self) -> None:
        self._flash = ""
        self._place()

    def _place(self) -> None:
        state = self._state
        # while something is asked, the card says so
        moves = state is not None and state.running and (not state.requests or state.ownership.moving)
        offers = state is not None and state.offers_to_go_on
        self.display = bool(self._flash or moves or offers or (self.quiet and not (state and state.running)))
        self.refresh()

    def render(self) -> Content:
        """The spinner, what is waited for, since when, and how to stop it."""
        if self._flash:
            return Content.styled(self._flash, "$text-accent")
        state = self._state
        if state is None or not state.running:
            offer = state is not None and state.offers_to_go_on
            return Content.styled(CUT_OFF if offer else self.quiet, "$text-warning" if offer else "$foreground 75%")
        now = state.clock()
        passed = now - (state.ownership.since if state.ownership.moving == "background" else state.run_since)
        frame = FRAMES[int(now * FRAMES_A_SECOND) % len(FRAMES)]
        if state.ownership.silent_since is not None:
            words = silent_text(state.ownership.owner.partition(" (")[0], now - state.ownership.silent_since)
            return Content.styled(f"! {words}", "$text-warning")  # no spinner: nothing that we know of goes on
        what, style = doing(state, now)
        watches = state.ownership.owner and not state.ownership.moving
        usual = "/takeover · Esc stops" if watches else "Esc stops"
        passed, keys = f"  {seconds_text(int(passed))}", f"  {KEYS.get(state.ownership.moving, usual)}"
        room = self.content_size.width - cell_len(f"{frame} {passed}{keys}")
        return Content.assemble(
            (f"{frame} ", "$text-accent"), Content.styled(what, style).truncate(max(room, 0), ellipsis=True),
            (passed, "$foreground 75%"), (keys, "$foreground 45%"),
        )  # fmt: skip


def doing(state: ViewState, now: float) -> tuple[str, str]:
    """What the run does at this moment, in a few words, and their style."""
    waiting = state.waiting
    if waiting is not None and waiting.phase == "storage":  # before all else: until then no step ends
        return f"waits until there is room (try {waiting.attempt}): {clean_line(waiting.reason)}", "$text-error"
    if state.ownership.moving == "background" and now - state.ownership.since >= LEAVABLE_SECONDS:
        return LEAVABLE, "$text-accent"
    if state.ownership.moving:
        return MOVING.get(state.ownership.moving, MOVING["away"]), "$text-accent"
    if waiting is not None and waiting.phase == "retry":
        left = max(waiting.seconds - (now - state.waiting_since), 0)
        reason = clean_line(waiting.reason) or "the provider did not answer"
        return f"{reason}: try {waiting.attempt} in {seconds_text(int(left))}", "$text-warning"
    if waiting is not None:
        word = {"loading": "loading the model", "compacting": "making room in the context"}.get(
            waiting.phase, "waiting for the model"
        )
        passed = now - state.waiting_since
        return (f"{word} for {seconds_text(int(passed))}" if passed >= 3 else word), "$foreground"
    return "working", "$foreground"
