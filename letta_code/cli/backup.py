"""Write a backup of everything into one file: conversations, agents' memory, settings, skills.

The database is copied as it is in one moment, also while others write. Keys are left out unless you say --with-keys;
what can be made again (search index, cache, logs) never goes in. The file is only readable by you and is read back
before it counts. Bring it back with: letta-code restore FILE
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from letta_code.cli._flags import HELP, Flag, here, parse, verb_help
from letta_code.core.errors import UsageError

FLAGS = (
    Flag(names=("--with-keys",), help="With credentials.yaml: whoever has the file then has your keys."),
    Flag(names=("--with-checkpoints",), help="With the checkpoints of work trees, which may be large."),
    Flag(names=("--json",), help="What was written, as JSON."),
    HELP,
)


def run(argv: Sequence[str]) -> int:
    """Write it and say where it is; 1 when it could not be written."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("backup [FILE|FOLDER] [flags]", __doc__ or "", FLAGS))
        return 0
    if len(parsed.words) > 1:
        raise UsageError("backup takes one file or folder.")
    from letta_code.agent.saving.archive import back_up
    from letta_code.config.paths import Paths
    from letta_code.core.counts import many, size

    paths = Paths.find()
    named = "".join(parsed.words)
    own = not named
    target = paths.backups if own else here() / Path(named).expanduser()
    if own and paths.home.is_dir():
        paths.folder(target)
    made = back_up(paths, target, keys=parsed.on("with_keys"), checkpoints=parsed.on("with_checkpoints"))
    if parsed.on("json"):
        print(msgspec.json.format(msgspec.json.encode(made)).decode())
        return 0
    held = made.manifest.database
    counts = (
        f"{many(held.conversations, 'conversation')}, {many(held.agents, 'agent')}, {many(held.passages, 'passage')}, "
        if held
        else "no database, "
    )
    print(f"{made.path}: {size(made.size)}, read back and sound.")
    print(f"In it: {counts}{many(len(made.manifest.files), 'file')}.")
    print(f"Not in it: {', '.join(made.manifest.left_out)}.")
    if own:
        print("It is on the same disk as what it saves: copy it to another one.")
    return 0
