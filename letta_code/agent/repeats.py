"""Repeats: notices when a model asks for the same thing again and again and gets the same answer."""

from __future__ import annotations

from hashlib import sha256

WARN_AT = 3
STOP_AT = 5
INVALID_STEPS = 3


class Repeats:
    """Counts identical calls (name, arguments, result) of one run.

    A call that may change something and was not made before in this run starts the count anew for all: `git status`
    after each edit is no loop, but two commands taking turns are.
    """

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._known: set[bytes] = set()
        self._invalid_steps = 0

    def count(self, name: str, arguments: str, result: str, *, reads_only: bool) -> int:
        """How often this very call has now given this very result."""
        call = sha256(f"{name}\0{arguments}".encode("utf-8", "surrogatepass")).digest()
        if call not in self._known and not reads_only:
            self._counts.clear()
        self._known.add(call)
        key = sha256(call + result.encode("utf-8", "surrogatepass")).digest()
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts[key]

    def invalid(self, all_invalid: bool) -> bool:
        """Note whether a step had nothing but calls that could not be understood; True after three such in a row."""
        self._invalid_steps = self._invalid_steps + 1 if all_invalid else 0
        return self._invalid_steps >= INVALID_STEPS
