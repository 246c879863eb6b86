"""See a real bug found, fixed, tested and committed; no key needed, the model's words are scripted.

It works in a temporary git repository with the real tools, and says at the end whether the tests pass and the commit
is there: that is checked by itself, not taken from the model's words.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.cli._flags import HELP, Flag, parse, verb_help
from letta_code.config.settings import Settings
from letta_code.core.errors import ConfigError, LettaError
from letta_code.core.messages import Value
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import ExecResult, ExecSpec

FLAGS = (
    Flag(names=("--tui",), help="Watch it in the full screen; Ctrl-D leaves."),
    Flag(names=("--keep",), help="Keep the repository, and say where it is."),
    HELP,
)
PROMPT = "A test fails. Find the bug, fix it, run the tests and commit the fix."
BANNER = (
    "letta-code demo: the model's words are scripted. Everything else is real: a git repository with a bug,\n"
    "the tools that search, read and edit it, the tests that run, and the commit."
)

_FILES = Path(__file__).with_name("demo_files")
_TESTS = ("python3", "-m", "unittest")
_ALLOWED = ("Bash(python3 -m unittest)", "Git(add)", "Git(commit)")
_SECONDS = 45.0


class Check(Value):
    """What the demo saw by itself."""

    failed_before: bool
    tests_pass: bool
    committed: bool
    clean: bool

    @property
    def good(self) -> bool:
        """Whether all of it happened."""
        return self.failed_before and self.tests_pass and self.committed and self.clean


def run(argv: Sequence[str]) -> int:
    """Play the demo; 0 only if the bug was there, the tests pass and the commit exists."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("demo [--tui] [--keep]", __doc__ or "", FLAGS))
        return 0
    for program in ("git", "bash"):
        if shutil.which(program) is None:
            raise ConfigError(f"The demo needs {program}.", hint=f"Install {program} and try again.")
    _signals(_ended)
    folder = Path(tempfile.mkdtemp(prefix="letta-code-demo-"))
    try:
        _surroundings(folder)
        code = _watched(folder) if parsed.on("tui") else asyncio.run(_played(folder))
    finally:
        _signals(signal.SIG_IGN)  # what comes now must not leave half of the folder
        if parsed.on("keep"):
            print(f"The repository is {folder / 'repository'}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return code


def _signals(handler: Callable[[int, Any], None] | signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, handler)


def _ended(number: int, frame: Any) -> None:
    """End by way of the `finally` above, which removes the folder."""
    raise SystemExit(128 + number)


def _surroundings(folder: Path) -> None:
    """A home of its own, so that no memory of the demo stays, and nothing of an outer git."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "LETTA_")) and name != "LETTA_DEBUG_MODULES"]:
        del os.environ[name]
    os.environ["LETTA_HOME"] = str(folder / "home")
    # Nor of the person's git: signing, hooks and templates would stop or change the commit.
    os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
    os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
    # The Python that runs us, where there is no other.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    for source in sorted((_FILES / "repository").rglob("*.txt")):
        name = source.relative_to(_FILES).with_suffix("")
        target = folder / (name.with_name(".gitignore") if name.name == "gitignore" else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    script = (_FILES / "script.yaml").read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        script = script.replace("delay: 0.04", "delay: 0")
    (folder / "script.yaml").write_text(script, encoding="utf-8")


def options_for(folder: Path, *, face: str) -> SessionOptions:
    """The session of the demo: edits are free, the tests and the commit are allowed by rules, nothing else."""
    return SessionOptions(
        cwd=str(folder / "repository"),
        settings=Settings(),
        model=f"scripted:{folder / 'script.yaml'}",
        mode="auto",
        interactive=face == "tui",
        face=face,
        allow=_ALLOWED,
        trusted=True,
    )


async def _played(folder: Path) -> int:
    from letta_code.agent.start import start_session

    print(BANNER)
    failed_before = await prepare(folder)
    print(f"\n> {PROMPT}\n", flush=True)
    try:
        async with asyncio.timeout(_SECONDS):
            session = await start_session(options_for(folder, face="demo"))
            try:
                await _follow(session)
            finally:
                await session.close()
    except TimeoutError:
        print(f"The demo did not end within {_SECONDS:.0f} s.")
    except LettaError as error:
        print(f"error: {error}\n  {error.hint}")
    return tell(await check(folder, failed_before=failed_before))


async def _follow(session: SessionPort) -> None:
    from letta_code.core.events import RunFinished
    from letta_code.plain.render import Lines

    lines = Lines(lambda line: print(line, flush=True))

    async def follow() -> None:
        async for event in session.events():
            lines.event(event)
            if isinstance(event, RunFinished):
                return

    following = asyncio.create_task(follow())
    await session.send(PROMPT)
    await following
    await session.idle()


def _watched(folder: Path) -> int:
    """In the full screen: the prompt is said as soon as the session is open."""
    from letta_code.agent.start import start_session
    from letta_code.tui.main import run as tui

    failed_before = asyncio.run(prepare(folder))
    said: list[asyncio.Task[str]] = []

    async def open_session(options: SessionOptions) -> SessionPort:
        session = await start_session(options)
        if not said:
            said.append(asyncio.create_task(session.send(f"{PROMPT}\n\n({BANNER})", client_id="demo")))
        return session

    # The line that says how to go on is held back: this conversation goes with its home.
    with contextlib.redirect_stdout(io.StringIO()):
        tui(options_for(folder, face="tui"), open_session)
    print(BANNER)
    return tell(asyncio.run(check(folder, failed_before=failed_before)))


def tell(found: Check) -> int:
    """Say what was checked, and give the exit code."""
    print("\nChecked by the demo itself, whatever the model said:")
    for good, words in (
        (found.failed_before, "a test failed before"),
        (found.tests_pass, "all tests pass now"),
        (found.committed, "the fix is committed"),
        (found.clean, "nothing is left uncommitted"),
    ):
        print(f"  {'yes' if good else 'NO '}  {words}")
    if found.good:
        print("\nNow with a model of yours: letta-code configure, then letta-code in a project.")
    return 0 if found.good else 1


# ---------------------------------------------------------------- the repository


async def prepare(folder: Path) -> bool:
    """Make the repository and run its tests; whether one failed, as it should."""
    await _git(folder, "init", "-q", "-b", "main")
    for key, value in (("user.name", "letta-code demo"), ("user.email", "demo@example.invalid")):
        await _git(folder, "config", key, value)
    await _git(folder, "add", "-A")
    await _git(folder, "commit", "-q", "-m", "Split a bill")
    return (await _run(folder, _TESTS)).exit_code == 1


async def check(folder: Path, *, failed_before: bool) -> Check:
    """Look at the repository: tests, commits, work tree."""
    tests = await _run(folder, _TESTS)
    log = await _run(folder, ("git", "log", "--format=%s", "--", "bill/split.py"))
    status = await _run(folder, ("git", "status", "--porcelain"))
    return Check(
        failed_before=failed_before,
        tests_pass=tests.exit_code == 0,
        committed=log.exit_code == 0 and len(log.head.splitlines()) == 2,
        clean=status.exit_code == 0 and not status.head.strip(),
    )


async def _git(folder: Path, *words: str) -> None:
    done = await _run(folder, ("git", *words))
    if done.exit_code != 0:
        said = done.head.decode("utf-8", "replace").strip()
        raise ConfigError(f"git {words[0]} failed: {said}", hint="See that git works in this folder's surroundings.")


async def _run(folder: Path, argv: Sequence[str]) -> ExecResult:
    workspace = LocalWorkspace(str(folder / "repository"), str(folder / "temp"))
    try:
        return await workspace.exec(ExecSpec(argv=tuple(argv), cwd=str(folder / "repository"), timeout=20.0))
    finally:
        await workspace.close()
