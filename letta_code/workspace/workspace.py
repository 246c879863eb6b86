"""Workspace: the one protocol through which tools reach files and processes, here, in a sandbox or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from letta_code.core.messages import Value
from letta_code.safety.containment import Grant

Intent: TypeAlias = Literal["read", "write", "list", "delete"]
FileKind: TypeAlias = Literal["file", "directory", "missing", "other"]
OnOutput: TypeAlias = Callable[[bytes], None]


class Identity(Value):
    """What tells one version of a file from another without reading it."""

    device: int = 0
    inode: int = 0
    size: int = 0
    modified_ns: int = 0
    mode: int = 0


class Handle(Protocol):
    """A resolved path: the policy judges it, and only it is acted on."""

    @property
    def given(self) -> str:
        """The path as the model wrote it."""
        ...

    @property
    def path(self) -> str:
        """The real absolute path, symbolic links followed."""
        ...

    @property
    def kind(self) -> FileKind:
        """What is there; `other` is a device, FIFO or socket, which is never opened."""
        ...

    @property
    def identity(self) -> Identity:
        """The version that was judged; zeros where nothing is there."""
        ...

    @property
    def inside(self) -> bool:
        """Whether the path lies in the work tree."""
        ...


class Entry(Value):
    """One entry of a folder: `kind` as of the entry itself (a link is `other`, its target in `link`)."""

    name: str
    kind: FileKind
    size: int = 0
    modified_ns: int = 0
    link: str = ""


class Walked(Value):
    """Files below a folder, relative paths in order; `more` when the limit cut the list."""

    paths: tuple[str, ...]
    more: bool = False


class SearchQuery(Value):
    """What to search for: a regular expression (Rust syntax where ripgrep runs) below a folder or in one file.

    `globs` select files (`!` excludes); `limit` is a number of output lines; `context` lines around a match.
    """

    pattern: str
    globs: tuple[str, ...] = ()
    file_type: str = ""
    ignore_case: bool = False
    literal: bool = False
    multiline: bool = False
    hidden: bool = False
    no_ignore: bool = False
    before: int = 0
    after: int = 0
    mode: Literal["content", "files", "count"] = "files"
    limit: int = 250


class SearchLine(Value):
    """One line found: `line` 0 where only the file or its count is meant; `is_match` False for context lines."""

    path: str
    line: int = 0
    text: str = ""
    is_match: bool = True
    count: int = 0


class Found(Value):
    """Search results, at most `limit` lines; `more` when there were others; `problem` what the engine complained of."""

    lines: tuple[SearchLine, ...] = ()
    more: bool = False
    problem: str = ""


class ExecSpec(Value):
    """A command to run: `argv`, or `shell` text for a real bash.  stdin is /dev/null.

    `timeout` is in seconds (None: no limit); `keep_head` and `keep_tail` are the bytes kept of the merged output,
    `spool_limit` the bytes that the file with the whole output may have (half of it head, half tail).
    `report_cwd` asks a shell for the folder it ends in.
    """

    argv: tuple[str, ...] = ()
    shell: str = ""
    cwd: str = ""
    env: Mapping[str, str] = {}
    timeout: float | None = 120.0
    keep_head: int = 32_768
    keep_tail: int = 32_768
    spool_limit: int = 50_000_000
    report_cwd: bool = False
    merge_stderr: bool = True
    grant: Grant = Grant()  # what it gets beyond the sandbox
    source: str = ""  # where what it prints comes from, when it is not the person's own (safety/taint.py)


class ExecResult(Value):
    """What came of a command.

    `exit_code` is None when it was killed by us; `head` and `tail` are of the merged output (tail empty when head is
    all of it), `dropped` the bytes between them, `spool` the path of the whole output where it was longer.
    """

    exit_code: int | None
    head: bytes = b""
    tail: bytes = b""
    dropped: int = 0
    total: int = 0
    stderr: bytes = b""  # only when merge_stderr is False
    spool: str = ""
    spool_dropped: int = 0
    timed_out: bool = False
    signal: int = 0
    seconds: float = 0.0
    cwd: str = ""
    left_running: int = 0  # processes of the command that still held its output when it ended
    ended_with_it: int = 0  # processes it had left, which the sandbox ended together with it
    exceeded: str = ""  # the limit for which it was killed
    notes: tuple[str, ...] = ()  # what the sandbox found afterwards and set right
    confined: bool = False  # it ran in a sandbox


class Process(Value):
    """A background process: output read so far is up to the caller (`since`); `exit_code` None while it runs."""

    id: str
    command: str
    pid: int
    running: bool
    exit_code: int | None = None
    seconds: float = 0.0
    total: int = 0
    output: bytes = b""  # from `since` on, at most the asked length
    since: int = 0
    spool: str = ""
    keep: bool = False
    notes: tuple[str, ...] = ()  # why it was stopped, what the sandbox found afterwards
    source: str = ""  # of its output, as at its start: a conversation that goes back does not take it back


class Capabilities(Value):
    """What a workspace can do; a tool that cannot apply is not sent to the model."""

    shell: bool = True
    git: bool = True
    background: bool = True
    keep_processes: bool = False  # processes may outlive the session
    search_engine: str = "ripgrep"
    root: str = ""  # the work tree
    temp: str = ""  # a folder of this session, outside the tree
    platform: str = ""


class Workspace(Protocol):
    """Files and processes of one place.

    Every method raises `WorkspaceError` with a text fit for the model (what is wrong, what to do) and never blocks the
    event loop for longer than a small file takes.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this workspace can do."""
        ...

    async def resolve(self, path: str, intent: Intent, *, base: str = "") -> Handle:
        """The real file behind a path; relative ones start at `base`, else at the root.  `~` is the home folder."""
        ...

    async def read(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a regular file; refuses when it is no longer the file that was judged."""
        ...

    async def replace(self, handle: Handle, data: bytes, *, make_parents: bool = False) -> Identity:
        """Put new content in place atomically, keeping mode bits; refuses when the file changed since `resolve`."""
        ...

    async def remove(self, handle: Handle) -> None:
        """Remove one file."""
        ...

    async def rename(self, source: Handle, target: Handle) -> None:
        """Rename a file; refuses to overwrite."""
        ...

    async def list(self, handle: Handle) -> Sequence[Entry]:
        """Entries of a folder, by name."""
        ...

    async def walk(self, handle: Handle, glob: str = "", *, limit: int = 1000, ignored: bool = False) -> Walked:
        """Files below a folder that match a glob, newest first, those that git ignores left out."""
        ...

    async def search(self, handle: Handle, query: SearchQuery) -> Found:
        """Lines or files that match."""
        ...

    async def exec(self, spec: ExecSpec, on_output: OnOutput | None = None) -> ExecResult:
        """Run a command to its end; being cancelled kills its whole process tree within 2 s."""
        ...

    async def spawn(self, spec: ExecSpec, *, keep: bool = False) -> Process:
        """Start a background command; `keep` lets it outlive the session where that is allowed."""
        ...

    async def poll(self, process_id: str, since: int = 0, length: int = 30_000) -> Process:
        """State and output of a background command; raises for an unknown id, naming the known ones."""
        ...

    async def kill(self, process_id: str) -> Process:
        """Stop a background command and its tree."""
        ...

    async def processes(self) -> Sequence[Process]:
        """All background commands of this workspace."""
        ...

    def source_of(self, path: str) -> str:
        """Where a whole output that was kept at or below a real path comes from, "" when it is the person's own."""
        ...

    async def close(self) -> None:
        """Stop what still runs (except kept processes) and give back descriptors and temporary files."""
        ...
