"""View: the blocks that one conversation sees at one commit; reading only."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import msgspec

from letta_code.core.messages import Value
from letta_code.host.git_objects import GitDamage
from letta_code.host.memory_paths import path_problem, printable
from letta_code.memory.block import (
    ATTACHED,
    CONFLICTS,
    CONVERSATIONS,
    DEFAULT_LIMIT,
    FILE_LIMIT,
    PENDING,
    PROJECTS,
    SUFFIX,
    Block,
    BlockError,
    Place,
    Scope,
    check_label,
    check_name,
    given_label,
)
from letta_code.memory.folder import Folder
from letta_code.memory.front_matter import parsed
from letta_code.memory.standard import ORDER, standard_blocks

_SCOPES: tuple[Scope, ...] = ("agent", "shared", "project", "conversation")  # the most lasting first
_NEAREST: tuple[Scope, ...] = ("conversation", "project", "agent", "shared")


class Pin(Value):
    """The commits of the agent's and of the shared repository that a prompt was made from; "" before the first."""

    own: str = ""
    shared: str = ""

    def __str__(self) -> str:
        return f"{self.own}+{self.shared}" if self.shared else self.own

    @classmethod
    def of(cls, text: str) -> Pin:
        """The pin of its text."""
        own, _, shared = text.partition("+")
        return cls(own=own, shared=shared)


