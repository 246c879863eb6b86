"""List runs, newest first; end one (`runs stop RUN`); answer what one asks (`runs answer RUN yes|no|TEXT`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from letta_code.agent.background import revive
from letta_code.agent.seeing_runs import find_run, lines_of, runs_seen
from letta_code.cli._flags import HELP, Flag, Parsed, here, parse, verb_help, whole_number
from letta_code.cli._store import open_store
from letta_code.commands.wording import columns
from letta_code.config.paths import Paths
from letta_code.core.errors import UsageError
from letta_code.safety.terminal import visible
from letta_code.store.runs import Run

FLAGS = (
    Flag(names=("-a", "--all"), help="Those of every folder."),
    Flag(names=("-n", "--limit"), metavar="N", help="At most N that have ended (20)."),
    Flag(names=("--json",), help="One JSON array."),
    HELP,
)
_USAGE = (
    "runs [flags]\nletta-code runs stop RUN\nletta-code runs answer RUN yes|no [REASON]\n"
    "letta-code runs answer RUN TEXT  (a question: the answer, or the number of a choice)"
)


def run(argv: Sequence[str]) -> int:
    """Print the list, or do what the first word says."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help(_USAGE, __doc__ or "", FLAGS))
        return 0
    match parsed.words:
        case ():
            return _list(parsed)
        case ("stop", name):
            return _act(name, _stop)
        case ("answer", name, word, *words):
            return _act(name, _answering(" ".join((word, *words))))
        case _:
            raise UsageError(f"This was not understood: runs {' '.join(parsed.words)}.", hint=f"letta-code {_USAGE}")


def _list(parsed: Parsed) -> int:
    limit = whole_number(parsed.text("limit"), "--limit") if parsed.on("limit") else 20
    folder = "" if parsed.on("all") else str(here())
    with open_store() as store:
        revived = revive(store, Paths.find())  # before the list: it shows what goes on again
        found = runs_seen(store, folder=folder, newest=limit)
    if parsed.on("json"):
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
        return 0
    if not found:
        print(f"There is no run in {folder} yet; --all shows those of other folders." if folder else "No run yet.")
        return 0
    rows = [tuple(visible(cell) for cell in row) for row in lines_of(found)]
    if parsed.on("all"):
        rows = [(*row, visible(one.folder)) for row, one in zip(rows, found, strict=True)]
    print(*columns(rows), sep="\n")
    for conversation_id in revived.begun:
        print(f"The process of a run in {conversation_id} had died; another goes on with it.")
    for sentence in revived.refused:
        print(visible(sentence))
    print("\nFollow one: letta-code follow RUN")
    return 0


Act = Callable[[Run, str, Paths], Coroutine[Any, Any, str]]


def _act(name: str, act: Act) -> int:
    paths = Paths.find()
    with open_store() as store:
        run = find_run(store, name, str(here()), open_first=True)
        conversation = store.conversations.get(run.conversation_id)
    print(visible(asyncio.run(act(run, conversation.cwd if conversation else str(here()), paths))))
    return 0


async def _stop(run: Run, cwd: str, paths: Paths) -> str:
    from letta_code.agent.run_acts import stop

    return await stop(run, cwd, paths)


def _answering(words: str) -> Act:
    async def act(run: Run, cwd: str, paths: Paths) -> str:
        from letta_code.agent.run_acts import answer

        return await answer(run, cwd, paths, words)

    return act
