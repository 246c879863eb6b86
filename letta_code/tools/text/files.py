"""Files as the editing tools take them: read whole, known to the model, unchanged since, and text."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from letta_code.core.errors import ToolError
from letta_code.core.events import FileSeen
from letta_code.core.messages import Value
from letta_code.tools.base import ToolContext
from letta_code.tools.places import named
from letta_code.tools.text.coding import NotRepresentable, NotText, Text, decode, shown, visible
from letta_code.tools.text.diff import whole_diff
from letta_code.workspace.workspace import Handle

EDIT_LIMIT = 50_000_000  # bytes of the largest file that is edited, and hashed when read
THREAD_FROM = 500_000  # characters or bytes from which work is done off the event loop
DIFF_SHOWN = 40  # lines of an outside change that an error shows

T = TypeVar("T")


class Versions:
    """Bytes of file versions by their hash, the latest few.

    A cache and never the truth: it lets an error show what changed outside; without it the error says less.
    """

    def __init__(self, limit: int = 4_000_000) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, sha: str, data: bytes) -> None:
        """Remember a version, forgetting the oldest beyond the limit."""
        if sha in self._kept:
            self._kept.move_to_end(sha)
            return
        if len(data) > self._limit // 4:
            return
        self._kept[sha] = data
        self._size += len(data)
        while self._size > self._limit:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped)

    def find(self, sha: str) -> bytes | None:
        """The bytes of a version, if still kept."""
        return self._kept.get(sha)


VERSIONS = Versions()  # by content hash, so that sharing it among conversations tells nobody anything new


class Current(Value):
    """A file as it is now: its bytes and their hash."""

    data: bytes
    sha: str


class Stale(Exception):
    """The file is not as the model saw it.

    `message` says what changed and `seen` is the version that the model then knows; `again` is the message where no
    version can be recorded (an error of a preview), which asks for another reading.
    """

    def __init__(self, head: str, difference: str, seen: FileSeen) -> None:
        super().__init__(head)
        told = f"{head} What changed:\n{difference}\n" if difference else f"{head} "
        self.again = f"{told}Read it again, then decide."
        self.message = f"{told}If your change still fits, send it again." if difference else self.again
        self.seen = (seen,) if difference else ()


def sha_of(data: bytes) -> str:
    """SHA-256 in hex."""
    from hashlib import sha256

    return sha256(data).hexdigest()


def seen_as(handle: Handle, sha: str) -> FileSeen:
    """The record that the model knows this version."""
    return FileSeen(path=visible(handle.path), sha=sha)


def visible_path(handle: Handle) -> str:
    """The real path of a file, as it is kept."""
    return visible(handle.path)


def known_sha(ctx: ToolContext, handle: Handle) -> str | None:
    """The version of the file that the model knows."""
    return ctx.seen.sha_of(visible(handle.path))


def judged(ctx: ToolContext, path: str) -> Handle:
    """The file that the policy judged for a path."""
    handle = ctx.handles.get(path)
    if handle is None:
        raise ToolError(f"{shown(path)} was not resolved before the call; send the call again.")
    return handle


def led(ctx: ToolContext, path: str) -> str:
    """The path for people and models; `link -> real path` where links lead to another place than it says."""
    handle = judged(ctx, path)
    root = ctx.workspace.capabilities.root
    plain = os.path.normpath(os.path.join(root, os.path.expanduser(path) if path.startswith("~/") else path))
    if shown(plain) == handle.path:
        return shown(path)
    return f"{shown(path)} -> {shown(named(handle, ctx.workspace))}"


async def off_loop(size: int, work: Callable[..., T], *arguments: Any) -> T:
    """Do a computation, in a thread when it is about much."""
    if size < THREAD_FROM:
        return work(*arguments)
    return await asyncio.to_thread(work, *arguments)


def refuse_other_kinds(handle: Handle, path: str, doing: str) -> None:
    """Only regular files are edited."""
    if handle.kind == "directory":
        raise ToolError(f"{shown(path)} is a folder; {doing} needs a file.")
    if handle.kind == "other":
        raise ToolError(f"{shown(path)} is a device, pipe or socket; {doing} needs a regular file.")


async def current(ctx: ToolContext, path: str, doing: str) -> Current:
    """The bytes of an existing file that the model knows, for a change.

    Raises `ToolError` when it cannot be changed so, `Stale` when it is not the version that the model saw.
    """
    handle = judged(ctx, path)
    refuse_other_kinds(handle, path, doing)
    if handle.identity.size > EDIT_LIMIT:
        raise ToolError(
            f"{shown(path)} is larger than 50 MB, too large for {doing}; use a program (sed, Python) through Bash."
        )
    known = known_sha(ctx, handle)
    if known is None:
        raise ToolError(f"You have not read {shown(path)} in this conversation. Read it first, then send this again.")
    data = await ctx.workspace.read(handle)
    sha = await off_loop(len(data), sha_of, data)
    if sha != known:
        raise _stale(handle, path, known, Current(data=data, sha=sha))
    return Current(data=data, sha=sha)


def _stale(handle: Handle, path: str, known: str, now: Current) -> Stale:
    before = VERSIONS.find(known)
    difference = _difference(path, before, now.data) if before is not None else ""
    VERSIONS.keep(now.sha, now.data)
    # A model that knew the old version and is told the whole difference knows the new one.
    head = f"{shown(path)} has changed since you read it (not by you); nothing was written."
    return Stale(head, difference, seen_as(handle, now.sha))


def _difference(path: str, before: bytes, after: bytes) -> str:
    """A short diff of two versions, "" when it is long or they are no text."""
    if max(len(before), len(after)) > THREAD_FROM:
        return ""
    try:
        block = whole_diff(path, decode(before).content, decode(after).content)
    except NotText:
        return ""
    lines = block.diff.split("\n")
    return block.diff if block.diff and not block.cut and len(lines) <= DIFF_SHOWN and len(block.diff) <= 4_000 else ""


def text_in(data: bytes, path: str) -> Text:
    """The text of a file that is to be edited."""
    try:
        return decode(data)
    except NotText as error:
        raise ToolError(f"{shown(path)} is {error}. It cannot be edited as text.") from error


def bytes_for(text: Text, content: str, path: str) -> bytes:
    """The bytes of a changed content in the file's own encoding."""
    try:
        return text.coding.encode(content)
    except NotRepresentable as error:
        raise ToolError(
            f"{shown(path)} is {error.label}, and {error}. Nothing was written: use other characters or an escape, "
            "or convert the file first (iconv)."
        ) from error
