"""List the conversations of this folder, or of all, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from letta_code.cli._flags import HELP, Flag, here, parse, verb_help, whole_number
from letta_code.cli._store import open_store
from letta_code.commands.wording import ago, columns
from letta_code.safety.terminal import visible

FLAGS = (
    Flag(names=("-a", "--all"), help="Those of every folder."),
    Flag(names=("-n", "--limit"), metavar="N", help="At most N (30)."),
    Flag(names=("--json",), help="One JSON array."),
    HELP,
)


def run(argv: Sequence[str]) -> int:
    """Print the list."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("conversations [DIR] [flags]", __doc__ or "", FLAGS))
        return 0
    limit = whole_number(parsed.text("limit"), "--limit") if parsed.on("limit") else 30
    folder = str((Path(parsed.words[0]) if parsed.words else here()).expanduser().resolve())
    with open_store() as store:
        found = store.conversations.list(cwd="" if parsed.on("all") else folder, limit=limit)
    if parsed.on("json"):
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
        return 0
    if not found:
        print("There is no conversation yet." if parsed.on("all") else f"There is no conversation in {folder} yet.")
        return 0
    rows = [(one.id, ago(one.updated_at), f"{one.message_count} messages", visible(one.name[:70])) for one in found]
    if parsed.on("all"):
        rows = [(*row, visible(one.cwd)) for row, one in zip(rows, found, strict=True)]
    print(*columns(rows), sep="\n")
    print("\nGo on with one: letta-code --resume ID, or the newest of a folder: letta-code --continue")
    return 0
