"""Snapshots under force: killed in the middle, no room on the disk."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from letta_code.core.errors import WorkspaceError
from letta_code.host.snapshots import Snapshots
from tests.host.test_snapshots import seen

FOR_EVER = """
import sys
from pathlib import Path
from letta_code.host.snapshots import Snapshots
snapshots = Snapshots(Path(sys.argv[1]), Path(sys.argv[2]))
print("ready", flush=True)
while True:
    for tree in sys.argv[3:]:
        snapshots.restore(tree, now=snapshots.take().tree)
"""


def _many(root: Path, text: str) -> None:
    for number in range(400):
        path = root / f"d{number % 7}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text} {number}\n" * 40)


def test_a_kill_at_any_moment_leaves_whole_files_and_a_store_that_works(tmp_path: Path) -> None:
    root, store = tmp_path / "root", tmp_path / "store"
    _many(root, "one")
    snapshots = Snapshots(store, root)
    trees = [snapshots.take().tree]
    states = [seen(root)]
    _many(root, "two")
    (root / "d1/more").write_text("more\n")
    trees.append(snapshots.take().tree)
    states.append(seen(root))
    for name, tree in zip(("one", "two"), trees, strict=True):
        snapshots.keep(name, tree)
    rng = random.Random(5)
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", FOR_EVER, str(store), str(root), *trees], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(rng.random() * 0.3)
            child.send_signal(signal.SIGKILL)
        now = snapshots.take()
        for path, thing in seen(root).items():
            assert thing in (states[0].get(path), states[1].get(path)), path
        back = snapshots.restore(trees[0], now=now.tree)
        assert back.failed == ()
        assert seen(root) == states[0]
    assert list(snapshots.names()) == ["one", "two"]


def test_no_room_is_said_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, store = tmp_path / "root", tmp_path / "store"
    _many(root, "one")
    snapshots = Snapshots(store, root)
    first = snapshots.take()
    before = snapshots.size()
    real = os.environ["PATH"]
    (tmp_path / "bin").mkdir()
    full = tmp_path / "bin/git"
    # Everything works but the last step: what was written until then has to go again.
    full.write_text(
        "#!/bin/sh\n"
        'for word; do [ "$word" = write-tree ] && { echo "fatal: No space left on device" >&2; exit 128; }; done\n'
        f'PATH="{real}" exec git "$@"\n'
    )
    full.chmod(0o755)
    _many(root, "two")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{real}")
    with pytest.raises(WorkspaceError, match="no room") as error:
        snapshots.take()
    assert "Free some space" in error.value.hint
    assert snapshots.size() <= before
    monkeypatch.setenv("PATH", real)
    second = snapshots.take()
    assert len(snapshots.changes(first.tree, second.tree)) == 400
    assert snapshots.restore(first.tree, now=second.tree).failed == ()


def test_a_snapshot_that_is_stopped_leaves_no_process_and_a_store_that_works(tmp_path: Path) -> None:
    root, store = tmp_path / "root", tmp_path / "store"
    _many(root, "one")
    os.mkfifo(root / "d0" / ".gitignore")  # git waits for who writes there
    snapshots = Snapshots(store, root)
    ended: list[str] = []

    def take() -> None:
        try:
            snapshots.take()
        except WorkspaceError as error:
            ended.append(str(error))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not (ours := _gits_of(store)) and time.monotonic() < end:
        time.sleep(0.01)
    assert ours
    snapshots.stop()
    thread.join(30)
    assert ended == ["The snapshot was stopped"]
    assert _gits_of(store) == []
    (root / "d0" / ".gitignore").unlink()
    assert Snapshots(store, root).take().files == 400


def _gits_of(store: Path) -> list[int]:
    """Processes of git that work on a store, but for those that have ended."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"GIT_DIR={store}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
