"""Show the last messages of a conversation's log and the context as the model would be sent it now."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from letta_code.agent.context import Context
from letta_code.agent.history import History
from letta_code.agent.next_request import request_json
from letta_code.agent.redaction import secrets_of
from letta_code.cli._flags import HELP, Flag, here, parse, verb_help, whole_number
from letta_code.cli._store import open_store
from letta_code.config.credentials import Credentials
from letta_code.config.paths import Paths
from letta_code.config.settings import load
from letta_code.core.errors import LettaError, UsageError
from letta_code.core.events import encode
from letta_code.llm.connect import open_model
from letta_code.llm.model import TellsBytes
from letta_code.llm.tokens import TokenCounter
from letta_code.safety.vault import Secrets
from letta_code.store.journal import StoredEvent

FLAGS = (
    Flag(names=("-o", "--output"), metavar="FILE", help="All of it as JSON into this new file (0600)."),
    Flag(names=("--request",), help="Only the request, byte for byte, for another program."),
    HELP,
)
_USAGE = "dump ID [N] [flags]"
_OWN_FORM = "The request is in letta-code's own form: "
_NOT_OPENED = _OWN_FORM + "the conversation's model cannot be opened here."
_NOT_TOLD = _OWN_FORM + "the client of the conversation's model does not tell the bytes that it sends."


def run(argv: Sequence[str]) -> int:
    """Dump one stored conversation: its last N messages (10; all of them into a file)."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help(_USAGE, __doc__ or "", FLAGS))
        return 0
    if len(parsed.words) not in (1, 2):
        raise UsageError("dump takes one conversation's id.", hint="`letta-code conversations` lists them.")
    count = whole_number(parsed.words[1], "N") if len(parsed.words) == 2 else 0
    stored = _stored(parsed.words[0])
    history = History()
    history.extend(one.event for one in stored)
    request, note = asyncio.run(_request(history))
    if parsed.on("request"):
        sys.stdout.buffer.write(request + b"\n")
        return 0
    from letta_code.commands.dump import MESSAGES, parts_of, written

    if parsed.on("output"):
        print(written(here() / Path(parsed.text("output")).expanduser(), stored, count, request, note))
        return 0
    for head, lines in parts_of(stored, count or MESSAGES, request):
        print(head, "", *lines, "", sep="\n")
    if note:
        print(note, file=sys.stderr)
    return 0


def _stored(conversation: str) -> Sequence[StoredEvent]:
    with open_store() as store:
        if store.conversations.get(conversation) is None:
            hint = "`letta-code conversations --all` lists them."
            raise UsageError(f"There is no conversation {conversation}.", hint=hint)
        secrets = secrets_of(Paths.find())
        return [_clean(one, secrets, conversation) for one in store.read(conversation)]


def _clean(stored: StoredEvent, secrets: Secrets, conversation: str) -> StoredEvent:
    """The event without the secrets that an older version kept."""
    event = secrets.redact(stored.event, conversation)
    return stored if event is stored.event else replace(stored, event=event, raw=encode(event))


async def _request(history: History) -> tuple[bytes, str]:
    """The next request, and why it has not the form of the conversation's model ("" when it has)."""
    request = Context(history, TokenCounter()).request()
    cwd = history.started.cwd if history.started else "/"
    paths = Paths.find()
    settings = load(cwd, paths=paths).settings
    try:
        model = open_model(history.model or settings.model, settings, Credentials(paths).get)
    except LettaError:
        return request_json(request, None), _NOT_OPENED
    try:
        return request_json(request, model), "" if isinstance(model, TellsBytes) else _NOT_TOLD
    finally:
        await model.close()
