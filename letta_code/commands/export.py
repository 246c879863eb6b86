"""/export: the conversation as a file."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.core.errors import StoreFull, UsageError
from letta_code.host.files import atomic_write
from letta_code.store.conversations import Conversation
from letta_code.store.database import Store

_FORMATS = {"md": ".md", "markdown": ".md", "json": ".json", "jsonl": ".jsonl", "html": ".html"}
_ENDINGS = {".json": "json", ".jsonl": "jsonl", ".html": "html", ".htm": "html"}
_FORMAT = re.compile(r"(?:^|\s)--format[ =](\S+)")


@command("export", usage="[FILE] [--format md|json|jsonl|html]")
async def export(context: CommandContext, arguments: str) -> Outcome:
    """Write this conversation to a file: Markdown to read, one HTML page, or JSON with every event.

    json is one document, the array of all events; jsonl has one event a line.  Its form is told by FILE's ending, or by
    --format.  Without FILE it goes into this folder under the conversation's title.  A file that is
    there is not replaced.  The whole agent is exported by `letta-code agents export NAME`.
    """
    store = context.store
    status = context.session.status
    conversation = await asyncio.to_thread(store.conversations.get, status.conversation_id)
    if conversation is None:
        raise UsageError("There is nothing to export yet: nothing was said.")
    named = _FORMAT.search(arguments)
    given = (arguments[: named.start()] + arguments[named.end() :] if named else arguments).strip()
    suffix = _suffix(named[1] if named else "", given)
    path = Path(status.cwd, Path(given).expanduser()) if given else _free(Path(status.cwd), conversation, suffix)
    if path.is_dir():
        path = _free(path, conversation, suffix)
    if path.exists():
        raise UsageError(f"{path} is there already.", hint="Name another file.")
    await asyncio.to_thread(_write, store, conversation, path, suffix)
    return Outcome(say=f"Written to `{path}`.")


def _suffix(name: str, file: str) -> str:
    name = name or _ENDINGS.get(Path(file).suffix.lower(), "md")
    if name not in _FORMATS:
        raise UsageError(f"There is no format {name!r}.", hint="It is md, json, jsonl or html.")
    return _FORMATS[name]


def _free(folder: Path, conversation: Conversation, suffix: str) -> Path:
    plain = re.sub(r"[^\w-]+", "-", conversation.name).strip("-").lower()[:50] or conversation.id
    path, number = folder / f"{plain}{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{plain}-{number}{suffix}"
    return path


def _write(store: Store, conversation: Conversation, path: Path, suffix: str) -> None:
    if suffix == ".jsonl":
        store.conversations.export(conversation.id, path)
        return
    try:
        if suffix == ".json":
            atomic_write(path, events_of(store, conversation), mode=0o600)
            return
        atomic_write(path, document(store, conversation, html=suffix == ".html"), mode=0o600)
    except OSError as error:
        raise StoreFull(f"{path} could not be written: {error.strerror}") from error


def events_of(store: Store, conversation: Conversation) -> bytes:
    """Every event as stored, as one JSON array, one event a line."""
    events = (line.removesuffix(b"\n") for line in store.conversations.export_lines(conversation.id))
    return b"[\n" + b",\n".join(events) + b"\n]\n"


def document(store: Store, conversation: Conversation, *, html: bool) -> bytes:
    """The conversation for people as it counts now: an HTML page or Markdown, as UTF-8."""
    from letta_code.agent import readable, readable_html
    from letta_code.core.view import view

    events = view([one.event for one in store.read(conversation.id)])
    lines = (readable_html.html if html else readable.markdown)(conversation, events)
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")
