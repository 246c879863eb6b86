"""List the agents, make, choose, rename, delete, restore, export and import them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from letta_code.agent.roster import (
    agent_rows,
    create_agent,
    delete_agent,
    own_name,
    purge_agents,
    remember_agent,
    remembered_agent,
    rename_agent,
    restore_agent,
)
from letta_code.cli._flags import HELP, Flag, Parsed, here, parse, verb_help
from letta_code.cli._store import open_store
from letta_code.commands.wording import ago, columns
from letta_code.config.paths import Paths
from letta_code.config.settings import load
from letta_code.core.counts import many
from letta_code.core.errors import UsageError
from letta_code.core.messages import Value
from letta_code.safety.terminal import visible
from letta_code.store.agents import KEPT_DAYS, Agent
from letta_code.store.database import Store

if TYPE_CHECKING:
    from letta_code.agent.agentfile.bring import Brought
    from letta_code.agent.agentfile.form import AgentFile


class _Place(Value):
    """What an action works on."""

    store: Store
    paths: Paths
    parsed: Parsed

    @property
    def words(self) -> tuple[str, ...]:
        """The words after the action's own."""
        return self.parsed.words[1:]

    def only(self, usage: str) -> str:
        """The one word that the action takes; raises `UsageError`."""
        if len(self.words) != 1:
            raise UsageError(f"agents {usage}: that is one name or id.", hint="`letta-code agents` lists them.")
        return self.words[0]


_Action = Callable[[_Place], Awaitable[int]]


class _Deed(Value):
    """An action: `usage` after `agents`, `help` one sentence."""

    usage: str
    help: str
    run: _Action
    flags: tuple[Flag, ...] = ()


def run(argv: Sequence[str]) -> int:
    """Do what the first word says; without one, list the agents."""
    name = next((word for word in argv if not word.startswith("-")), "list")
    deed = _DEEDS.get(name)
    if deed is None:
        raise UsageError(f"agents has no {name!r}.", hint=f"It has: {', '.join(_DEEDS)}.")
    named = name in argv
    parsed = parse(argv, (*deed.flags, HELP))
    if parsed.on("help"):
        print(_help(name) if named else _all_help())
        return 0
    if not named:
        parsed = msgspec.structs.replace(parsed, words=("list",))
    paths = Paths.find()
    with open_store() as store:
        return asyncio.run(_done(deed, _Place(store=store, paths=paths, parsed=parsed)))


async def _done(deed: _Deed, place: _Place) -> int:
    done = await deed.run(place)
    for sentence in await purge_agents(place.store, place.paths):  # afterwards: what came back is not removed
        print(visible(sentence), file=sys.stderr)
    return done


def _help(name: str) -> str:
    deed = _DEEDS[name]
    return verb_help(f"agents {deed.usage}", deed.help, (*deed.flags, HELP))


def _all_help() -> str:
    rows = [(f"  {deed.usage}", deed.help) for deed in _DEEDS.values()]
    lines = ["letta-code agents [ACTION] [flags]", "", (__doc__ or "").strip(), "", *columns(rows), ""]
    return "\n".join([*lines, "letta-code agents ACTION --help says more.", "NAME is a name, an id, or its beginning."])


# ---------------------------------------------------------------- actions


async def _list(place: _Place) -> int:
    if place.words:
        raise UsageError(f"agents list takes flags only, and this is none: {place.words[0]}.")
    deleted = place.parsed.on("deleted")
    settings = load(here()).settings
    rows = agent_rows(place.store, place.paths, settings, str(here()), deleted=deleted)
    if place.parsed.on("json"):
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return 0
    if not rows:
        print("There is no deleted agent." if deleted else "There is no agent yet: the first start makes one.")
        return 0
    table = [("", "name", "id", "blocks", "passages", "conversations", "deleted" if deleted else "last used", "")]
    for row in rows:
        when = row.deleted_at if deleted else row.last_used
        counts = (f"{row.blocks} ({row.characters})", str(row.passages), str(row.conversations))
        mark = "*" if row.here else ""
        table.append(
            (mark, visible(row.name), row.id, *counts, ago(when) if when else "", visible(row.description[:60]))
        )
    print(*columns(table, right=(3, 4, 5)), sep="\n")
    if deleted:
        print(f"\nBring one back: letta-code agents restore NAME. After {KEPT_DAYS} days they are removed for good.")
    else:
        print(
            "\n* is the agent of this folder; choose another: letta-code agents use NAME. Blocks: count (characters)."
        )
    return 0


