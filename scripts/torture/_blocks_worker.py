"""A process that writes memory and says what was acknowledged: `_blocks_worker.py HOME PLANT KIND NAME COUNT`.

One line `ready`, then `ack TEXT` after each write that returned, then `done MILLISECONDS…` if nobody killed it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))  # the checkout: letta_code as it is here

from letta_code.host.git_objects import NewObject, Objects  # noqa: E402 - after the path is set
from letta_code.host.memory_git import Repository  # noqa: E402
from letta_code.host.memory_tree import HandEdits, Record, WorkTree  # noqa: E402
from letta_code.memory.blocks import Blocks  # noqa: E402
from letta_code.memory.edits import Append, ApplyPatch, Create, Edit, SetLimit  # noqa: E402
from letta_code.memory.outcome import Written  # noqa: E402
from letta_code.memory.provenance import Provenance  # noqa: E402

AGENT = "torture"
LABEL = "human"


def open_blocks(home: Path, conversation: str = "conv-1") -> Blocks:
    """The memory that everybody writes."""
    return Blocks(home, AGENT, "proj-1", conversation)


def make(home: Path) -> Blocks:
    """A memory with room for all lines."""
    blocks = open_blocks(home)
    blocks.ensure()
    blocks.apply(SetLimit(label=LABEL, limit=100_000), Provenance(source="user"))
    return blocks


def edit_for(kind: str, name: str, number: int) -> tuple[Edit, str]:
    """The edit, and the text that must stand in memory once it is acknowledged."""
    text = f"{name}.{number}"
    if kind == "appends":
        return Append(label=LABEL, text=text), text
    match number % 4:
        case 0:
            return Append(label=LABEL, text=text), text
        case 1:
            return Append(label="todo", text=text), text
        case 2:
            return Create(label=f"notes/{name}-{number}", value=text), text
        case _:
            patch = f"*** Update Block: {LABEL}\n@@\n+{text}\n*** Add Block: notes/{name}-{number}\n+{text}\n"
            return ApplyPatch(patch=patch), text


def work(home: Path, kind: str, name: str, count: int, told_first: bool) -> None:
    """Write until `count` is reached or the end comes from outside."""
    blocks = open_blocks(home)
    by = Provenance(conversation="conv-1", seq=1)
    print("ready", flush=True)
    times: list[float] = []
    for number in range(count):
        edit, text = edit_for(kind, name, number)
        if told_first:
            print("ack", text, flush=True)
        began = time.perf_counter()
        outcome = blocks.apply(edit, by)
        times.append((time.perf_counter() - began) * 1000)
        if not isinstance(outcome, Written) or not outcome.commit or outcome.conflict:
            raise SystemExit(f"not written: {outcome!r}")
        print("ack", text, flush=True)
    print("done", *(f"{ms:.2f}" for ms in times), flush=True)


# ---------------------------------------------------------------- planted faults


def _no_cas() -> None:
    """The branch is set without a lock or a look at where it stands."""

    def move(self: Repository, ref: str, old: str, ticket: Path) -> None:
        os.replace(ticket, self.git_dir / ref)

    Repository._move = move
    _no_lock()


def _no_lock() -> None:
    from letta_code.host.locks import FileLock

    def acquire(self: FileLock, timeout: float | None = None) -> None:
        self._descriptor = os.open(os.devnull, os.O_RDONLY)

    FileLock.acquire = acquire


def _ref_first() -> None:
    """The branch moves before its objects are there."""
    write, add = Objects.write, Repository.add
    waiting: list[NewObject] = []

    def later(self: Objects, objects: Iterable[NewObject], scratch_files: Mapping[Path, bytes]) -> None:
        write(self, [], scratch_files)
        waiting[:] = objects

    def add_then_write(self: Repository, *words: Any, **named: Any) -> str:
        commit = add(self, *words, **named)
        time.sleep(0.002)
        write(self.objects, waiting, {})
        return commit

    Objects.write = later
    Repository.add = add_then_write


def _reset() -> None:
    """What was edited by hand is overwritten."""

    def none(self: WorkTree, record: Record, folders: object = ()) -> HandEdits:
        return HandEdits(files={}, problems={})

    def always(self: WorkTree, path: str, record: Record) -> bool:
        return True

    WorkTree.hand_edits = none
    WorkTree._is_as_recorded = always


PLANTS: dict[str, Callable[[], None]] = {
    "no-cas": _no_cas,
    "told-first": lambda: None,
    "ref-first": _ref_first,
    "reset": _reset,
}


if __name__ == "__main__":
    home, plant, kind, name, count = sys.argv[1:]
    if plant:
        PLANTS[plant]()
    work(Path(home), kind, name, int(count), plant == "told-first")
