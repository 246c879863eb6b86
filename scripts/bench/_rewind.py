"""Rewinds in a large tree: what they cost, whether every byte comes back, and that the person's git sees nothing."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _measure import Table, median

from letta_code.host.snapshots import Snapshots

FILES = 20_000
REWINDS = 5
AFTERWARDS = 0.2  # seconds: twice what issue 4 states
SHARE = 0.05  # of the same run's plain git add: what a second snapshot may cost, on a machine that is not quiet too
_T = TypeVar("_T")

# What a shell does to a tree; every kind of change that a rewind has to take back.
CHANGES = r"""
for f in d1/s*/*.py; do echo "# edited" >> "$f"; done
rm -r d2/s1 d3
mv d4/s2 d5/moved
mv d6/s0/f6.py renamed.py
chmod +x d7/s0/*.py
rm d8/s0/f8.py; ln -s ../../elsewhere d8/s0/f8.py
rm d9/s0/f9.py; mkdir d9/s0/f9.py; echo inside > d9/s0/f9.py/inside
rm -r d10/s0; echo 'a file where a folder was' > d10/s0
head -c 300000 /dev/urandom > blob.bin
printf '\000\001' | dd of=d11/s0/f11.py conv=notrunc status=none
mkdir -p new/deep; for n in 1 2 3 4 5; do echo $n > new/deep/$n; done
echo x > 'new/-leading dash'; echo y > "new/new
line"
echo untracked again >> untracked-1.txt
echo tracked although ignored, changed >> forced.log
"""


def git(root: Path, *arguments: str) -> bytes:
    """The person's own git; it takes no optional lock, so that looking changes nothing."""
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    identity = ("-c", "user.name=Bench", "-c", "user.email=bench@example.com", "-c", "gc.auto=0")
    return subprocess.run(["git", *identity, *arguments], cwd=root, env=env, check=True, capture_output=True).stdout


def lived_in(root: Path, count: int) -> None:
    """Commits, staged changes, a stash, ignored and untracked files."""
    rng = random.Random(4)
    for number in range(count):
        folder = root / f"d{number % 40}" / f"s{number // 40 % 25}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = (f"def f{rng.getrandbits(40)}(): return {rng.getrandbits(60)}\n" for _ in range(rng.randint(1, 80)))
        (folder / f"f{number}.py").write_text("".join(lines))
    (root / ".gitignore").write_text("node_modules/\n*.log\n")
    os.symlink("d0/s0/f0.py", root / "link")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    (root / "forced.log").write_text("tracked although ignored\n")
    git(root, "add", "-f", "forced.log")
    git(root, "commit", "-q", "-m", "second")
    (root / "d0/s0/f0.py").write_text("stashed\n")
    git(root, "stash")
    (root / "d0/s1/f40.py").write_text("staged\n")
    git(root, "add", "d0/s1/f40.py")
    (root / "d0/s1/f40.py").write_text("staged, then changed\n")
    for number in range(50):
        (root / f"untracked-{number}.txt").write_text(f"{number}\n")
    (root / "node_modules/x").mkdir(parents=True)
    for number in range(500):
        (root / f"node_modules/x/{number}.js").write_text("ignored\n")


def tree_hash(root: Path) -> str:
    """Of every path's kind, mode and content or target; `.git` and empty folders are none of a snapshot's business."""
    rows: list[bytes] = []
    for folder, folders, files in os.walk(os.fsencode(root)):
        if b".git" in folders and folder == os.fsencode(root):
            folders.remove(b".git")
        for name in [*files, *(name for name in folders if os.path.islink(os.path.join(folder, name)))]:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                rows.append(path + b"\0link\0" + os.readlink(path))
            else:
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).digest()
                rows.append(path + b"\0%o\0" % os.lstat(path).st_mode + digest)
    return hashlib.sha256(b"\n".join(sorted(rows))).hexdigest()


def git_state(root: Path) -> dict[str, str]:
    """What the person's git says, and every file of `.git` with its time."""
    asked = {
        "stash": ("stash", "list"),
        "reflog": ("reflog", "--all"),
        "refs": ("for-each-ref",),
        "head": ("rev-parse", "HEAD"),
        "config": ("config", "--list", "--local"),
        "staged": ("diff", "--cached"),
    }
    state = {name: git(root, *arguments).decode("utf-8", "replace") for name, arguments in asked.items()}
    for folder, _, files in os.walk(root / ".git"):
        for name in files:
            path = Path(folder, name)
            status = path.stat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            state[str(path.relative_to(root))] = f"{digest} {status.st_mtime_ns} {status.st_ino}"
    return state


def plain_add(root: Path) -> None:
    """What the plain way would cost: git's own add into a new repository beside the tree."""
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        subprocess.run(["git", "init", "-q", "--bare", folder], check=True)
        git(root, f"--git-dir={folder}", "-c", "core.bare=false", f"--work-tree={root}", "add", "-A")


def timed(act: Callable[[], _T]) -> tuple[_T, float]:
    """An answer and the seconds until it came."""
    began = time.perf_counter()
    answer = act()
    return answer, time.perf_counter() - began


def main(count: int) -> int:
    """Print the table; 0 when trees were equal, git's state untouched and the times held."""
    with tempfile.TemporaryDirectory(prefix="letta-bench-") as scratch:
        root = Path(scratch) / "tree"
        root.mkdir()
        lived_in(root, count)
        return rewinds(Snapshots(Path(scratch) / "store", root), root, count)


def rewinds(snapshots: Snapshots, root: Path, count: int) -> int:
    """Change, rewind, undo the rewind and rewind again, and compare all the time."""
    table = Table(f"Rewind: {count:,} files, changes made by a shell (git {git(root, 'version').decode().split()[2]})")
    status, state, before = git(root, "status", "--porcelain=v2"), git_state(root), tree_hash(root)
    _, plain = timed(lambda: plain_add(root))
    table.line("yardstick: plain git add of the same tree", f"{plain:.2f} s")
    first, seconds = timed(snapshots.take)
    kept = snapshots.size()
    table.line("first snapshot", f"{seconds:.2f} s", "at most the yardstick", seconds <= plain)
    table.line("files in it", f"{first.files:,}")
    table.line("bytes kept on disk", f"{kept / 1e6:.1f} MB")
    again = [timed(snapshots.take) for _ in range(REWINDS)]
    seconds = median(spent for _, spent in again)
    table.line(
        "second snapshot, nothing changed (median)",
        f"{seconds:.3f} s",
        f"at most {AFTERWARDS} s or {SHARE:.0%} of the yardstick",
        seconds <= max(AFTERWARDS, SHARE * plain),
    )
    table.line("the same tree, 0 bytes more", "", "", all(s.tree == first.tree and not s.new_bytes for s, _ in again))
    subprocess.run(["sh", "-ec", CHANGES], cwd=root, check=True)
    changed = tree_hash(root)
    now, seconds = timed(snapshots.take)
    table.line("snapshot after the changes", f"{seconds:.3f} s", "", None)
    table.line("bytes that it added", f"{now.new_bytes / 1e6:.2f} MB")
    changes, seconds = timed(lambda: snapshots.changes(now.tree, first.tree))
    table.line(f"preview of {len(changes):,} paths", f"{seconds:.3f} s")
    ends = _back_and_forth(table, snapshots, root, (first.tree, now.tree), (before, changed))
    table.line("tree equal by hash after each of them (bytes, modes, links)", "", "", ends)
    table.line("git's files untouched (index, refs, reflog, stash, config …)", "", "", git_state(root) == state)
    table.line("git status as before", "", "", git(root, "status", "--porcelain=v2") == status)
    table.line("bytes kept on disk at the end", f"{snapshots.size() / 1e6:.1f} MB")
    cleaned, seconds = timed(lambda: snapshots.clean(max_age_days=30, max_bytes=1 << 30))
    table.line("cleaning", f"{seconds:.2f} s")
    table.line("bytes kept after it", f"{cleaned.size / 1e6:.1f} MB")
    return table.code


def _back_and_forth(
    table: Table, snapshots: Snapshots, root: Path, trees: tuple[str, str], hashes: tuple[str, str]
) -> bool:
    """Rewind, undo, rewind …: ends rewound.  True when every state was the one meant."""
    equal, spent = True, list[float]()
    for turn in range(REWINDS):
        to = turn % 2
        now = snapshots.take()
        done, seconds = timed(lambda: snapshots.restore(trees[to], now=now.tree))  # noqa: B023  # called at once
        spent.append(seconds)
        found = tree_hash(root)
        equal = equal and not done.failed and found == hashes[to] and now.tree == trees[1 - to]
        for path, why in done.failed[:5]:
            print(f"    {path!r}: {why}")
    table.line(f"restore, {REWINDS} times there and back (median)", f"{median(spent):.3f} s")
    return equal


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else FILES))
