"""Processes: whole trees die, nothing is left over, nothing blocks, on any thread."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from letta_code.host.process import Launcher, LauncherLost, Outcome, run, which
from tests.host.processes import children_of, wait_until, with_mark

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
async def launcher() -> AsyncIterator[Launcher]:
    made = Launcher()
    yield made
    await made.close()


@pytest.fixture
def mark() -> str:
    """A number that `sleep` takes and that no other process has in its command line."""
    return f"9{uuid4().int % 10**12:012d}"


async def bash(launcher: Launcher, text: str, timeout: float | None = 20, **more: object) -> tuple[Outcome, str]:
    output = bytearray()
    outcome = await run(
        launcher,
        ["/bin/bash", "--noprofile", "--norc", "-c", text],
        cwd="/",
        env=dict(os.environ),
        stdout=output.extend,
        timeout=timeout,
        **more,  # pyright: ignore[reportArgumentType] - stop and on_pid
    )
    return outcome, output.decode()


async def test_exit_code_and_merged_output(launcher: Launcher) -> None:
    outcome, output = await bash(launcher, "echo out; echo err >&2; exit 7")
    assert (outcome.exit_code, output, outcome.left_running) == (7, "out\nerr\n", 0)


async def test_a_signal_is_told_as_bash_tells_it(launcher: Launcher) -> None:
    outcome, _ = await bash(launcher, "kill -9 $$")
    assert (outcome.exit_code, outcome.signal, outcome.timed_out) == (137, 9, False)


def test_works_on_a_thread_that_is_not_the_main_one() -> None:
    results: list[tuple[Outcome, str]] = []

    async def work() -> None:
        launcher = Launcher()
        results.append(await bash(launcher, "echo here"))
        await launcher.close()

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    thread.join(20)
    assert results[0][1] == "here\n"


def test_one_launcher_serves_one_loop_after_another() -> None:
    launcher = Launcher()

    async def work() -> str:
        return (await bash(launcher, "echo again"))[1]

    assert [asyncio.run(work()) for _ in range(3)] == ["again\n"] * 3
    asyncio.run(launcher.close())


async def test_stdin_is_empty_and_no_terminal_can_be_asked(launcher: Launcher) -> None:
    began = time.monotonic()
    outcome, output = await bash(launcher, "read x; echo $?; cat; (exec 3</dev/tty) 2>/dev/null; echo $?")
    assert output.split() == ["1", "1"]
    assert outcome.exit_code == 0
    assert time.monotonic() - began < 2


@linux
async def test_no_descriptor_leaks_into_a_command(launcher: Launcher) -> None:
    secret = os.open("/dev/null", os.O_RDONLY)
    try:
        os.set_inheritable(secret, True)
        _, output = await bash(launcher, "ls /proc/self/fd")
    finally:
        os.close(secret)
    assert set(output.split()) == {"0", "1", "2", "3"}  # 3 is the folder that ls reads


async def test_a_broken_pipe_ends_a_writer_as_in_any_shell(launcher: Launcher) -> None:
    _, output = await bash(launcher, "yes | head -n1; echo ${PIPESTATUS[0]}")
    assert output == "y\n141\n"


async def test_missing_program_and_missing_folder(launcher: Launcher) -> None:
    with pytest.raises(FileNotFoundError):
        await run(launcher, ["/nowhere/at/all"], cwd="/", env={}, stdout=bytearray().extend)
    with pytest.raises(FileNotFoundError):
        await run(launcher, ["/bin/true"], cwd="/nowhere/at/all", env={}, stdout=bytearray().extend)
    with pytest.raises(ValueError, match="NUL"):
        await run(launcher, ["/bin/true", "a\0b"], cwd="/", env={}, stdout=bytearray().extend)
    assert (await bash(launcher, "echo fine"))[1] == "fine\n"


ESCAPES = {
    "child": "sleep {mark}",
    "background": "sleep {mark} & wait",
    "own session": "setsid sleep {mark} & wait",
    "forked twice": "(setsid bash -c 'sleep {mark} & disown' &) ; sleep 0.2; sleep 30",
    "deaf to TERM": "trap '' TERM; setsid bash -c 'trap \"\" TERM; sleep {mark}; sleep 9' & while :; do wait; done",
    "no environment": "(setsid env -i /bin/sleep {mark} &) ; sleep 30",
    "stopped": "sleep {mark} & kill -STOP $!; wait",
}


@linux
@pytest.mark.parametrize("kind", ESCAPES)
@pytest.mark.parametrize("how", ["timeout", "cancelled"])
async def test_the_whole_tree_is_dead_within_two_seconds(launcher: Launcher, mark: str, kind: str, how: str) -> None:
    task = asyncio.ensure_future(
        bash(launcher, ESCAPES[kind].format(mark=mark), timeout=0.6 if how == "timeout" else None)
    )
    await asyncio.sleep(0.5)
    assert with_mark(mark), "the command did not start what it should"
    began = time.monotonic()
    if how == "timeout":
        outcome, _ = await task
        assert (outcome.timed_out, outcome.exit_code) == (True, None)
        assert time.monotonic() - began < 2.2
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 2.1
    assert with_mark(mark) == []


@linux
async def test_a_kill_leaves_other_commands_alone(launcher: Launcher, mark: str) -> None:
    other = asyncio.ensure_future(bash(launcher, f"(setsid sleep 8{mark} &); sleep 1; echo survived"))
    await asyncio.sleep(0.2)
    await bash(launcher, f"setsid sleep 7{mark} & wait", timeout=0.3)
    assert with_mark(f"7{mark}") == []
    assert with_mark(f"8{mark}") != []
    assert (await other)[1] == "survived\n"


@linux
async def test_a_stop_event_ends_a_command_without_calling_it_a_timeout(launcher: Launcher, mark: str) -> None:
    stop = asyncio.Event()
    task = asyncio.ensure_future(bash(launcher, f"sleep {mark}", stop=stop))
    await asyncio.sleep(0.2)
    stop.set()
    outcome, _ = await task
    assert (outcome.timed_out, outcome.exit_code) == (False, None)
    assert with_mark(mark) == []


@linux
async def test_a_background_child_that_holds_the_output_does_not_block(launcher: Launcher, mark: str) -> None:
    began = time.monotonic()
    outcome, output = await bash(launcher, f"echo started; (sleep {mark} &)")
    assert time.monotonic() - began < 1.0
    assert (outcome.exit_code, output, outcome.left_running) == (0, "started\n", 1)
    assert with_mark(mark) != []
    await launcher.close()
    assert with_mark(mark) == []


async def test_what_is_left_running_may_go_on_printing(launcher: Launcher, tmp_path: Path) -> None:
    done = tmp_path / "done"
    await bash(launcher, f"(for i in 1 2 3 4 5 6; do sleep 0.1; echo $i || exit; done; touch {done}) &")
    await asyncio.sleep(1.5)
    assert done.exists(), "the writer died of a closed pipe"


@linux
async def test_nothing_and_no_zombie_is_left_after_many_starts_and_kills(launcher: Launcher) -> None:
    await bash(launcher, "true")
    (pid,) = [child for child, _ in children_of(os.getpid()) if b"launcher" in _cmdline(child)]
    for _ in range(60):
        await bash(launcher, "(setsid sleep 30 &) ; sleep 30", timeout=0.02)
    wait_until(lambda: children_of(pid) == [], 3)  # an orphan that was killed last is collected a moment later


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@linux
async def test_a_growing_tree_cannot_outrun_the_kill(launcher: Launcher, mark: str) -> None:
    grow = f"f() {{ [ $1 -gt 6 ] && exec sleep {mark}; f $(($1+1)) & f $(($1+1)) & wait; }}; f 0"
    outcome, _ = await bash(launcher, grow, timeout=0.3)
    assert outcome.timed_out
    assert with_mark(mark) == []


@linux
def test_when_we_are_killed_all_commands_end(mark: str, tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import asyncio, os, sys
        from letta_code.host.process import Launcher, run
        async def main():
            text = "setsid sleep {mark} & (setsid env -i /bin/sleep {mark} &); nohup sleep {mark} & sleep {mark}"
            await run(Launcher(), ["/bin/bash", "-c", text], cwd="/", env=dict(os.environ), stdout=lambda data: None)
        asyncio.run(main())
        """
    )
    agent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    wait_until(lambda: len(with_mark(mark)) >= 5, 10)  # four sleeps and their bash
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    wait_until(lambda: with_mark(mark) == [], 3)


