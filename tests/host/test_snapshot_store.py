"""The store of snapshots: what a killed process left in it, whose git it hears, and who holds it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from letta_code.host.snapshot_store import SnapshotStore
from letta_code.host.snapshots import Snapshots
from tests.host.hostile import git, repository


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    root = repository(tmp_path / "tree")
    return SnapshotStore(tmp_path / "store", root)


def test_half_made_objects_of_a_killed_process_go_and_whole_ones_stay(store: SnapshotStore) -> None:
    tree = Snapshots(store.folder, Path(store.root)).take().tree
    whole = store.objects()
    assert whole
    for name in ("tmp_obj_aBcDeF", "pack/tmp_pack_aBcDeF", "pack/.tmp-77-pack-aBcDeF.pack"):
        (store.folder / "objects" / name).write_bytes(b"half")
    assert len(store.objects()) == len(whole) + 3
    with store.locked():
        store.sweep()
        assert store.objects() == whole
        store.git("cat-file", "-e", tree, top=store.root)  # it is there, else this raises


def test_the_persons_repository_is_read_whatever_git_their_shell_points_to(
    store: SnapshotStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = repository(tmp_path / "other")
    (other / "not-here.txt").write_text("of another repository")
    git(other, "add", ".")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert store.theirs("ls-files") == b"f.txt\n"
    assert store.theirs("rev-parse", "--show-toplevel") == store.root.encode() + b"\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel tells open files in /proc")
def test_its_git_holds_the_store_with_us(store: SnapshotStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git that outlives us goes on writing: until its end nobody else may begin."""
    real, told = os.environ["PATH"], tmp_path / "told"
    spy = tmp_path / "bin" / "git"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\nreadlink /proc/$$/fd/* >> "{told}"\nPATH="{real}" exec git "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{real}")
    lock = str(store.folder / "lock")
    with store.locked():
        store.git("rev-parse", "--git-dir", top=store.root)
        assert lock in told.read_text().splitlines()
    told.unlink()
    store.git("rev-parse", "--git-dir", top=store.root)
    assert lock not in told.read_text().splitlines()
