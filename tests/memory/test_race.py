"""What one writer looked at may be old when it gets the lock: nobody's edit is written over because of that."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from letta_code.memory.block import BlockError
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Create, Delete, Insert, Rethink, SetReadOnly
from letta_code.memory.folder import Folder, Taken
from tests.memory.conftest import AGENT, PERSON

Meanwhile = Callable[[Callable[[], object], Callable[[], object]], None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Do one thing in a thread, and another one at the moment at which the first asks for the lock."""

    def run(first: Callable[[], object], second: Callable[[], object]) -> None:
        asked, go = Event(), Event()
        writing = Folder.writing
        failed: list[BaseException] = []

        @contextmanager
        def waits(folder: Folder, folders: Sequence[str]) -> Generator[Taken]:
            if not asked.is_set():
                asked.set()
                assert go.wait(60)
            with writing(folder, folders) as taken:
                yield taken

        def work() -> None:
            try:
                first()
            except BaseException as error:  # told to the test, which runs in another thread
                failed.append(error)

        thread = Thread(target=work)
        with monkeypatch.context() as patched:
            patched.setattr(Folder, "writing", waits)
            thread.start()
            assert asked.wait(60)
            try:
                second()
            finally:
                go.set()
                thread.join(60)
        assert not failed, failed

    return run


@pytest.fixture
def other(home: Path) -> Blocks:
    """The same memory as another process, or another face of this one, has it."""
    return Blocks(home, "agent-1", "proj-1", "conv-1")


def value(blocks: Blocks, label: str) -> str:
    return blocks.view().find(label).value


@pytest.mark.parametrize("label", ["human", "persona", "project"])
def test_the_first_edit_is_not_emptied_by_the_standard_blocks(
    blocks: Blocks, other: Blocks, meanwhile: Meanwhile, label: str
) -> None:
    def edit() -> None:
        other.apply(Rethink(label=label, value="Likes hostile tests."), PERSON)

    meanwhile(blocks.ensure, edit)
    assert value(blocks, label) == value(other, label) == "Likes hostile tests."
    assert "hostile" in (blocks.root / other.view().find(label).path).read_text()
    blocks.ensure()
    assert value(blocks, label) == "Likes hostile tests."
    assert not any(block.is_new for block in blocks.view().blocks if block.label != "todo")


def test_a_protected_block_is_not_made_anew(blocks: Blocks, other: Blocks, meanwhile: Meanwhile) -> None:
    def edit() -> None:
        other.apply(Insert(label="human", text="mine"), PERSON)
        other.apply(SetReadOnly(label="human", read_only=True), PERSON)

    meanwhile(blocks.ensure, edit)
    block = blocks.view().find("human")
    assert block.read_only and block.value == "mine"


def test_a_hand_edit_is_not_made_anew(blocks: Blocks, other: Blocks, meanwhile: Meanwhile) -> None:
    path = blocks.root / "system/human.md"

    def edit() -> None:
        path.parent.mkdir(parents=True)
        path.write_text("Typed in an editor.")

    meanwhile(blocks.ensure, edit)
    assert value(other, "human") == "Typed in an editor."


@pytest.mark.parametrize("second", ["attach", "create", "detach", "delete"])
def test_what_another_one_attached_or_detached_stays_so(
    blocks: Blocks, other: Blocks, home: Path, meanwhile: Meanwhile, second: str
) -> None:
    for label in ("team", "style", "old"):
        Blocks(home, "agent-2").apply(Create(label=label, value="x", scope="shared"), AGENT)
    blocks.attach("old", PERSON)
    deeds: dict[str, tuple[Callable[[], object], set[str]]] = {
        "attach": (lambda: other.attach("style", PERSON), {"old", "team", "style"}),
        "create": (lambda: other.apply(Create(label="new", value="x", scope="shared"), AGENT), {"old", "team", "new"}),
        "detach": (lambda: other.detach("old", PERSON), {"team"}),
        "delete": (lambda: other.apply(Delete(label="old"), PERSON), {"team"}),
    }
    deed, left = deeds[second]
    meanwhile(lambda: blocks.attach("team", PERSON), deed)
    assert set(blocks.view().attached) == set(other.view().attached) == left


def test_the_other_way_round_too(blocks: Blocks, other: Blocks, home: Path, meanwhile: Meanwhile) -> None:
    for label in ("team", "old"):
        Blocks(home, "agent-2").apply(Create(label=label, value="x", scope="shared"), AGENT)
    blocks.attach("old", PERSON)
    meanwhile(lambda: blocks.detach("old", PERSON), lambda: other.attach("team", PERSON))
    assert set(blocks.view().attached) == {"team"}


def test_putting_a_held_edit_back_leaves_what_came_since(blocks: Blocks, other: Blocks, meanwhile: Meanwhile) -> None:
    blocks.apply(Insert(label="human", text="mine"), PERSON)
    blocks.apply(SetReadOnly(label="human", read_only=True), PERSON)
    path = blocks.root / "system/human.md"
    path.write_text(path.read_text().replace("mine", "obey me"))
    blocks.refresh()
    [held] = blocks.waiting.held()
    meanwhile(
        lambda: blocks.waiting.put_back(held.path, PERSON),
        lambda: other.apply(Insert(label="human", text="said meanwhile", line=0), PERSON),
    )
    assert "said meanwhile" in value(other, "human")


def test_two_agents_note_the_same_failed_try_beside_an_edit(
    blocks: Blocks, other: Blocks, meanwhile: Meanwhile
) -> None:
    from letta_code.agent.aftermath import _keep  # the part that writes

    blocks.ensure()
    note = "- Tried and failed 2026-11-21: “x”: it reached its limit of steps (conv-2)."
    meanwhile(
        lambda: _keep(blocks, note, "run-1"), lambda: other.apply(Rethink(label="project", value="Learned."), AGENT)
    )
    with pytest.raises(BlockError):
        other.view().find("conflicts/project")
    said = value(blocks, "project") + "".join(
        file.read_text() for file in (blocks.root / "conflicts").glob("*") if file.is_file()
    )
    assert "Learned." in value(blocks, "project")
    assert note in said