@linux
async def test_a_kept_command_survives_our_end(mark: str, tmp_path: Path) -> None:
    launcher = Launcher()
    with open(tmp_path / "log", "wb") as log:
        argv = ["/bin/bash", "-c", f"sleep {mark}; :"]
        await launcher.spawn(argv, cwd="/", env=dict(os.environ), output=[log.fileno()], keep=True)
        await launcher.spawn(["/bin/sleep", f"{mark}1"], cwd="/", env={}, output=[log.fileno()])
    await launcher.close()
    kept = with_mark(mark)
    assert len(kept) == 2, "the kept shell and its child, and not the other command"
    for pid in kept:
        os.kill(pid, signal.SIGKILL)


@linux
async def test_a_lost_launcher_is_told_and_the_next_command_gets_a_new_one(
    launcher: Launcher, mark: str, tmp_path: Path
) -> None:
    await bash(launcher, "true")
    with open(tmp_path / "log", "wb") as log:
        sleep, env = ["/bin/sleep"], dict(os.environ)
        kept = await launcher.spawn([*sleep, f"{mark}1"], cwd="/", env=env, output=[log.fileno()], keep=True)
        await launcher.spawn([*sleep, f"{mark}2"], cwd="/", env=env, output=[log.fileno()])
    (pid,) = [child for child, _ in children_of(os.getpid()) if b"launcher" in _cmdline(child)]
    task = asyncio.ensure_future(bash(launcher, "sleep 1"))
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LauncherLost):
        await task
    assert (await bash(launcher, "echo back"))[1] == "back\n"
    assert with_mark(mark) == [kept.pid], "what it had started is gone, but for what was to be kept"
    os.kill(kept.pid, signal.SIGKILL)


