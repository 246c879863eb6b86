"""Locks: exclusive between processes and objects, free when the owner dies, never removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from letta_code.host.locks import FileLock, LockTimeout, Owner, is_alive, this_process

_HOLDER = """
import sys, time
from pathlib import Path
from letta_code.host.locks import FileLock
lock = FileLock(Path(sys.argv[1]), what="holder")
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


_HOLDER_WITH_CHILD = """
import subprocess, sys, time
from pathlib import Path
from letta_code.host.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.acquire()
child = subprocess.Popen(["sleep", "60"], close_fds=False)
print(child.pid, flush=True)
time.sleep(60)
"""


def _holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_only_one_holds_it(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "run" / "a.lock"), FileLock(tmp_path / "run" / "a.lock")
    assert first.try_lock()
    assert first.try_lock()
    assert not second.try_lock()
    assert (first.held, second.held) == (True, False)
    first.release()
    first.release()
    assert second.try_lock()


def test_it_is_given_back_at_the_end_of_the_block_and_its_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with FileLock(path) as lock:
        assert lock.held
        inode = path.stat().st_ino
    assert path.stat().st_ino == inode
    assert path.stat().st_mode & 0o777 == 0o600
    assert FileLock(path).try_lock()


def test_the_owner_is_told_and_its_death_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    process = _holder(path)
    lock = FileLock(path)
    assert not lock.try_lock()
    owner = lock.owner()
    assert owner
    assert (owner.pid, owner.what, is_alive(owner)) == (process.pid, "holder", True)
    start = time.monotonic()
    with pytest.raises(LockTimeout, match=f"process {process.pid} \\(holder\\)"):
        lock.acquire(timeout=0.2)
    assert 0.2 <= time.monotonic() - start < 2
    process.kill()
    process.wait()
    assert is_alive(owner) is False
    assert lock.try_lock()
    assert lock.owner() != owner


def test_waiting_ends_when_the_owner_goes(tmp_path: Path) -> None:
    process = _holder(tmp_path / "a.lock")
    process.terminate()
    FileLock(tmp_path / "a.lock").acquire(timeout=5)
    process.wait()


def test_what_the_file_says_is_only_information(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    for content in (b"", b"garbage", msgspec.json.encode(this_process("liar"))):
        path.write_bytes(content)
        lock = FileLock(path)
        assert lock.try_lock()
        lock.release()


def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    lock = FileLock(path)
    lock.acquire()
    child = os.fork()  # has a copy of the descriptor, as any child has until its program starts
    if child == 0:
        time.sleep(60)
        os._exit(0)
    lock.release()
    try:
        assert FileLock(path).try_lock()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_program_that_is_started_does_not_inherit_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER_WITH_CHILD, str(path)], stdout=subprocess.PIPE, text=True, close_fds=False
    )
    assert holder.stdout
    child = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    try:
        FileLock(path).acquire(timeout=5)
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_link_or_folder_in_a_locks_place_goes_aside_and_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "a.lock").symlink_to(tmp_path / "target")
    (tmp_path / "b.lock").mkdir()
    for name in ("a.lock", "b.lock"):
        lock = FileLock(tmp_path / name)
        assert lock.try_lock()
        assert not FileLock(tmp_path / name).try_lock()
        assert (tmp_path / name).is_file() and not (tmp_path / name).is_symlink()
        lock.release()
    assert (tmp_path / "target").read_text() == "precious"
    assert len([*tmp_path.glob("*.corrupt-*")]) == 2


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    me = this_process("test")
    assert is_alive(me) is True
    assert is_alive(msgspec.structs.replace(me, boot="another")) is False
    assert is_alive(msgspec.structs.replace(me, started=me.started + 1)) is False
    assert is_alive(msgspec.structs.replace(me, host="elsewhere")) is None
    assert is_alive(Owner(pid=me.pid, boot=me.boot, host=me.host)) is None


def test_an_owner_is_described_for_a_person() -> None:
    owner = Owner(pid=4711, host=os.uname().nodename, since="2026-11-21T08:15:30.123Z", what="tui")
    assert owner.described() == "process 4711 (tui) since 2026-11-21T08:15:30.123Z"
    assert msgspec.structs.replace(owner, host="elsewhere").described().startswith("process 4711 (tui) on elsewhere")


def test_a_look_at_a_lock_signs_nothing_and_makes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert not FileLock(path).is_taken()
    assert not path.exists()
    with FileLock(path, what="tui") as held:
        signed = path.read_bytes()
        assert FileLock(path).is_taken()
        assert held.held
    assert not FileLock(path).is_taken()
    assert path.read_bytes() == signed
    os.mkfifo(tmp_path / "pipe.lock")
    assert not FileLock(tmp_path / "pipe.lock").is_taken()
