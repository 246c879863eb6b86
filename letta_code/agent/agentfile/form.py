"""The form of an agent file: what stands in it, version 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, cast

import msgspec

from letta_code.core.errors import LettaError
from letta_code.core.messages import Value

FORMAT = "letta-code agent file 1"
FAMILY = "letta-code agent file "  # what a newer version's name begins with
LARGEST = 1 << 30  # bytes of a file that is read
LARGEST_CONTENT = 1 << 20  # bytes of one file of memory


class AgentFileError(LettaError):
    """An agent file cannot be written or read; nothing was changed."""

    kind = "agent_file"


class Binary(Value):
    """The content of a file that is no UTF-8 text."""

    base64: bytes


Content: TypeAlias = str | Binary | None  # None: the file was removed


class FileAgent(Value):
    """The agent itself; its id is for people, an import gives it a new one."""

    id: str = ""
    name: str = ""
    description: str = ""
    created_at: str = ""


class FileBlock(Value, omit_defaults=False):
    """A block as it stands now, for people and other programs; an import makes blocks from the history instead.

    `scope` is agent, project, conversation, shared or file (read on demand).
    """

    label: str
    value: str
    description: str = ""
    limit: int = 0
    read_only: bool = False
    scope: str = "agent"
    path: str = ""


class FileCommit(Value):
    """A change of memory.

    `parents` are ids, the first one is what `files` differ from; `author` and `committer` are git's lines.  Source,
    trust, conversation, seq and time stand in the message's trailers and the lines; here they are for readers.
    """

    id: str
    parents: tuple[str, ...] = ()
    author: str = ""
    committer: str = ""
    message: str = ""
    at: str = ""
    source: str = ""
    trust: str = ""
    conversation: str = ""
    seq: int = 0
    files: dict[str, Content] = msgspec.field(default_factory=dict[str, Content])


class FilePassage(Value):
    """A passage of archival memory."""

    content: str
    tags: tuple[str, ...] = ()
    created_at: str = ""
    conversation_id: str = ""
    seq: int = 0
    source: str = ""
    trust: str = ""


class FileConversation(Value):
    """A conversation with all its events, each as it was first written."""

    id: str
    title: str = ""
    cwd: str = ""
    created_at: str = ""
    updated_at: str = ""
    events: tuple[msgspec.Raw, ...] = ()


class AgentFile(Value):
    """Everything.  `memory` and `shared` are histories with parents before children; `shared` only touches the blocks
    that this agent sees.  `removed_secrets` counts what was taken out of the texts."""

    format: str = FORMAT
    written_by: str = ""
    exported_at: str = ""
    agent: FileAgent = FileAgent()
    settings: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    skills: tuple[str, ...] = ()
    removed_secrets: int = 0
    blocks: tuple[FileBlock, ...] = ()
    memory: tuple[FileCommit, ...] = ()
    shared: tuple[FileCommit, ...] = ()
    passages: tuple[FilePassage, ...] = ()
    conversations: tuple[FileConversation, ...] = ()


def lines_of(file: AgentFile) -> Iterator[bytes]:
    """The JSON of a file, with a line for each entry of a list, so that it can be read and compared."""
    yield b"{"
    fields = AgentFile.__struct_fields__
    for at, name in enumerate(fields):
        comma = b"," if at + 1 < len(fields) else b""
        value: Any = getattr(file, name)
        if not isinstance(value, tuple) or not value:
            yield b'"%s": %s%s' % (name.encode(), msgspec.json.encode(value), comma)
            continue
        yield b'"%s": [' % name.encode()
        items = cast("tuple[Any, ...]", value)
        for number, item in enumerate(items, 1):
            yield from _entry(item, b"," if number < len(items) else b"")
        yield b"]" + comma
    yield b"}"


def _entry(item: Any, comma: bytes) -> Iterator[bytes]:
    if not isinstance(item, FileConversation) or not item.events:
        yield msgspec.json.encode(item) + comma
        return
    head = msgspec.json.encode(msgspec.structs.replace(item, events=()))
    yield head[:-1] + b',"events": ['
    for number, event in enumerate(item.events, 1):
        yield bytes(event) + (b"," if number < len(item.events) else b"")
    yield b"]}" + comma
