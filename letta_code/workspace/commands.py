"""Commands of this machine: a real bash or an argv, to its end or in the background."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from letta_code.core.errors import WorkspaceError
from letta_code.core.ids import new_id
from letta_code.host.output import Output, Spool
from letta_code.host.process import Child, Launcher, LauncherLost, Pipe, run, which
from letta_code.safety.containment import Confined, Sandbox
from letta_code.workspace.workspace import ExecResult, ExecSpec, OnOutput, Process

SPOOLS_LIMIT = 1_000_000_000  # bytes of all spool files of a workspace; the oldest go first
BACKGROUND_LIMIT = 32  # running at the same time
LONGEST_ARGUMENT = 120_000  # bytes; Linux takes 131,071 for one argument, a longer script goes through a file

# Dropped: files that a shell would run before the command, what makes output colourful, the mark of an outer
# letta-code, and what git tells its hooks (started from one, every git command would act on that repository's index).
_DROPPED = {
    *("BASH_ENV", "ENV", "PROMPT_COMMAND", "SHELLOPTS", "BASHOPTS", "_LETTA_COMMAND"),
    *("COLORTERM", "FORCE_COLOR", "CLICOLOR_FORCE"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"),
}
# Set: nobody can answer a prompt or leave a pager (stdin is /dev/null, there is no terminal), colours and progress bars
# are noise for a model, and a background server's log must come line by line.  CI is not set: it changes what tools do.
_SET = {
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "MANPAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",  # `git rebase --continue` and `commit --amend` take the message that is there
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_NO_INPUT": "1",
    "PYTHONUNBUFFERED": "1",
}


def environment(inherited: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """What a command finds in its environment: the person's, made non-interactive."""
    env = {name: value for name, value in inherited.items() if name not in _DROPPED}
    env.update(_SET)
    env.update(more)
    return env


