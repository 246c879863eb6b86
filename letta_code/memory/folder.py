"""Folder: one repository of memory with its working files; every write is one durable commit, hand edits included."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from letta_code.core.messages import Value
from letta_code.host.git_objects import GitDamage, blob_name
from letta_code.host.locks import LockTimeout
from letta_code.host.memory_git import LOCK_SECONDS, Commit, GitBusy, RefMoved, Repository
from letta_code.host.memory_paths import PathRefused
from letta_code.host.memory_tree import HandEdits, Record, WorkTree
from letta_code.memory.block import ATTACHED, CONFLICTS, PENDING, SUFFIX, BlockError, is_label
from letta_code.memory.front_matter import parsed
from letta_code.memory.merge import merged
from letta_code.memory.provenance import PROGRAM, USER, Provenance, author_of, message

NO_COMMIT = "0" * 40  # where the branch is damaged: what is read then comes from the working files
ATTEMPTS = 12  # how often a write begins again because another git moved the branch
PAUSE_SECONDS = 0.005  # longer by so much each time
_NO_LABELS = "it is to name shared blocks, a label a line, and does not; those that were attached stay so"


class Taken(Value):
    """What was found in the working files and what was done with it.

    `commit` is the new commit of hand edits ("" when there was none) and `paths` what it changed; `conflicts` are the
    files that keep the other side of a true conflict; `held` are edits that wait for a person (path → why);
    `restored` files that had vanished all at once; `problems` files that were left alone (path → why).
    `missing`: the whole folder was there before and is gone; a new one was begun.  `by` is whose hand it was.
    """

    commit: str = ""
    paths: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    held: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    restored: tuple[str, ...] = ()
    problems: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    missing: bool = False
    by: Provenance = Provenance(source=USER)

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the person."""
        what = "A hand edit was" if self.by.by_person else f"Files that changed while {self.by.named} ran were"
        found = [f"{what} taken into memory: {', '.join(self.paths)}."] if self.paths else []
        found += [f"A hand edit met another edit of the same lines: it is kept in {path}." for path in self.conflicts]
        found += [f"The hand edit of {path} was not taken in: {why}." for path, why in self.held.items()]
        if self.restored:
            found.append(f"{len(self.restored)} memory files had vanished at once and were put back from history.")
        if self.missing:
            found.append("The memory folder was gone and a new one was begun: put the old one back if you have a copy.")
        return (*found, *(f"The memory file {path} {why}." for path, why in self.problems.items()))


