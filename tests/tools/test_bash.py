"""Bash: a kept folder, merged output that is bounded and clean, timeouts, interrupts, background."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from letta_code.core.display import ShellBlock
from letta_code.core.errors import ToolError
from letta_code.safety.operations import ExecOperation
from letta_code.tools.bash import Bash
from letta_code.tools.printed import clean
from letta_code.workspace.local import LocalWorkspace
from tests.host.processes import with_mark
from tests.tools.context import FakeContext

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
bash = Bash()


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[FakeContext]:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    workspace = LocalWorkspace(str(tmp_path / "tree"), str(tmp_path / "temp"))
    yield FakeContext(workspace)
    await workspace.close()


async def test_success_is_just_the_output(context: FakeContext) -> None:
    assert await context.text(bash, command="echo out; echo err >&2") == "out\nerr"
    assert await context.text(bash, command="true") == "(no output)"
    assert await context.text(bash, command="printf '  indented\\n\\n'") == "  indented"


async def test_failure_begins_with_the_exit_code(context: FakeContext) -> None:
    assert await context.text(bash, command="echo why; exit 3") == "Exit code: 3\nwhy"
    assert await context.text(bash, command="kill -9 $$") == "Exit code: 137 (killed by signal 9)\n(no output)"


async def test_the_folder_is_kept_between_calls_and_told(context: FakeContext) -> None:
    root = context.workspace.capabilities.root
    assert await context.text(bash, command="cd sub; false") == f"Exit code: 1\n(no output)\n[now in {root}/sub]"
    assert await context.text(bash, command="pwd") == f"{root}/sub"
    (wanted,) = context.wanted
    assert wanted.operation == ExecOperation(command="pwd", cwd=f"{root}/sub")
    await context.call(bash, command="cd / && exit 2")
    assert await context.text(bash, command="pwd") == "/"


async def test_a_folder_that_is_gone_falls_back_to_the_tree(context: FakeContext) -> None:
    root = context.workspace.capabilities.root
    await context.call(bash, command="mkdir gone; cd gone; rmdir ../gone; cd ..; mkdir gone; cd gone")
    (Path(root) / "gone").rmdir()
    assert await context.text(bash, command="pwd") == f"[{root}/gone is gone; this ran in {root}]\n{root}"
    assert await context.text(bash, command="pwd") == root
    await context.call(bash, command='mkdir gone; cd gone; rmdir "$PWD"')
    assert (await context.text(bash, command="echo still here")).endswith("still here")


async def test_variables_and_functions_are_not_kept(context: FakeContext) -> None:
    await context.call(bash, command="X=1; f() { echo hi; }; export Y=2")
    assert await context.text(bash, command="echo ${X-no} ${Y-no}; type f 2>/dev/null || echo none") == "no no\nnone"


async def test_long_output_shows_both_ends_and_names_the_file(context: FakeContext) -> None:
    result = await context.call(bash, command="seq -f 'line %.0f of the output' 1 100000")
    text = result.content[0].text  # pyright: ignore[reportAttributeAccessIssue] - text it is
    assert len(text) < 31_000
    lines = text.split("\n")
    assert lines[0] == "line 1 of the output"
    assert lines[-1] == "line 100000 of the output"
    (note,) = [line for line in lines if not line.startswith("line ") or not line.endswith(" of the output")]
    assert "bytes left out; the whole output is in " in note
    (block,) = result.blocks
    assert isinstance(block, ShellBlock)
    assert block.full_output in note
    assert len(Path(block.full_output).read_text().splitlines()) == 100_000


async def test_one_endless_line_is_cut_too(context: FakeContext) -> None:
    text = await context.text(bash, command="head -c 5000000 /dev/zero | tr '\\0' x; echo end")
    assert len(text) < 31_000
    assert text.startswith("xxx")
    assert text.endswith("end")


async def test_output_comes_clean(context: FakeContext) -> None:
    command = r"printf '\033[31mred\033[0m\033]0;title\007 \xff\xfe\n10%%\r50%%\r100%%\n_\bx_\bx\r\nlast\r\n'"
    assert await context.text(bash, command=command) == "red \ufffd\ufffd\n100%\nxx\nlast"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a\r\nb\r\n", "a\nb\n"),
        (b"10%\r20%\r", "20%\n"),
        (b"done\r", "done\n"),
        (b"a\rb\nc\rd\n", "b\nd\n"),
        (b"\xe2\x82", "\ufffd"),
    ],
)
def test_progress_lines_collapse_to_their_last_state(raw: bytes, text: str) -> None:
    assert clean(raw) == text


def test_outside_a_terminal_nothing_is_overwritten() -> None:
    assert clean(b"-a\rb\n", terminal=False) == "-a\nb\n"


async def test_commands_wait_for_nobody(context: FakeContext) -> None:
    began = time.monotonic()
    text = await context.text(
        bash, command="read -p 'Sure? [y/N] ' x; echo \"got:$x\"; cat; git commit 2>/dev/null; true"
    )
    assert "got:" in text
    assert time.monotonic() - began < 2


@linux
async def test_timeout_kills_the_tree_and_returns_what_was_printed(context: FakeContext) -> None:
    mark = f"9{uuid4().int % 10**12:012d}"
    began = time.monotonic()
    text = await context.text(bash, command=f"echo before; setsid sleep {mark} & sleep {mark}", timeout=1)
    assert time.monotonic() - began < 3
    assert text.startswith("Timed out after 1 s: killed")
    assert text.endswith("\nbefore")
    assert "background=true" in text
    assert with_mark(mark) == []


@linux
async def test_an_interrupt_kills_the_tree(context: FakeContext) -> None:
    mark = f"9{uuid4().int % 10**12:012d}"
    task = asyncio.ensure_future(context.call(bash, command=f"echo begun; (setsid sleep {mark} &); sleep {mark}"))
    await asyncio.sleep(0.4)
    assert with_mark(mark)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert with_mark(mark) == []
    assert "".join(context.printed) == "begun\n", "what was printed until then is with the person"


async def test_a_child_in_the_background_does_not_block(context: FakeContext) -> None:
    began = time.monotonic()
    text = await context.text(bash, command="echo up; (sleep 300 &)")
    assert time.monotonic() - began < 1
    assert text.startswith("up\n[1 process it started still runs;")


async def test_live_output_is_bounded_and_not_torn(context: FakeContext) -> None:
    await context.call(bash, command="for i in 1 2 3; do printf 'ü%d\\n' $i; sleep 0.1; done")
    assert "".join(context.printed) == "ü1\nü2\nü3\n"
    assert len(context.printed) >= 2
    context.printed.clear()
    await context.call(bash, command="yes | head -c 5000000")
    live = "".join(context.printed)
    assert 100_000 < len(live) < 210_000
    assert "more output" in live


async def test_time_is_told_only_when_it_is_long(context: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "took" not in await context.text(bash, command="true")
    monkeypatch.setattr("letta_code.tools.bash.TOLD_FROM", 0.1)
    assert (await context.text(bash, command="sleep 0.6")).endswith("[took 1 s]")


@pytest.mark.parametrize(("given", "used"), [(None, 120), (5, 5), (0.2, 1), (100_000, 600)])
def test_timeouts_are_kept_in_bounds(given: float | None, used: float) -> None:
    from letta_code.tools.bash import BashArgs, _timeout

    assert _timeout(BashArgs(command="x", timeout=given)) == used


async def test_refusals_say_what_to_do(context: FakeContext) -> None:
    for arguments, words in [
        ({"command": "echo \0"}, "NUL"),
        ({"command": "sleep 1", "keep": True}, "background"),
        ({"command": "sleep 1", "keep": True, "background": True}, "without `keep`"),
        ({"command": ""}, "Invalid arguments"),
        ({}, "command"),
    ]:
        with pytest.raises(ToolError, match=words):
            await context.call(bash, **arguments)


async def test_background(context: FakeContext) -> None:
    text = await context.text(bash, command="echo listening; sleep 30", background=True)
    assert text.startswith("Started in the background as sh-1 (pid ")
    assert "Shells reads its output and stops it. It is stopped when the session ends.\n" in text
    assert text.endswith("So far:\nlistening")
    (wanted,) = context.wanted
    assert isinstance(wanted.operation, ExecOperation)
    assert wanted.operation.background


async def test_background_says_what_keep_does(tmp_path: Path) -> None:
    workspace = LocalWorkspace(str(tmp_path), keep_processes=True)
    context = FakeContext(workspace)
    text = await context.text(bash, command="sleep 30", background=True)
    assert text.endswith("It is stopped when the session ends (keep=true would let it run on).")
    text = await context.text(bash, command="sleep 2", background=True, keep=True)
    assert text.endswith("stops it.")
    await context.text(bash, command="true", background=True)
    assert workspace.stopped == ()
    await workspace.close()
    assert workspace.stopped == ("sleep 30",), "neither what is kept nor what had ended"
    await workspace.close()
    assert workspace.stopped == ("sleep 30",)


async def test_background_that_ends_at_once_says_so(context: FakeContext) -> None:
    text = await context.text(bash, command="echo no such port >&2; exit 9", background=True)
    assert text == "Ended at once with exit code 9.\nno such port"


async def test_title_and_preview(context: FakeContext) -> None:
    args = await context.prepare(bash, command="cd sub\nls \u202e -la")
    assert bash.title(args) == "$ cd sub …"
    (block,) = await bash.preview(args, context)
    assert isinstance(block, ShellBlock)
    assert (block.command, block.cwd) == ("cd sub\nls \u202e -la", context.workspace.capabilities.root)
