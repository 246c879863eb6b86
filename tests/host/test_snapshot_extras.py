"""Permission bits and empty folders come back too; nothing that was private is public at any time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from letta_code.host.snapshots import Snapshots
from tests.host.hostile import repository


def modes(root: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.iterdir() if path.is_file()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = repository(tmp_path / "tree")
    for name, bits in {
        "secret.env": 0o600,
        "key.pem": 0o400,
        "ro.txt": 0o444,
        "own.sh": 0o700,
        "new\nline": 0o640,
    }.items():
        (root / name).write_text(name)
        (root / name).chmod(bits)
    return root


def test_rights_are_listed_and_come_back(root: Path, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "store", root)
    first, before = snapshots.take(), modes(root)
    (root / "secret.env").unlink()
    (root / "key.pem").unlink()
    (root / "ro.txt").chmod(0o644)
    (root / "own.sh").chmod(0o755)
    (root / "f.txt").chmod(0o600)
    (root / "new\nline").write_text("changed, too")
    now, later = snapshots.take(), modes(root)
    assert now.tree != first.tree
    listed = {change.path: change.kind for change in snapshots.changes(now.tree, first.tree)}
    assert listed == {
        "secret.env": "added",
        "key.pem": "added",
        "ro.txt": "mode",
        "own.sh": "mode",
        "f.txt": "mode",
        "new\nline": "changed",
    }
    assert snapshots.restore(first.tree, now=now.tree).failed == ()
    assert modes(root) == before
    assert snapshots.take().tree == first.tree
    assert snapshots.restore(now.tree, now=first.tree).failed == ()
    assert modes(root) == later


def test_rights_that_change_after_the_snapshot_of_now_stay(root: Path, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "store", root)
    first = snapshots.take()
    (root / "ro.txt").chmod(0o644)
    now = snapshots.take()
    (root / "ro.txt").chmod(0o600)
    assert [path for path, _ in snapshots.restore(first.tree, now=now.tree).failed] == ["ro.txt"]
    assert modes(root)["ro.txt"] == 0o600


def test_where_files_are_made_with_other_rights_only_what_is_unusual_is_noted(tmp_path: Path) -> None:
    root = repository(tmp_path / "tree")
    for number in range(300):
        (root / f"{number}.txt").write_text("x")
        (root / f"{number}.txt").chmod(0o664)
    snapshots = Snapshots(tmp_path / "store", root)
    first = snapshots.take()
    snapshots.keep("first", first.tree)
    for number in range(300):
        (root / f"{number}.txt").unlink()
    now = snapshots.take()
    assert snapshots.restore(first.tree, now=now.tree).failed == ()
    assert {bits for name, bits in modes(root).items() if name != "f.txt"} == {0o664}
    assert snapshots.take().tree == first.tree
    snapshots.clean(max_age_days=30, max_bytes=1)  # the newest stays whole
    assert snapshots.restore(now.tree, now=first.tree).failed == ()


def test_a_snapshot_of_an_older_version_sets_no_rights(root: Path, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "store", root)
    first = snapshots.take()
    plain = os.popen(f"git --git-dir={tmp_path / 'store'} rev-parse {first.tree}^{{tree}}").read().strip()
    (root / "secret.env").write_text("changed")
    now = snapshots.take()
    assert snapshots.restore(plain, now=now.tree).failed == ()
    assert modes(root)["secret.env"] == 0o600
    assert (root / "secret.env").read_text() == "secret.env"


def test_empty_folders_come_back_and_go(root: Path, tmp_path: Path) -> None:
    (root / "logs/deep").mkdir(parents=True)
    snapshots = Snapshots(tmp_path / "store", root)
    first = snapshots.take()
    (root / "logs/deep").rmdir()
    (root / "logs").rmdir()
    (root / "made/by/run").mkdir(parents=True)
    now = snapshots.take()
    assert snapshots.restore(first.tree, now=now.tree).failed == ()
    assert (root / "logs/deep").is_dir()
    assert not (root / "made").exists()
    (root / "logs/deep/file").write_text("now it holds one")
    then = snapshots.take()
    assert snapshots.restore(first.tree, now=then.tree).removed == ("logs/deep/file",)
    assert (root / "logs/deep").is_dir()
