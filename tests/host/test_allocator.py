"""The heaps of a process with many threads, as glibc itself counts them."""

from __future__ import annotations

import ctypes
import gc
import platform
import subprocess
import sys

import pytest

from letta_code.host.allocator import collect_as_usual, collect_seldom

PROGRAM = """
import ctypes, sys, threading
from letta_code.host.allocator import few_arenas

few_arenas() if sys.argv[1] == "few" else None
libc = ctypes.PyDLL(None)
libc.malloc.restype = ctypes.c_void_p
all_there = threading.Barrier(8)

def take():
    libc.malloc(5000)
    all_there.wait()

threads = [threading.Thread(target=take) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has such heaps")
@pytest.mark.parametrize(("wish", "few"), [("few", True), ("many", False)])
def test_threads_share_few_heaps(wish: str, few: bool) -> None:
    assert hasattr(ctypes.CDLL(None), "mallopt")
    done = subprocess.run([sys.executable, "-c", PROGRAM, wish], capture_output=True, text=True, timeout=60, check=True)
    heaps = done.stdout.count("<heap nr=")
    assert (heaps <= 2) == few, done.stdout[-500:]


def test_cycles_are_looked_for_seldom_at_the_start_only() -> None:
    usual = gc.get_threshold()
    collect_seldom()
    assert gc.isenabled() and gc.get_threshold()[0] > 10 * usual[0]
    try:
        collect_as_usual()
        assert gc.get_threshold() == usual and gc.get_freeze_count()
        gc.unfreeze()
        collect_as_usual()
        assert not gc.get_freeze_count(), "a second time it leaves everything as it is"
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)
