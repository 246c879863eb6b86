"""Output of any size: the kept bytes equal those of a plain list, in little memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from letta_code.host.output import NOTE, Output, Spool

chunks = st.lists(st.integers(0, 40).flatmap(lambda n: st.binary(min_size=n, max_size=n)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(parts=chunks, head=st.integers(0, 30), tail=st.integers(0, 30), limit=st.integers(2, 200))
def test_head_tail_and_spool_equal_the_whole(parts: list[bytes], head: int, tail: int, limit: int) -> None:
    whole = b"".join(parts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        output = Output(head=head, tail=tail, path=str(path), spool_limit=limit)
        for part in parts:
            output.add(part)
        if output.spool:
            output.spool.close()
        assert output.total == len(whole)
        if len(whole) <= head + tail:
            assert (output.head, output.tail, output.dropped, output.spool) == (whole, b"", 0, None)
            return
        assert output.head == whole[:head]
        assert output.tail == (whole[-tail:] if tail else b"")
        assert output.dropped == len(whole) - head - tail
        half = limit // 2
        kept = path.read_bytes()
        if len(whole) <= 2 * half:
            assert kept == whole
        else:
            dropped = len(whole) - 2 * half
            assert kept == whole[:half] + NOTE.format(dropped).encode() + whole[-half:]
            assert output.spool is not None
            assert output.spool.dropped == dropped
        assert list(Path(folder).iterdir()) == [path]


@settings(max_examples=150, deadline=None)
@given(parts=chunks, limit=st.integers(2, 200), since=st.integers(0, 300), length=st.integers(0, 100))
def test_a_spool_can_be_read_from_anywhere_while_and_after_it_is_written(
    parts: list[bytes], limit: int, since: int, length: int
) -> None:
    whole = b"".join(parts)
    half = limit // 2
    gap = range(half, len(whole) - half)
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(f"{folder}/spool", limit)
        for part in parts:
            spool.write(part)
        for _ in range(2):
            start, data = spool.read(since, length)
            if since in gap:
                assert start == gap.stop
            elif since <= len(whole):
                assert start == since
            assert whole[start : start + len(data)] == data
            if since < len(whole) and length:
                assert data
            spool.finish()
        spool.close()


def test_a_spool_that_cannot_be_made_costs_only_the_spool(tmp_path: Path) -> None:
    output = Output(head=2, tail=2, path=str(tmp_path / "missing" / "spool"), spool_limit=100)
    output.add(b"0123456789")
    assert (output.head, output.tail, output.dropped, output.spool) == (b"01", b"89", 6, None)


def test_a_full_disk_ends_the_spool_and_not_the_output() -> None:
    full = Path("/dev/full")
    if not full.exists():
        return
    spool = Spool.__new__(Spool)
    spool.__init__(tempfile.mktemp(), 1000)
    import os

    os.dup2(os.open(full, os.O_RDWR), spool._main)  # the fault is put in here
    spool.write(b"x" * 10)
    spool.write(b"y" * 10)
    assert spool.dropped == 20
    os.unlink(spool.path)