class View:
    """What stands in memory at a pin.  `problems` name what could not be read; nothing here raises for that."""

    def __init__(self, own: Folder, shared: Folder, place: Place, pin: Pin) -> None:
        self._own = own
        self._shared = shared
        self.place = place
        self.pin = pin
        self.problems: list[str] = []
        self.follows = False  # whether an attached block is called otherwise by now
        self.attached = self._attached()
        self.blocks: tuple[Block, ...] = self._in_context()
        self._others: tuple[Block, ...] | None = None

    def _attached(self) -> tuple[str, ...]:
        data = self._read(self._own, self.pin.own, ATTACHED) or b""
        named = filter(None, map(str.strip, data.decode("utf-8", "replace").splitlines()))
        return tuple(dict.fromkeys(self._followed(label) for label in named))

    def _followed(self, label: str) -> str:
        """A shared block's label as it is now: another agent, or the person, may have renamed it."""
        if not self.pin.shared or self._read(self._shared, self.pin.shared, label + SUFFIX) is not None:
            return label
        from letta_code.memory.history import History

        found = History(self._shared).new_path(label + SUFFIX, self.pin.shared)
        self.follows = self.follows or bool(found)
        return found.removesuffix(SUFFIX) or label

    def _read(self, folder: Folder, commit: str, path: str) -> bytes | None:
        try:
            return folder.content(commit, path)
        except GitDamage as error:
            self.problems.append(f"{path}: {error}")
            return folder.work.read(path)

    def _files(self, folder: Folder, commit: str, below: str, but: str = "") -> Mapping[str, str]:
        bad: list[str] = []
        try:
            return folder.repository.files(commit, below, but=but, bad=bad) if commit else {}
        except GitDamage as error:
            self.problems.append(str(error))
            paths = (path for path in folder.work.record().files if path.startswith(f"{below}/" if below else ""))
            return dict.fromkeys(paths, "")
        finally:
            told = (f"{printable(path)} was left alone: {path_problem(path)}" for path in bad)
            self.problems += [text for text in told if text not in self.problems]

    def _in_context(self) -> tuple[Block, ...]:
        found = [
            block
            for below in self.place.folders
            for path, sha in self._files(self._own, self.pin.own, below).items()
            if path.endswith(SUFFIX) and (block := self._block(self._own, path, sha))
        ]
        for label in self.attached:
            entry = self._shared_entry(label)
            if entry:
                found.append(entry)
        known = {block.path for block in found if block.scope != "shared"}
        found += [block for block in standard_blocks(self.place) if block.path not in known]
        return tuple(sorted(found, key=_rank))

    def _shared_entry(self, label: str) -> Block | None:
        path = label + SUFFIX
        data = self._read(self._shared, self.pin.shared, path) if self.pin.shared else None
        return None if data is None else self.block_of(path, data, shared=True)

    def _block(self, folder: Folder, path: str, sha: str) -> Block | None:
        try:
            data = folder.blob(path, sha) if sha else folder.work.read(path)
        except GitDamage as error:
            self.problems.append(f"{path}: {error}")
            data = folder.work.read(path)
        return None if data is None else self.block_of(path, data)

    def block_of(self, path: str, data: bytes, *, shared: bool = False) -> Block:
        """The block of a file's content."""
        label, scope, in_context = self.place.label_of(path, shared=shared)
        said = parsed(data)
        problem = said.problem
        try:
            if not path.startswith(f"{CONFLICTS}/"):  # those names are ours
                check_label(label)
        except BlockError:
            problem = "; ".join(filter(None, (problem, "its file name is no good label: rename it")))
        return Block(
            label=label,
            value=said.value,
            description=said.description,
            limit=said.limit or (DEFAULT_LIMIT if in_context else FILE_LIMIT),
            read_only=said.read_only,
            scope=scope,
            path=path,
            in_context=in_context,
            problem=problem,
            extra=said.extra,
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Attached labels of which there is no shared block."""
        shown = {block.label for block in self.blocks if block.scope == "shared"}
        return tuple(label for label in self.attached if label not in shown)

    @property
    def others(self) -> tuple[Block, ...]:
        """Files that are not in context: read on demand.  Blocks of other projects and conversations are not there."""
        if self._others is None:
            self._others = self._on_demand()
        return self._others

    def _on_demand(self) -> tuple[Block, ...]:
        folders = tuple(f"{folder}/" for folder in (*self.place.folders, PROJECTS, PENDING))
        files = self._files(self._own, self.pin.own, "", but=CONVERSATIONS)
        paths = {path: sha for path, sha in files.items() if path.endswith(SUFFIX) and not path.startswith(folders)}
        found = (self._block(self._own, path, sha) for path, sha in sorted(paths.items()))
        return tuple(block for block in found if block)

    def get(self, label: str) -> Block | None:
        """A block by its label, or by its path without `.md`; in context first, the nearest scope first."""
        wanted = given_label(label)
        for name in dict.fromkeys((label.strip(), wanted)):
            for scope in _NEAREST:
                for block in self.blocks:
                    if block.scope == scope and block.label == name:
                        return block
            for block in (*self.blocks, *self.others):
                if name in (block.path, block.path.removesuffix(SUFFIX)):
                    return block
        return self._of_other_project(wanted + SUFFIX)

    def _of_other_project(self, path: str) -> Block | None:
        """A block of another project: it is not listed, but found by its whole name."""
        data = self._read(self._own, self.pin.own, path) if path.startswith(f"{PROJECTS}/") else None
        return None if data is None else self.block_of(path, data)

    def find(self, label: str) -> Block:
        """The same; raises `BlockError` that names the blocks there are."""
        check_name(given_label(label))
        block = self.get(label)
        if block is not None:
            return block
        names = [block.label for block in (*self.blocks, *self.others)]
        raise BlockError(f"There is no block `{given_label(label)}`. {_offered(given_label(label), names)}")

    def with_block(self, old: Block | None, new: Block | None) -> View:
        """The view after a change that is not written yet, so that a patch's later parts see its earlier ones."""
        view = copy.copy(self)
        view.blocks = _exchanged(self.blocks, old, new if new and new.in_context else None)
        view._others = _exchanged(self.others, old, new if new and not new.in_context else None)
        return view


def _exchanged(blocks: tuple[Block, ...], old: Block | None, new: Block | None) -> tuple[Block, ...]:
    kept = [block for block in blocks if old is None or (block.path, block.scope) != (old.path, old.scope)]
    return tuple(sorted([*kept, msgspec.structs.replace(new, is_new=False)] if new else kept, key=_rank))


def _rank(block: Block) -> tuple[int, int, str]:
    first = ORDER.index(block.label) if block.label in ORDER else len(ORDER)
    return _SCOPES.index(block.scope), first, block.label


def _offered(label: str, names: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(label, names, n=3, cutoff=0.6)
    guess = f"Did you mean {', '.join(f'`{name}`' for name in near)}? " if near else ""
    listed = ", ".join(f"`{name}`" for name in names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "")
    return f"{guess}The blocks are: {listed}. A new one is made with create."
