"""Our own files: whole or untouched, private, bounded."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from letta_code.host.files import append_line, atomic_write, ensure_private_dir, read_bounded, write_new


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_folder_and_its_parents_are_made_0700(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ensure_private_dir(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    assert {_mode(tmp_path / "a"), _mode(tmp_path / "a/b"), _mode(tmp_path / "a/b/c")} == {0o700}


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there").chmod(0o755)
    ensure_private_dir(tmp_path / "there")
    assert _mode(tmp_path / "there") == 0o755


def test_a_file_where_a_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):
        ensure_private_dir(tmp_path / "file")
    with pytest.raises(OSError):
        ensure_private_dir(tmp_path / "file" / "below")


@pytest.mark.parametrize("durable", [True, False])
def test_a_new_file_is_private_and_alone(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "settings.yaml"
    atomic_write(path, b"data\n", durable=durable)
    assert path.read_bytes() == b"data\n"
    assert _mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_replaced_file_keeps_its_mode_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_bytes(b"old")
    path.chmod(0o754)
    atomic_write(path, b"new")
    assert (path.read_bytes(), _mode(path)) == (b"new", 0o754)
    atomic_write(path, b"newer", mode=0o600)
    assert (path.read_bytes(), _mode(path)) == (b"newer", 0o600)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    target = tmp_path / "dotfiles" / "config.yaml"
    target.write_bytes(b"old")
    link = tmp_path / "config.yaml"
    link.symlink_to(target)
    atomic_write(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("failing", ["write", "fsync", "replace", "fchmod"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no room"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: BaseException
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(type(error)):
        atomic_write(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    atomic_write(tmp_path / "file", b"more than three bytes")
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == b"more than three bytes"


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    versions = [bytes([number]) * 200_000 for number in range(2)]
    atomic_write(path, versions[0])
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            atomic_write(path, versions[number % 2], durable=False)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            assert path.read_bytes() in versions
    finally:
        stop.set()
        writer.join()


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_bounded(path, 100) == b"x" * 100
    with pytest.raises(OSError) as caught:
        read_bounded(path, 99)
    assert caught.value.errno == errno.EFBIG


def test_a_file_that_says_it_is_empty_is_bounded_too() -> None:
    if not os.path.exists("/proc/self/maps"):
        pytest.skip("no /proc here")
    with pytest.raises(OSError) as caught:
        read_bounded(Path("/proc/self/maps"), 10)
    assert caught.value.errno == errno.EFBIG


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError) as caught:
            read_bounded(path, 1000)
        assert caught.value.errno == errno.EINVAL


def test_lines_of_several_writers_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "history"

    def write(name: str) -> None:
        for number in range(200):
            append_line(path, f"{name}{number} ".encode() * 50)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == 600
    assert {len(set(line.split())) for line in lines} == {1}
    assert _mode(path) == 0o600


def test_a_line_that_did_not_fit_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "history"
    append_line(path, b"first")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:4]))
    with pytest.raises(OSError) as caught:
        append_line(path, b"second")
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    append_line(path, b"third")
    assert path.read_bytes() == b"first\nthird\n"


def test_a_line_with_a_newline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        append_line(tmp_path / "history", b"two\nlines")


def test_a_new_file_is_private_and_never_replaces_one(tmp_path: Path) -> None:
    path = tmp_path / "new"
    before = os.umask(0)
    try:
        write_new(path, b"first")
    finally:
        os.umask(before)
    assert (_mode(path), path.read_bytes()) == (0o600, b"first")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for there in (path, tmp_path / "link"):
        with pytest.raises(FileExistsError):
            write_new(there, b"second")
    assert path.read_bytes() == b"first" and not (tmp_path / "elsewhere").exists()


def test_a_new_file_that_did_not_fit_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError):
        write_new(tmp_path / "new", b"x")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_a_device_or_pipe_is_replaced_itself(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    atomic_write(link, b"ours")
    assert stat.S_ISFIFO(pipe.lstat().st_mode)  # nothing of the system is put out of the way
    assert link.read_bytes() == b"ours" and not link.is_symlink()


def test_a_line_for_a_pipe_or_device_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        with pytest.raises(OSError) as caught:
            append_line(path, b"words")
        assert caught.value.errno in (errno.EINVAL, errno.ENXIO)


def test_what_nobody_keeps_elsewhere_is_not_written_through_a_link(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.write_bytes(b"of somebody")
    theirs.chmod(0o644)
    ours.symlink_to(theirs)
    atomic_write(ours, b"data", follow=False)
    assert not ours.is_symlink() and ours.read_bytes() == b"data" and ours.stat().st_mode & 0o777 == 0o600
    assert theirs.read_bytes() == b"of somebody"
