"""Which runs in the background are begun again, and with which rules."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from letta_code.agent import background
from letta_code.agent.background import MOST_REVIVED, Job, keep, kept_job, revive, revive_one
from letta_code.config.paths import Paths
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.core.ids import new_id
from letta_code.store.database import Store
from tests.fakes.redaction import NoSecrets


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "home").ensure()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The conversations for which a worker was started, in place of the processes."""
    found: list[str] = []

    def start(job: Job, paths: Paths, *, seconds: float = 0.0) -> int:
        found.append(job.conversation)
        return 1

    monkeypatch.setattr(background, "start_worker", start)
    return found


async def left(store: Store, cwd: Path) -> str:
    """A run in the background whose process died."""
    conversation_id = new_id("conv")
    agent = (await store.agents.create(new_id("agent"))).id
    await store.append(
        conversation_id,
        [
            ev.ConversationStarted(conversation_id=conversation_id, agent_id=agent, cwd=str(cwd), version="0"),
            ev.UserMessage(message_id=new_id("msg"), content=(), client_id=new_id("say")),
            ev.RunStarted(run_id=new_id("run"), model="m", mode="ask", background=True),
        ],
    )
    return conversation_id


async def test_runs_that_cannot_go_on_keep_no_place_of_those_that_can(
    paths: Paths, tmp_path: Path, started: list[str]
) -> None:
    with Store.open(paths.database, run_dir=paths.run, redactor=NoSecrets()) as store:
        for _ in range(MOST_REVIVED):
            gone = await left(store, tmp_path / "gone")
            keep(Job(conversation=gone, cwd=str(tmp_path / "gone")), paths)
        unknown = [await left(store, tmp_path) for _ in range(MOST_REVIVED)]
        good = await left(store, tmp_path)
        keep(Job(conversation=good, cwd=str(tmp_path)), paths)
        done = revive(store, paths)
    assert (list(done.begun), started) == ([good], [good])
    assert len(done.refused) == len(unknown)
    assert all(any(f"--resume {one}" in sentence for sentence in done.refused) for one in unknown)


async def test_those_that_were_tried_already_come_last(paths: Paths, tmp_path: Path, started: list[str]) -> None:
    with Store.open(paths.database, run_dir=paths.run, redactor=NoSecrets()) as store:
        waiting = [await left(store, tmp_path) for _ in range(MOST_REVIVED + 1)]
        for at, one in enumerate(waiting):
            keep(Job(conversation=one, cwd=str(tmp_path)), paths)
            os.utime(paths.run / f"{one}.job", (at, at))
        revive(store, paths)
        assert sorted(started) == sorted(waiting[:-1])
        started.clear()
        revive(store, paths)
    assert waiting[-1] in started


async def test_one_run_alone_is_revived(paths: Paths, tmp_path: Path, started: list[str]) -> None:
    with Store.open(paths.database, run_dir=paths.run, redactor=NoSecrets()) as store:
        one, other, gone = await left(store, tmp_path), await left(store, tmp_path), await left(store, tmp_path)
        for conversation_id in (one, other):
            keep(Job(conversation=conversation_id, cwd=str(tmp_path)), paths)
        keep(Job(conversation=gone, cwd=str(tmp_path / "gone")), paths)
        revive_one(store, paths, other)
        assert started == [other]
        with pytest.raises(LettaError, match=r"folder .* is gone"):
            revive_one(store, paths, gone)
    assert started == [other]


def test_what_is_kept_is_durable_before_it_is_told(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(conversation=new_id("conv"), cwd=str(tmp_path), mode="full", deny=("Write(secret.txt)",), unattended=True)
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(number), fsync(number)))
    keep(job, paths)
    assert synced
    kept = kept_job(job.conversation, paths)
    assert (kept.deny, kept.unattended, kept.mode) == (job.deny, True, "")


def test_where_the_rules_cannot_be_kept_older_ones_do_not_stand_for_them(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(conversation=new_id("conv"), cwd=str(tmp_path))
    keep(job, paths)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(background, "atomic_write", full)
    with pytest.raises(LettaError, match="No space left"):
        keep(Job(conversation=job.conversation, cwd=str(tmp_path), deny=("Bash",)), paths)
    with pytest.raises(LettaError, match="is missing"):
        kept_job(job.conversation, paths)
