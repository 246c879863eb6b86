"""What tests ask the process table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def with_mark(mark: str) -> list[int]:
    """Living processes whose command line holds a mark; the test process itself is not one of them."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if mark.encode() in line and state != "Z":
            found.append(int(entry.name))
    return found


def children_of(pid: int) -> list[tuple[int, str]]:
    """Direct children and their states (Z is a zombie)."""
    found: list[tuple[int, str]] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append((int(entry.name), fields[0]))
    return found


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Poll until something is so; returns the seconds it took, fails when it takes longer."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not so after {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began
