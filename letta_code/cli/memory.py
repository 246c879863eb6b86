"""Show what an agent remembers and change it: blocks, their history, what waits, archival memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from letta_code.cli._flags import Flag, help_lines, here
from letta_code.cli._store import open_store
from letta_code.commands.memory_words.words import BY_NAME, SHELL, Asked, Option, listing, parse_words, usage_of
from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError, StoreError, UsageError
from letta_code.store.database import Store

if TYPE_CHECKING:
    from letta_code.commands.memory_words.deeds import Here, Told
    from letta_code.memory.desk import Desk
    from letta_code.store.agents import Agent

MOST_BYTES = 1024 * 1024  # of a text on stdin
COMMON = (
    Option(names=("--agent",), metavar="NAME", help="This agent's memory, by name or id."),
    Option(names=("--cwd",), metavar="DIR", help="The project blocks of this folder."),
    Option(names=("--json",), help="The answer as JSON (of what only shows something)."),
    Option(names=("-h", "--help"), help="Show this help, or that of a word."),
)


def run(argv: Sequence[str]) -> int:
    """Do what a word asks for; without one, list the blocks."""
    asked = parse_words(argv, COMMON) if not _wants_help(argv) else None
    if asked is None:
        print(help_text(argv))
        return 0
    if asked.on("json") and not asked.word.shows:
        raise UsageError(
            f"`{SHELL} {asked.name}` has no JSON; nothing was done.",
            hint="--json is for words that only show something. A text that begins with it goes behind --.",
        )
    asked = _with_stdin(asked)
    cwd = Path(asked.value("cwd") or here()).expanduser()
    if not cwd.is_dir():
        raise UsageError(f"There is no folder {cwd}.")
    store = _store(asked)
    with store or contextlib.nullcontext():
        return _answer(asked, store, cwd.resolve())


def _store(asked: Asked) -> Store | None:
    """The store; for what only shows something one that cannot be written, or None: blocks are files of their own."""
    try:
        return open_store()
    except LettaError as error:
        if not asked.word.shows:
            raise
        print(f"warning: {error}. Memory is shown, and nothing can be saved.".replace("..", "."), file=sys.stderr)
    paths = Paths.find()
    with contextlib.suppress(LettaError):
        store = Store.open(paths.database, agents_dir=paths.agents, run_dir=paths.run, read_only=True)
        store.agents.default()  # a damaged database, or one without its log, shows here
        return store
    return None


def _wants_help(argv: Sequence[str]) -> bool:
    words = list(argv[: argv.index("--")] if "--" in argv else argv)
    return any(word in ("-h", "--help") for word in words)


def help_text(argv: Sequence[str]) -> str:
    """The whole help, or that of the word that was typed."""
    word = next((BY_NAME[name] for name in argv if name in BY_NAME), None)
    common = [one for one in COMMON if word is None or word.shows or one.key != "json"]
    options = (*(word.options if word else ()), *common)
    flags = help_lines([Flag(names=one.names, help=one.help, metavar=one.metavar) for one in options])
    if word is not None:
        return "\n".join([usage_of(word, SHELL), "", word.help, "", *flags])
    about = [f"{SHELL} [WORD] [flags]", "", (__doc__ or "").strip(), "", *listing(_width())]
    texts = "TEXT may be - for stdin. A LABEL is one of the list, such as human or notes/deploy."
    return "\n".join([*about, "", texts, "", *flags])


def _width() -> int:
    return max(shutil.get_terminal_size((80, 24)).columns, 60) - 2


def _with_stdin(asked: Asked) -> Asked:
    """A text that is `-` is read from stdin."""
    if not asked.word.text or asked.text != "-":
        return asked
    if sys.stdin is None:
        raise UsageError("There is no stdin to read the text from.")
    if sys.stdin.isatty():
        print("letta-code: reading the text from the terminal; Ctrl-D on a line of its own ends it", file=sys.stderr)
    data = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UsageError(f"The text on stdin is longer than {MOST_BYTES // 1024} KB: no block can hold that.")
    return msgspec.structs.replace(asked, text=data.decode("utf-8-sig", "replace"))


def _answer(asked: Asked, store: Store | None, cwd: Path) -> int:
    from letta_code.commands.memory_words.deeds import Here, do

    paths = Paths.find()
    agent = asyncio.run(_agent(asked, store, paths, str(cwd)))
    place = Here(desk=_desk(store, paths, agent, cwd), store=store, call=SHELL, agent=agent.name, width=_width())
    told = _edited(asked, place) if asked.name == "edit" else asyncio.run(do(asked, place))
    _print(asked, told)
    return 0


def _desk(store: Store | None, paths: Paths, agent: Agent, cwd: Path) -> Desk:
    from letta_code.agent.facts import project_root
    from letta_code.memory.block import project_key
    from letta_code.memory.blocks import Blocks
    from letta_code.memory.desk import Desk
    from letta_code.memory.opening import open_desk

    root = project_root(str(cwd))
    if store is not None:
        return open_desk(store, paths.home, agent.id, root, "")

    def shut() -> NoReturn:
        raise StoreError("Nothing can be searched without the database.")

    return Desk(Blocks(paths.home, agent.id, project_key(root)), "", open_archive=shut, open_recall=shut)


async def _agent(asked: Asked, store: Store | None, paths: Paths, cwd: str) -> Agent:
    """The agent that is named, else the one that a start in this folder would be with."""
    from letta_code.agent.roster import agent_on_disk, choose_agent
    from letta_code.config.settings import load

    loaded = load(Path(cwd), flags={"agent": asked.value("agent") or None})
    for notice in loaded.notices:
        print(f"{notice.level}: {notice.text}", file=sys.stderr)
    if store is not None and not (store.read_only and store.agents.default() is None):
        return await choose_agent(store, paths, loaded.settings, cwd, lambda text: print(text, file=sys.stderr))
    return agent_on_disk(paths, loaded.settings, cwd)


def _edited(asked: Asked, place: Here) -> Told:
    """The block's value in the person's editor; what was typed is kept in a file when memory does not take it."""
    from letta_code.commands.memory_words.deeds import Told, usable, written
    from letta_code.memory.block import clean_value
    from letta_code.memory.edits import Rethink
    from letta_code.tui.editor import edit_text

    blocks = place.desk.blocks
    notices = blocks.refresh(everything=True)
    base = blocks.pin()
    block = blocks.view(base).find(asked.first())
    text = edit_text(block.value)
    if clean_value(text) == block.value:
        return Told(said=f"`{block.label}` is as it was.", notices=notices)
    try:
        with usable():
            outcome = blocks.apply(Rethink(label=asked.first(), value=text), place.by, base=base)
    except LettaError as error:
        draft = _kept(text, block.label)
        hint = f"Your text is kept in {draft}. When it fits: {SHELL} set {asked.first()} - < {draft}"
        raise LettaError(str(error), hint=hint) from error
    return msgspec.structs.replace(written(outcome, SHELL), notices=notices)


def _kept(text: str, label: str) -> str:
    descriptor, path = tempfile.mkstemp(prefix=f"letta-{label.replace('/', '-')}-", suffix=".md")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return path


def _print(asked: Asked, told: Told) -> None:
    from letta_code.commands.memory_words.told import diff_lines

    for notice in told.notices:
        print(notice, file=sys.stderr)
    if asked.on("json"):
        print(msgspec.json.format(msgspec.json.encode(told.data)).decode())
        return
    if told.raw is not None and not sys.stdout.isatty() and not asked.on("numbers"):
        print(told.raw)  # for a program: the value and nothing else
    else:
        diffs = (line for diff in told.blocks for line in diff_lines(diff))
        print(*filter(None, [told.said]), *told.lines, *diffs, sep="\n")
    if told.aside:
        print(told.aside, file=sys.stderr)
