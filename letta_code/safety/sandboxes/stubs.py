"""Stubs: empty folders that stand in for protected names that are missing, so that a command cannot make them.

A mount needs something to lie on.  The stubs are real folders of the work tree while commands run (git does not see
empty folders), are removed with the last command, and are found again after a crash: their paths are written down
before they are made, and only an empty folder is ever removed.  No link on the way to one is followed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress

from letta_code.core.errors import WorkspaceError
from letta_code.safety.sandboxes import beneath

# Then a command cannot make it there either, or not without a change that the next look sees.
_NOBODY_CAN = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENAMETOOLONG, errno.ENOTDIR)


class Stubs:
    """The stubs of one work tree; `folder` is where they are written down, shared by all our processes."""

    def __init__(self, folder: str) -> None:
        self._journal = f"{folder}/stubs"
        self._descriptor = -1
        self._users = 0

    def take(self, paths: Iterable[str]) -> list[str]:
        """Make what is missing and say which of the paths are stubs; `release` it once."""
        self._hold()
        known = self._written()
        stubs: list[str] = []
        for path in paths:
            if not os.path.lexists(path):
                if path not in known:
                    os.write(self._descriptor, os.fsencode(path) + b"\0")
                try:
                    with beneath.parent(path) as (folder, name):
                        os.mkdir(name, 0o755, dir_fd=folder)
                except FileExistsError:
                    pass
                except OSError as error:
                    if error.errno in _NOBODY_CAN:
                        continue
                    self.release()
                    raise WorkspaceError(
                        f"{path} cannot be covered before the command runs: {error.strerror}. It was not run."
                    ) from error
                stubs.append(path)
            elif path in known:
                stubs.append(path)
        return stubs

    def release(self) -> None:
        """A command has ended; with the last one of all processes the stubs go."""
        self._users -= 1
        if self._users:
            return
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._clear()
        os.close(self._descriptor)
        self._descriptor = -1

    def _hold(self) -> None:
        self._users += 1
        if self._descriptor >= 0:
            return
        try:
            os.makedirs(os.path.dirname(self._journal), mode=0o700, exist_ok=True)
            self._descriptor = os.open(self._journal, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with suppress(OSError):  # what a killed process left
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._clear()
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        except OSError as error:
            self._users -= 1
            raise WorkspaceError(f"The sandbox cannot keep its notes in {self._journal}: {error.strerror}.") from error

    def _written(self) -> set[str]:
        size = os.fstat(self._descriptor).st_size
        return {os.fsdecode(path) for path in os.pread(self._descriptor, size, 0).split(b"\0") if path}

    def _clear(self) -> None:
        for path in sorted(self._written(), key=len, reverse=True):
            with suppress(OSError), beneath.parent(path) as (folder, name):
                os.rmdir(name, dir_fd=folder)
        os.ftruncate(self._descriptor, 0)