async def _create(place: _Place) -> int:
    name = place.only("create NAME")
    agent = await create_agent(place.store, name, place.parsed.text("description"))
    print(f"{visible(agent.name)} ({agent.id}) is made. Use it in a folder: letta-code agents use {agent.id}")
    return 0


async def _rename(place: _Place) -> int:
    if len(place.words) != 2:
        raise UsageError("agents rename takes two names: NAME NEW.", hint="Put a name with spaces in quotes.")
    agent = await rename_agent(place.store, place.store.agents.choose(place.words[0]), place.words[1])
    print(f"{agent.id} is called {visible(agent.name)} now.")
    return 0


async def _describe(place: _Place) -> int:
    if len(place.words) < 2:
        raise UsageError('agents describe takes NAME and a text ("" for none).')
    agent = await place.store.agents.describe(place.store.agents.choose(place.words[0]).id, " ".join(place.words[1:]))
    print(f"{visible(agent.name)}: {visible(agent.description) or '(no description)'}")
    return 0


async def _use(place: _Place) -> int:
    if place.parsed.on("default"):
        if place.words:
            raise UsageError("--default takes no name.")
        remember_agent(place.paths, str(here()), "")
        print("This folder uses the default agent.")
        return 0
    agent = place.store.agents.choose(place.only("use NAME"))
    remember_agent(place.paths, str(here()), agent.id)
    print(f"New conversations in this folder are with {visible(agent.name)} ({agent.id}).")
    wins = load(here()).settings.agent
    if wins and agent not in _of_setting(place, wins):
        print(f"The setting `agent` ({visible(wins)}) goes before that: remove it from config.yaml or LETTA_AGENT.")
    return 0


def _of_setting(place: _Place, wins: str) -> list[Agent]:
    try:
        return [place.store.agents.choose(wins)]
    except UsageError:
        return []  # a start will say so


async def _delete(place: _Place) -> int:
    agent = place.store.agents.choose(place.only("delete NAME"))
    print(visible(await delete_agent(place.store, agent)))
    if remembered_agent(place.paths, str(here())) == agent.id:
        remember_agent(place.paths, str(here()), "")
        print("It was the agent of this folder, which uses the default one from now on.")
    return 0


async def _restore(place: _Place) -> int:
    agent = place.store.agents.choose(place.only("restore NAME"), deleted=True)
    print(visible(await restore_agent(place.store, agent)))
    return 0


async def _export(place: _Place) -> int:
    from letta_code.agent.agentfile.gather import gather, known_keys

    agent = place.store.agents.choose(place.only("export NAME"))
    keys = known_keys(place.paths, os.environ)
    file, notices = gather(place.store, place.paths, agent, settings=load(here()).settings, keys=keys)
    target = _written(place, file)
    for notice in notices:
        print(visible(notice), file=sys.stderr)
    print(
        f"{visible(agent.name)}: {many(len(file.blocks), 'block')} with {many(len(file.memory), 'change')}, "
        f"{many(len(file.passages), 'passage')} and {many(len(file.conversations), 'conversation')} "
        f"are in {visible(str(target))}"
    )
    if file.removed_secrets:
        print(f"Taken out: {many(file.removed_secrets, 'text')} that look like keys or passwords; marks stand there.")
    print("Everything that was said is in it, also secrets of no known form: look whom you give it to.")
    return 0


