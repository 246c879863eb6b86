"""Allocator: keeps a process of many threads from growing for ever although it holds nothing more than before."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager

_M_ARENA_MAX = -8  # of glibc's malloc.h
_ARENAS = 2


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
