"""Write: an agent file on disk, as one JSON file or as a folder that git and grep can read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from letta_code.agent.agentfile.form import AgentFile, AgentFileError, Binary, FileCommit, lines_of
from letta_code.host.files import atomic_write, ensure_private_dir
from letta_code.host.memory_replay import Version, replay
from letta_code.memory.folder import Folder

SUFFIX = ".letta.json"
AGENT, PASSAGES, CONVERSATIONS, MEMORY, SHARED = "agent.json", "passages.jsonl", "conversations", "memory", "shared"


def write_file(file: AgentFile, path: Path) -> Path:
    """One JSON file (0600), replaced whole; raises `AgentFileError` where the disk refuses."""
    try:
        atomic_write(path, b"\n".join(lines_of(file)) + b"\n", mode=0o600)
    except OSError as error:
        raise AgentFileError(f"{path} could not be written: {error.strerror}.") from error
    return path


def write_folder(file: AgentFile, folder: Path, *, replace: bool = False) -> Path:
    """A folder that must be empty or not there: agent.json, passages.jsonl, conversations/, memory/ (a git repository).

    With `replace` an exported agent that is there goes first, and nothing else.  Raises `AgentFileError`.
    """
    try:
        if replace and folder.is_dir():
            _clear(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise AgentFileError(f"{folder} is there already.", hint="Name a folder that is new or empty.")
        ensure_private_dir(folder)
        _write_memory(file.memory, folder / MEMORY)
        _write_memory(file.shared, folder / SHARED)
        _write_lines(folder / PASSAGES, map(msgspec.json.encode, file.passages))
        heads: list[msgspec.Raw] = []
        for one in file.conversations:
            ensure_private_dir(folder / CONVERSATIONS)
            _write_lines(folder / CONVERSATIONS / f"{one.id}.jsonl", map(bytes, one.events))
            heads.append(msgspec.Raw(msgspec.json.encode(msgspec.structs.replace(one, events=()))))
        head = msgspec.structs.replace(file, blocks=(), memory=(), shared=(), passages=(), conversations=())
        fields = msgspec.to_builtins(head) | {"blocks": file.blocks, "conversations": heads, "format": file.format}
        atomic_write(folder / AGENT, msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n", mode=0o600)
    except OSError as error:
        raise AgentFileError(f"{folder} could not be written: {error.strerror}.") from error
    return folder


def _clear(folder: Path) -> None:
    """Remove an export; a folder that holds anything else is left as it is."""
    ours = {AGENT, PASSAGES, CONVERSATIONS, MEMORY, SHARED}
    if not (folder / AGENT).is_file() or any(entry.name not in ours for entry in folder.iterdir()):
        return
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _write_lines(path: Path, lines: Iterable[bytes]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    if data:
        atomic_write(path, data, mode=0o600)


def _write_memory(commits: Sequence[FileCommit], root: Path) -> None:
    if not commits:
        return
    replay(root, [version_of(commit) for commit in commits])
    Folder(root).refresh(("",))  # puts the files where people look for them
    for leftover in (root.with_name(root.name + ".lock"),):
        if leftover.exists():
            os.unlink(leftover)


def version_of(commit: FileCommit) -> Version:
    """A commit of a file as the repository keeps it."""
    files = {
        path: content.base64 if isinstance(content, Binary) else None if content is None else content.encode()
        for path, content in commit.files.items()
    }
    return Version(
        id=commit.id,
        parents=commit.parents,
        author=commit.author,
        committer=commit.committer,
        message=commit.message,
        files=files,
    )
