"""Commands of the local workspace: what they inherit, what is kept of their output, background ones."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest

from letta_code.core.errors import WorkspaceError
from letta_code.safety.sandboxes.choose import Wish
from letta_code.safety.sandboxes.late import LateSandbox
from letta_code.workspace import commands
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import ExecResult, ExecSpec, Process
from tests.host.processes import children_of, with_mark

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[LocalWorkspace]:
    (tmp_path / "tree").mkdir()
    made = LocalWorkspace(str(tmp_path / "tree"), str(tmp_path / 'it\'s a "$HOME" folder'))
    yield made
    await made.close()


async def sh(workspace: LocalWorkspace, text: str, **more: object) -> ExecResult:
    return await workspace.exec(ExecSpec(shell=text, **more))  # pyright: ignore[reportArgumentType]


async def test_it_is_really_bash(workspace: LocalWorkspace) -> None:
    result = await sh(
        workspace, '[[ a == a ]] && echo "${BASH_VERSION:+bash}" "${0##*/}"; x=(1 2 3); echo ${#x[@]}; command -v cd'
    )
    assert result.head.decode().split() == ["bash", "bash", "3", "cd"]


async def test_argv_runs_without_a_shell(workspace: LocalWorkspace) -> None:
    result = await workspace.exec(ExecSpec(argv=("printf", "%s|", "$HOME", "a b", ";ls")))
    assert result.head == b"$HOME|a b|;ls|"
    with pytest.raises(WorkspaceError, match="no program"):
        await workspace.exec(ExecSpec(argv=("no-such-program-here",)))


async def test_stderr_apart(workspace: LocalWorkspace) -> None:
    result = await sh(workspace, "echo out; echo err >&2", merge_stderr=False)
    assert (result.head, result.stderr) == (b"out\n", b"err\n")


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "exit 3",
        "false",
        "set -e; false",
        "set -u; echo $nope",
        "kill -TERM $$",
        "exec 1>&-; exit 0",
        "set -o noclobber",
    ],
)
async def test_the_last_folder_is_told_however_the_command_ends(
    workspace: LocalWorkspace, tmp_path: Path, ending: str
) -> None:
    folder = tmp_path / "a 'b' $c"
    folder.mkdir()
    result = await sh(workspace, f"cd ../*c; {ending}", report_cwd=True)
    assert result.cwd == str(folder.resolve())


@pytest.mark.parametrize("text", ["foo(", "exec true", "trap 'echo mine' EXIT", "kill -9 $$"])
async def test_where_it_cannot_be_told_it_is_empty(workspace: LocalWorkspace, text: str) -> None:
    result = await sh(workspace, f"cd ..\n{text}", report_cwd=True)
    assert result.cwd in ("", str(Path(workspace.capabilities.root).parent))


LOOK = "set -x; compgen -e; declare -F; echo ${BASH_ENV-none}; set +x; ls /proc/$$/fd; :"


async def test_telling_the_folder_leaks_nothing(workspace: LocalWorkspace) -> None:
    plain = await sh(workspace, LOOK)
    told = await sh(workspace, LOOK, report_cwd=True)
    assert told.head == plain.head
    assert told.cwd
    assert [path for path in Path(workspace.capabilities.temp).rglob("*") if not path.is_dir()] == []


async def test_what_commands_inherit(tmp_path: Path) -> None:
    rc = tmp_path / "rc"
    rc.write_text("echo from BASH_ENV\n")
    inherited = {
        "PATH": os.environ["PATH"],
        "MINE": "kept",
        "BASH_ENV": str(rc),
        "ENV": str(rc),
        "GIT_DIR": "/elsewhere/.git",
        "FORCE_COLOR": "1",
        "PAGER": "less",
    }
    workspace = LocalWorkspace(str(tmp_path), environment=inherited)
    result = await sh(workspace, "env", env={"MORE": "given"})
    await workspace.close()
    found = dict(line.split("=", 1) for line in result.head.decode().splitlines())
    assert (found["MINE"], found["MORE"], found["PAGER"], found["TERM"]) == ("kept", "given", "cat", "dumb")
    assert {"GIT_DIR", "FORCE_COLOR", "BASH_ENV", "ENV", "CI"}.isdisjoint(found)


async def test_head_tail_and_the_whole_in_a_file(workspace: LocalWorkspace) -> None:
    result = await sh(workspace, "seq 1 20000", keep_head=100, keep_tail=50)
    whole = b"".join(b"%d\n" % n for n in range(1, 20001))
    assert (result.head, result.tail, result.total) == (whole[:100], whole[-50:], len(whole))
    assert result.dropped == len(whole) - 150
    assert Path(result.spool).read_bytes() == whole
    assert os.stat(result.spool).st_mode & 0o077 == 0
    short = await sh(workspace, "seq 1 10", keep_head=100, keep_tail=50)
    assert (short.tail, short.dropped, short.spool) == (b"", 0, "")


async def test_old_spools_go_when_they_are_too_many(workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "SPOOLS_LIMIT", 300_000)
    spools = [(await sh(workspace, "head -c 120000 /dev/zero", keep_head=10, keep_tail=10)).spool for _ in range(4)]
    assert [Path(spool).exists() for spool in spools] == [False, False, True, True]


async def test_live_output_comes_while_the_command_runs(workspace: LocalWorkspace) -> None:
    times: list[float] = []
    spec = ExecSpec(shell="for i in 1 2 3; do echo $i; sleep 0.2; done")
    began = time.monotonic()
    await workspace.exec(spec, lambda data: times.append(time.monotonic() - began))
    assert len(times) == 3
    assert times[0] < 0.2 < times[2]


async def test_a_very_long_command(workspace: LocalWorkspace) -> None:
    text = f"x='{'y' * 300_000}'; echo ${{#x}}"
    assert (await sh(workspace, text)).head == b"300000\n"
    with pytest.raises(WorkspaceError, match="too long"):
        await workspace.exec(ExecSpec(argv=("true", "y" * 300_000)))


@linux
async def test_a_command_cut_off_by_the_loss_of_the_launcher_is_unknown(workspace: LocalWorkspace) -> None:
    task = asyncio.ensure_future(sh(workspace, "sleep 1", report_cwd=True))
    await asyncio.sleep(0.3)
    (launcher,) = [
        pid for pid, _ in children_of(os.getpid()) if "launcher.py" in Path(f"/proc/{pid}/cmdline").read_text()
    ]
    os.kill(launcher, 9)
    with pytest.raises(WorkspaceError, match="unknown"):
        await task
    assert (await sh(workspace, "echo back")).head == b"back\n"


async def test_errors_are_fit_for_a_model(workspace: LocalWorkspace) -> None:
    with pytest.raises(WorkspaceError, match="does not exist"):
        await sh(workspace, "true", cwd="/nowhere")
    with pytest.raises(WorkspaceError, match="NUL"):
        await sh(workspace, "echo \0")


@linux
async def test_timeout_keeps_what_was_printed(workspace: LocalWorkspace) -> None:
    mark = f"9{uuid4().int % 10**12:012d}"
    began = time.monotonic()
    result = await sh(workspace, f"echo before; (setsid sleep {mark} &); sleep {mark}", timeout=0.4)
    assert time.monotonic() - began < 2.4
    assert (result.timed_out, result.exit_code, result.head) == (True, None, b"before\n")
    assert with_mark(mark) == []


async def test_sessions_may_share_a_folder_that_is_only_ours(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    spools: set[str] = set()
    for _ in range(2):
        workspace = LocalWorkspace(str(tmp_path), str(shared))
        spools.add((await sh(workspace, "seq 1 100", keep_head=10, keep_tail=10)).spool)
        await workspace.close()
    assert len([spool for spool in spools if Path(spool).parent == shared]) == 2
    assert shared.stat().st_mode & 0o777 == 0o700
    shared.chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path)
    for folder in (shared, tmp_path / "link"):
        workspace = LocalWorkspace(str(tmp_path), str(folder))
        assert not workspace.capabilities.temp.startswith(str(tmp_path / folder))
        await workspace.close()


async def test_a_workspace_that_runs_nothing_makes_no_folder(tmp_path: Path) -> None:
    workspace = LocalWorkspace(str(tmp_path))
    await workspace.read(await workspace.resolve("/etc/hosts", "read"))
    assert not Path(workspace.capabilities.temp).exists()
    await workspace.close()


# ---------------------------------------------------------------- background


async def ended(workspace: LocalWorkspace, name: str) -> Process:
    async with asyncio.timeout(10):
        while (await workspace.poll(name)).running:  # noqa: ASYNC110 - the protocol has only poll
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)
        return await workspace.poll(name)


async def test_background_output_is_read_in_parts(workspace: LocalWorkspace) -> None:
    started = await workspace.spawn(ExecSpec(shell="echo one; sleep 0.3; echo two; exit 4"))
    assert started.running
    await asyncio.sleep(0.15)
    first = await workspace.poll(started.id)
    assert (first.output, first.running, first.exit_code) == (b"one\n", True, None)
    last = await ended(workspace, started.id)
    assert (last.running, last.exit_code, last.total) == (False, 4, 8)
    assert (await workspace.poll(started.id, since=4)).output == b"two\n"
    assert (await workspace.poll(started.id, since=1, length=2)).output == b"ne"
    assert Path(last.spool).read_bytes() == b"one\ntwo\n"


@linux
async def test_stopping_a_background_command_stops_its_tree(workspace: LocalWorkspace) -> None:
    mark = f"9{uuid4().int % 10**12:012d}"
    started = await workspace.spawn(ExecSpec(shell=f"setsid sleep {mark} & sleep {mark}"))
    await asyncio.sleep(0.2)
    assert len(with_mark(mark)) >= 2
    stopped = await workspace.kill(started.id)
    assert (stopped.running, stopped.exit_code) == (False, None)
    assert with_mark(mark) == []


@linux
async def test_close_stops_everything_and_removes_its_own_folder(tmp_path: Path) -> None:
    mark = f"9{uuid4().int % 10**12:012d}"
    workspace = LocalWorkspace(str(tmp_path))
    await workspace.spawn(ExecSpec(shell=f"sleep {mark} & (setsid sleep {mark} &) ; exit"))
    await workspace.spawn(ExecSpec(shell=f"trap '' TERM; sleep {mark}"))
    await asyncio.sleep(0.2)
    temp = Path(workspace.capabilities.temp)
    began = time.monotonic()
    await workspace.close()
    assert time.monotonic() - began < 2.5
    assert with_mark(mark) == []
    assert not temp.exists()


async def test_unknown_ids_name_the_known_ones(workspace: LocalWorkspace) -> None:
    started = await workspace.spawn(ExecSpec(shell="sleep 5"))
    with pytest.raises(WorkspaceError, match=started.id):
        await workspace.poll("sh-99")
    assert [process.id for process in await workspace.processes()] == [started.id]


async def test_too_many_background_commands(workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "BACKGROUND_LIMIT", 2)
    for _ in range(2):
        await workspace.spawn(ExecSpec(shell="sleep 5"))
    with pytest.raises(WorkspaceError, match="stop one"):
        await workspace.spawn(ExecSpec(shell="sleep 5"))


@linux
async def test_keep_only_where_it_is_allowed(workspace: LocalWorkspace, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="outlive"):
        await workspace.spawn(ExecSpec(shell="sleep 5"), keep=True)
    mark = f"9{uuid4().int % 10**12:012d}"
    allowed = LocalWorkspace(str(tmp_path), str(tmp_path / "temp"), keep_processes=True)
    process = await allowed.spawn(ExecSpec(shell=f"echo kept; sleep {mark}; :"), keep=True)
    await asyncio.sleep(0.2)
    assert (await allowed.poll(process.id)).output == b"kept\n"
    await allowed.close()
    left = with_mark(mark)
    assert left
    for pid in left:
        os.kill(pid, 9)


@pytest.mark.row("K01")
async def test_200_mb_of_output_cost_little_memory(tmp_path: Path, sandbox: str) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if sys.platform != "linux":
        pytest.skip("reads /proc")
    tree = tmp_path / "tree"
    tree.mkdir()
    held = LateSandbox(cast(Wish, sandbox), str(tmp_path / "letta"), str(tree))
    workspace = LocalWorkspace(str(tree), str(tmp_path / "temp"), sandbox=held)
    held.temp = workspace.temp
    await sh(workspace, "true")
    before, most = resident(), 0

    def look(_: bytes) -> None:
        nonlocal most
        most = max(most, resident())

    result = await workspace.exec(ExecSpec(shell="yes | head -c 200000000", spool_limit=10_000_000), look)
    assert result.total == 200_000_000
    assert result.spool_dropped == 190_000_000
    assert os.path.getsize(result.spool) < 10_000_100
    assert most - before < 64_000_000
    await workspace.close()
