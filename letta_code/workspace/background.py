"""Background: what is known of one command that runs beside the others."""

from __future__ import annotations

import os
import time

from letta_code.host.output import Spool
from letta_code.host.process import Child, Pipe
from letta_code.safety.containment import Confined
from letta_code.workspace.workspace import Process


class Background:
    """A background command: its output goes through a pipe into a spool, or, when kept, straight into a file."""

    def __init__(self, name: str, command: str, path: str, keep: bool, confined: Confined, *, source: str = "") -> None:
        self.name = name
        self.command = command
        self.path = path
        self.keep = keep
        self.confined = confined
        self.source = source  # of text from outside, in all that it will ever print
        self.notes: tuple[str, ...] = ()
        self.began = time.monotonic()
        self.ended_at = 0.0
        self.child: Child | None = None
        self.pipe: Pipe | None = None
        self.spool: Spool | None = None
        self.killed = False

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return self.child is not None and not self.child.ended.done()

    def finish(self) -> None:
        """Called when the first process has ended."""
        self.ended_at = time.monotonic()

    def process(self, since: int, length: int) -> Process:
        """Its state, with output from `since` on."""
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
            notes=self.notes,
            source=self.source,
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
