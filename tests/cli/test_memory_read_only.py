"""`letta-code memory` where nothing can be written: what only shows something works all the same."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from letta_code.cli import main
from letta_code.config.paths import Paths
from letta_code.core.errors import ConfigError
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append, Rethink
from letta_code.memory.provenance import Provenance
from letta_code.store.database import Store
from tests.fakes.redaction import NoSecrets

READING = {
    ("show", "human"): "I am Ada",
    ("list",): "/5000",
    ("--json",): '"I am Ada"',
    ("history",): "rewrite human",
    ("history", "human"): "rewrite human",
    ("why", "human:1"): "the person",
    ("diff",): "+I am Ada",
    ("pending",): "from outside",
    ("shared",): "There is no shared block yet",
    ("path",): "/memory",
}
WRITING = [("set", "human", "x"), ("append", "human", "x"), ("delete", "human"), ("undo",), ("create", "a")]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of two agents, where the first knows something."""
    os.chdir(tmp_path)
    paths = Paths.find().ensure()
    with Store.open(
        paths.database, conversations_dir=paths.conversations, agents_dir=paths.agents, redactor=NoSecrets()
    ) as store:
        agent = asyncio.run(store.agents.ensure_default())
        other = asyncio.run(store.agents.create("Other"))
    blocks = Blocks(paths.home, agent.id)
    web = Provenance(source="web:https://example.org", trust="untrusted")
    blocks.apply(Append(label="human", text="from outside"), web)
    blocks.apply(Rethink(label="human", value="I am Ada"), Provenance(source="user"))
    Blocks(paths.home, other.id).apply(Rethink(label="human", value="I am Bob"), Provenance(source="user"))
    return paths.home


@pytest.fixture
def sealed(home: Path) -> Iterator[Path]:
    """The home on a read-only file system; only root can make one."""
    mounts = (["mount", "--bind", home, home], ["mount", "-o", "remount,ro,bind", home])
    if os.geteuid() != 0 or any(subprocess.run(one, capture_output=True, check=False).returncode for one in mounts):
        pytest.skip("a read-only file system cannot be mounted here")
    yield home
    subprocess.run(["umount", "-l", home], check=True)


def reads_and_refuses(capsys: pytest.CaptureFixture[str], warning: str) -> None:
    for words, seen in READING.items():
        code = main(["memory", *words])
        out, err = capsys.readouterr()
        assert (code, seen in out) == (0, True), (words, out, err)
        assert err.count("warning: ") == 1 and warning in err and "nothing can be saved" in err, (words, err)
    for words in WRITING:
        assert main(["memory", *words]) == 1, words
        assert "letta.db" in capsys.readouterr().err


def test_a_read_only_home_is_read(sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError):
        (sealed / "x").touch()
    reads_and_refuses(capsys, "letta.db")
    assert main(["memory", "show", "human", "--agent", "other"]) == 0
    assert "I am Bob" in capsys.readouterr().out


@pytest.fixture(params=["garbage", "cut", "a folder", "a pipe"])
def no_database(home: Path, request: pytest.FixtureRequest) -> Path:
    """A database that cannot be opened at all."""
    file = home / "letta.db"
    data = file.read_bytes()
    for part in home.glob("letta.db*"):
        part.unlink()
    ways: dict[str, Callable[[], object]] = {
        "garbage": lambda: file.write_bytes(b"no database" * 1000),
        "cut": lambda: file.write_bytes(data[:5000]),
        "a folder": file.mkdir,
        "a pipe": lambda: os.mkfifo(file),
    }
    ways[str(request.param)]()
    return home


def test_a_database_that_cannot_be_opened_is_kept_and_built_anew_and_all_memory_is_there(
    no_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["memory", "show", "human"]) == 0
    out, err = capsys.readouterr()
    assert out == "I am Ada\n"
    (aside,) = no_database.glob("damaged-*")
    assert err.count("letta.db") == 1 and f"It is kept in {aside}" in err
    assert (aside / "letta.db").exists() or (aside / "letta.db").is_dir()
    for words, seen in READING.items():
        assert main(["memory", *words]) == 0, words
        out, err = capsys.readouterr()
        assert seen in out and "letta.db" not in err, (words, err)
    assert main(["memory", "show", "human", "--agent", "OTHER"]) == 0
    assert "I am Bob" in capsys.readouterr().out
    assert main(["memory", "set", "human", "I was Ada"]) == 0


def test_a_home_that_cannot_be_made_private_is_read(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Paths) -> Paths:
        raise ConfigError(f"The folder {self.home} cannot be made: Read-only file system.")

    monkeypatch.setattr(Paths, "ensure", refused)
    assert main(["memory", "show", "human"]) == 0
    out, err = capsys.readouterr()
    assert out == "I am Ada\n" and "Read-only file system. Memory is shown" in err


def test_a_folder_in_the_place_of_the_only_file_goes_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Paths.find().ensure().home
    (home / "letta.db").mkdir()
    assert main(["memory"]) == 0
    out, err = capsys.readouterr()
    assert "persona" in out and "letta.db is a folder" in err
    assert [path.name for path in home.glob("damaged-*/*")] == ["letta.db"]
