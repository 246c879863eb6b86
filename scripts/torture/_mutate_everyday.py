"""The everyday things that are done with a home after its files were mutated, and what a person is told meanwhile."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path
from typing import NamedTuple

from _mutate_home import settings

from letta_code.agent.mending import open_store
from letta_code.agent.port import SessionOptions
from letta_code.agent.start import start_session
from letta_code.config.credentials import Credentials
from letta_code.config.paths import Paths
from letta_code.config.settings import load, save_setting
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.memory.desk import Desk
from letta_code.tui.history import PromptHistory


class Day(NamedTuple):
    """What a day came to: `said` are the notices and errors, `crashes` what no person should see.

    `events` are the events of each conversation that opened, as a session tells them, by seq; `refused` the
    conversations that did not open, with the error.  `memory` is label → text of a new conversation's blocks, `found`
    how much a search found in conversations and archive.  `draft` is what stood at the prompt.
    """

    said: list[str]
    crashes: list[str]
    listed: set[str]
    events: dict[str, dict[int, ev.Durable]]
    refused: dict[str, str]
    memory: dict[str, str]
    found: dict[str, int]
    draft: list[str]


async def day(home: Path, project: Path) -> Day:
    """Do it all."""
    paths = Paths(home=home)
    result = Day([], [], set(), {}, {}, {}, {}, [])

    def tell(error: BaseException, where: str) -> str:
        if isinstance(error, LettaError):
            result.said.append(f"{where}: {error} {error.hint}")
        else:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}:{last.lineno}"
            result.crashes.append(f"{where}: {type(error).__name__} at {place}: {str(error)[:150]}")
        return f"{type(error).__name__}: {error}"

    try:
        _settings(paths, project, result)
    except Exception as error:  # noqa: BLE001 - what comes out is the finding
        tell(error, "settings")
    try:
        names = _lists(paths, result)
    except Exception as error:  # noqa: BLE001
        tell(error, "lists")
        names = []
    for name in names:
        try:
            result.events[name] = await _opened(paths, project, name, result, say="" if len(result.events) else "On.")
        except Exception as error:  # noqa: BLE001
            result.refused[name] = tell(error, f"open {name}")
    try:
        await _opened(paths, project, "", result, say="A new conversation.", memory=True)
    except Exception as error:  # noqa: BLE001
        tell(error, "new conversation")
    return result


def _settings(paths: Paths, project: Path, result: Day) -> None:
    result.said.extend(f"{notice.text} {notice.hint}" for notice in load(project, paths=paths, env={}).notices)
    keys = Credentials(paths)
    keys.names()
    keys.set("another", "sk-another-one")
    result.said.extend(f"{notice.text} {notice.hint}" for notice in keys.notices)
    result.said.extend(f"{notice.text} {notice.hint}" for notice in save_setting(paths, "max_turns", 77))
    history = PromptHistory(paths.prompts, str(project))
    result.draft.append(history.load())
    history.remember("another day")
    history.save_draft("half")


def _lists(paths: Paths, result: Day) -> list[str]:
    with open_store(paths) as store:
        names = [one.id for one in store.conversations.list(limit=1000)]
        store.agents.list()
        result.listed.update(names)
        result.said.extend(store.notices)
    return names


async def _opened(
    paths: Paths, project: Path, name: str, result: Day, *, say: str, memory: bool = False
) -> dict[int, ev.Durable]:
    options = SessionOptions(
        cwd=str(project),
        settings=settings(),
        conversation=name,
        mode="full",
        interactive=False,
        face="headless",
    )
    session = await start_session(options, paths=paths)
    told: dict[int, ev.Durable] = {}

    async def listen() -> None:
        async for event in session.events(0):
            if isinstance(event, ev.Durable) and event.seq:
                told[event.seq] = event
            if isinstance(event, ev.Notice):
                result.said.append(f"{event.text} {event.hint}")

    listening = asyncio.create_task(listen())
    try:
        if say:
            await session.send(say)
            last = await session.idle()
            if last is None or last.reason != ev.StopReason.DONE:
                raise RuntimeError(f"the run ended with {last.reason if last else None}: {last.error if last else ''}")
        if memory:
            view = await asyncio.to_thread(session.memory.blocks.view)
            result.said.extend(view.problems)
            result.memory.update(
                {block.label: block.value for block in view.blocks if block.label not in ("task", "todo")}
            )
            result.found.update(await asyncio.to_thread(_searched, session.memory))
    finally:
        await session.close()
        await asyncio.wait([listening], timeout=10)
        listening.cancel()
    return told


def _searched(desk: Desk) -> dict[str, int]:
    """Search conversations and archive, as the model's tools do; how much each found."""
    desk.recall.catch_up()
    return {"talk": len(desk.recall.search("canary").found), "archive": len(desk.archive.search("canary"))}
