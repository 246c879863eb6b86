"""Write a conversation's events, one JSON object a line, exactly as they are kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from letta_code.cli._flags import HELP, Flag, parse, verb_help
from letta_code.cli._store import open_store
from letta_code.core.errors import UsageError

FLAGS = (Flag(names=("-o", "--output"), metavar="FILE", help="Into this file (0600) instead of stdout."), HELP)


def run(argv: Sequence[str]) -> int:
    """Export one conversation."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("export ID [-o FILE]", __doc__ or "", FLAGS))
        return 0
    if len(parsed.words) != 1:
        raise UsageError("export takes one conversation's id.", hint="`letta-code conversations` lists them.")
    with open_store() as store:
        if store.conversations.get(parsed.words[0]) is None:
            raise UsageError(
                f"There is no conversation {parsed.words[0]}.", hint="`letta-code conversations --all` lists them."
            )
        if parsed.on("output"):
            count = store.conversations.export(parsed.words[0], Path(parsed.text("output")).expanduser())
            print(f"{count} events in {parsed.text('output')}")
            return 0
        for line in store.conversations.export_lines(parsed.words[0]):
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    return 0