@linux
async def test_a_ctrl_c_at_the_terminal_reaches_neither_launcher_nor_commands(launcher: Launcher) -> None:
    _, output = await bash(launcher, "ps -o pgid= -p $$ -p $PPID")
    assert len(set(output.split()) | {str(os.getpgrp())}) == 3


async def test_many_commands_at_once(launcher: Launcher) -> None:
    results = await asyncio.gather(*(bash(launcher, f"sleep 0.05; echo {n}; exit {n}") for n in range(20)))
    assert [(o.exit_code, text) for o, text in results] == [(n, f"{n}\n") for n in range(20)]


async def test_the_own_cost_of_a_command_is_small(launcher: Launcher) -> None:
    """Within 10 ms of a bare posix_spawn of the same command (0.3 ms on an idle machine, more beside other tests)."""

    def bare() -> float:
        began = time.perf_counter()
        os.waitpid(os.posix_spawn("/bin/bash", ["bash", "--noprofile", "--norc", "-c", "true"], {}), 0)
        return time.perf_counter() - began

    async def ours() -> float:
        began = time.perf_counter()
        await bash(launcher, "true")
        return time.perf_counter() - began

    await ours()
    bares = sorted(bare() for _ in range(15))
    times = sorted([await ours() for _ in range(15)])
    assert times[7] - bares[7] < 0.010


def test_which(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    assert which("tool", str(tmp_path)) is None
    (tmp_path / "tool").chmod(0o755)
    assert which("tool", f"/nowhere:{tmp_path}") == str(tmp_path / "tool")
