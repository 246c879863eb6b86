"""Printed: what running calls have printed so far, also on disk, so that it is found after a kill -9."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from letta_code.host.files import ensure_private_dir

SHOWN = 4_000  # characters at the end that the model is given
_FILE_LIMIT = 256 * 1024  # bytes; then the file begins again with the last words


class Printed:
    """The output of one conversation's running calls, by call id; with a folder each has a file there too."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is this conversation's alone and made when first needed (0700).

        What is added is without secrets already (`CallContext.output`): it goes to disk as it is.
        """
        self._folder = folder
        self._texts: dict[str, list[str]] = {}
        self._files: dict[str, int] = {}

    def add(self, call_id: str, text: str) -> None:
        """More output of a call; a disk that has no room costs the copy, not the call."""
        self._texts.setdefault(call_id, []).append(text)
        if self._folder is None:
            return
        with suppress(OSError):
            descriptor = self._files.get(call_id, -1)
            if descriptor < 0:
                descriptor = self._files[call_id] = self._open(self._folder, call_id)
            data = text.encode("utf-8", "replace")
            if os.fstat(descriptor).st_size + len(data) > _FILE_LIMIT:
                os.ftruncate(descriptor, 0)
                data = "".join(self._texts[call_id])[-2 * SHOWN :].encode("utf-8", "replace")
            os.write(descriptor, data)

    def _open(self, folder: Path, call_id: str) -> int:
        ensure_private_dir(folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(folder / _name(call_id), flags, 0o600)

    def take(self, call_id: str) -> str:
        """The last words of a call that has ended; it is forgotten by that."""
        descriptor = self._files.pop(call_id, -1)
        if descriptor >= 0 and self._folder is not None:
            os.close(descriptor)
            with suppress(OSError):
                os.unlink(self._folder / _name(call_id))
                os.rmdir(self._folder)  # unless others are in it
        return "".join(self._texts.pop(call_id, ()))[-SHOWN:]

    def left(self, call_id: str) -> str:
        """The last words of a call that a dead process ran, "" where it printed nothing."""
        if self._folder is None:
            return ""
        try:
            # Not blocking: what stands there may be anything, a pipe too.
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._folder / _name(call_id), flags)
        except OSError:
            return ""
        try:
            size = os.fstat(descriptor).st_size
            return os.pread(descriptor, 4 * SHOWN, max(0, size - 4 * SHOWN)).decode("utf-8", "replace")[-SHOWN:]
        except OSError:
            return ""
        finally:
            os.close(descriptor)

    def clean(self) -> None:
        """Remove what dead processes left; nothing may run here."""
        if self._folder is not None and not self._files:
            shutil.rmtree(self._folder, ignore_errors=True)


def _name(call_id: str) -> str:
    """A provider may call its calls anything, a path too."""
    return hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:32]
