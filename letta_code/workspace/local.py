"""LocalWorkspace: files and processes of this machine."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Mapping, Sequence

from letta_code.core.errors import WorkspaceError
from letta_code.core.ids import new_id
from letta_code.host.process import which
from letta_code.host.programs import outside
from letta_code.safety.containment import Sandbox
from letta_code.safety.sandboxes.none import Unconfined
from letta_code.workspace import files, ripgrep
from letta_code.workspace.commands import Commands
from letta_code.workspace.paths import LocalHandle, resolve
from letta_code.workspace.search import Search
from letta_code.workspace.workspace import (
    Capabilities,
    Entry,
    ExecResult,
    ExecSpec,
    Found,
    Handle,
    Identity,
    Intent,
    OnOutput,
    Process,
    SearchQuery,
    Walked,
)

DIRECT = 1_000_000  # bytes; smaller files are read and written without a thread, which would cost more than they do


class LocalWorkspace:
    """The work tree at `root` on this machine; satisfies `Workspace`.

    `temp_dir` is a folder for whole outputs (made 0700 if missing, left at the end; several sessions may share it; one
    that others can enter is not used); without it one is made with the first command and removed at `close`.
    `environment` is what commands inherit, the process's own by default; `sandbox` confines them (none: not at all).
    """

    def __init__(
        self,
        root: str,
        temp_dir: str = "",
        *,
        environment: Mapping[str, str] | None = None,
        keep_processes: bool = False,
        use_ripgrep: bool = True,
        sandbox: Sandbox | None = None,
    ) -> None:
        self._root = os.path.realpath(root)
        self._own_temp = not (temp_dir and _is_private(temp_dir))
        self._temp = _fresh_temp() if self._own_temp else os.path.abspath(temp_dir)
        self._environment = dict(os.environ if environment is None else environment)
        self._keep = keep_processes
        self._sandbox: Sandbox = sandbox or Unconfined()
        path = self._environment.get("PATH") or os.defpath
        self._ripgrep = ripgrep.program(path, self._root) if use_ripgrep else None
        self._commands_made: Commands | None = None
        self._capabilities: Capabilities | None = None
        self.stopped: tuple[str, ...] = ()  # background commands that `close` had to stop, for the person to be told

    @property
    def temp(self) -> str:
        """The folder for whole outputs; it may not be there yet."""
        return self._temp

    @property
    def capabilities(self) -> Capabilities:
        """What this machine can do."""
        if self._capabilities is None:
            path = outside(self._environment.get("PATH") or os.defpath, self._root)
            self._capabilities = Capabilities(
                shell=which("bash", path) is not None,
                git=which("git", path) is not None,
                keep_processes=self._keep,
                search_engine="ripgrep" if self._ripgrep else "python",
                root=self._root,
                temp=self._temp,
                platform=sys.platform,
            )
        return self._capabilities

    def warm(self) -> None:
        """Start the launcher of commands behind the scenes; call it on the loop when the first request is out."""
        self._commands.launcher.warm()

    # ------------------------------------------------------------ files

    async def resolve(self, path: str, intent: Intent, *, base: str = "") -> LocalHandle:
        """The real file behind a path."""
        return resolve(path, intent, root=self._root, base=base)

    async def read(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a regular file."""
        local = _local(handle)
        if (length if length is not None else local.identity.size) <= DIRECT:
            return files.read(local, offset, length)
        return await asyncio.to_thread(files.read, local, offset, length)

    async def replace(self, handle: Handle, data: bytes, *, make_parents: bool = False) -> Identity:
        """New content, atomically."""
        if len(data) <= DIRECT:
            return files.replace(_local(handle), data, make_parents)
        return await asyncio.to_thread(files.replace, _local(handle), data, make_parents)

    async def remove(self, handle: Handle) -> None:
        """Remove one file."""
        files.remove(_local(handle))

    async def rename(self, source: Handle, target: Handle) -> None:
        """Rename a file; refuses to overwrite."""
        files.rename(_local(source), _local(target))

    async def list(self, handle: Handle) -> Sequence[Entry]:
        """Entries of a folder, by name."""
        return await asyncio.to_thread(files.entries, _local(handle))

    async def walk(self, handle: Handle, glob: str = "", *, limit: int = 1000, ignored: bool = False) -> Walked:
        """Files below a folder, newest first."""
        return await self._search.walk(_local(handle), glob, limit, ignored)

    async def search(self, handle: Handle, query: SearchQuery) -> Found:
        """Lines or files that match."""
        return await self._search.search(_local(handle), query)

    # ------------------------------------------------------------ processes

    async def exec(self, spec: ExecSpec, on_output: OnOutput | None = None) -> ExecResult:
        """Run a command to its end."""
        return await self._commands.exec(spec, on_output)

    async def spawn(self, spec: ExecSpec, *, keep: bool = False) -> Process:
        """Start a background command."""
        return await self._commands.spawn(spec, keep)

    def source_of(self, path: str) -> str:
        """Where a whole output comes from."""
        return self._commands_made.source_of(path) if self._commands_made is not None else ""

    async def poll(self, process_id: str, since: int = 0, length: int = 30_000) -> Process:
        """State and output of a background command."""
        return self._commands.poll(process_id, since, length)

    async def kill(self, process_id: str) -> Process:
        """Stop a background command and its tree."""
        return await self._commands.kill(process_id)

    async def processes(self) -> Sequence[Process]:
        """All background commands."""
        return self._commands_made.all() if self._commands_made else ()

    async def close(self) -> None:
        """Stop what runs (`stopped` then says what); a temporary folder of our own goes."""
        if self._commands_made is not None:
            self.stopped += await self._commands_made.close()
            self._commands_made = None
            self._sandbox.close()
            if self._own_temp:
                import shutil

                await asyncio.to_thread(shutil.rmtree, self._temp, True)

    @property
    def _commands(self) -> Commands:
        if self._commands_made is None:
            os.makedirs(self._temp, mode=0o700, exist_ok=True)
            self._commands_made = Commands(
                root=self._root,
                temp=self._temp,
                inherited=self._environment,
                keep_allowed=self._keep,
                sandbox=self._sandbox,
            )
        return self._commands_made

    @property
    def _search(self) -> Search:
        return Search(self._commands.launcher, self._environment, self._ripgrep)


def _fresh_temp() -> str:
    """A path for a folder of our own, made when first needed (`tempfile` would cost the start 5 ms)."""
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", new_id("letta-code"))


def _is_private(folder: str) -> bool:
    """Whether a folder is only ours, or can be made so: nobody else may put links or read outputs there."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _local(handle: Handle) -> LocalHandle:
    if not isinstance(handle, LocalHandle):
        raise WorkspaceError("This handle belongs to another workspace.")
    return handle
