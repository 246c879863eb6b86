"""No secret gets out: planted in files, output and remotes, none is in the home, in a request or in an export."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.model_server import Call, ModelServer, Reply
from tests.safety.canaries import CANARIES, KEY_KINDS, VALUES, private_key

ROOT = Path(__file__).parents[2]
PROVIDER_KEY = "plain words of a provider"  # a key may look like anything
SERVICE = "correct-horse-battery"
PASTED = "ghp_" + "pAsTeD42" * 5
INVENTED = "glpat-" + "Inv3nted0" * 3
PLANTED = (*VALUES, PROVIDER_KEY, SERVICE, PASTED, INVENTED)


UNKNOWN = "<secret:github-token:0a1b2c3d>"


def use(name: str, **arguments: object) -> Call:
    return Call(name, json.dumps(arguments))


def letta(cwd: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "letta_code", *flags],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    (work / ".env").write_text("".join(f"{one.line}\n" for one in CANARIES))
    (work / "keys.txt").write_text("".join(map(private_key, KEY_KINDS)))
    (work / "app.json").write_text(json.dumps({"private_key": private_key(), "client_secret": SERVICE}))
    trace = f"def go(password):\n    raise ValueError('no login with ' + password)\ngo({CANARIES[0].value!r})\n"
    (work / "boom.py").write_text(trace)
    subprocess.run(["git", "init", "-q"], cwd=work, check=True)
    remote = (
        "https://bob:" + next(one.value for one in CANARIES if one.kind == "password-in-address") + "@localhost/x.git"
    )
    subprocess.run(["git", "remote", "add", "origin", remote], cwd=work, check=True)
    return work


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
        monkeypatch.setenv("OPENAI_API_KEY", PROVIDER_KEY)
        monkeypatch.setenv("MY_SERVICE_TOKEN", SERVICE)
        yield server


def found_in(data: bytes) -> list[str]:
    texts = (data.decode("utf-8", "replace"), data.decode("utf-8", "replace").replace("\\/", "/"))
    return [value for value in PLANTED if any(value in text for text in texts)]


def leaks(folder: Path) -> dict[str, list[str]]:
    """By file: what of the planted values stands in it.  Snapshots of the work tree hold the files as they are."""
    return {
        str(path.relative_to(folder)): found
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and "checkpoints" not in path.relative_to(folder).parts
        and (found := found_in(path.read_bytes()))
    }


TURNS = (
    Reply(tools=(use("Read", path=".env"), use("Read", path="keys.txt"), use("Read", path="app.json"))),
    Reply(tools=(use("Read", path="keys.txt", offset=4, limit=5), use("Grep", pattern="e", path="."))),
    Reply(tools=(use("Bash", command="cat .env keys.txt app.json; head -5 keys.txt; tail -6 keys.txt"),)),
    Reply(tools=(use("Bash", command="env; git remote -v; python3 boom.py; grep -n . keys.txt .env"),)),
    Reply(tools=(use("Bash", command="tr '\\0' ' ' < /proc/$PPID/cmdline; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),)),
    Reply(
        tools=(
            use("Bash", command="cat /proc/[0-9]*/cmdline | tr '\\0' ' ' > argv.txt"),
            use("Bash", command=f"echo {UNKNOWN} > told.txt"),
            use("memory", command="insert", label="human", insert_text=f"The token is {UNKNOWN}"),
            use("memory", command="insert", label="human", insert_text=f"The token is {INVENTED}"),
        )
    ),
    Reply(tools=(use("Write", path="made.env", content=f"TOKEN={INVENTED}\n"),)),
    Reply(text=f"I made {INVENTED} up; it is in made.env.", reasoning=f"It was {INVENTED}."),
)


@pytest.mark.row("I01", "I02", "I03", "I05", "I06", sandbox="off")  # in mode full commands run outside any
def test_nothing_planted_is_kept_sent_or_exported(work: Path, served: ModelServer, letta_home: Path) -> None:
    served.reply(*TURNS)
    done = letta(work, "-p", f"use {PASTED} for it", "--model", "openai/fake", "--mode", "full")
    assert done.returncode == 0, done.stderr
    bodies = [request.body for request in served.requests if request.method == "POST"]
    assert len(bodies) == len(TURNS)
    assert {value: n for n, body in enumerate(bodies) for value in found_in(body)} == {}
    assert leaks(letta_home) == {}
    assert open_to_others(letta_home) == []
    assert found_in((done.stdout + done.stderr).encode()) == []
    assert "a GitHub token" in done.stderr  # the one that was pasted
    assert (work / "made.env").read_text() == f"TOKEN={INVENTED}\n"  # what the model made up is written as it is
    assert not (work / "told.txt").exists() and b"Not run: <secret:github-token:0a1b2c3d> stands for" in bodies[6]
    argv = (work / "argv.txt").read_text()
    assert "letta_code" in argv and PROVIDER_KEY not in argv and SERVICE not in argv
    listed = json.loads(letta(work, "conversations", "--json").stdout or "[]")
    conversation = listed[0]["id"] if listed else next((letta_home / "conversations").glob("*.jsonl")).stem
    for verb in (("export", conversation), ("export", conversation, "--format", "markdown"), ("dump", conversation)):
        told = letta(work, *verb)
        assert told.returncode == 0 and told.stdout, told.stderr
        assert found_in(told.stdout.encode()) == []
        assert verb[0] == "dump" or "<secret:github-token:" in told.stdout


@pytest.mark.row("I01", "I02", sandbox="off")
def test_nothing_planted_is_left_by_a_process_that_was_killed(
    work: Path, served: ModelServer, letta_home: Path
) -> None:
    (work / "slow.py").write_text(
        "import time\nfor part in open('.env').read().split('3'):\n"
        "    print(part, end='3', flush=True)\n    time.sleep(.01)\n"
    )
    command = "python3 slow.py; python3 slow.py; echo at the end; touch printed; sleep 60"
    served.reply(Reply(tools=(use("Bash", command=command),)))
    process = subprocess.Popen(
        [sys.executable, "-m", "letta_code", "-p", "go", "--model", "openai/fake", "--mode", "full"],
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    printed = letta_home / "cache" / "printed"
    try:
        _wait(lambda: any(b"at the end" in path.read_bytes() for path in printed.rglob("*") if path.is_file()))
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    [left] = [path for path in printed.rglob("*") if path.is_file()]
    assert b"<secret:" in left.read_bytes()
    assert leaks(letta_home) == {}


def _wait(done: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not done():  # type: ignore[operator]  # a callable
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def open_to_others(home: Path) -> list[str]:
    """The home, files and folders of it that not only their owner can come to."""
    return [
        f"{stat.filemode(path.lstat().st_mode)} {path}"
        for path in (home, *sorted(home.rglob("*")))
        if not path.is_symlink() and path.lstat().st_mode & 0o077 and not _in_private(path, home)
    ]


def _in_private(path: Path, home: Path) -> bool:
    """Whether nobody else can come to it: git makes its own files within a folder that is the owner's alone."""
    relative = path.relative_to(home).parts
    return ".git" in relative or "checkpoints" in relative[:-1]
