"""History: prompts that were typed in a project, and the draft that is being typed; both survive a crash."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from letta_code.host.files import append_line, atomic_write, ensure_private_dir, read_bounded

KEPT = 500  # prompts read back
READ_LIMIT = 4_000_000  # bytes


class _Line(msgspec.Struct):
    text: str = ""


class PromptHistory:
    """The prompts of one project, oldest first, and its draft.

    Methods that touch files say so; their errors never stop the typing.
    """

    def __init__(self, folder: Path | None, cwd: str) -> None:
        """`folder` is where the files go (made 0700 when first written); None keeps everything in memory."""
        key = hashlib.sha256(os.path.realpath(cwd).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._file = folder / f"{key}.jsonl" if folder else None
        self._draft_file = folder / f"{key}.draft" if folder else None
        self._entries: list[str] = []
        self._place = 0  # index into the entries; their count means the draft
        self._drafts: dict[int, str] = {}  # what was typed at a place and not sent

    def load(self) -> str:
        """Read the entries, and give back the draft that a crash left (reads files)."""
        if self._file is None or self._draft_file is None:
            return ""
        for raw in _read(self._file).split(b"\n")[-KEPT:]:
            try:
                text = msgspec.json.decode(raw, type=_Line).text
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # an empty or torn line
            if text:
                self._entries.append(text)
        self._place = len(self._entries)
        return _read(self._draft_file).decode("utf-8", "replace")

    @property
    def entries(self) -> list[str]:
        """All known prompts, oldest first."""
        return self._entries

    def remember(self, text: str) -> None:
        """Keep a prompt without its secrets (appends to the file); the same prompt twice in a row is kept once."""
        text = _kept(text.encode("utf-8", "replace").decode("utf-8"))
        if text.strip() and (not self._entries or self._entries[-1] != text):
            self._entries.append(text)
            if self._file is not None:
                _append(self._file, msgspec.json.encode(_Line(text=text)))
        self._place = len(self._entries)
        self._drafts.clear()

    def save_draft(self, text: str) -> None:
        """Keep what is being typed (writes a file)."""
        if self._draft_file is None:
            return
        try:
            if self._draft_file.is_symlink():
                return  # what somebody keeps elsewhere is not written over with every key
            if text:
                ensure_private_dir(self._draft_file.parent)
                text = _kept(text)
                atomic_write(self._draft_file, text.encode("utf-8", "replace"), mode=0o600, durable=False)
            else:
                self._draft_file.unlink(missing_ok=True)
        except OSError:
            pass  # a full disk must not stop the person from typing; the text is still on the screen

    def earlier(self, current: str) -> str | None:
        """The prompt before, None at the oldest; what is being typed is kept at its place until a prompt is sent."""
        return self._go(-1, current) if self._place else None

    def later(self, current: str) -> str | None:
        """The prompt after, at last what was being typed; None when that is where we are."""
        return self._go(1, current) if self._place < len(self._entries) else None

    def _go(self, step: int, current: str) -> str:
        if current.strip() or self._place == len(self._entries):
            self._drafts[self._place] = current
        self._place += step
        if self._place in self._drafts or self._place == len(self._entries):
            return self._drafts.get(self._place, "")
        return self._entries[self._place]


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, READ_LIMIT)
    except OSError:
        return b""


def _append(path: Path, line: bytes) -> None:
    try:
        ensure_private_dir(path.parent)
        append_line(path, line)
    except OSError:
        pass  # as in save_draft


def _kept(text: str) -> str:
    """What goes to disk of a prompt."""
    from letta_code.safety.secrets import without_secrets

    return without_secrets(text)[0]
