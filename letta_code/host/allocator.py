"""Allocator: keeps a process of many threads from growing for ever although it holds nothing more than before."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager

_M_ARENA_MAX = -8  # of glibc's malloc.h
_ARENAS = 2
_USUAL = gc.get_threshold()
_AT_START = 100_000  # objects more than before at which cycles are looked for; 700 are usual


def few_arenas() -> None:
    """Let all threads share two of the C library's heaps; where there is no such thing, nothing is done.

    glibc gives every thread a heap of its own (eight for each CPU), and what one thread frees no other can use: after
    thousands of turns more than half of the memory of a session was such holes.  With Python's lock the threads hardly
    ever wait for each other there.  To be called before threads are started: heaps that exist stay.
    """
    if sys.platform != "linux":
        return
    import ctypes

    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
    except (OSError, AttributeError):
        return  # another C library


def collect_seldom() -> None:
    """Look for cycles seldom from now on, until `collect_as_usual`: a program that starts makes objects that stay.

    Each look walks through all of them, and finds nothing.
    """
    gc.set_threshold(_AT_START)


def collect_as_usual() -> None:
    """What was made while it started is not walked through any more, what comes is looked at as Python does it."""
    if gc.get_threshold()[0] == _AT_START:
        gc.freeze()
        gc.set_threshold(*_USUAL)


@contextmanager
def collection_paused() -> Generator[None]:
    """Do not look for cycles while very many objects are made that all stay: a long conversation is read.

    Each look walks through all of them again, and finds nothing.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
