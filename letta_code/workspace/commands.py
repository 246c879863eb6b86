"""Commands of this machine: a real bash or an argv, to its end or in the background."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec.structs import replace

from letta_code.core.errors import NotStartedError, WorkspaceError
from letta_code.core.ids import new_id
from letta_code.host.output import Output, Spool
from letta_code.host.process import Child, Launcher, LauncherLost, Outcome, Pipe, run, which
from letta_code.host.programs import program_outside
from letta_code.safety.containment import Confined, Grant, Sandbox
from letta_code.safety.sandboxes.environment import allowed
from letta_code.workspace.background import Background
from letta_code.workspace.endings import Ending
from letta_code.workspace.variables import environment, stands_in, written_last
from letta_code.workspace.workspace import ExecResult, ExecSpec, OnOutput, Process

SPOOLS_LIMIT = 1_000_000_000  # bytes of all spool files of a workspace; the oldest go first
BACKGROUND_LIMIT = 32  # running at the same time
WATCHED_EVERY = 0.2  # seconds between two looks at what a confined command uses
LONGEST_ARGUMENT = 120_000  # bytes; Linux takes 131,071 for one argument, a longer script goes through a file
_USUAL = "/bin:/usr/bin:/usr/local/bin:/opt/homebrew/bin"  # where bash is looked for when PATH has none


class Commands:
    """Runs commands for a workspace; spools and helper files live in its temporary folder."""

    def __init__(
        self, *, root: str, temp: str, inherited: Mapping[str, str], keep_allowed: bool, sandbox: Sandbox
    ) -> None:
        self.root = root
        self.temp = temp
        self.keep_allowed = keep_allowed
        self.launcher = Launcher()
        self._sandbox = sandbox
        self._inherited = dict(inherited)
        self._bash: str | None = None
        self._session = new_id("s")[-8:]  # several sessions may share the folder
        self._count = 0
        self._spools: deque[tuple[str, int]] = deque()
        self._background: dict[str, Background] = {}
        self._sources: dict[str, str] = {}  # of whole outputs that came from outside, by real path
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ foreground

    async def exec(self, spec: ExecSpec, on_output: OnOutput | None) -> ExecResult:
        """Run to the end; cancelled or timed out, the whole tree is killed."""
        env, ending = self._environment(spec), None
        if spec.report_cwd and spec.shell:
            ending = self._ending(spec.grant)
            env["BASH_ENV"] = ending.variable
        output = Output(
            head=spec.keep_head,
            tail=spec.keep_tail,
            path=self._spool_path("output", spec.source),
            spool_limit=spec.spool_limit,
        )
        errors = None if spec.merge_stderr else Output(head=spec.keep_head, tail=spec.keep_tail)
        confined = self._confined(spec, env)
        watch = _Watch(confined)
        notes: Sequence[str] = ()
        try:
            outcome = await self._run(spec, confined, watch, _both(output, on_output), errors)
        finally:
            watch.end()
            notes = await _closed(confined)
            cwd, left = ending.read() if ending else ("", 0)
            await self._finish_spool(output.spool)
        return replace(
            _result(outcome, output, errors, watch.exceeded),
            cwd=cwd,
            ended_with_it=left,
            notes=tuple(notes),
            confined=not spec.grant.outside and self._sandbox.containment.kind != "none",
        )

    async def _run(
        self, spec: ExecSpec, confined: Confined, watch: _Watch, sink: OnOutput, errors: Output | None
    ) -> Outcome:
        try:
            return await run(
                self.launcher,
                confined.argv,
                cwd=self._cwd(spec),
                env=confined.env,
                stdout=sink,
                stderr=errors.add if errors else None,
                timeout=spec.timeout,
                stop=watch.stop,
                on_pid=watch.begin,
                guarded=confined.private_pids,
            )
        except LauncherLost as error:
            raise WorkspaceError(
                "The process that runs commands was killed while this one ran; what it did is unknown. Look before "
                "running it again."
            ) from error
        except (OSError, ValueError) as error:
            found = _not_started(error, confined.argv[0], self._cwd(spec))
            raise (WorkspaceError(str(found)) if watch.began else found) from error

    def _environment(self, spec: ExecSpec) -> dict[str, str]:
        """Only what is needed, where a sandbox holds; the person's own where the command was let out of it.

        Where a command gets what the name of its program was granted (the repository, the open network, a folder
        outside, all of the machine), folders of PATH that confined commands may write come last: they cannot put a
        `git` of their own before the system's.  So what only a tree's environment has (`pytest`) is found there; its
        `python` is not, it has to be named (`.venv/bin/python`).
        """
        grant, kind = spec.grant, self._sandbox.containment.kind
        if grant.outside or kind == "none":
            env = environment(self._inherited, spec.env)
        else:
            known = allowed(
                self._inherited, network_open=grant.network == "open", logins=grant.logins and grant.network == "open"
            )
            env = environment(known, spec.env)
        named = grant.outside or grant.git or grant.network == "open" or grant.logins or grant.writes or grant.reads
        path = env.get("PATH", "")
        # With the web alone the tree's own pip or npm is the one that is meant; its own curl is not.
        web = grant.network != "off" and stands_in(path, self.root, self.temp)
        if kind != "none" and (named or web):
            last = written_last(path, self.root, self.temp)
            if last != path:
                env["PATH"] = last
        return env

    def _cwd(self, spec: ExecSpec) -> str:
        return os.path.join(self.root, spec.cwd) if spec.cwd else self.root

    def _confined(self, spec: ExecSpec, env: Mapping[str, str]) -> Confined:
        """The command inside the sandbox, as far as it is not granted to leave it."""
        confined = self._sandbox.confine(self._argv(spec, env), self._cwd(spec), env, spec.grant)
        if confined.joins:
            self.launcher.join(confined.joins)
        return confined

    def _argv(self, spec: ExecSpec, env: Mapping[str, str]) -> list[str]:
        path = env.get("PATH") or os.defpath
        if not spec.shell:
            program = program_outside(spec.argv[0], path, self.root) if spec.argv else None
            if program is None:
                raise WorkspaceError(f"There is no program {spec.argv[0] if spec.argv else ''!r} on PATH.")
            return [program, *spec.argv[1:]]
        if self._bash is None:
            self._bash = program_outside("bash", path, self.root) or which("bash", _USUAL)
        if self._bash is None:
            raise WorkspaceError("There is no bash on this machine; commands cannot be run.")
        if len(spec.shell) > LONGEST_ARGUMENT // 4 and len(spec.shell.encode("utf-8", "replace")) > LONGEST_ARGUMENT:
            return [self._bash, "--noprofile", "--norc", self._script(spec.shell)]
        return [self._bash, "--noprofile", "--norc", "-c", spec.shell]

    def _script(self, text: str) -> str:
        path = self._spool_path("script")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(text.encode("utf-8", "replace"))
        return path

    def _ending(self, grant: Grant) -> Ending:
        """How this command's bash tells where it ends; `temp/tmp` is what confined commands may write."""
        os.makedirs(f"{self.temp}/tmp", mode=0o700, exist_ok=True)
        kind = "none" if grant.outside else self._sandbox.containment.kind
        # The first process of the namespace, the bash, and what carries its requests to the proxy.
        own = 2 + (grant.network == "proxy") if kind == "bubblewrap" else 0
        return Ending(self.temp, self.temp if kind == "none" else f"{self.temp}/tmp", own=own)

    def _spool_path(self, kind: str, source: str = "") -> str:
        self._count += 1
        path = os.path.join(self.temp, f"{kind}-{self._session}-{self._count}.txt")
        if source:
            self._sources[os.path.realpath(path)] = source
        return path

    def source_of(self, path: str) -> str:
        """Where the newest whole output at or below a real path comes from, "" when it is the person's own."""
        below = f"{path.rstrip('/')}/"
        found = (
            source for known, source in reversed(self._sources.items()) if known == path or known.startswith(below)
        )
        return next(found, "")

    async def _finish_spool(self, spool: Spool | None) -> None:
        if spool is None:
            return
        if spool.total > 4_000_000:
            await asyncio.to_thread(spool.close)
        else:
            spool.close()
        with suppress(OSError):
            self._spools.append((spool.path, os.path.getsize(spool.path)))
        while sum(size for _, size in self._spools) > SPOOLS_LIMIT and len(self._spools) > 1:
            with suppress(OSError):
                os.unlink(self._spools.popleft()[0])

    # ------------------------------------------------------------ background

    async def spawn(self, spec: ExecSpec, keep: bool) -> Process:
        """Start a command and return at once."""
        if keep and not self.keep_allowed:
            raise WorkspaceError("Commands may not outlive the session here; start it without `keep`.")
        if sum(1 for b in self._background.values() if b.running) >= BACKGROUND_LIMIT:
            raise NotStartedError(f"{BACKGROUND_LIMIT} background commands run already; stop one first.")
        confined = self._confined(spec, self._environment(spec))
        if keep and confined.private_pids:
            await _closed(confined)
            raise WorkspaceError('What runs in the sandbox ends with the session; `keep` also needs needs="outside".')
        name = f"sh-{len(self._background) + 1}"
        path = self._spool_path("background", spec.source)
        record = Background(name, spec.shell or " ".join(spec.argv), path, keep, confined, source=spec.source)
        try:
            if keep:
                await self._spawn_kept(record, self._cwd(spec))
            else:
                await self._spawn_piped(record, self._cwd(spec), spec.spool_limit)
        except BaseException as error:
            await _closed(confined)
            if isinstance(error, OSError | ValueError):
                raise _not_started(error, confined.argv[0], self._cwd(spec)) from error
            raise
        self._background[name] = record
        task = asyncio.ensure_future(self._watch(record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return record.process(0, 0)

    async def _spawn_piped(self, record: Background, cwd: str, limit: int) -> None:
        record.spool = Spool(record.path, limit)
        record.pipe = pipe = Pipe(record.spool.write)
        try:
            record.child = await self._start(record, cwd, pipe.write_end)
        except BaseException:
            pipe.close()
            record.spool.close()
            raise
        pipe.started()

    async def _spawn_kept(self, record: Background, cwd: str) -> None:
        fd = os.open(record.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            record.child = await self._start(record, cwd, fd)
        finally:
            os.close(fd)

    async def _start(self, record: Background, cwd: str, output: int) -> Child:
        confined = record.confined
        return await self.launcher.spawn(
            confined.argv,
            cwd=cwd,
            env=confined.env,
            output=[output],
            keep=record.keep,
            guarded=confined.private_pids,
        )

    async def _watch(self, record: Background) -> None:
        child = record.child
        assert child is not None
        watch = _Watch(record.confined)
        watch.begin(child.pid)
        stopping = asyncio.ensure_future(watch.stop.wait())
        try:
            await asyncio.wait({child.ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not child.ended.done():
                record.killed = True
                await child.kill()
        finally:
            stopping.cancel()
            watch.end()
            record.finish()
            notes = await asyncio.shield(asyncio.ensure_future(_closed(record.confined)))
            record.notes = (*([watch.exceeded] if watch.exceeded else []), *notes)
        if record.pipe is not None:
            await asyncio.wait({record.pipe.ended}, timeout=1.0)

    def poll(self, name: str, since: int, length: int) -> Process:
        """State and output."""
        return self._known(name).process(since, length)

    async def kill(self, name: str) -> Process:
        """Stop it and everything it started."""
        record = self._known(name)
        if record.child is not None:
            record.killed = record.running
            survivors = await record.child.kill()
            if survivors:
                raise WorkspaceError(f"{survivors} processes of {name} could not be killed (stuck in the kernel).")
            record.ended_at = record.ended_at or time.monotonic()
        return record.process(0, 0)

    def all(self) -> list[Process]:
        """All background commands, oldest first."""
        return [record.process(0, 0) for record in self._background.values()]

    def _known(self, name: str) -> Background:
        record = self._background.get(name)
        if record is None:
            known = ", ".join(self._background) or "none"
            raise WorkspaceError(
                f"There is no background command {name!r}. Known: {known}. They end with the session that started them."
            )
        return record

    async def close(self) -> tuple[str, ...]:
        """Stop everything that is not kept; says the background commands that still ran, oldest first."""
        stopped = tuple(record.command for record in self._background.values() if record.running and not record.keep)
        await self.launcher.close()
        for task in list(self._tasks):
            task.cancel()
        for record in self._background.values():
            if record.pipe is not None:
                record.pipe.close()
            if record.spool is not None:
                record.spool.close()
        return stopped


class _Watch:
    """Looks now and then whether a command has passed a limit of its sandbox; `stop` is set when it has."""

    def __init__(self, confined: Confined) -> None:
        self.stop = asyncio.Event()
        self.exceeded = ""
        self.began = False
        self._confined = confined
        self._task: asyncio.Task[None] | None = None

    def begin(self, pid: int) -> None:
        """The command has started."""
        self.began = True
        if self._confined.exceeded is not None:
            self._task = asyncio.ensure_future(self._look(self._confined.exceeded, pid))

    def end(self) -> None:
        """It has ended."""
        if self._task is not None:
            self._task.cancel()

    async def _look(self, asks: Callable[[int], str], pid: int) -> None:
        while not self.exceeded:
            await asyncio.sleep(WATCHED_EVERY)
            self.exceeded = asks(pid)
        self.stop.set()
        if self._confined.private_pids:  # at once, and all of it: what grows without end is not asked to end
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _both(output: Output, on_output: OnOutput | None) -> OnOutput:
    """Where a command's output goes: what is kept, and who listens."""

    def sink(data: bytes) -> None:
        output.add(data)
        if on_output is not None:
            on_output(data)

    return sink


def _result(outcome: Outcome, output: Output, errors: Output | None, exceeded: str) -> ExecResult:
    """How a command ended and what it printed; `exceeded` is the limit for which it was killed."""
    return ExecResult(
        exit_code=None if exceeded else outcome.exit_code,
        head=output.head,
        tail=output.tail,
        dropped=output.dropped,
        total=output.total,
        stderr=errors.head + errors.tail if errors else b"",
        spool=output.spool.path if output.spool else "",
        spool_dropped=output.spool.dropped if output.spool else 0,
        timed_out=outcome.timed_out,
        signal=0 if exceeded else outcome.signal,
        seconds=outcome.seconds,
        left_running=outcome.left_running,
        exceeded=exceeded,
    )


async def _closed(confined: Confined) -> Sequence[str]:
    """Give back what was made for a command; what is to be told about it."""
    return await asyncio.to_thread(confined.close) if confined.close is not None else ()


def _not_started(error: OSError | ValueError, program: str, cwd: str) -> NotStartedError:
    if isinstance(error, ValueError):
        return NotStartedError(f"The command could not be started: {error}.")
    if not os.path.isdir(cwd):
        return NotStartedError(f"The folder {cwd} does not exist (any more).")
    reason = error.strerror or str(error)
    if error.errno == 7:  # E2BIG
        reason = "the command line is too long; write a script to a file and run that"
    return NotStartedError(f"{program} could not be started: {reason}.")
