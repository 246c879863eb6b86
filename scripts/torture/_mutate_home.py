"""A lived-in home to be mutated: two agents, conversations, blocks, passages, settings, keys, a log left by a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from letta_code.agent.port import SessionOptions
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings, save_setting
from letta_code.memory.provenance import Provenance
from letta_code.safety.vault import Secrets
from letta_code.store.database import Store

# Of the model that answers.  Conversations remember its path, so it lies in no home that is copied.
SCRIPT = Path(__file__).with_name("_mutate_script.json")


def settings() -> Settings:
    """The settings that every session here has."""
    return Settings(model=f"scripted:{SCRIPT}", mode="full")


async def _talk(paths: Paths, project: Path, words: list[str], agent: str = "", *, furnish: bool = False) -> None:
    options = SessionOptions(
        cwd=str(project), settings=settings(), agent=agent, mode="full", interactive=False, face="headless"
    )
    session = await start_session(options, paths=paths)
    for text in words:
        await session.send(text)
        await session.idle()
    if furnish:
        from tests.fakes.memory_home import furnish as write_blocks

        await asyncio.to_thread(write_blocks, session.memory.blocks, session.conversation_id, 3)
        archive = await asyncio.to_thread(lambda: session.memory.archive)
        for text in ("The invoice of Kunde 4711 was wrong.", "Releases are on Thursdays.", "The canary is yellow."):
            by = Provenance(source="agent", conversation=session.conversation_id, seq=3)
            await archive.insert(text, ["fact"], by=by)
    await session.close()


def make(home: Path, project: Path) -> None:
    """Make it; the last conversation's process ends by SIGKILL, so that -wal and -shm stay."""
    project.mkdir(parents=True)
    home.mkdir(parents=True, mode=0o700)
    paths = Paths(home=home)
    asyncio.run(_filled(paths, project))
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__)), str(home), str(project)],
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parent}"},
        stdout=subprocess.PIPE,
    )
    assert child.stdout
    if child.stdout.readline().strip() != b"said":
        raise RuntimeError("the process that is to be killed did not get so far")
    child.send_signal(signal.SIGKILL)
    child.wait()


async def _filled(paths: Paths, project: Path) -> None:
    await _talk(paths, project, ["Where is the canary?", "And the harvest?"], furnish=True)
    with Store.open(
        paths.database,
        conversations_dir=paths.conversations,
        agents_dir=paths.agents,
        run_dir=paths.run,
        redactor=Secrets(),
    ) as store:
        await store.agents.create("Grace", "Looks after the harvest")
    await _talk(paths, project, ["I am with Grace now. " + "Many words. " * 400], "Grace")
    await _talk(paths, project, [f"Word number {n} of a long talk." for n in range(12)])
    save_setting(paths, "mode", "auto")
    paths.folder(paths.home)
    paths.credentials.write_text("# Keys of letta-code.\nmine: sk-test-not-a-key\n")
    paths.credentials.chmod(0o600)
    from letta_code.store.backing import copy_database  # the copy that upkeep makes each day
    from letta_code.tui.history import PromptHistory

    history = PromptHistory(paths.prompts, str(project))
    history.remember("Where is the canary?")
    history.save_draft("half a thought")
    for path in paths.folder(paths.backups).glob("letta-*.db"):
        path.unlink()
    copy_database(paths.database, paths.backups / "letta-20261120.db")


async def _dies(home: Path, project: Path) -> None:
    paths = Paths(home=home)
    options = SessionOptions(cwd=str(project), settings=settings(), mode="full", interactive=False, face="headless")
    session = await start_session(options, paths=paths)
    for text in ("The last words before the end.", "Are they kept?"):
        await session.send(text)
        await session.idle()
    print("said", flush=True)
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(_dies(Path(sys.argv[1]), Path(sys.argv[2])))
