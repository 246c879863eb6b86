"""OwnFolder: what letta-code keeps for the sandbox of one work tree: caches, notes, covers, and where `/tmp` is."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from letta_code.core.errors import WorkspaceError

if TYPE_CHECKING:
    from letta_code.safety.sandboxes.choose import Territory


class OwnFolder:
    """Paths of one work tree's folder, the same for all sessions there but for `temp`; `prepare` makes them.

    `caches` and `temp` may be written by commands.  `empty` is a file and `nothing` a folder to show in place of
    others.  `closed` is a file and `shut` a folder in which nobody can read anything: a command is told so, where an
    empty one would look like what was there, and git would take the difference for a change to be committed.
    """

    def __init__(self, territory: Territory) -> None:
        name = hashlib.sha256(os.fsencode(territory.root)).hexdigest()[:16]
        self.path = f"{territory.letta_home}/cache/sandbox/{name}"
        self.caches = f"{self.path}/caches"
        self.temp = f"{territory.temp or self.path}/tmp"
        self.empty = f"{self.path}/empty"
        self.nothing = f"{self.path}/nothing"
        self.closed = f"{self.path}/closed"
        self.shut = f"{self.path}/shut"
        self._prepared = False

    def prepare(self) -> None:
        """Make what is missing; raises `WorkspaceError`: a command cannot be confined without it."""
        if self._prepared and os.path.isdir(self.temp):
            return
        try:
            above = os.path.dirname(self.path)  # the mode is of the last folder alone: each is made by itself
            for folder in (os.path.dirname(above), above, self.path, self.caches, self.temp, self.nothing):
                os.makedirs(folder, mode=0o700, exist_ok=True)
            for file, mode in ((self.empty, 0o400), (self.closed, 0)):
                with suppress(FileExistsError):
                    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
            with suppress(FileExistsError):
                os.mkdir(self.shut, 0o400)  # it can be listed, and so be removed by whoever clears this folder
        except OSError as error:
            raise WorkspaceError(
                f"The sandbox needs a folder of its own and {error.filename} cannot be made: {error.strerror}. "
                "The command was not run."
            ) from error
        self._prepared = True
