"""List runs, newest first; end one (`runs stop RUN`); answer what one asks (`runs answer RUN yes|no|TEXT`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any

import msgspec

from letta_code.agent.background import Revived, revive
from letta_code.agent.seeing_runs import RunSeen, find_run, how_long, runs_seen
from letta_code.cli._flags import HELP, Flag, Parsed, here_if_any, parse, verb_help, whole_number
from letta_code.cli._store import open_store
from letta_code.commands.wording import columns
from letta_code.config.paths import Paths
from letta_code.core.errors import UsageError
from letta_code.safety.terminal import visible
from letta_code.store.runs import Run

FLAGS = (
    Flag(names=("-a", "--all"), help="Those of every folder."),
    Flag(names=("-n", "--limit"), metavar="N", help="At most N that have ended (20)."),
    Flag(names=("--no-resume",), help="Only look: go on with no run whose process died."),
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
        case ("answer", name, *words):
            return _act(name, _answering(" ".join(words)))
        case _:
            raise UsageError(f"This was not understood: runs {' '.join(parsed.words)}.", hint=f"letta-code {_USAGE}")


def _list(parsed: Parsed) -> int:
    limit = whole_number(parsed.text("limit"), "--limit") if parsed.on("limit") else 20
    folder = "" if parsed.on("all") else here_if_any()
    with open_store() as store:
        revived = Revived() if parsed.on("no_resume") else revive(store, Paths.find())  # first: what goes on is listed
        found = runs_seen(store, folder=folder, newest=limit)
        taken_up = [one for one in revived.begun if store.runs.open(one)]  # others were given up by that
    if parsed.on("json"):
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
        return 0
    if not found:
        print(f"There is no run in {folder} yet; --all shows those of other folders." if folder else "No run yet.")
        return 0
    print(*_lines(found, get_terminal_size((80, 24)).columns, folders=not folder), sep="\n")
    for conversation_id in taken_up:
        print(f"The process of a run in {conversation_id} had died; another goes on with it.")
    for sentence in revived.refused:
        print(visible(sentence))
    print("\nFollow one: letta-code follow RUN")
    return 0


def _lines(runs: Sequence[RunSeen], width: int, *, folders: bool) -> list[str]:
    """A line a run that fits the width, and an indented one below each for what is to be known or done."""
    begins = columns([(run.id, _when(run.started_at), run.status, how_long(run.seconds)) for run in runs])
    begin_width = max(map(len, begins))
    lines: list[str] = []
    for run, begin in zip(runs, begins, strict=True):
        lines.append(f"{begin.ljust(begin_width)}  {_cut(run.title, max(12, width - begin_width - 2))}".rstrip())
        lines += [f"    {_cut(note, max(20, width - 4))}" for note in _notes(run, folders=folders)]
        for words in filter(None, (*_asked(run), run.error, run.hint)):  # whole: it is to be judged, or copied
            one_line = visible("\n".join(" ".join(line.split()) for line in words.splitlines())).replace("\n", " ⏎ ")
            lines += wrap(one_line, max(20, width), initial_indent="    ", subsequent_indent="    ")
    return lines


def _asked(run: RunSeen) -> tuple[str, ...]:
    if not run.waits_for:
        return ()
    how = f"letta-code runs answer {run.id} {'yes|no' if run.because else 'TEXT'}"
    return (f"waits for an answer: {run.waits_for}", run.because, how)


def _notes(run: RunSeen, *, folders: bool) -> list[str]:
    notes = [run.folder] if folders else []
    if run.silent:
        notes.append(f"silent for {run.silent:.0f} s: its process is stopped, hangs, or the machine slept")
    if run.is_open:
        where = "in the background" if run.background else ""
        notes.append(", ".join(filter(None, (where, run.owner.partition(" since ")[0] or "waits for its process"))))
    return notes


def _when(at: str) -> str:
    """The local time of today, else the local date."""
    try:
        local = datetime.fromisoformat(at).astimezone()
    except ValueError:
        return ""
    return local.strftime("%H:%M" if local.date() == datetime.now(UTC).astimezone().date() else "%m-%d")


def _cut(text: str, room: int) -> str:
    shown = visible(" ".join(text.split()))
    return shown if len(shown) <= room else f"{shown[: room - 1]}…"


Act = Callable[[Run, str, Paths], Coroutine[Any, Any, str]]


def _act(name: str, act: Act) -> int:
    paths = Paths.find()
    with open_store() as store:
        run = find_run(store, name, here_if_any(), open_first=True)
        conversation = store.conversations.get(run.conversation_id)
    print(visible(asyncio.run(act(run, conversation.cwd if conversation else here_if_any(), paths))))
    return 0


async def _stop(run: Run, cwd: str, paths: Paths) -> str:
    from letta_code.agent.run_acts import stop

    return await stop(run, cwd, paths)


def _answering(words: str) -> Act:
    async def act(run: Run, cwd: str, paths: Paths) -> str:
        from letta_code.agent.run_acts import answer

        return await answer(run, cwd, paths, words)

    return act
