"""Read: an agent file from a JSON file or a folder of whoever made it; nothing in it is believed."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from letta_code.agent.agentfile import write
from letta_code.agent.agentfile.form import (
    FAMILY,
    FORMAT,
    LARGEST,
    AgentFile,
    AgentFileError,
    Binary,
    Content,
    FileAgent,
    FileBlock,
    FileCommit,
    FileConversation,
    FilePassage,
)
from letta_code.core.messages import Value
from letta_code.host.files import read_bounded
from letta_code.host.git_objects import GitDamage
from letta_code.host.memory_git import Repository
from letta_code.host.memory_replay import versions

T = TypeVar("T")
_MOST_FILES = 1_000_000  # in a folder
_SHOWN = 5  # notices of one kind


class _Top(Value):
    """The file with its long lists unread, so that one bad entry costs only itself."""

    format: str
    agent: FileAgent
    written_by: str = ""
    exported_at: str = ""
    settings: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    skills: tuple[str, ...] = ()
    removed_secrets: int = 0
    blocks: tuple[msgspec.Raw, ...] = ()
    memory: tuple[FileCommit, ...] = ()
    shared: tuple[FileCommit, ...] = ()
    passages: tuple[msgspec.Raw, ...] = ()
    conversations: tuple[msgspec.Raw, ...] = ()


def read_agent_file(path: Path) -> tuple[AgentFile, tuple[str, ...]]:
    """The file or folder, our own or Letta's, and sentences about what in it could not be used.

    Raises `AgentFileError` that says what is wrong.
    """
    if path.is_dir():
        return _folder(path)
    data = _bytes(path)
    head = _head(path, data)
    if isinstance(head.get("format"), str) and head["format"].startswith(FAMILY):
        return _own(path, data, head["format"])
    from letta_code.agent.agentfile.letta import is_letta_file, letta_file

    if is_letta_file(head):
        return letta_file(path, data)
    raise AgentFileError(
        f"{path} is neither an agent file of letta-code nor one of Letta (.af).",
        hint="`letta-code agents export NAME` writes one.",
    )


def _bytes(path: Path) -> bytes:
    try:
        return read_bounded(path, LARGEST).removeprefix(codecs.BOM_UTF8)  # editors on Windows put it there
    except OSError as error:
        raise AgentFileError(f"{path} cannot be read: {error.strerror}.") from error


def _head(path: Path, data: bytes) -> dict[str, Any]:
    raw = _decoded(path, data, dict[str, msgspec.Raw])
    return {name: _shallow(value) for name, value in raw.items()}


def _shallow(value: msgspec.Raw) -> Any:
    """A short value itself, of a long one only that it is there."""
    data = bytes(value)
    if len(data) > 200 or data[:1] in (b"{", b"["):
        return data[:1].decode("ascii", "replace")
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None


def _decoded(path: Path, data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise AgentFileError(f"{path} is nested too deeply to be an agent file.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AgentFileError(
            f"{path} is no whole agent file: {error}.", hint="It may be cut off or damaged."
        ) from error


def _own(path: Path, data: bytes, form: str) -> tuple[AgentFile, tuple[str, ...]]:
    if form != FORMAT:
        raise AgentFileError(f"{path} is a {form!r}, and this letta-code reads {FORMAT!r}.", hint="Update letta-code.")
    top = _decoded(path, data, _Top)
    notices: list[str] = []
    return _file(
        top,
        passages=_entries(top.passages, FilePassage, "passage", notices),
        conversations=_entries(top.conversations, FileConversation, "conversation", notices),
        blocks=_entries(top.blocks, FileBlock, "block", notices),
    ), tuple(notices)


def _file(
    top: _Top,
    *,
    passages: tuple[FilePassage, ...],
    conversations: tuple[FileConversation, ...],
    blocks: tuple[FileBlock, ...],
    memory: tuple[FileCommit, ...] | None = None,
    shared: tuple[FileCommit, ...] | None = None,
) -> AgentFile:
    return AgentFile(
        format=top.format,
        written_by=top.written_by,
        exported_at=top.exported_at,
        agent=top.agent,
        settings=top.settings,
        skills=top.skills,
        removed_secrets=top.removed_secrets,
        blocks=blocks,
        memory=top.memory if memory is None else memory,
        shared=top.shared if shared is None else shared,
        passages=passages,
        conversations=conversations,
    )


def _entries(raws: tuple[msgspec.Raw, ...], kind: type[T], what: str, notices: list[str]) -> tuple[T, ...]:
    found: list[T] = []
    wrong = 0
    for number, raw in enumerate(raws, 1):
        try:
            found.append(msgspec.json.decode(raw, type=kind))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            wrong += 1
            if wrong <= _SHOWN:
                notices.append(f"The {what} number {number} was left out: {str(error) or 'nested too deeply'}.")
    if wrong > _SHOWN:
        notices.append(f"{wrong - _SHOWN} more entries of that kind ({what}) were left out.")
    return tuple(found)


# ---------------------------------------------------------------- folders


def _folder(folder: Path) -> tuple[AgentFile, tuple[str, ...]]:
    _check_no_links(folder)
    path = folder / write.AGENT
    if not path.is_file():
        raise AgentFileError(f"{folder} is no agent folder: it has no {write.AGENT}.")
    data = _bytes(path)
    form = _head(path, data).get("format")
    if form != FORMAT:
        raise AgentFileError(f"{path} is a {form!r}, and this letta-code reads {FORMAT!r}.", hint="Update letta-code.")
    top = _decoded(path, data, _Top)
    notices: list[str] = []
    named = _entries(top.conversations, FileConversation, "conversation", notices)
    lines = (
        folder / write.CONVERSATIONS / f"{one.id}.jsonl"
        for one in named
        if not {"/", "\0"} & set(one.id) and len(one.id) < 200
    )
    events = {path.stem: tuple(map(msgspec.Raw, _lines(path))) for path in lines if path.is_file()}
    return _file(
        top,
        passages=_entries(tuple(map(msgspec.Raw, _lines(folder / write.PASSAGES))), FilePassage, "passage", notices),
        conversations=tuple(msgspec.structs.replace(one, events=events.get(one.id, ())) for one in named),
        blocks=_entries(top.blocks, FileBlock, "block", notices),
        memory=_repository(folder / write.MEMORY),
        shared=_repository(folder / write.SHARED),
    ), tuple(notices)


def _check_no_links(folder: Path) -> None:
    """A link would let a folder from elsewhere show us files of this home as its own."""
    for number, entry in enumerate(_walk(folder)):
        mode = entry.stat(follow_symlinks=False).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise AgentFileError(f"{entry.path} is a link or no regular file: the folder is not read.")
        if number > _MOST_FILES:
            raise AgentFileError(f"{folder} has too many files.")


def _walk(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    todo = [str(folder)]
    while todo:
        try:
            entries = list(os.scandir(todo.pop()))
        except OSError as error:
            raise AgentFileError(f"{error.filename} cannot be read: {error.strerror}.") from error
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                todo.append(entry.path)


def _lines(path: Path) -> list[bytes]:
    return [line for line in _bytes(path).split(b"\n") if line.strip()] if path.exists() else []


def _repository(root: Path) -> tuple[FileCommit, ...]:
    repository = Repository(root)
    if not repository.exists:
        return ()
    try:
        head = repository.head()
        found = versions(repository, head) if head else []
    except (GitDamage, OSError, ValueError, IndexError, RecursionError) as error:
        raise AgentFileError(f"The memory in {root} cannot be read: {error}.") from error
    return tuple(
        FileCommit(
            id=one.id,
            parents=one.parents,
            author=one.author,
            committer=one.committer,
            message=one.message,
            files={path: _content(data) for path, data in one.files.items()},
        )
        for one in found
    )


def _content(data: bytes | None) -> Content:
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return Binary(base64=data)
