"""Rows M02 and M03: what somebody else laid in /tmp, and the home of another user of the machine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from letta_code.cli._ports import TypedShell
from letta_code.config.paths import Paths
from letta_code.core.errors import ConfigError
from letta_code.core.requests import Answer, Approve, Deny
from letta_code.host import sockets
from letta_code.safety.sandboxes.choose import Wish
from letta_code.safety.sandboxes.late import LateSandbox
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import ExecSpec
from tests.adversarial.stage import Stage

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")


def as_nobody(act: Callable[[], str]) -> str:
    """What a function says when another user runs it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = "it died"
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            said = act()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, said.encode()[:4000])
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read().decode()
    os.waitpid(child, 0)
    return said


# ---------------------------------------------------------------- M02


def _link(place: Path, elsewhere: Path) -> None:
    place.symlink_to(elsewhere)


def _open(place: Path, elsewhere: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


def _foreign(place: Path, elsewhere: Path) -> None:
    place.mkdir(mode=0o700)
    os.chown(place, NOBODY, NOBODY)


@pytest.mark.row("M02")
@pytest.mark.parametrize("plant", [_link, _open, pytest.param(_foreign, marks=root_only)])
async def test_a_temporary_folder_that_somebody_else_laid_there_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: str, plant: Callable[[Path, Path], None]
) -> None:
    """What is printed is kept whole in a folder of our own: by the person's shell, and by a session's commands."""
    elsewhere, temp = tmp_path / "elsewhere", tmp_path / "tmp"
    for folder in (elsewhere, temp):
        folder.mkdir()
    planted = temp / f"letta-code-{os.getuid()}"
    plant(planted, elsewhere)
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    monkeypatch.setenv("TMPDIR", str(temp))
    loud = "seq 1 200000"
    block = await TypedShell(str(tmp_path)).run(loud, lambda text: None)
    assert "200000" in block.output
    tree = tmp_path / "tree"
    tree.mkdir()
    held = LateSandbox(cast(Wish, sandbox), str(tmp_path / "letta"), str(tree))
    workspace = LocalWorkspace(str(tree), str(planted), sandbox=held)
    held.temp = workspace.temp
    try:
        done = await workspace.exec(ExecSpec(shell=loud, cwd=str(tree), timeout=60), lambda data: None)
        assert b"200000" in done.tail
        assert Path(workspace.temp) != planted
        assert Path(workspace.temp).stat().st_mode & 0o077 == 0
    finally:
        await workspace.close()
    assert list(elsewhere.iterdir()) == []
    assert list(planted.iterdir()) == []


@root_only
@pytest.mark.row("M02")
@pytest.mark.parametrize("plant", [_link, _open])
def test_a_socket_is_not_made_where_somebody_else_laid_a_folder(
    tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    """The stand-in for a path that is too long lies in /tmp, where root laid a folder before nobody came."""
    place = Path(f"/tmp/letta-{NOBODY}")
    if os.path.lexists(place):
        pytest.skip(f"{place} is there")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o777)
        path = Path(folder, "long" * 30, "conv.sock")

        async def listen() -> str:
            (await sockets.listen(path, lambda lines: asyncio.sleep(0))).close()
            return "listens"

        async def connect() -> str:
            await sockets.connect(path)
            return "connected"

        plant(place, elsewhere)
        try:
            for what in (listen, connect):
                assert "yours alone" in as_nobody(lambda what=what: asyncio.run(what()))
            assert list(elsewhere.iterdir()) == []
            assert list(place.iterdir()) == []
        finally:
            place.unlink() if place.is_symlink() else place.rmdir()
        assert as_nobody(lambda: asyncio.run(listen())) == "listens"  # without it, it works
        place.rmdir()


# ---------------------------------------------------------------- M03


