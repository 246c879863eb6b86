"""A real process on a real small filesystem that a ballast file fills during its run, and that gets room again."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Real(NamedTuple):
    """What came of it: on what kind of filesystem, what was seen, and what is wrong."""

    what: str
    lines: tuple[str, ...] = ()
    wrongs: tuple[str, ...] = ()


def fill_and_free(scratch: Path) -> Real:
    return Real("not written yet")
