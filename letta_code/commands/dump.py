"""/dump: the log of messages as it is kept, and the context exactly as it is sent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.logged import last_messages, lines_of
from letta_code.commands.memory import fenced
from letta_code.core.errors import LettaError, UsageError
from letta_code.host.files import write_new
from letta_code.store.journal import StoredEvent

MESSAGES = 10  # shown without a number
_STRING = 400  # characters of one text in the request, as it is shown
_SCHEMAS = ("parameters", "input_schema")  # of tools, in the dialects of the providers
_OWN_FORM = "No model is open yet: the request is in letta-code's own form."


@command("dump", usage="[N] [FILE]")
async def dump(context: CommandContext, arguments: str) -> Outcome:
    """Show the last N messages of the log (10) and the next request to the model; long texts are shortened.

    With FILE everything is written there instead, whole and for nobody else to read (0600): JSON with `log`, the
    stored events (the last N messages, or all), and `request`, byte for byte as it would be sent.  A file that is
    there already is never overwritten.  In a shell it is `letta-code dump ID`.
    """
    count, file = asked(arguments)
    session = context.session
    store = context.store
    stored = await asyncio.to_thread(store.read, session.status.conversation_id)
    if not stored:
        return Outcome(say="Nothing was said yet.")
    request = session.context_request()
    note = "" if session.model_info else _OWN_FORM
    if file:
        path = Path(session.status.cwd, os.path.expanduser(file))
        return Outcome(say=await asyncio.to_thread(written, path, stored, count, request, note))
    return Outcome(say=shown(stored, count or MESSAGES, request, note))


def asked(arguments: str) -> tuple[int, str]:
    """The number (0: none was given) and the file of a line."""
    first, _, rest = arguments.strip().partition(" ")
    if not first.isdigit():
        return 0, arguments.strip()
    if int(first) == 0:
        raise UsageError("/dump takes a number of messages from 1 on.", hint="/dump 20, or /dump 20 FILE")
    return int(first), rest.strip()


# ---------------------------------------------------------------- on the screen


def shown(stored: Sequence[StoredEvent], count: int, request: bytes, note: str = "") -> str:
    """Both as Markdown."""
    parts = [f"**{head}**\n\n{fenced(lines)}" for head, lines in parts_of(stored, count, request)]
    told = "Long texts are shortened; `/dump FILE` writes all of it."
    return "\n\n".join([*parts, " ".join(filter(None, (told, note)))])


def parts_of(stored: Sequence[StoredEvent], count: int, request: bytes) -> list[tuple[str, tuple[str, ...]]]:
    """The log and the request: a heading and lines each."""
    events = last_messages([one.event for one in stored], count)
    log = f"The log, from event {events[0].seq} to {events[-1].seq}"
    body = tuple(outlined(request, count).split("\n"))
    return [(log, tuple(lines_of(events))), (f"The next request, {len(request):,} bytes", body)]


def outlined(request: bytes, count: int) -> str:
    """A request as JSON to be read: long texts are cut in the middle, all but the last `count` messages left out."""
    try:
        body: object = msgspec.json.decode(request)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return request.decode("utf-8", "replace")
    if isinstance(body, dict):
        fields = cast("dict[str, Any]", body)
        messages = fields.get("messages")
        if isinstance(messages, list) and len(cast("list[Any]", messages)) > count + 1:
            every = cast("list[Any]", messages)
            fields["messages"] = [f"… {len(every) - count:,} messages before …", *every[-count:]]
    return msgspec.json.format(msgspec.json.encode(_cut(cast("Any", body)))).decode()


def _cut(value: Any) -> Any:
    match value:
        case str() if len(value) > _STRING + 40:
            half = _STRING // 2
            return f"{value[:half]} … {len(value) - 2 * half:,} characters … {value[-half:]}"
        case list():
            return [_cut(item) for item in cast("list[Any]", value)]
        case dict():
            fields = cast("Mapping[str, Any]", value)
            return {name: _schema(item) if name in _SCHEMAS else _cut(item) for name, item in fields.items()}
        case _:
            return value


def _schema(value: object) -> str:
    """A tool's schema is long and always the same."""
    return f"… {len(msgspec.json.encode(value)):,} bytes of schema …"


# ---------------------------------------------------------------- in a file


def written(path: Path, stored: Sequence[StoredEvent], count: int, request: bytes, note: str = "") -> str:
    """Write both; the sentence about it.  Raises `UsageError` where something stands there already."""
    events = last_messages([one.event for one in stored], count) if count else [one.event for one in stored]
    first = events[0].seq
    lines = [one.raw for one in stored if one.seq >= first and not one.damage]
    data = b'{"log":[\n' + b",\n".join(lines) + b'\n],\n"request":' + request + b"}\n"
    try:
        write_new(path, data)
    except FileExistsError as error:
        hint = "Give another name, or move that file away."
        raise UsageError(f"{path} is there already; nothing was written.", hint=hint) from error
    except OSError as error:
        raise LettaError(f"{path} could not be written: {error.strerror or error}.") from error
    return " ".join(
        filter(None, [f"{len(lines)} events and the next request ({len(request):,} bytes) are in `{path}`.", note])
    )
