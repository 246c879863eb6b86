"""Write a conversation: its events as they are kept, one JSON object a line, or Markdown or an HTML page for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from letta_code.cli._flags import HELP, Flag, parse, verb_help
from letta_code.cli._store import open_store
from letta_code.core.errors import StoreFull, UsageError

_ENDINGS = {".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html"}
FLAGS = (
    Flag(names=("-o", "--output"), metavar="FILE", help="Into this file (0600) instead of stdout."),
    Flag(
        names=("--format",),
        metavar="FORMAT",
        choices=("json", "markdown", "html"),
        help="The events as JSON lines, or a document; told by FILE's ending otherwise.",
    ),
    HELP,
)


def run(argv: Sequence[str]) -> int:
    """Export one conversation."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("export ID [-o FILE] [--format FORMAT]", __doc__ or "", FLAGS))
        return 0
    if len(parsed.words) != 1:
        raise UsageError("export takes one conversation's id.", hint="`letta-code conversations` lists them.")
    with open_store() as store:
        conversation = store.conversations.get(parsed.words[0])
        if conversation is None:
            raise UsageError(
                f"There is no conversation {parsed.words[0]}.", hint="`letta-code conversations --all` lists them."
            )
        ending = Path(parsed.text("output")).suffix.lower() if parsed.on("output") else ""
        form = parsed.text("format") or _ENDINGS.get(ending, "json")
        if form != "json":
            from letta_code.commands.export import document

            return _written(document(store, conversation, html=form == "html"), parsed.text("output"))
        if parsed.on("output"):
            count = store.conversations.export(conversation.id, Path(parsed.text("output")).expanduser())
            print(f"{count} events in {parsed.text('output')}")
            return 0
        for line in store.conversations.export_lines(conversation.id):
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    return 0


def _written(data: bytes, output: str) -> int:
    if not output:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return 0
    from letta_code.host.files import atomic_write

    try:
        atomic_write(Path(output).expanduser(), data, mode=0o600)
    except OSError as error:
        raise StoreFull(f"{output} could not be written: {error.strerror}") from error
    print(f"Written to {output}")
    return 0
