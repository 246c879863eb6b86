"""Runs in processes of their own: begun, listed, followed, answered, killed at every moment, and gone on with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from letta_code.agent.background import keep, kept_job
from letta_code.agent.port import SessionOptions
from letta_code.agent.seeing_runs import open_request
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.config.settings import load
from letta_code.core import events as ev
from letta_code.core.messages import text_of
from letta_code.store.database import Store
from tests.fakes.redaction import NoSecrets

LETTA = [sys.executable, "-I", "-m", "letta_code"]
SECONDS = 40.0


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "project"
    folder.mkdir()
    yield folder
    with opened() as store:  # whatever a test that failed left running
        for owner in store.runs.written().values():
            os.kill(owner.pid, signal.SIGKILL)


def opened() -> Store:
    paths = Paths.find().ensure()
    return Store.open(
        paths.database,
        conversations_dir=paths.conversations,
        agents_dir=paths.agents,
        run_dir=paths.run,
        redactor=NoSecrets(),
    )


def model(project: Path, *turns: dict[str, Any]) -> list[str]:
    file = project.parent / "script.yaml"
    file.write_text(json.dumps({"turns": list(turns), "answers": [{"text": "Again."}]}))
    return ["--model", f"scripted:{file}"]


def bash(*commands: str) -> dict[str, Any]:
    return {"tools": [{"name": "Bash", "args": {"command": command}} for command in commands]}


def letta(project: Path, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LETTA, *argv], input=stdin, capture_output=True, text=True, cwd=project, timeout=SECONDS, check=False
    )


class Begun:
    """A run in the background, seen through the store."""

    def __init__(self, project: Path, *argv: str) -> None:
        done = letta(project, "run", "--background", "--json", *argv)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        self.project = project
        self.id, self.conversation, self.pid = told["run_id"], told["conversation_id"], told["pid"]

    def events(self) -> list[Any]:
        with opened() as store:
            return [stored.event for stored in store.read(self.conversation)]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events() if isinstance(event, kind)]

    def status(self) -> str:
        with opened() as store:
            run = store.runs.get(self.id)
        return run.status if run else ""

    def asks(self) -> str:
        with opened() as store:
            request = open_request(store, self.conversation)
        return request.request_id if request else ""

    def free(self) -> bool:
        with opened() as store:
            return store.runs.writer(self.conversation) is None

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        until(self.free)

    def follow(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return letta(self.project, "follow", self.id, *argv, stdin=stdin)

    def results(self) -> list[tuple[str, str]]:
        return [(result.status, text_of(result.content)) for result in self.of(ev.ToolResult)]


def until(happened: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---------------------------------------------------------------- begun and followed


def test_a_run_in_the_background_is_done_and_told_to_whoever_follows(project: Path) -> None:
    run = Begun(project, "go", "--mode", "full", *model(project, bash("echo made > a.txt; sleep 1"), {"text": "Made."}))
    told = run.follow("--output-format", "stream-json")
    assert told.returncode == 0
    seqs = [line["seq"] for line in lines(told) if "seq" in line]
    assert seqs == [event.seq for event in run.events() if event.seq <= seqs[-1]], "no event missed, none twice"
    assert lines(told)[-1]["result"] == "Made."
    assert (project / "a.txt").read_text() == "made\n"
    until(run.free)
    assert run.status() == "finished"
    again = run.follow()
    assert (again.returncode, again.stdout) == (0, "Made.\n")
    after = seqs[len(seqs) // 2]
    part = run.follow("--after", str(after), "--output-format", "stream-json")
    assert [line["seq"] for line in lines(part) if "seq" in line] == [seq for seq in seqs if seq > after]
    for known in (seqs[-1] - 1, seqs[-1], seqs[-1] + 50):  # its result, however much of it is known
        for form in ("json", "stream-json"):
            rest = run.follow("--after", str(known), "--output-format", form)
            assert rest.returncode == 0
            assert (lines(rest)[-1]["result"], lines(rest)[-1]["model"]) == ("Made.", lines(told)[-1]["model"])
        assert run.follow("--after", str(known)).stdout == "Made.\n"
    init = lines(told)[0]
    assert (init["type"], init["mode"]) == ("init", "full") and init["model"].startswith("scripted:")
    (listed,) = json.loads(letta(project, "runs", "--json").stdout)
    assert (listed["id"], listed["status"], listed["background"], listed["owner"]) == (run.id, "finished", True, "")


def test_the_prompt_may_come_from_stdin_and_a_failed_run_has_its_exit_code(project: Path) -> None:
    script = model(project, {"error": {"status": 401, "message": "bad key", "times": "forever"}, "text": "-"})
    done = letta(project, "run", "--background", "--json", *script, stdin="from a pipe\n")
    run_id = json.loads(done.stdout)["run_id"]
    followed = letta(project, "follow", run_id)
    assert followed.returncode == 1
    assert followed.stdout == "" and "bad key" in followed.stderr
    assert letta(project, "follow", "last").returncode == 1


def test_without_background_it_is_a_headless_run(project: Path) -> None:
    done = letta(project, "run", "go", *model(project, {"text": "Here."}))
    assert (done.returncode, done.stdout) == (0, "Here.\n")
    empty = letta(project, "run", "--background", "")
    assert empty.returncode == 2 and 'letta-code run --background "' in empty.stderr
    usage = letta(project, "runs", "answer", "foo")
    assert usage.returncode == 2 and all(line.startswith("  ") for line in usage.stderr.splitlines()[1:])
    refused = letta(project, "run", "--unattended", "go")
    assert refused.returncode == 2 and "--background" in refused.stderr


def test_nothing_is_lost_when_no_model_is_there(project: Path) -> None:
    done = letta(project, "run", "--background", "go")
    assert "There is no sandbox, as LETTA_SANDBOX" in done.stderr
    assert done.returncode != 0
    assert "No model" in done.stderr
    with opened() as store:
        assert store.runs.open() == []


def test_an_approval_waits_for_an_answer_and_many_runs_wait_at_once(project: Path) -> None:
    script = model(project, bash("touch yes.txt"), {"text": "Done."})
    first, second = Begun(project, "one", *script), Begun(project, "two", *script)
    until(first.asks)
    until(second.asks)
    assert (first.status(), second.status()) == ("waiting", "waiting")
    listed = letta(project, "runs").stdout
    assert listed.count("waits for an answer: $ touch yes.txt") == 2
    follower = subprocess.Popen([*LETTA, "follow", first.id], cwd=project, stderr=subprocess.PIPE, text=True)
    assert follower.stderr
    why = "It runs a command without a sandbox"
    assert " ".join(listed.split()).count(why) == 2, "what a yes gives"
    told = [follower.stderr.readline().strip() for _ in range(3)]
    assert told[1].startswith(why)
    assert told[::2] == ["? waits for an answer: $ touch yes.txt", f"letta-code runs answer {first.id} yes|no"]
    for unclear in (("perhaps",), ()):
        not_so = letta(project, "runs", "answer", first.id, *unclear)
        assert not_so.returncode == 2 and "answer yes, or no" in not_so.stderr
        assert "$ touch yes.txt" in not_so.stderr and why in not_so.stderr
    several = letta(project, "follow", "run-")
    assert several.returncode == 2 and "2 runs are called run-" in several.stderr
    no = letta(project, "runs", "answer", first.id, "no", "not", "that")
    assert no.returncode == 0 and "no, not that" in no.stdout and why in no.stdout
    follower.communicate(timeout=SECONDS)
    until(first.free)
    ((status, text),) = first.results()
    assert status == "denied" and "not that" in text
    assert not (project / "yes.txt").exists()
    stdin = json.dumps({"type": "answer", "request_id": second.asks(), "answer": {"kind": "approve"}}) + "\n"
    two_way = second.follow("--input-format", "stream-json", stdin=stdin)
    assert two_way.returncode == 0
    assert (project / "yes.txt").exists()
    late = letta(project, "runs", "answer", second.id, "yes")
    assert late.returncode == 2 and "has ended (finished)" in late.stderr


def test_unattended_nobody_is_waited_for(project: Path) -> None:
    run = Begun(project, "go", "--unattended", *model(project, bash("touch a.txt"), {"text": "I could not."}))
    assert run.follow().stdout == "I could not.\n"
    ((status, text),) = run.results()
    assert status == "denied" and "nobody can approve" in text


def test_who_stops_following_stops_nothing_and_stop_does(project: Path) -> None:
    run = Begun(project, "go", "--mode", "full", *model(project, bash("echo begun; sleep 60")))
    follower = subprocess.Popen(
        [*LETTA, "follow", run.id], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert follower.stderr
    until(lambda: "sleep 60" in follower.stderr.readline())  # type: ignore[union-attr]
    follower.send_signal(signal.SIGINT)
    _, errors = follower.communicate(timeout=SECONDS)
    assert follower.returncode == 0
    assert f"letta-code runs stop {run.id}" in errors
    assert run.status() == "running"
    assert letta(project, "runs", "stop", run.id).returncode == 0
    until(run.free)
    assert run.status() == "interrupted"
    assert run.results()[0][0] == "interrupted"
    ended = run.follow()
    assert ended.returncode == 130 and f"letta-code --resume {run.conversation}" in ended.stderr
    assert "has ended already" in letta(project, "runs", "stop", run.id).stdout


def test_a_message_for_a_conversation_that_runs_is_sent_to_its_process(project: Path) -> None:
    script = model(project, bash("until test -e sent; do sleep 0.1; done"), {"text": "First."}, {"text": "Second."})
    run = Begun(project, "go", "--mode", "full", *script)
    sent = letta(project, "run", "--background", "--resume", run.conversation, "and this", *script)
    assert "was sent there" in sent.stdout
    (project / "sent").touch()
    assert run.follow().returncode == 0
    until(run.free)
    assert [text_of(event.content) for event in run.of(ev.UserMessage)] == ["go", "and this"]
    assert not [e for e in run.of(ev.RunFinished) if e.reason != "done"]


def test_a_run_of_this_process_moves_to_the_background_with_its_id(project: Path) -> None:
    server = {"tools": [{"name": "Bash", "args": {"command": "sleep 61", "background": True}}]}
    script = model(project, server, bash("echo one > a.txt; sleep 1"), bash("echo two >> a.txt"), {"text": "Done."})
    settings = load(project).settings
    options = SessionOptions(cwd=str(project), settings=settings, model=script[1], mode="full", deny=("Bash(rm)",))

    async def move() -> tuple[str, str]:
        session = await start_session(options)
        await session.send("go")
        await asyncio.to_thread(until, (project / "a.txt").exists)
        return session.conversation_id, await session.to_background("test")

    conversation, run_id = asyncio.run(move())
    job = kept_job(conversation, Paths.find())
    assert (job.deny, job.mode) == (("Bash(rm)",), "")
    followed = letta(project, "follow", run_id)
    assert (followed.returncode, followed.stdout) == (0, "Done.\n")
    assert (project / "a.txt").read_text() == "one\ntwo\n", "mode full went along, and nothing was done twice"
    with opened() as store:
        events = [stored.event for stored in store.read(conversation)]
    moved, resumed = (
        [e for e in events if isinstance(e, ev.RunMoved)],
        [e for e in events if isinstance(e, ev.RunResumed)],
    )
    assert [(e.run_id, e.background) for e in moved] == [(run_id, True)]
    assert [(e.run_id, e.reason, e.background, e.mode) for e in resumed] == [(run_id, "moved", True, "full")]
    (told,) = [e.text for e in events if isinstance(e, ev.ReminderAdded) and e.kind == "shells"]
    assert "sleep 61" in told


# ---------------------------------------------------------------- killed


def take_up(run: Begun) -> None:
    """Any start of letta-code takes a run up again; `runs` does it at once."""
    assert letta(run.project, "runs").returncode == 0


def test_killed_while_a_command_ran_its_effect_is_unknown_and_it_is_not_run_again(project: Path) -> None:
    command = "echo x >> ran.txt; echo printed; sleep 60"
    run = Begun(project, "go", "--mode", "full", *model(project, bash(command, "touch behind.txt"), {"text": "Done."}))
    kept = Paths.find().cache / "printed" / run.conversation
    until(lambda: any(b"printed" in file.read_bytes() for file in kept.glob("*")))
    run.kill()
    take_up(run)
    followed = run.follow()
    assert followed.stdout == "Done.\n"
    assert f"* $ {command}\n  unknown: " in followed.stderr
    assert {event.run_id for event in run.of(ev.ToolResult)} == {run.id}
    (first, said), (second, _) = run.results()
    assert (first, second) == ("unknown", "denied")
    assert "printed" in said and "ran.txt" in said
    assert (project / "ran.txt").read_text() == "x\n"
    assert not (project / "behind.txt").exists()
    assert [(e.reason, e.attempt, e.mode) for e in run.of(ev.RunResumed)][1:] == [("died", 1, "ask")]
    until(run.free)
    assert not list((Paths.find().cache / "printed").glob("*"))


def test_killed_while_the_model_answered_it_answers_again(project: Path) -> None:
    slow = {"text": "A long answer that comes in small pieces.", "delay": 0.3, "pieces": 2}
    run = Begun(project, "go", *model(project, slow))
    until(lambda: run.of(ev.ContextPinned))
    time.sleep(0.5)
    run.kill()
    model(project, {"text": "Done."})
    take_up(run)
    assert run.follow().stdout == "Done.\n"
    assert len(run.of(ev.RunStarted)) == 1


def test_killed_while_it_waited_for_a_person_it_asks_again(project: Path) -> None:
    run = Begun(project, "go", *model(project, bash("echo x >> ran.txt", "echo y >> ran.txt"), {"text": "Done."}))
    until(run.asks)
    asked = run.asks()
    run.kill()
    take_up(run)
    until(lambda: run.asks() not in ("", asked))
    for _ in range(2):
        until(run.asks)
        assert letta(project, "runs", "answer", run.id, "yes").returncode == 0
    assert run.follow().stdout == "Done.\n"
    assert (project / "ran.txt").read_text() == "x\ny\n"
    assert [status for status, _ in run.results()] == ["ok", "ok"]


def test_killed_between_two_calls_the_first_is_not_run_again(project: Path) -> None:
    run = Begun(
        project,
        "go",
        "--mode",
        "full",
        *model(project, bash("echo x >> a", "echo x >> b; sleep 60"), {"text": "Done."}),
    )
    until(lambda: len(run.results()) == 1)
    run.kill()
    take_up(run)
    assert run.follow().stdout == "Done.\n"
    assert [status for status, _ in run.results()] == ["ok", "unknown"]
    assert (project / "a").read_text() == "x\n"
    assert not (project / "b").exists() or (project / "b").read_text() == "x\n"


def test_a_run_whose_worker_never_began_is_taken_up(project: Path) -> None:
    script = model(project, {"text": "Done."})
    options = SessionOptions(cwd=str(project), settings=load(project).settings, model=script[1], face="run")

    async def hand_in() -> str:
        session = await start_session(options)
        run_id = await session.hand_in("go", by="run")
        await session.handover.release(background=True, by="run")
        return run_id

    run_id = asyncio.run(hand_in())
    with opened() as store:
        assert store.runs.open()[0].status == "queued"
    followed = letta(project, "follow", run_id)
    assert (followed.returncode, followed.stdout) == (0, "Done.\n")


@pytest.mark.parametrize("spoil", ["cut", "letter", "missing"])
def test_a_run_whose_rules_are_lost_is_not_begun_again_but_told(project: Path, spoil: str) -> None:
    write = {"tools": [{"name": "Write", "args": {"path": "secret.txt", "content": "x"}}]}
    script = model(project, bash("sleep 60"), write, {"text": "Done."})
    run = Begun(project, "go", "--mode", "auto", "--allow", "Bash(sleep *)", "--deny", "Write(secret.txt)", *script)
    until(lambda: [event for event in run.of(ev.AssistantMessage) if event.tool_calls])
    run.kill()
    kept = Paths.find().run / f"{run.conversation}.job"
    whole = kept.read_bytes()
    kept.unlink()
    if spoil != "missing":
        kept.write_bytes(whole[:30] if spoil == "cut" else whole.replace(b"secret.txt", b"secrft.txt"))
    goes_on = f"letta-code --resume {run.conversation}"
    assert goes_on in letta(project, "runs").stdout
    followed, answered = run.follow(), letta(project, "runs", "answer", run.id, "yes")
    for told in (followed, answered):
        assert told.returncode and goes_on in told.stderr
    assert run.free() and not (project / "secret.txt").exists()
    kept.write_bytes(whole)
    assert run.follow().returncode == 0
    assert not (project / "secret.txt").exists(), "what was denied stays denied"


def test_answering_takes_up_the_run_that_was_asked_for_and_no_other(project: Path) -> None:
    script = model(project, bash("touch yes.txt"), {"text": "Done."})
    first, second = Begun(project, "one", *script), Begun(project, "two", *script)
    for run in (first, second):
        until(run.asks)
        run.kill()
    assert letta(project, "runs", "answer", second.id, "yes").returncode == 0
    until(lambda: second.status() == "finished")
    assert first.free() and first.status() == "waiting"


def test_a_run_that_dies_again_and_again_is_given_up(project: Path) -> None:
    run = Begun(project, "go", "--mode", "full", *model(project, {**bash("sleep 60"), "repeat": "forever"}))
    job = kept_job(run.conversation, Paths.find())
    assert job.mode == "", "mode full is not kept"
    for attempt in range(1, 4):
        until(lambda: [c for c in run.of(ev.AssistantMessage) if c.tool_calls])
        run.kill()
        keep(replace(job, allow=("Bash",)), Paths.find())  # or it would wait for an answer
        take_up(run)
        until(lambda: len([e for e in run.of(ev.RunResumed) if e.reason == "died"]) == attempt)  # noqa: B023 - at once
        with opened() as store:
            owner = store.runs.writer(run.conversation)
        assert owner
        run.pid = owner.pid
    run.kill()
    take_up(run)
    until(lambda: run.status() == "orphaned")
    listed = letta(project, "runs").stdout
    assert "its process died 4 times; it is not tried again" in listed
    assert f"go on with: letta-code --resume {run.conversation}" in listed and "another goes on" not in listed
    assert run.follow().returncode == 1
    assert [notice.code for notice in run.of(ev.Notice) if notice.code == "orphaned_run"] == ["orphaned_run"]


def test_a_signal_ends_a_worker_with_its_history_balanced(project: Path) -> None:
    run = Begun(project, "go", "--mode", "full", *model(project, bash("echo x; sleep 60")))
    until(lambda: run.of(ev.AssistantMessage))
    os.kill(run.pid, signal.SIGHUP)
    time.sleep(0.3)
    assert not run.free(), "a hangup is nothing to it"
    os.kill(run.pid, signal.SIGTERM)
    until(run.free)
    assert run.status() == "interrupted"
    assert [status for status, _ in run.results()] == ["interrupted"]
    until(lambda: not Path(f"/proc/{run.pid}").exists())


def test_a_headless_run_that_was_killed_is_closed_by_the_next_and_told(project: Path) -> None:
    script = model(project, bash("echo x >> ran.txt; sleep 60"), {"text": "Done."})
    process = subprocess.Popen([*LETTA, "-p", "go", "--mode", "full", *script], cwd=project, stderr=subprocess.DEVNULL)
    until((project / "ran.txt").exists)
    process.kill()
    process.wait()
    seen = json.loads(letta(project, "runs", "--json").stdout)
    assert [one["status"] for one in seen] == ["orphaned"]
    followed = letta(project, "follow", "last")
    assert followed.returncode == 1 and "died" in followed.stderr
    went_on = letta(project, "-p", "go on", "--continue", *script)
    assert went_on.stdout == "Done.\n"
    assert (project / "ran.txt").read_text() == "x\n"


# ---------------------------------------------------------------- said to the person


def test_stopped_while_it_waited_for_a_yes_the_call_never_ran_and_nobody_denied_it(project: Path) -> None:
    run = Begun(project, "go", *model(project, bash("touch a.txt"), {"text": "-"}))
    until(run.asks)
    assert letta(project, "runs", "stop", run.id).returncode == 0
    until(run.free)
    ((status, text),) = run.results()
    assert status == "interrupted" and "Not run" in text and "partial" not in text
    (told,) = lines(run.follow("--output-format", "json"))
    assert (told["exit_code"], told["denials"]) == (130, [])


def test_a_run_whose_folder_is_gone_is_read_all_the_same(project: Path) -> None:
    run = Begun(project, "go", "--mode", "full", *model(project, {"text": "Done."}))
    until(run.free)
    project.rename(project.parent / "elsewhere")
    followed = letta(project.parent, "follow", run.id)
    assert (followed.returncode, followed.stdout) == (0, "Done.\n")
    plain = letta(project.parent, "follow", run.id, "--plain")
    assert (plain.returncode, plain.stdout) == (0, "Done.\n")
    assert "is gone" in plain.stderr and f"letta-code export {run.conversation}" in plain.stderr


def test_a_run_that_died_and_whose_folder_is_gone_says_so_at_once(project: Path) -> None:
    run = Begun(project, "go", "--mode", "full", *model(project, bash("echo x; sleep 60")))
    until(lambda: run.of(ev.AssistantMessage))
    run.kill()
    project.rename(project.parent / "elsewhere")
    followed = letta(project.parent, "follow", run.id)
    assert followed.returncode == 1 and "is gone" in followed.stderr and "runs stop" in followed.stderr
    assert letta(project.parent, "runs", "stop", run.id).returncode == 0
    assert letta(project.parent, "follow", run.id, "--plain").returncode == 130


def test_a_question_is_answered_with_words_or_the_number_of_a_choice(project: Path) -> None:
    asks = {"name": "AskUser", "args": {"question": "Which?", "choices": ["red", "the blue"]}}
    run = Begun(project, "go", *model(project, {"tools": [asks]}, {"tools": [asks]}, bash("sleep 60")))
    until(run.asks)
    first = run.asks()
    assert letta(project, "runs", "answer", run.id, "2").stdout == "Which?: the blue.\n"
    until(lambda: run.asks() not in ("", first))
    assert letta(project, "runs", "answer", run.id, "none", "of", "them").returncode == 0
    assert [event.answer.text for event in run.of(ev.RequestAnswered)] == ["the blue", "none of them"]
    until(run.asks)
    assert letta(project, "runs", "answer", run.id, "no").returncode == 0
    late = letta(project, "runs", "answer", run.id, "yes")
    assert late.returncode == 2
    assert "it was answered already: no, by runs" in late.stderr or "has ended" in late.stderr


def test_the_list_fits_eighty_columns_and_says_why_a_run_failed(project: Path) -> None:
    words = "a prompt with many words " * 10
    waits = Begun(project, words, *model(project, bash(f"touch {'x' * 200}"), {"text": "-"}))
    failed = Begun(project, words, *model(project, {"error": {"status": 401, "message": "bad key"}, "text": "-"}))
    until(waits.asks)
    until(failed.free)
    listed = letta(project, "runs").stdout.splitlines()
    assert all(len(line) <= 80 for line in listed)
    rows = {line.split()[0]: at for at, line in enumerate(listed) if line.startswith("run-")}
    assert listed[rows[waits.id]].endswith("…") and " waiting " in listed[rows[waits.id]]
    below = "".join(line.strip() for line in listed[rows[waits.id] + 1 :])
    assert f"touch{'x' * 200}" in below.replace(" ", ""), "who says yes from here sees no card: it is there to its end"
    assert "bad key" in " ".join(listed[rows[failed.id] + 1 : rows[failed.id] + 4])
    (error,) = [one["error"] for one in json.loads(letta(project, "runs", "--json").stdout) if one["id"] == failed.id]
    assert "bad key" in error


def test_looking_only_begins_nothing_and_a_removed_folder_is_no_hindrance(project: Path) -> None:
    run = Begun(project, "go", "--mode", "full", *model(project, bash("sleep 60")))
    until(lambda: run.of(ev.AssistantMessage))
    run.kill()
    for argv in (["runs", "--no-resume"], ["runs", "--no-resume", "--json"]):
        assert "orphaned" in letta(project, *argv).stdout
    assert run.free()
    gone = project.parent / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && {' '.join(LETTA)} runs --no-resume && {' '.join(LETTA)} runs stop {run.id}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0 and f"letta-code follow {run.id}" in done.stdout


def test_a_launch_that_is_tried_again_with_its_client_id_begins_nothing_new(project: Path) -> None:
    script = model(project, {"text": "Done."}, {"text": "Twice?"})
    run = Begun(project, "go", "--client-id", "try-1", *script)
    until(run.free)
    for more in ([], ["--resume", run.conversation]):
        again = letta(project, "run", "--background", "--json", "go", "--client-id", "try-1", *more, *script)
        told = json.loads(again.stdout)
        assert (told["run_id"], told["conversation_id"], told["known"]) == (run.id, run.conversation, True)
    assert len(run.of(ev.UserMessage)) == len(run.of(ev.RunStarted)) == 1
    assert len(json.loads(letta(project, "runs", "--json").stdout)) == 1
    line = json.dumps({"type": "user", "text": "go", "client_id": "try-1"}) + "\n"
    two_way = ["--input-format", "stream-json", "--output-format", "stream-json", "--resume", run.conversation]
    acknowledged = lines(letta(project, "-p", *two_way, *script, stdin=line))
    (event,) = [one for one in acknowledged if one["type"] == "user_message"]
    assert (event["client_id"], event["seq"]) == ("try-1", run.of(ev.UserMessage)[0].seq)
    assert len(run.of(ev.UserMessage)) == 1


@pytest.mark.parametrize("name", ["nonsense", "scripted:/nope.yaml", "anthropic/claude-x"])
def test_a_model_that_cannot_be_opened_is_told_before_anything_is_kept(project: Path, name: str) -> None:
    done = letta(project, "run", "--background", "go", "--model", name)
    assert done.returncode != 0 and done.stderr and "goes on" not in done.stdout
    assert json.loads(letta(project, "runs", "--json").stdout) == []


def test_a_message_that_meets_a_dead_run_joins_it_and_says_so(project: Path) -> None:
    script = model(project, bash("echo x; sleep 60"), {"text": "Done."})
    run = Begun(project, "go", "--mode", "full", *script)
    until(lambda: run.of(ev.AssistantMessage))
    run.kill()
    done = letta(project, "-p", "and another", "--continue", *script)
    assert done.returncode == 0
    assert "had lost its process" in done.stderr and f"letta-code runs stop {run.id}" in done.stderr
    assert "goes on in mode ask: mode full holds for one start only" in done.stderr
    assert [text_of(event.content) for event in run.of(ev.UserMessage)] == ["go", "and another"]
    assert run.status() == "finished"


def test_a_prompt_for_a_conversation_that_runs_is_refused_with_the_commands_that_help(project: Path) -> None:
    run = Begun(project, "go", "--mode", "full", *model(project, bash("sleep 60")))
    refused = letta(project, "-p", "more", "--resume", run.conversation)
    assert refused.returncode == 1
    for command in ("follow", "runs stop", "run --background --resume"):
        assert f"letta-code {command} {run.conversation}" in refused.stderr