class _Background:
    """A background command: its output goes through a pipe into a spool, or, when kept, straight into a file."""

    def __init__(self, name: str, command: str, path: str, keep: bool) -> None:
        self.name = name
        self.command = command
        self.path = path
        self.keep = keep
        self.began = time.monotonic()
        self.ended_at = 0.0
        self.child: Child | None = None
        self.pipe: Pipe | None = None
        self.spool: Spool | None = None
        self.killed = False

    @property
    def running(self) -> bool:
        return self.child is not None and not self.child.ended.done()

    def finish(self) -> None:
        """Called when the first process has ended."""
        self.ended_at = time.monotonic()

    def process(self, since: int, length: int) -> Process:
        code: int | None = None
        if self.child is not None and self.child.ended.done() and not self.child.ended.exception():
            code = self.child.ended.result()
        since, output, total = self._read(since, length)
        return Process(
            id=self.name,
            command=self.command,
            pid=self.child.pid if self.child else 0,
            running=self.running,
            exit_code=None if code is None or (self.killed and code < 0) else (code if code >= 0 else 128 - code),
            seconds=(self.ended_at or time.monotonic()) - self.began,
            total=total,
            output=output,
            since=since,
            spool=self.path,
            keep=self.keep,
        )

    def _read(self, since: int, length: int) -> tuple[int, bytes, int]:
        if self.spool is not None:
            since, data = self.spool.read(since, length)
            return since, data, self.spool.total
        try:
            with open(self.path, "rb") as file:
                total = os.fstat(file.fileno()).st_size
                file.seek(since)
                return since, file.read(length), total
        except OSError:
            return since, b"", 0


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
        self._hook = ""  # the file that bash reads first, to tell the folder it ends in
        self._session = new_id("s")[-8:]  # several sessions may share the folder
        self._count = 0
        self._spools: deque[tuple[str, int]] = deque()
        self._background: dict[str, _Background] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ foreground

    async def exec(self, spec: ExecSpec, on_output: OnOutput | None) -> ExecResult:
        """Run to the end; cancelled or timed out, the whole tree is killed."""
        env = environment(self._inherited, spec.env)
        pids: list[int] = []
        if spec.report_cwd and spec.shell:
            env["BASH_ENV"] = _in_double_quotes(self._cwd_hook())  # bash expands what stands in it
        confined = self._confined(spec, env)
        output = Output(
            head=spec.keep_head, tail=spec.keep_tail, path=self._spool_path("output"), spool_limit=spec.spool_limit
        )
        errors = None if spec.merge_stderr else Output(head=spec.keep_head, tail=spec.keep_tail)

        def sink(data: bytes) -> None:
            output.add(data)
            if on_output is not None:
                on_output(data)

        try:
            outcome = await run(
                self.launcher,
                confined.argv,
                cwd=self._cwd(spec),
                env=confined.env,
                stdout=sink,
                stderr=errors.add if errors else None,
                timeout=spec.timeout,
                on_pid=pids.append,
            )
        except LauncherLost as error:
            raise WorkspaceError(
                "The process that runs commands was killed while this one ran; what it did is unknown. Look before "
                "running it again."
            ) from error
        except (OSError, ValueError) as error:
            raise _not_started(error, confined.argv[0], self._cwd(spec)) from error
        finally:
            if confined.close is not None:
                confined.close()
            cwd = self._reported_cwd(pids)
            await self._finish_spool(output.spool)
        return ExecResult(
            exit_code=outcome.exit_code,
            head=output.head,
            tail=output.tail,
            dropped=output.dropped,
            total=output.total,
            stderr=errors.head + errors.tail if errors else b"",
            spool=output.spool.path if output.spool else "",
            spool_dropped=output.spool.dropped if output.spool else 0,
            timed_out=outcome.timed_out,
            signal=outcome.signal,
            seconds=outcome.seconds,
            cwd=cwd,
            left_running=outcome.left_running,
        )

    def _cwd(self, spec: ExecSpec) -> str:
        return os.path.join(self.root, spec.cwd) if spec.cwd else self.root

    def _confined(self, spec: ExecSpec, env: Mapping[str, str]) -> Confined:
        """The command inside the sandbox, as far as it is not granted to leave it."""
        return self._sandbox.confine(self._argv(spec, env), self._cwd(spec), env, spec.grant)

    def _argv(self, spec: ExecSpec, env: Mapping[str, str]) -> list[str]:
        path = env.get("PATH") or os.defpath
        if not spec.shell:
            program = which(spec.argv[0], path) if spec.argv else None
            if program is None:
                raise WorkspaceError(f"There is no program {spec.argv[0] if spec.argv else ''!r} on PATH.")
            return [program, *spec.argv[1:]]
        if self._bash is None:
            self._bash = which("bash", path) or which("bash", "/bin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
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

    def _cwd_hook(self) -> str:
        """A file for BASH_ENV: at its end the shell writes its folder into a file named after its pid.

        So the command's text stays as it was written (line numbers, `$0`), no descriptor and no variable leaks into it,
        and `exit`, a failure or `set -e` still tell.  A command that sets its own EXIT trap or ends in `exec` does not.
        """
        if not self._hook:
            path = os.path.join(self.temp, f"cwd-{self._session}")
            quoted = _in_double_quotes(path).replace("'", "'\\''")
            text = f"unset BASH_ENV\ntrap '{{ builtin pwd -P >|\"{quoted}.$$\"; }} 2>/dev/null' EXIT\n"
            with open(os.open(path + ".sh", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
                file.write(text)
            self._hook = path + ".sh"
        return self._hook

    def _reported_cwd(self, pids: list[int]) -> str:
        if not pids or not self._hook:
            return ""
        path = f"{self._hook.removesuffix('.sh')}.{pids[0]}"
        try:
            with open(path, "rb") as file:
                text = os.fsdecode(file.read().removesuffix(b"\n"))
            os.unlink(path)
        except OSError:
            return ""
        return text if text.startswith("/") else ""

    def _spool_path(self, kind: str) -> str:
        self._count += 1
        return os.path.join(self.temp, f"{kind}-{self._session}-{self._count}.txt")

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
            raise WorkspaceError(f"{BACKGROUND_LIMIT} background commands run already; stop one first.")
        env = environment(self._inherited, spec.env)
        confined = self._confined(spec, env)
        name = f"sh-{len(self._background) + 1}"
        record = _Background(name, spec.shell or " ".join(spec.argv), self._spool_path("background"), keep)
        try:
            if keep:
                await self._spawn_kept(record, confined, self._cwd(spec))
            else:
                await self._spawn_piped(record, confined, self._cwd(spec), spec.spool_limit)
        except (OSError, ValueError) as error:
            raise _not_started(error, confined.argv[0], self._cwd(spec)) from error
        self._background[name] = record
        task = asyncio.ensure_future(self._watch(record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return record.process(0, 0)

    async def _spawn_piped(self, record: _Background, confined: Confined, cwd: str, limit: int) -> None:
        record.spool = Spool(record.path, limit)
        record.pipe = pipe = Pipe(record.spool.write)
        try:
            record.child = await self.launcher.spawn(confined.argv, cwd=cwd, env=confined.env, output=[pipe.write_end])
        except BaseException:
            pipe.close()
            record.spool.close()
            raise
        pipe.started()

    async def _spawn_kept(self, record: _Background, confined: Confined, cwd: str) -> None:
        fd = os.open(record.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            record.child = await self.launcher.spawn(confined.argv, cwd=cwd, env=confined.env, output=[fd], keep=True)
        finally:
            os.close(fd)

    async def _watch(self, record: _Background) -> None:
        assert record.child is not None
        await asyncio.wait({record.child.ended})
        record.finish()
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

    def _known(self, name: str) -> _Background:
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


def _in_double_quotes(path: str) -> str:
    for char in '\\"$`':
        path = path.replace(char, "\\" + char)
    return path


def _not_started(error: OSError | ValueError, program: str, cwd: str) -> WorkspaceError:
    if isinstance(error, ValueError):
        return WorkspaceError(f"The command could not be started: {error}.")
    if not os.path.isdir(cwd):
        return WorkspaceError(f"The folder {cwd} does not exist (any more).")
    reason = error.strerror or str(error)
    if error.errno == 7:  # E2BIG
        reason = "the command line is too long; write a script to a file and run that"
    return WorkspaceError(f"{program} could not be started: {reason}.")