class Folder:
    """A repository in `root` (`~/.letta/agents/<agent>/memory`).  Safe to use from several threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = Repository(root)
        self.work = WorkTree(self.repository)
        self.hands = Provenance(source=USER)  # who edits the files now: the person, or a command that runs
        self.untold: list[str] = []  # notices of what was taken in by a write, until somebody tells the person
        self._tidied = False
        self._told: dict[str, str] = {}  # problems of files that the person knows of
        self._guard = threading.Lock()  # threads share the lock object, which excludes other processes only

    def head(self) -> str:
        """The newest commit, "" before the first; costs microseconds.  A branch that cannot be read names no commit."""
        try:
            return self.repository.head() if self.repository.exists else ""
        except (GitDamage, OSError):
            return NO_COMMIT

    def blob(self, path: str, sha: str) -> bytes:
        """A file's content by its blob; a damaged object is made up for by the working file where that is the same."""
        try:
            return self.repository.blob(sha)
        except GitDamage:
            data = self.work.read(path)
            if data is not None and blob_name(data) == sha:
                return data
            raise

    def content(self, commit: str, path: str) -> bytes | None:
        """A file of a commit, None when it is not there."""
        entry = self.repository.entry(commit, path) if commit else None
        return self.blob(path, entry.sha) if entry and entry.is_file else None

    # ------------------------------------------------------------ hand edits

    def refresh(self, folders: Sequence[str]) -> Taken | None:
        """Take in what was changed by hand below these folders; None when nothing was.

        Looks without the lock first: with nothing changed it costs one stat for each file.
        """
        record = self.work.record()
        edits = self.work.hand_edits(record, folders)
        head = self.head()
        new = any(
            path not in record.behind or not held_reason(path, self.content(head, path), data)
            for path, data in edits.files.items()
        )
        if not new and record.commit == head:
            problems = self._untold(edits.problems)
            self.untold.extend(Taken(problems=problems).notices)
            return Taken(problems=problems) if problems else None
        for _ in range(ATTEMPTS - 1):
            with contextlib.suppress(RefMoved), self.writing(folders) as taken:
                return taken
        with self.writing(folders) as taken:
            return taken

    def _untold(self, problems: Mapping[str, str]) -> Mapping[str, str]:
        """Those that were not told yet: each is told once, and again when it changed."""
        new = {path: why for path, why in problems.items() if self._told.get(path) != why}
        self._told |= new
        return new

    def tell(self) -> tuple[str, ...]:
        """What the person has not been told yet of what was taken in; it counts as told then."""
        found: list[str] = []
        with contextlib.suppress(IndexError):  # other threads tell as well: each notice is told by one
            while True:
                found.append(self.untold.pop(0))
        return tuple(found)

    @contextlib.contextmanager
    def writing(self, folders: Sequence[str]) -> Generator[Taken]:
        """Hold the lock, the repository made and hand edits below these folders taken in first.  Never nested."""
        with self._guard, self._locked(folders) as taken:
            yield taken

    @contextlib.contextmanager
    def _locked(self, folders: Sequence[str]) -> Generator[Taken]:
        missing = not self.repository.exists and self.repository.lock.path.exists()
        try:
            self.repository.lock.acquire(LOCK_SECONDS)
        except LockTimeout as error:
            raise BlockError(
                f"Memory is being written by another process ({error.strerror}). Nothing was changed. Try again later."
            ) from error
        except OSError as error:
            raise _unwritable(error, self.root) from error
        try:
            try:
                missing = missing and not self.repository.exists
                self.repository.initialise()
                if not self._tidied:
                    self.repository.tidy()
                    self._tidied = True
                taken = self._take_in(folders)
            except OSError as error:
                raise _unwritable(error, self.root) from error
            taken = msgspec.structs.replace(taken, missing=True) if missing else taken
            self.untold.extend(taken.notices)
            yield taken
        except (GitDamage, GitBusy, PathRefused) as error:
            raise BlockError(f"Memory cannot be written: {error}. Nothing was changed.", hint=error.hint) from error
        finally:
            self.repository.lock.release()

    def _take_in(self, folders: Sequence[str]) -> Taken:
        record = self.work.record(fresh=True).copy()
        head = self._protected(record, self.repository.head())
        edits = self.work.hand_edits(record, folders)
        moved = self._moved(record, head)
        if not edits.files and not moved and not record.behind:
            return Taken(problems=self._untold(edits.problems))
        edits, restored = self._without_disaster(edits, record, head)
        edited = dict(edits.files)  # what is left of it below is a real hand edit
        self._follow({*moved, *record.behind, *restored}, edited, head, record)
        taken = self._commit_hand_edits(edited, head, record)
        record.commit = taken.commit or head
        self.work.bring_index(record.commit, record)
        self.work.save(record)
        problems = {**edits.problems, **taken.problems}
        return msgspec.structs.replace(taken, problems=self._untold(problems), restored=tuple(restored))

    def _protected(self, record: Record, head: str) -> str:
        """The newest commit, read-only blocks put back in it that the git of a command changed (not the person's)."""
        if self.hands.by_person or record.commit in ("", NO_COMMIT, head):
            return head
        known = self._moved(record, head) & {*record.files}
        before = {path: self._base(path, record.files[path].sha) for path in known}
        wrong = {path: data for path, data in before.items() if data is not None and parsed(data).read_only}
        wrong = {path: data for path, data in wrong.items() if data != self.content(head, path)}
        if not wrong:
            return head
        labels = " ".join(path.removesuffix(SUFFIX) for path in wrong)
        self.untold.append(f"A command's git changed read-only blocks of memory: {labels}. They were put back.")
        text = message(f"put back {labels}", Provenance(source=PROGRAM), {"Letta-Blocks": labels})
        return self.repository.add(wrong, text, parent=head, author=author_of(Provenance(source=PROGRAM), ""))

    def _moved(self, record: Record, head: str) -> set[str]:
        """The files of ours that other commits changed since the working files were brought up to date."""
        if record.commit == head:
            return set()
        try:
            paths = set(self.repository.differences(record.commit, head))
        except GitDamage:  # the commit of the record is gone: compare with all that is there
            paths = {*self.repository.files(head), *record.files}
        # Other files are the person's, whatever they keep in the folder.
        ours = (ATTACHED, f"{PENDING}/")
        return {path for path in paths if path.endswith(SUFFIX) or path.startswith(ours) or path in record.files}

    def _without_disaster(self, edits: HandEdits, record: Record, head: str) -> tuple[HandEdits, list[str]]:
        """Files that vanished all at once were lost, not deleted: they are put back."""
        gone = [path for path, data in edits.files.items() if data is None]
        if len(gone) < 2 or (edits.kept and (len(gone) < 3 or len(gone) <= edits.kept)):
            return edits, []
        restored = [path for path in gone if self.repository.entry(head, path) is not None]
        for path in gone:
            record.files.pop(path, None)
        left = {path: data for path, data in edits.files.items() if data is not None}
        return HandEdits(files=left, problems=edits.problems, kept=edits.kept), restored

    def _follow(self, paths: set[str], edited: dict[str, bytes | None], head: str, record: Record) -> None:
        """Bring working files to the newest commit, but for those that were edited by hand."""
        same: list[str] = []
        place: dict[str, bytes | None] = {}
        for path in sorted(paths):
            entry = self.repository.entry(head, path)
            wanted = entry.sha if entry and entry.is_file else ""
            if path in edited:
                data = edited[path]
                if ("" if data is None else blob_name(data)) == wanted:
                    same.append(path)
                    del edited[path]
            elif entry is None or entry.is_file or entry.is_folder:
                place[path] = self.blob(path, wanted) if wanted else None
        self.work.recognise(same, head, record)
        record.unindexed = [*record.unindexed, *same]
        self.work.place(place, {}, record)

    def _commit_hand_edits(self, edited: Mapping[str, bytes | None], head: str, record: Record) -> Taken:
        changes: dict[str, bytes | None] = {}
        held: dict[str, str] = {}
        conflicts: list[str] = []
        for path, data in edited.items():
            now = self.content(head, path)
            why = held_reason(path, now, data)
            if why:
                held[path] = why
                record.behind = [*(other for other in record.behind if other != path), path]
                continue
            result, conflict = self._merged(path, record, now, data)
            if conflict:
                name = conflict_name(path, head)
                changes[name] = conflict
                conflicts.append(name)
            changes[path] = result
        if not changes:
            return Taken(held=held)
        by = self.hands
        labels = " ".join(path.removesuffix(SUFFIX) for path in edited if path not in held)
        text = message(f"{'hand edit' if by.by_person else 'file edit'} of {labels}", by, {"Letta-Blocks": labels})
        try:
            commit = self.repository.add(changes, text, parent=head, author=author_of(by, "agent"))
        except PathRefused as error:  # such as a file where memory has a folder: all others are taken in
            left = {path: data for path, data in edited.items() if path != error.path}
            if len(left) == len(edited):
                raise
            taken = self._commit_hand_edits(left, head, record)
            problems = {**taken.problems, error.path: f"was not taken in: {error.why}"}
            return msgspec.structs.replace(taken, problems=problems)
        same = [path for path, data in changes.items() if path in edited and edited[path] == data]
        self.work.recognise(same, commit, record)
        record.unindexed = [*record.unindexed, *same]
        # What the person wrote is in history now, merged or beside it: the working file may be replaced.
        others = {path: data for path, data in changes.items() if path not in same}
        for path in others:
            if (hand := edited.get(path)) is not None:
                self.work.note(path, hand, record)
            elif path in edited:
                record.files.pop(path, None)  # it was removed by hand, and stands again
        self.work.place(others, {}, record)
        paths = tuple(path for path in changes if path in edited)
        return Taken(commit=commit, paths=paths, conflicts=tuple(conflicts), held=held, by=by)

    def _merged(
        self, path: str, record: Record, now: bytes | None, hand: bytes | None
    ) -> tuple[bytes | None, bytes | None]:
        """What stands afterwards, and what is kept beside it because of a conflict."""
        known = record.files.get(path)
        base = self._base(path, known.sha) if known else None
        if now in (base, hand):
            return hand, None
        if now is None or hand is None:  # removed on one side, changed on the other: the text stands
            return (now if hand is None else hand), None
        if base is None:  # both made a file of this name
            return now, hand
        result = merged(*(side.decode("utf-8", "replace") for side in (base, now, hand)))
        return result.text.encode(), hand if result.conflicts else None

    def _base(self, path: str, sha: str) -> bytes | None:
        try:
            return self.blob(path, sha)
        except GitDamage:
            return None

    # ------------------------------------------------------------ writing

    def commit(self, changes: Mapping[str, bytes | None], text: str, author: str, parent: str) -> str:
        """One durable commit on top of `parent`, and the working files brought along; inside `writing`.

        Raises `RefMoved` when another git was quicker (nothing was changed: begin again), `BlockError` where the disk
        refuses or a link or file stands in the way.
        """
        for path, data in changes.items():
            if data is not None and (why := self.work.blocked(path)):
                raise PathRefused(
                    path, why, hint=f"Remove what stands in the way in {self.root}, or use another label."
                )
        scratch = self.work.prepared(changes)
        contents = {name: data for path, name in scratch.items() if (data := changes[path]) is not None}
        try:
            commit = self.repository.add(changes, text, parent=parent, author=author, scratch_files=contents)
        except OSError as error:
            raise _unwritable(error, self.root) from error
        finally_left = set(scratch.values())
        try:
            record = self.work.record().copy()
            self.work.place(changes, scratch, record)
            record.commit = commit
            self.work.bring_index(commit, record)
            self.work.save(record)
        except OSError:
            # The commit is what counts and is durable; the next look at the folder brings the files along.
            self._tidied = False
        finally:
            for name in finally_left:
                name.unlink(missing_ok=True)
        return commit

    def branch_off(self, ref: str, changes: Mapping[str, bytes | None], text: str, author: str, parent: str) -> str:
        """A commit on top of `parent` on a new branch, durable; our branch and the working files stay as they are.

        Inside `writing`.  Raises `RefMoved` when there is such a branch, `BlockError` where the disk refuses.
        """
        try:
            if parent:
                self.repository.set_ref(ref, parent, "")
            return self.repository.add(changes, text, parent=parent, author=author, ref=ref)
        except OSError as error:
            raise _unwritable(error, self.root) from error

    def commits(self, start: str = "") -> Iterator[Commit]:
        """Commits from the newest (or `start`) back along first parents."""
        return self.repository.commits(start or self.head())


