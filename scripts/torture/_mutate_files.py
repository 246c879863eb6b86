"""Mutations of files: what bad disks, half-done copies, other programs and slips of the hand leave behind."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

PAGE = 4096
HOME = "home"  # the folder's name; links out of it lead to what `make_outside` makes beside it
ELSEWHERE = "elsewhere.txt"
ENDLESS = "zero"
WORDS = b"A file of somebody's.\n"


def make_outside(folder: Path) -> None:
    """What links lead to: nothing of the system, since whoever runs this as root would lose what is written over."""
    (folder / ELSEWHERE).write_bytes(WORDS)
    if os.geteuid() == 0:
        os.mknod(folder / ENDLESS, stat.S_IFCHR | 0o600, os.stat("/dev/zero").st_rdev)
    else:
        (folder / ENDLESS).symlink_to("/dev/zero")  # which nobody but root can replace


def _rewrite(path: Path, data: bytes) -> None:
    path.unlink()  # the copy of the home is made of hard links: never write through one
    path.write_bytes(data)


def _flip_bits(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 8)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    _rewrite(path, bytes(data))


def _truncate(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    _rewrite(path, data[: rng.randrange(len(data) + 1)])


def _zero_pages(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = rng.randrange(max(1, len(data) // PAGE)) * PAGE
    end = min(len(data), start + PAGE * rng.randint(1, 4))
    data[start:end] = bytes(end - start)
    _rewrite(path, bytes(data))


def _garbage(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data) + 1)
    part = rng.randbytes(rng.randint(1, 2 * PAGE))
    data[start : start + len(part)] = part
    _rewrite(path, bytes(data))


def _all_garbage(path: Path, rng: random.Random) -> None:
    _rewrite(path, rng.randbytes(rng.randint(1, 5 * PAGE)))


def _empty(path: Path, rng: random.Random) -> None:
    _rewrite(path, b"")


def _tail_twice(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    _rewrite(path, data + data[-rng.randint(1, 4 * PAGE) :])


def _delete(path: Path, rng: random.Random) -> None:
    path.unlink()


def _folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside.txt").write_text("something\n")


def _link(path: Path, rng: random.Random) -> None:
    outside = next(folder for folder in path.parents if folder.name == HOME).parent
    path.unlink()
    path.symlink_to(rng.choice(["/nowhere/at/all", path.name, outside / ENDLESS, outside / ELSEWHERE]))


def _pipe(path: Path, rng: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _no_rights(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    _rewrite(path, data)
    path.chmod(0)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """A file whose rights were taken, read all the same."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    try:
        yield
    finally:
        path.chmod(mode)


def _bad_text(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    at = rng.randrange(len(data) + 1)
    _rewrite(path, data[:at] + b"\xff\xfe\xc0\x80\xed\xa0\x80" + data[at:])


def _huge_line(path: Path, rng: random.Random) -> None:
    _rewrite(path, path.read_bytes() + b"x" * rng.choice([300_000, 3_000_000]))


def _null(path: Path, rng: random.Random) -> None:
    _rewrite(path, rng.choice([b"null\n", b"\0" * 512, b"None"]))


def _wrong_type(path: Path, rng: random.Random) -> None:
    words = [b"[]\n", b"[1, 2, 3]\n", b"42\n", b'"text"\n', b"{}\n", b'{"id": 7, "name": []}\n', b"- a\n- b: {c: [\n"]
    _rewrite(path, rng.choice(words))


MUTATIONS: dict[str, Callable[[Path, random.Random], None]] = {
    "bits flipped": _flip_bits,
    "cut off": _truncate,
    "pages of zeros": _zero_pages,
    "garbage inside": _garbage,
    "all garbage": _all_garbage,
    "empty": _empty,
    "tail twice": _tail_twice,
    "deleted": _delete,
    "a folder": _folder,
    "a symbolic link": _link,
    "a named pipe": _pipe,
    "no rights": _no_rights,
    "no UTF-8": _bad_text,
    "huge line": _huge_line,
    "null": _null,
    "wrong type": _wrong_type,
}


def copy_home(source: Path, target: Path) -> None:
    """A copy of hard links but for what is written in place (the database, the mirrors, logs, locks); pipes as well."""
    linked = (".git/objects", "/backups/")

    def copied(one: str, other: str) -> str:
        if stat.S_ISFIFO(os.stat(one).st_mode):
            os.mkfifo(other)
            return other
        if any(part in one for part in linked):
            with contextlib.suppress(OSError):  # kept on another disk: copied
                os.link(one, other)
                return other
        if os.access(one, os.R_OK):
            return shutil.copy2(one, other)
        with readable(Path(one)):
            shutil.copyfile(one, other)
        shutil.copystat(one, other)
        return other

    def sockets(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if stat.S_ISSOCK(os.lstat(os.path.join(folder, name)).st_mode)]

    shutil.copytree(source, target, copy_function=copied, symlinks=True, ignore=sockets)


def files_of(home: Path) -> list[Path]:
    """The files that may be mutated."""
    return sorted(p for p in home.rglob("*") if p.is_file() and not p.is_symlink())


def choose(home: Path, rng: random.Random, only: str = "*") -> list[Path]:
    """One to three files; the database's, the mirrors and the small named ones come up often, git's objects seldom.

    `only` is a pattern of names in the home.
    """
    files = [path for path in files_of(home) if fnmatch(str(path.relative_to(home)), only)]
    weights = [_weight(path.relative_to(home)) for path in files]
    chosen: list[Path] = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        path = rng.choices(files, weights)[0]
        if path not in chosen:
            chosen.append(path)
    return chosen


def _weight(path: Path) -> float:
    if path.name.startswith("letta.db"):
        return 12.0
    if ".git" in path.parts:
        return 0.15
    return 4.0


def mutate(path: Path, rng: random.Random, home: Path) -> str:
    """Mutate one file; what was done."""
    if rng.random() < 0.05:
        other = rng.choice(files_of(home))
        if other != path:
            mine, theirs = path.read_bytes(), other.read_bytes()
            _rewrite(path, theirs)
            _rewrite(other, mine)
            return f"swapped with {other.relative_to(home)}"
    name = rng.choice(list(MUTATIONS))
    MUTATIONS[name](path, rng)
    return name
