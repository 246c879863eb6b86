"""List the conversations of this folder, or of all, newest first; or search them by words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from letta_code.cli._flags import HELP, Flag, Parsed, here, parse, verb_help, whole_number
from letta_code.cli._store import open_store
from letta_code.commands.resume import agent_names, states, whose
from letta_code.commands.wording import ago, columns
from letta_code.core.counts import many
from letta_code.core.errors import UsageError
from letta_code.safety.terminal import visible
from letta_code.store.database import Store

FLAGS = (
    Flag(names=("-a", "--all"), help="Those of every folder."),
    Flag(names=("--agent",), metavar="NAME", help="Those of this agent, by name or id."),
    Flag(names=("-s", "--search"), metavar="WORDS", help="Search titles and all that was said, in every folder."),
    Flag(names=("--since",), metavar="DATE", help="With --search: from this day on, such as 2026-11-21."),
    Flag(names=("--until",), metavar="DATE", help="With --search: up to this day, that day included."),
    Flag(names=("-n", "--limit"), metavar="N", help="At most N (30)."),
    Flag(names=("--json",), help="One JSON array."),
    HELP,
)


def run(argv: Sequence[str]) -> int:
    """Print the list, or what a search found."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("conversations [DIR] [flags]", __doc__ or "", FLAGS))
        return 0
    limit = whole_number(parsed.text("limit"), "--limit") if parsed.on("limit") else 30
    for flag in ("since", "until"):
        if parsed.on(flag) and not parsed.on("search"):
            raise UsageError(f"--{flag} needs --search.")
    with open_store() as store:
        return _search(parsed, store, limit) if parsed.on("search") else _list(parsed, store, limit)


def _list(parsed: Parsed, store: Store, limit: int) -> int:
    folder = str((Path(parsed.words[0]) if parsed.words else here()).expanduser().resolve())
    agent = store.agents.choose(parsed.text("agent")).id if parsed.on("agent") else ""
    found = store.conversations.list(cwd="" if parsed.on("all") else folder, agent_id=agent, limit=limit)
    running = store.runs.written()
    if parsed.on("json"):
        listed = [{**msgspec.to_builtins(one), "running": one.id in running} for one in found]
        print(msgspec.json.format(msgspec.json.encode(listed)).decode())
        return 0
    if not found:
        print("There is no conversation yet." if parsed.on("all") else f"There is no conversation in {folder} yet.")
        return 0
    names = agent_names(store)
    rows = [
        (
            one.id,
            ago(one.updated_at),
            many(one.message_count, "message"),
            *whose(one, names),
            *states(one, found, running),
            visible(one.name[:70]),
        )
        for one in found
    ]
    if parsed.on("all"):
        rows = [(*row, visible(one.cwd)) for row, one in zip(rows, found, strict=True)]
    print(*columns(rows), sep="\n")
    print("\nGo on with one: letta-code --resume ID, or the newest of a folder: letta-code --continue")
    return 0


def _search(parsed: Parsed, store: Store, limit: int) -> int:
    from letta_code.agent.find import find
    from letta_code.config.paths import Paths

    if parsed.words:
        raise UsageError(f"--search looks in every folder, and {parsed.words[0]!r} is more than its words.",
                         hint='Put several words in quotes: --search "fix parser"')  # fmt: skip
    agents = [store.agents.choose(parsed.text("agent"))] if parsed.on("agent") else store.agents.list()
    result = find(
        store,
        Paths.find(),
        agents,
        parsed.text("search"),
        limit=limit,
        since=parsed.text("since"),
        until=parsed.text("until"),
    )
    if parsed.on("json"):
        print(msgspec.json.format(msgspec.json.encode(result.found)).decode())
        return 0
    names = agent_names(store)
    for match in result.found:
        by = f"{names[match.agent_id]}: " if match.agent_id in names else ""
        place = f"{match.conversation_id}#{match.seq}" if match.seq else match.conversation_id
        print(f"{ago(match.at)}  {place}  {by}{visible(match.title[:70])}  ({match.found_by})")
        if match.text:
            print(f"    {match.role}: {visible(match.text)}")
    if result.left:
        print(f"{many(result.left, 'event')} not searched yet: search again for the rest.")
    if not result.found:
        print("Nothing was found.")
        return 0
    print("\nGo on with one: letta-code --resume ID")
    return 0