def conflict_name(path: str, commit: str) -> str:
    """Where the other side of a conflict is kept: `conflicts/<block>@<sha>.md`."""
    return f"{CONFLICTS}/{path.removesuffix(SUFFIX).replace('/', '.')}@{commit[:10] or 'start'}{SUFFIX}"


def _unwritable(error: OSError, root: Path) -> BlockError:
    return BlockError(
        f"Memory could not be written: {error.strerror or error}. Nothing was changed.",
        hint=f"Make room on the disk, or check the rights of {root}.",
    )


def held_reason(path: str, now: bytes | None, hand: bytes | None) -> str:
    """Why a hand edit is not taken in by itself; "" when it is.

    Whoever can write files can write this one, an agent's shell as well: a read-only block waits for a person.
    """
    if path.startswith(f"{PENDING}/"):
        return "what waits for approval is decided with /memory, not by editing files" if now != hand else ""
    if path == ATTACHED:
        return "" if hand is None or hand == now or _names_labels(hand) else _NO_LABELS
    if now is not None and now != hand and parsed(now).read_only:
        return "the block is read-only"
    return ""


def _names_labels(data: bytes) -> bool:
    """Whether a file is what `attached` is to be: a label a line."""
    try:
        return all(is_label(line.strip()) for line in data.decode("utf-8").splitlines() if line.strip())
    except UnicodeDecodeError:
        return False
