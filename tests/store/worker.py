"""What the tests let other processes do with a store: `python -m tests.store.worker VERB HOME …`."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

from letta_code.core.errors import StoreError
from letta_code.core.events import RequestAnswered
from letta_code.core.requests import Reply
from tests.store.support import note, open_store, said


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def _append(home: str, conversation_id: str, name: str, count: str) -> None:
    """Append `count` events one by one (0: until killed), telling the seq and text of each once it is kept."""
    with open_store(Path(home)) as store:
        _say("ready")
        number = 0
        while not int(count) or number < int(count):
            text = f"{name}-{number}"
            kept = await store.append(conversation_id, [said(text, client_id=text), note(text)])
            _say(f"{kept[0].seq} {text}")
            number += 1


async def _answer(home: str, conversation_id: str, request_id: str, text: str) -> None:
    """Answer a request when a line comes on stdin; tells whose answer stands."""
    with open_store(Path(home)) as store:
        _say("ready")
        sys.stdin.readline()
        answer = RequestAnswered(request_id=request_id, answer=Reply(text=text), by=text)
        _say((await store.answer(conversation_id, answer)).by)


async def _hold(home: str, conversation_id: str) -> None:
    """Be the conversation's writer until killed or stdin ends."""
    with open_store(Path(home)) as store:
        store.acquire_writer(conversation_id, "worker")
        _say("ready")
        await asyncio.to_thread(sys.stdin.read)


async def _cramped(home: str, conversation_id: str) -> None:
    """Append until no file may grow any more, then allow it again and append once more."""
    with open_store(Path(home)) as store:
        kept = 0
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
        try:
            while True:
                await store.append(conversation_id, [said("x" * 10_000)])
                kept += 1
        except StoreError as error:
            _say(f"{kept} {error.kind} {error.hint}")
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        event = (await store.append(conversation_id, [said("room again")]))[0]
        _say(str(event.seq))


async def _open(home: str) -> None:
    """Open the store when a line comes on stdin."""
    _say("ready")
    sys.stdin.readline()
    with open_store(Path(home)) as store:
        agent = await store.agents.ensure_default()
        _say(agent.id)


async def _opens() -> None:
    """Open and close the store of every home that is named on stdin, telling "open" or why not."""
    _say("ready")
    for line in sys.stdin:
        try:
            open_store(Path(line.strip())).close()
        except StoreError as error:
            _say(str(error))
        else:
            _say("open")


async def _die_restoring(home: str, count: str) -> None:
    """Open the store, and die as by `kill -9` when it opens a readable copy for the `count`-th time."""
    opened = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal opened
        if event == "open" and str(arguments[0]).endswith(".jsonl"):
            opened += 1
            if opened == int(count):
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    open_store(Path(home)).close()


async def _locked(home: str, conversation_id: str) -> None:
    """As somebody who may only read the home: what opening says, how many events there are, what writing says."""
    if os.geteuid() == 0:
        os.setuid(65534)
    with open_store(Path(home)) as store:
        _say(f"{store.read_only} {' '.join(store.notices)}")
        _say(str(len(store.read(conversation_id))))
        try:
            await store.append(conversation_id, [note("x")])
        except StoreError as error:
            _say(error.kind)
    try:
        open_store(Path(home) / "below")
    except StoreError as error:
        _say(f"{error.kind} {error.hint}")


if __name__ == "__main__":
    verbs = {
        "append": _append,
        "answer": _answer,
        "hold": _hold,
        "cramped": _cramped,
        "locked": _locked,
        "die-restoring": _die_restoring,
        "open": _open,
        "opens": _opens,
    }
    asyncio.run(verbs[sys.argv[1]](*sys.argv[2:]))
