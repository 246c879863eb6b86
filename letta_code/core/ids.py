"""Ids and times: sortable ids, UTC times."""

from __future__ import annotations

import os
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class _Sequence:
    """Numbers of one process, each greater than the one before, whatever the clock does."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        number = (int(time.time() * 1000) << 50) | (int.from_bytes(os.urandom(7), "big") & ((1 << 50) - 1))
        with self._lock:
            # Within a millisecond, or after the clock was put back, the random part only steps on.
            if number >> 50 <= self._last >> 50:
                number = self._last + 1 + (number & 0xFFFFFFFF)
            self._last = number
        return number


_numbers = _Sequence()


def new_id(prefix: str) -> str:
    """A unique id such as `msg-06b3kq2f8z4x1m9c7d5e`: 48 bits of milliseconds, then 50 random bits, in base 32.

    Ids made later sort later (between processes: to the millisecond), so listings by id are listings by age.
    """
    number = _numbers.next()
    return f"{prefix}-" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(95, -1, -5))


def made_at(name: str) -> float:
    """When an id was made, in seconds since the epoch; 0.0 for what is no id of ours."""
    signs = name.rpartition("-")[2]
    if len(signs) != 20 or any(sign not in _ALPHABET for sign in signs):
        return 0.0
    number = 0
    for sign in signs:
        number = number * 32 + _ALPHABET.index(sign)
    return (number >> 50) / 1000


def utc_now() -> str:
    """The time now as `2026-11-21T08:15:30.123Z`."""
    return utc_time(time.time())


def utc_time(seconds: float) -> str:
    """Seconds since the epoch as `2026-11-21T08:15:30.123Z`."""
    parts = time.gmtime(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', parts)}.{int(seconds * 1000) % 1000:03d}Z"