@root_only
@pytest.mark.row("M03")
async def test_a_home_of_another_user_is_not_opened(stage: Stage, letta_home: Path, tmp_path: Path) -> None:
    """A session made it; then it belongs to somebody else.  Nothing is read, made or changed there, by any face."""
    session = await stage.open()
    agent = session.status.agent_id
    await session.close()
    for path in (letta_home, *letta_home.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    before = {path: path.lstat() for path in letta_home.rglob("*")}
    asked = len(stage.server.requests)
    for words in (
        ("-p", "hello"),
        ("-p", "hello", "--agent", agent),
        ("--plain",),
        ("memory", "append", "human", "mine now"),
        ("conversations",),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "letta_code", *words],
            cwd=stage.ws,
            env={**os.environ, "LETTA_MODEL": "openai/fake"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode != 0, words
        assert "belongs to another user" in done.stdout + done.stderr, (words, done.stderr)
    after = {path: path.lstat() for path in letta_home.rglob("*")}
    assert {path: (found.st_mtime_ns, found.st_size, found.st_uid) for path, found in after.items()} == {
        path: (found.st_mtime_ns, found.st_size, found.st_uid) for path, found in before.items()
    }
    assert len(stage.server.requests) == asked


@root_only
@pytest.mark.row("M03")
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_nor_by_a_user_who_is_not_root(mode: int) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        home = Path(folder, "home")
        home.mkdir()
        home.chmod(mode)

        def opened() -> str:
            try:
                Paths(home=home).ensure()
            except ConfigError as error:
                return f"refused: {error}"
            return "opened"

        assert as_nobody(opened).startswith("refused: ")
        assert home.stat().st_mode & 0o777 == mode
        assert list(home.iterdir()) == []


# ---------------------------------------------------------------- M01

SECRET = "what another agent knows of its person"


@pytest.fixture
def other(letta_home: Path) -> Path:
    """The memory of an agent that is not the session's."""
    file = letta_home / "agents" / "agent-other" / "memory" / "system" / "human.md"
    file.parent.mkdir(parents=True)
    file.write_text(SECRET + "\n")
    letta_home.chmod(0o700)
    return file


@pytest.mark.row("M01")
@pytest.mark.parametrize("answer", [Deny(), Approve()], ids=["no", "yes"])
async def test_another_agents_memory_is_not_read(stage: Stage, sandbox: str, other: Path, answer: Answer) -> None:
    """By no tool without a yes; by no command that is confined, whatever the person says."""
    (stage.ws / "link").symlink_to(other)
    (stage.ws / "up").symlink_to(other.parents[4])
    below = f"up/{other.relative_to(other.parents[4])}"
    (stage.ws / "job.sh").write_text(
        f"cat {other}; cat link; cat {below}; cd up && grep -r knows .; find $HOME -name human.md\n"
    )
    session = await stage.open()
    try:
        for verdict, call in (
            ("deny", ("Read", {"path": str(other)})),
            ("deny", ("Read", {"path": "link"})),
            ("deny", ("Read", {"path": below})),
            ("deny", ("Read", {"path": "~/.letta/agents/agent-other/memory/system/human.md"})),
            ("ask", ("Glob", {"pattern": "**/human.md", "path": str(stage.home)})),
            ("ask", ("Grep", {"pattern": "another agent knows", "path": str(stage.home)})),
            ("deny", ("Grep", {"pattern": "another agent knows", "path": "up"})),
            ("allow", ("Grep", {"pattern": "another agent knows"})),  # of the work tree, and follows no link out of it
            ("deny", ("Write", {"path": str(other), "content": "poison"})),
            ("deny", ("Edit", {"path": "link", "old": "knows", "new": "said"})),
        ):
            played = await stage.run(session, call, answer=Deny())
            status = "ok" if verdict == "allow" else "denied"
            assert (played.verdict, played.results[-1].status) == (verdict, status), call
            assert SECRET not in played.text, call
            assert "agent-other" not in played.text.replace(str(call[1]["path"]) if "path" in call[1] else "", ""), call
        for command in (f"cat {other}", "bash job.sh"):
            if sandbox == "off" and not isinstance(answer, Deny):
                continue  # what the person let run without a sandbox has their rights
            played = await stage.run(session, ("Bash", {"command": command}), answer=answer)
            assert SECRET not in played.text, command
            assert sandbox != "off" or played.verdict in ("ask", "deny")
        assert other.read_text() == SECRET + "\n"
    finally:
        await session.close()
