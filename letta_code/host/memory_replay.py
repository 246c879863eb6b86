"""Replay: a memory repository made anew from its commits, each with its own author, time and message."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from letta_code.core.messages import Value
from letta_code.host.git_objects import Kind, NewObject, Objects
from letta_code.host.memory_git import BRANCH, LOCK_SECONDS, Repository

_SIGNATURE = re.compile(r"[^<>\n\0]* <[^<>\n\0]*> \d{1,11} [+-]\d{4}")
_UNKNOWN = "unknown <unknown@letta-code.invalid> 0 +0000"
_CHUNK = 500  # objects that are made durable together


class Version(Value):
    """A commit: `author` and `committer` are git's whole lines (name, address, time), `files` what it changed against
    its first parent (None: removed)."""

    id: str
    parents: tuple[str, ...]
    author: str
    committer: str
    message: str
    files: Mapping[str, bytes | None]


def versions(repository: Repository, head: str) -> list[Version]:
    """Every commit that leads to `head`, parents before children.

    Where history cannot be read any more (`GitDamage`), the commits before it are left out and the first that can be
    read holds its files whole; raises `GitDamage` when the newest cannot be read itself.
    """
    from letta_code.host.git_objects import GitDamage

    found: dict[str, Version] = {}
    todo = [head]
    while todo:
        sha = todo[-1]
        if sha in found:
            todo.pop()
            continue
        commit = repository.commit(sha)
        parents = [parent for parent in commit.parents if parent in found or _readable(repository, parent)]
        missing = [parent for parent in parents if parent not in found]
        if missing:
            todo += missing
            continue
        todo.pop()
        try:
            changed = repository.differences(parents[0] if parents else "", sha)
        except GitDamage:
            parents, changed = [], repository.differences("", sha)
        files = {path: repository.blob(new) if new else None for path, (_, new) in changed.items()}
        author, committer = _signatures(repository.objects.read(sha, "commit"))
        found[sha] = Version(
            id=sha, parents=tuple(parents), author=author, committer=committer, message=commit.message, files=files
        )
    return list(found.values())


def _readable(repository: Repository, sha: str) -> bool:
    return repository.objects.has(sha)


def _signatures(raw: bytes) -> tuple[str, str]:
    lines = raw.decode("utf-8", "replace").partition("\n\n")[0].split("\n")
    named = {key: value for key, _, value in (line.partition(" ") for line in lines)}
    return named.get("author", _UNKNOWN), named.get("committer", _UNKNOWN)


class _Growing(Objects):
    """Objects that are read from memory before they are written."""

    def __init__(self, git_dir: Path, scratch: Path) -> None:
        super().__init__(git_dir, scratch)
        self.new: dict[str, NewObject] = {}

    def read(self, sha: str, kind: Kind) -> bytes:
        made = self.new.get(sha)
        return made.raw.partition(b"\0")[2] if made else super().read(sha, kind)

    def take(self, objects: Sequence[NewObject]) -> None:
        self.new.update((one.sha, one) for one in objects)


def replay(
    root: Path, commits: Sequence[Version], renamed: Callable[[str, Mapping[str, str]], str] = lambda text, _: text
) -> dict[str, str]:
    """Make a repository in `root`, which must not have one, of commits with parents before children.

    `renamed` gets each message and the ids so far (old → new) and gives the message to be kept.  Returns old → new
    ids: the same wherever nothing in a commit and before it changed.  Working files are not touched.  Raises `OSError`.
    """
    repository = Repository(root)
    repository.lock.acquire(LOCK_SECONDS)
    try:
        repository.initialise()
        objects = _Growing(repository.git_dir, repository.scratch)
        trees: dict[str, str] = {}
        ids: dict[str, str] = {}
        for commit in commits:
            parents = [ids[parent] for parent in commit.parents if parent in ids]
            first = next((trees[parent] for parent in commit.parents if parent in ids), "")
            sha, tree = _made(objects, commit, parents, first, renamed(commit.message, ids))
            ids[commit.id], trees[commit.id] = sha, tree
        made = list(objects.new.values())
        for at in range(0, len(made), _CHUNK):
            repository.objects.write(made[at : at + _CHUNK], {})
        if commits:
            repository.set_ref(BRANCH, ids[commits[-1].id], "")
    finally:
        repository.lock.release()
    return ids


def _made(objects: _Growing, commit: Version, parents: Sequence[str], tree: str, message: str) -> tuple[str, str]:
    blobs = {path: NewObject.of("blob", data) for path, data in commit.files.items() if data is not None}
    objects.take(list(blobs.values()))
    names = {path: blobs[path].sha if path in blobs else None for path in commit.files}
    tree, trees = objects.tree_with(tree, names)
    if not tree:
        trees.append(NewObject.of("tree", b""))
        tree = trees[-1].sha
    objects.take(trees)
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {_signature(commit.author)}", f"committer {_signature(commit.committer)}", "", message]
    made = NewObject.of("commit", "\n".join(lines).encode("utf-8", "replace"))
    objects.take([made])
    return made.sha, tree


def _signature(line: str) -> str:
    return line if _SIGNATURE.fullmatch(line) else _UNKNOWN