def _written(place: _Place, file: AgentFile) -> Path:
    from letta_code.agent.agentfile.gather import default_name
    from letta_code.agent.agentfile.write import SUFFIX, write_file, write_folder

    name, given = default_name(file.agent.name), place.parsed.text("output")
    if given == "-":
        raise UsageError("An agent is not written to stdout.", hint="Name a file with -o.")
    target = Path(given).expanduser() if given else here() / name
    if place.parsed.on("folder"):
        return write_folder(file, target, replace=place.parsed.on("replace"))
    if not given:
        target = target.with_name(name + SUFFIX)
    elif target.is_dir():
        target = target / (name + SUFFIX)
    if target.exists() and not place.parsed.on("replace"):
        raise UsageError(f"{target} is there already.", hint="Name another one with -o, or add --replace.")
    return write_file(file, target)


async def _import(place: _Place) -> int:
    from letta_code.agent.agentfile.bring import bring
    from letta_code.agent.agentfile.read import read_agent_file

    path = Path(place.only("import FILE")).expanduser()
    name = place.parsed.text("name")
    if place.parsed.on("name"):
        name = own_name(place.store, name)
    file, notices = await asyncio.to_thread(read_agent_file, path)
    brought = await bring(place.store, place.paths, file, name=name)
    _tell_brought(brought, (*notices, *brought.notices))
    return 0


def _tell_brought(brought: Brought, notices: Sequence[str]) -> None:
    for notice in notices:
        print(visible(notice), file=sys.stderr)
    agent = brought.agent
    held = [many(brought.passages, "passage"), many(brought.conversations, "conversation")]
    blocks = f"{many(brought.blocks, 'block')} ({many(brought.commits, 'change')})"
    print(f"{visible(agent.name)} ({agent.id}) is here with {blocks}, {' and '.join(held)}.")
    for old, new in brought.renamed.items():
        print(f"  the conversation {visible(old)} is {new} here")
    print(f"Its memory speaks to your model: look at it (letta-code memory --agent {agent.id}) before you use it.")


_JSON = Flag(names=("--json",), help="One JSON array.")
_DEEDS = {
    "list": _Deed(
        usage="list [--deleted] [--json]",
        help="List the agents with what they hold; * marks the one of this folder.",
        run=_list,
        flags=(Flag(names=("--deleted",), help="Those that were deleted and can be brought back."), _JSON),
    ),
    "create": _Deed(
        usage="create NAME [--description TEXT]",
        help="Make a new agent that knows nothing yet.",
        run=_create,
        flags=(Flag(names=("--description",), metavar="TEXT", help="What it is for, for people."),),
    ),
    "rename": _Deed(usage="rename NAME NEW", help="Give an agent another name.", run=_rename),
    "describe": _Deed(usage="describe NAME TEXT", help="Say what an agent is for, for people.", run=_describe),
    "use": _Deed(
        usage="use NAME",
        help="Let new conversations in this folder's project be with this agent.",
        run=_use,
        flags=(Flag(names=("--default",), help="With the default agent again."),),
    ),
    "delete": _Deed(
        usage="delete NAME",
        help=f"Delete an agent with memory and conversations; for {KEPT_DAYS} days it can be brought back.",
        run=_delete,
    ),
    "restore": _Deed(usage="restore NAME", help="Bring a deleted agent back.", run=_restore),
    "export": _Deed(
        usage="export NAME [-o FILE|DIR] [--folder] [--replace]",
        help="Write an agent with history, passages and conversations to a file or folder; keys of known forms go.",
        run=_export,
        flags=(
            Flag(names=("-o", "--output"), metavar="FILE", help="Where to; else a file here with the agent's name."),
            Flag(names=("--folder",), help="A folder: memory as a git repository, JSON lines for the rest."),
            Flag(names=("--replace",), help="Replace the file, or the exported folder, when it is there already."),
        ),
    ),
    "import": _Deed(
        usage="import FILE|DIR [--name NAME]",
        help="Make a new agent of an agent file or folder, or of one of Letta's (.af).",
        run=_import,
        flags=(Flag(names=("--name",), metavar="NAME", help="Call it so."),),
    ),
}
