"""List what could be removed from letta-code's home, with sizes; --yes removes it.

Old logs, cache, copies of the database beyond those that are kept, what restores moved aside, agents deleted more than
30 days ago, what killed processes left. Conversations and memory are never among it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from letta_code.cli._flags import HELP, Flag, parse, verb_help
from letta_code.config.paths import Paths
from letta_code.core.counts import many
from letta_code.core.errors import LettaError, UsageError

if TYPE_CHECKING:
    from letta_code.agent.saving.cleaning import Leftover

FLAGS = (
    Flag(names=("-y", "--yes"), help="Remove it."),
    Flag(names=("--older-than",), metavar="DAYS", help="What is older than so many days (30)."),
    Flag(names=("--json",), help="The list as JSON."),
    HELP,
)


def run(argv: Sequence[str]) -> int:
    """List, or remove; 1 when something could not be removed."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("clean [flags]", __doc__ or "", FLAGS))
        return 0
    if parsed.words:
        raise UsageError(f"clean takes flags only, and this is none: {parsed.words[0]}.")
    from letta_code.agent.saving.cleaning import Limits, leftovers

    paths = Paths.find()
    days = _days(parsed.text("older_than")) if parsed.on("older_than") else Limits().days
    found = leftovers(paths, _conversations(paths), Limits(days=days))
    if parsed.on("json") and not parsed.on("yes"):
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
        return 0
    if parsed.on("yes"):
        return _remove(paths, found, as_json=parsed.on("json"))
    _list(paths, found)
    return 0


def _days(text: str) -> float:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise UsageError(f"--older-than {text}: it is a whole number of days.")
    return float(text)


def _conversations(paths: Paths) -> Iterable[str] | None:
    """Those of the store; None where it cannot be read."""
    if not paths.database.is_file():
        return None
    from letta_code.store.checking import conversations, look_into

    try:
        database = look_into(paths.database, 10)
        try:
            return list(conversations(database))
        finally:
            database.close()
    except LettaError:
        return None


def _list(paths: Paths, found: Sequence[Leftover]) -> None:
    from letta_code.commands.wording import columns
    from letta_code.core.counts import size
    from letta_code.host.probe import size_of
    from letta_code.safety.terminal import visible

    rows = [(one.kind, size(one.size), f"{one.days} d", visible(one.path), one.why) for one in found]
    print(*columns(rows, right=(1, 2)), sep="\n", end="\n" if rows else "")
    total = size(sum(one.size for one in found))
    print(f"{many(len(found), 'thing')}, {total}, can go." if found else f"There is nothing to clean in {paths.home}.")
    held = size_of(paths.home / "checkpoints")[0]
    if held:
        print(f"Checkpoints hold {size(held)}; they are cleaned by age and space on their own, once a day.")
    if found:
        print("Remove it with: letta-code clean --yes")


def _remove(paths: Paths, found: Sequence[Leftover], *, as_json: bool) -> int:
    from letta_code.agent.saving.cleaning import remove
    from letta_code.core.counts import size

    failed = [why for one in found if (why := remove(one))]
    said = [*asyncio.run(_purged(paths))]
    if as_json:
        print(msgspec.json.encode({"removed": len(found) - len(failed), "failed": failed, "agents": said}).decode())
        return 1 if failed else 0
    freed = size(sum(one.size for one in found))
    print(f"Removed {many(len(found) - len(failed), 'thing')}, about {freed}.", *said, *failed, sep="\n")
    return 1 if failed else 0


async def _purged(paths: Paths) -> Sequence[str]:
    """Agents that were deleted long enough ago."""
    if not paths.database.is_file():
        return ()
    from letta_code.agent.roster import purge_agents
    from letta_code.cli._store import open_store

    with open_store() as store:
        return await purge_agents(store, paths)
