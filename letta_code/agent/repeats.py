"""Repeats: notices when a model asks for the same thing again and again."""

from __future__ import annotations

from hashlib import sha256

WARN_AT = 3
STOP_AT = 5
# The same command with another result each time may be waiting for something (a build, a server): more patience.
WARN_CHANGING_AT = 5
STOP_CHANGING_AT = 10
SAME_INVALID_STEPS = 3
INVALID_STEPS = 5


class Repeats:
    """Counts identical calls (name and arguments) of one run, with the same result and with any.

    A call that may change something and was not made before in this run starts the count anew for all: `git status`
    after each edit is no loop, but two commands taking turns are.
    """

    def __init__(self) -> None:
        self._same: dict[bytes, int] = {}
        self._any: dict[bytes, int] = {}
        self._known: set[bytes] = set()
        self._invalid: list[str] = []

    def count(self, name: str, arguments: str, result: str, *, reads_only: bool) -> tuple[int, int]:
        """How often this very call has now been made: with this very result, and with any.

        A call that only reads is never counted while its results differ: what it looks at changes.
        """
        call = sha256(f"{name}\0{arguments}".encode("utf-8", "surrogatepass")).digest()
        if call not in self._known and not reads_only:
            self._same.clear()
            self._any.clear()
        self._known.add(call)
        key = sha256(call + result.encode("utf-8", "surrogatepass")).digest()
        self._same[key] = self._same.get(key, 0) + 1
        self._any[call] = 0 if reads_only else self._any.get(call, 0) + 1
        return self._same[key], self._any[call]

    def invalid(self, error: str) -> bool:
        """Note what was wrong with a step that had nothing but calls that could not be understood, "" for any other.

        True after three such steps in a row with the same error, or five with any.
        """
        self._invalid = [*self._invalid, error] if error else []
        last = self._invalid[-SAME_INVALID_STEPS:]
        same = len(last) == SAME_INVALID_STEPS and len(set(last)) == 1
        return same or len(self._invalid) >= INVALID_STEPS


def is_warned(same: int, any_result: int) -> bool:
    """Whether the model is told that it repeats itself."""
    return same >= WARN_AT or any_result >= WARN_CHANGING_AT


def is_stopped(same: int, any_result: int) -> bool:
    """Whether the run ends."""
    return same >= STOP_AT or any_result >= STOP_CHANGING_AT
