"""Tally: what one run has taken, over all the processes that did it: tokens, money, time."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic

from letta_code.agent.history import History
from letta_code.core.errors import LettaError
from letta_code.core.events import RunFinished
from letta_code.core.messages import Usage


class Tally:
    """Counts from the run's beginning: what the conversation had used before is not the run's."""

    def __init__(self, history: History, *, resumed: bool) -> None:
        """`resumed`: the run began in another process."""
        self._history = history
        self._resumed = resumed
        self._began = monotonic()
        self._before = history.before_run if resumed else (history.usage, history.cost)

    def finished(self, run_id: str, reason: str, *, steps: int, error: LettaError | None) -> RunFinished:
        """The run's last event, if it ends now."""
        cost, (usage_before, cost_before) = self._history.cost, self._before
        return RunFinished(
            run_id=run_id,
            reason=reason,
            steps=steps,
            usage=_minus(self._history.usage, usage_before),
            cost=None if cost is None else cost - (cost_before or 0.0),
            seconds=round(self._seconds(), 3),
            error_kind=error.kind if error else "",
            error=str(error) if error else "",
            hint=error.hint if error else "",
        )

    def _seconds(self) -> float:
        """From the run's beginning, in whichever process that was."""
        here, begun = monotonic() - self._began, self._history.run
        if not self._resumed or begun is None:
            return here
        try:
            return max(here, (datetime.now(UTC) - datetime.fromisoformat(begun.at)).total_seconds())
        except (ValueError, TypeError):
            return here


def _minus(after: Usage, before: Usage) -> Usage:
    return Usage(
        input=after.input - before.input,
        output=after.output - before.output,
        cache_read=after.cache_read - before.cache_read,
        cache_write=after.cache_write - before.cache_write,
        reasoning=after.reasoning - before.reasoning,
    )
