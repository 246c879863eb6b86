"""History: what happened to a block, which commit each of its lines comes from, and how to take a commit back."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from letta_code.core.messages import Value
from letta_code.host.files import atomic_write, ensure_private_dir, read_bounded
from letta_code.host.git_objects import GitDamage
from letta_code.host.memory_git import Commit
from letta_code.memory.block import PENDING, BlockError
from letta_code.memory.folder import Folder
from letta_code.memory.front_matter import parsed
from letta_code.memory.merge import merged
from letta_code.memory.provenance import PROGRAM, RENAMED, Change, change_of, renames, trailers


class BlamedLine(Value):
    """A line of a block and where it comes from; `number` counts from 1."""

    number: int
    text: str
    change: Change


class _Known(msgspec.Struct):
    """The commit of each line of one version of a block, kept so that no history is walked twice."""

    blob: str
    commits: list[str]


class History:
    """The past of one repository's blocks; reading only, but for a cache that may be deleted at any time."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._repository = folder.repository
        self._cache = self._repository.own_dir / "blame"

    # ------------------------------------------------------------ what happened

    def versions(self, path: str, start: str = "") -> Iterator[tuple[Commit, str, str]]:
        """Commit, path and blob ("" where it was removed) of every change of a file, newest first, renames followed."""
        start = start or self._folder.head()
        now = self._blob(start, path)
        for commit in self._folder.commits(start):
            parent = commit.parents[0] if commit.parents else ""
            before = self._blob(parent, path)
            if now != before:
                yield commit, path, now
                if not before and (old := _old_path(commit, path)):
                    path, before = old, self._blob(parent, old)
            now = before

    def _blob(self, commit: str, path: str) -> str:
        entry = self._repository.entry(commit, path) if commit else None
        return entry.sha if entry and entry.is_file else ""

    def changes(self, path: str = "", limit: int = 50, *, only: Collection[str] | None = None) -> list[Change]:
        """The newest changes of a block's file, of all of memory for ""; as far back as history can be read.

        `only` are the files that count, under their older names too (None: all).
        """
        found: list[Change] = []
        with contextlib.suppress(GitDamage):
            commits = (commit for commit, _, _ in self.versions(path)) if path else self._touching(only)
            for commit in commits:
                found.append(change_of(commit))
                if len(found) >= limit:
                    break
        return found

    def files_of(self, commit: str) -> dict[str, tuple[bytes | None, bytes | None]]:
        """Path → content before and after, of what a commit changed; raises `BlockError` for an unknown commit."""
        whole = self.full_name(commit)
        parents = self._repository.commit(whole).parents
        differences = self._repository.differences(parents[0] if parents else "", whole)
        return {path: (self._content(old), self._content(new)) for path, (old, new) in differences.items()}

    def _content(self, blob: str) -> bytes | None:
        return self._repository.blob(blob) if blob else None

    def full_name(self, commit: str) -> str:
        """The full name of a commit on the current branch, from its beginning (4 signs or more); else `BlockError`."""
        short = commit.strip().lower()
        if len(short) >= 4:
            for known in self._folder.commits():
                if known.sha.startswith(short):
                    return known.sha
        raise BlockError(f"There is no change {commit!r} in this memory's history. Look at the history for its name.")

    def new_path(self, path: str, start: str) -> str:
        """What a file that is not there any more is called now, by the renames that history has; "" when it is gone."""
        later: dict[str, str] = {}
        with contextlib.suppress(GitDamage):
            for commit in self._folder.commits(start):
                if self._blob(commit.sha, path):  # the commit after this one took it away
                    break
                later.update({old: later.get(new, new) for old, new in renames(commit).items()})
        found = later.get(path, "")
        return found if found and self._blob(start, found) else ""

    def _touching(self, only: Collection[str] | None) -> Iterator[Commit]:
        """The commits that changed these files, newest first, renames followed; all commits for None."""
        wanted = set(only or ())
        for commit in self._folder.commits():
            if only is None or not wanted.isdisjoint(self._paths(commit)):
                yield commit
            wanted.update(old for old, new in renames(commit).items() if new in wanted)

    def _paths(self, commit: Commit) -> Collection[str]:
        return self._repository.differences(commit.parents[0] if commit.parents else "", commit.sha)

    def path_at(self, path: str, commit: str) -> str:
        """What a file of now was called after a commit, by the renames since."""
        for later in self._folder.commits():
            if later.sha == commit:
                break
            path = _old_path(later, path) or path
        return path

    # ------------------------------------------------------------ whose lines

    def blame(self, path: str) -> list[BlamedLine]:
        """The lines of a block's value as it is now, each with the change that brought it."""
        head = self._folder.head()
        data = self._folder.content(head, path) if head else None
        if data is None:
            return []
        lines = _value_lines(data)
        commits = self.line_commits(path, head)
        changes = {sha: change_of(self._repository.commit(sha)) for sha in set(commits)}
        pairs = enumerate(zip(lines, commits, strict=True), start=1)
        return [BlamedLine(number=number, text=line, change=changes[sha]) for number, (line, sha) in pairs]

    def line_commits(self, path: str, head: str) -> list[str]:
        """The commit of each line of a file's value at `head`."""
        blob = self._blob(head, path)
        if not blob:
            return []
        known = self._load(path)
        if known is None or known.blob != blob:
            known = _Known(blob=blob, commits=self._walked(path, head))
            self._store(path, known)
        return known.commits

    def _walked(self, path: str, head: str) -> list[str]:
        versions = [(commit.sha, blob) for commit, _, blob in self.versions(path, head)]
        seen: dict[str, list[str]] = {}
        lines: list[str] = []
        commits: list[str] = []
        for sha, blob in reversed(versions):
            new = _value_lines(self._repository.blob(blob)) if blob else []
            # A version that was there before has its old authors again: that is what undo means.
            commits = seen.get(blob) or _carried(lines, commits, new, sha)
            lines = new
            seen[blob] = commits
        return commits

    def extend(self, before: str, after: str, commit: str, old: bytes | None, new: bytes | None) -> None:
        """Carry what is known of a file's lines over one commit, from path `before` to `after`; for speed only."""
        known = self._load(before) if old is not None else _Known(blob="", commits=[])
        parent = self._repository.commit(commit).parents
        old_blob = self._blob(parent[0], before) if parent and old is not None else ""
        if known is None or known.blob != old_blob or new is None:
            return
        old_lines = _value_lines(old) if old is not None else []
        commits = _carried(old_lines, known.commits, _value_lines(new), commit)
        self._store(after, _Known(blob=self._blob(commit, after), commits=commits))

    def _load(self, path: str) -> _Known | None:
        try:
            return msgspec.json.decode(read_bounded(self._cache / _cache_name(path), 16 << 20), type=_Known)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _store(self, path: str, known: _Known) -> None:
        with contextlib.suppress(OSError):  # a cache: without room it is walked again next time
            ensure_private_dir(self._cache)
            atomic_write(self._cache / _cache_name(path), msgspec.json.encode(known), durable=False, follow=False)

    # ------------------------------------------------------------ taking back

    def last_undoable(self, only: Collection[str] | None = None) -> Change | None:
        """The newest change by a person or agent that is neither an undo nor taken back already.

        What only waits for a person is no change of memory.  `only` are the files that count, under their older names
        too (None: all).
        """
        for commit, undone, is_undo in self._standing(only):
            change = change_of(commit)
            if undone or is_undo or change.provenance.source == PROGRAM:
                continue
            if any(not path.startswith(f"{PENDING}/") for path in self._paths(commit)):
                return change
        return None

    def _standing(self, only: Collection[str] | None = None) -> Iterator[tuple[Commit, bool, bool]]:
        """Every commit, newest first: whether it is taken back, and whether it takes another one back."""
        undone: set[str] = set()
        for commit in self._touching(only):
            target = trailers(commit).get("Letta-Undo", "")
            taken_back = commit.sha in undone
            if target and not taken_back:
                undone.add(target)
            yield commit, taken_back, bool(target)

    def taken_back(self, commit: str, head: str) -> dict[str, bytes | None]:
        """What every file must be so that a commit is undone and everything later stays.

        Raises `BlockError` when later edits changed the same lines.
        """
        if any(undone for known, undone, _ in self._standing() if known.sha == commit):
            raise BlockError("That change is undone already.")
        changes: dict[str, bytes | None] = {}
        for path, (before, after) in self.files_of(commit).items():
            now = self._folder.content(head, path)
            if now == before:
                continue
            if now == after:
                changes[path] = before
                continue
            made = before is None and not renames(self._folder.repository.commit(commit))
            if after is not None and (made or (before is not None and not parsed(before).value)):
                before = _emptied(after, before)  # it was the first text there: what others wrote since stays
            if None in (now, before, after):
                raise BlockError(
                    f"{path} was removed or renamed by that change and changed again since: it cannot be undone "
                    "by itself. Undo the later changes first (see the history)."
                )
            sides = (side.decode("utf-8", "replace") for side in (after, now, before) if side is not None)
            result = merged(*sides)
            if result.conflicts:
                later = self._later(commit, [path])
                raise BlockError(
                    f"Later edits changed the same lines of {path}; the last change of it is {later}. Nothing was "
                    "changed. Undo those first, or edit the block; the change's diff shows what stood there."
                )
            if (data := result.text.encode()) != now:
                changes[path] = data
        if not changes:
            later = self._later(commit, self.files_of(commit))
            raise BlockError(
                f"Nothing of that change stands in memory any more: {later} came after it. Nothing was changed."
            )
        return changes

    def _later(self, commit: str, paths: Collection[str]) -> str:
        """The newest change of these files besides a commit, for a sentence."""
        for later in self._touching(paths):
            if later.sha != commit:
                change = change_of(later)
                return f"{later.sha[:10]} “{change.summary}” by {change.provenance.named}"
        return "another change"


def renamed_trailer(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """The trailer that lets history follow a rename."""
    return {RENAMED: " ".join(f"{old}>{new}" for old, new in pairs)} if pairs else {}


def _emptied(data: bytes, before: bytes | None) -> bytes:
    """A block's file without its value, for a merge by lines: the blank line before the value stays."""
    return data.removesuffix(parsed(data).value.encode() + b"\n") if before is None else before + b"\n"


def _old_path(commit: Commit, path: str) -> str:
    """What a file was called before a commit that renamed it to `path`; "" when it did not."""
    return next((old for old, new in renames(commit).items() if new == path), "")


def _value_lines(data: bytes) -> list[str]:
    value = parsed(data).value
    return value.split("\n") if value else []


def _carried(old: Sequence[str], commits: Sequence[str], new: Sequence[str], commit: str) -> list[str]:
    from difflib import SequenceMatcher

    found = [commit] * len(new)
    for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        found[block.b : block.b + block.size] = commits[block.a : block.a + block.size]
    return found


def _cache_name(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:24] + ".json"
