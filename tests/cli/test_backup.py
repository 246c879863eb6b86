"""`letta-code backup`, `restore` and `clean` as processes, on a lived-in home, compared by content."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.lived_in import REPOSITORY, content, letta, lived_in
from tests.store.support import raw_sql

TOPS = ("agents", "shared", "conversations", "skills")
WRITES = """
import asyncio, sys
from pathlib import Path
from tests.store.support import open_store, said, started
async def main(home):
    with open_store(home) as store:
        agent = store.agents.list()[0].id
        await store.append("conv-busy", [started("conv-busy", agent)])
        print("ready", flush=True)
        for number in range(1_000_000):
            await store.append("conv-busy", [said(f"word {number} " * 50)])
            if number % 20 == 0: print(number, flush=True)
asyncio.run(main(Path(sys.argv[1])))
"""
IDLES = "import sys; from pathlib import Path; from tests.store.support import open_store\n"
IDLES += "store = open_store(Path(sys.argv[1])); store.agents.list(); print('ready', flush=True); sys.stdin.read()"
LOCKS = "import sys; from pathlib import Path; from letta_code.host.locks import FileLock\n"
LOCKS += "lock = FileLock(Path(sys.argv[1]) / 'run/conv-x.lock'); lock.acquire(); print('ready', flush=True)\n"
LOCKS += "sys.stdin.read()"


def events(home: Path) -> list[tuple[object, ...]]:
    return raw_sql(home, "SELECT conversation_id, seq, crc, body FROM events ORDER BY 1, 2")


@contextmanager
def process(code: str, home: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout is not None
        try:
            assert started.stdout.readline() == "ready\n"
            yield started
        finally:
            started.kill()


def test_a_backup_comes_back_in_an_empty_home_by_content(tmp_path: Path) -> None:
    home, other = lived_in(tmp_path / "home"), tmp_path / "other"
    done = letta(home, "backup", "b.tar.gz")
    assert done.returncode == 0 and "read back and sound" in done.stdout and "credentials.yaml" in done.stdout
    assert (tmp_path / "b.tar.gz").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar.gz", "home"]
    done = letta(other, "restore", "b.tar.gz", "--yes")
    assert done.returncode == 0, done.stderr
    assert content(other, *TOPS) == content(home, *TOPS) and events(other) == events(home)
    assert (other / "config.yaml").read_bytes() == (home / "config.yaml").read_bytes()
    assert not (other / "credentials.yaml").exists() and not list(other.glob("before-restore*"))
    assert letta(other, "memory", "list").stdout == letta(home, "memory", "list").stdout
    code = letta(other, "doctor", "store", "memory", "config").returncode
    assert code == 0


def test_keys_go_in_only_when_asked_for(tmp_path: Path) -> None:
    home, other = lived_in(tmp_path / "home"), tmp_path / "other"
    letta(home, "backup", "keys.tar.gz", "--with-keys")
    letta(other, "restore", "keys.tar.gz", "--yes")
    assert (other / "credentials.yaml").read_text() == "openai: sk-very-secret\n"
    assert (other / "credentials.yaml").stat().st_mode & 0o777 == 0o600


def test_a_backup_is_of_one_moment_while_another_process_writes(tmp_path: Path) -> None:
    home, other = lived_in(tmp_path / "home"), tmp_path / "other"
    with process(WRITES, home) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        made = [letta(home, "backup", f"b{number}.tar.gz", "--json") for number in range(3)]
        assert [one.returncode for one in made] == [0, 0, 0], made[0].stderr
        assert writer.poll() is None
    counts = [json.loads(one.stdout)["manifest"]["database"]["events"] for one in made]
    assert counts[0] < counts[1] < counts[2]  # it did write meanwhile
    assert letta(other, "restore", "b1.tar.gz", "--yes").returncode == 0
    found = events(other)
    assert len(found) == counts[1] and found == [row for row in events(home) if row in set(found)]
    busy = [row[1] for row in found if row[0] == "conv-busy"]
    assert busy == list(range(1, len(busy) + 1))
    report = json.loads(letta(other, "doctor", "store", "--json").stdout)
    # The copy was taken before the database, so it may be behind: the next message catches it up.
    assert {one["what"] for one in report if one["state"] not in ("ok", "skipped")} <= {"readable copy", "backups"}
    assert not any("longer" in one["says"] for one in report)


def test_a_backup_that_finds_no_room_leaves_nothing(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    command = f"ulimit -f 40; exec {sys.executable} -m letta_code backup {tmp_path}/b.tar.gz"
    environment = {**os.environ, "LETTA_HOME": str(home)}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "could not be written" in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    (tmp_path / "b.tar.gz").write_text("mine")
    done = letta(home, "backup", "b.tar.gz")
    assert done.returncode == 1 and (tmp_path / "b.tar.gz").read_text() == "mine"


def test_what_was_there_is_moved_aside_and_comes_back_by_the_same_command(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    letta(home, "backup", "b.tar.gz")
    letta(home, "memory", "set", "human", "Somebody else", "--cwd", str(tmp_path))
    (home / "skills" / "deploy" / "SKILL.md").write_text("changed")
    (home / "agents" / "agent-of-another-program").mkdir()
    (home / "letters.txt").write_text("another program's")
    before, told = content(home, *TOPS), events(home)
    shown = letta(home, "restore", "b.tar.gz", "--dry-run")
    assert shown.returncode == 0 and "2 conversations" in shown.stdout and content(home, *TOPS) == before
    assert letta(home, "restore", "b.tar.gz").returncode == 2  # no terminal, no --yes
    done = letta(home, "restore", "b.tar.gz", "--yes")
    assert "Ada" in letta(home, "memory", "show", "human").stdout and (home / "letters.txt").exists()
    assert (home / "agents" / "agent-of-another-program").is_dir()
    command = next(line for line in done.stdout.splitlines() if line.startswith("Put it back")).partition(
        "letta-code "
    )[2]
    again = letta(home, *shlex.split(command), "--yes")
    assert again.returncode == 0, again.stderr
    assert content(home, *TOPS) == before and events(home) == told
    assert "Somebody else" in letta(home, "memory", "show", "human").stdout
    [folder] = home.glob("before-restore-*")  # what the restore had brought can come back, too
    again = letta(home, "restore", str(folder), "--yes")
    assert again.returncode == 0 and re.search(r": of \d{4}-\d\d-\d\d \d\d:\d\d UTC; ", again.stdout), again.stdout
    assert "Ada" in letta(home, "memory", "show", "human").stdout


@pytest.mark.parametrize("code", [IDLES, LOCKS])
def test_it_is_refused_while_another_process_uses_the_home(tmp_path: Path, code: str) -> None:
    home = lived_in(tmp_path / "home")
    letta(home, "backup", "b.tar.gz")
    before = content(home, *TOPS), events(home)
    with process(code, home):
        for words in (["b.tar.gz"], ["--salvage"]):
            done = letta(home, "restore", *words, "--yes")
            assert done.returncode == 1 and "nother letta-code" in done.stderr, done.stderr
    assert (content(home, *TOPS), events(home)) == before
    assert letta(home, "restore", "b.tar.gz", "--yes").returncode == 0


@pytest.mark.parametrize("moment", [1, 3, 6, 8, 11])
def test_a_restore_that_was_killed_is_named_and_undone_by_the_named_command(tmp_path: Path, moment: int) -> None:
    home = lived_in(tmp_path / "home")
    letta(home, "backup", "b.tar.gz")
    letta(home, "memory", "set", "human", "Somebody else", "--cwd", str(tmp_path))
    before, told = content(home, *TOPS), events(home)
    code = f"""
import os
from letta_code.cli import main
rename, count = os.rename, 0
def dies(*paths):
    global count
    count += 1
    if count == {moment}: os._exit(9)
    return rename(*paths)
os.rename = dies
main(["restore", {str(tmp_path / "b.tar.gz")!r}, "--yes"])
"""
    environment = {**os.environ, "LETTA_HOME": str(home)}
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, check=False).returncode == 9
    report = json.loads(letta(home, "doctor", "store", "--json").stdout)
    [named] = [one for one in report if one["what"] == "restore"]
    done = letta(home, *shlex.split(named["mend"])[1:])
    assert done.returncode == 0, done.stderr
    assert content(home, *TOPS) == before and events(home) == told
    assert not list(home.glob("before-restore*")) and not list(home.glob(".restore-*"))


# ---------------------------------------------------------------- clean


def test_clean_lists_and_removes_only_what_is_old_and_never_conversations_or_memory(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    month = time.time() - 40 * 86_400
    old = [home / "logs" / "letta-code.log", home / "run" / "conv-gone.lock", home / ".letta.db.abc.tmp"]
    for path in old:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x" * 2000)
        os.utime(path, (month, month))
    lock = next(iter(sorted((home / "run").glob("conv-0*.lock"))))
    os.utime(lock, (month, month))
    for path in (home / "conversations").iterdir():
        os.utime(path, (month, month))
    before = content(home, *TOPS)
    listed = json.loads(letta(home, "clean", "--json", "--older-than", "20").stdout)
    assert {one["path"] for one in listed} == {str(path) for path in old}
    assert "clean --yes" in letta(home, "clean").stdout and all(path.exists() for path in old)
    done = letta(home, "clean", "--yes")
    assert done.returncode == 0 and not any(path.exists() for path in old) and lock.exists()
    assert content(home, *TOPS) == before
    assert "nothing to clean" in letta(home, "clean").stdout


def test_a_lock_that_is_held_and_a_restore_that_was_cut_off_stay(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    month = time.time() - 40 * 86_400
    folder = home / "before-restore-20260101T000000-abcd"
    folder.mkdir()
    (folder / "restore.json").write_text('{"state":"moving","aside":["letta.db"],"brought":[]}')
    os.utime(folder, (month, month))
    with process(LOCKS, home):
        os.utime(home / "run" / "conv-x.lock", (month, month))
        assert json.loads(letta(home, "clean", "--json").stdout) == []
    os.utime(home / "run" / "conv-x.lock", (month, month))
    assert [one["kind"] for one in json.loads(letta(home, "clean", "--json").stdout)] == ["lock"]


# ---------------------------------------------------------------- salvage


def test_a_sound_database_is_not_built_anew(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    before, told = sorted(path.name for path in home.iterdir()), events(home)
    runs = raw_sql(home, "SELECT * FROM runs")
    done = letta(home, "restore", "--salvage", "--yes")
    assert done.returncode == 0 and "is sound" in done.stdout and "Nothing was changed." in done.stdout
    assert "moved aside" not in done.stdout and "Built anew" not in done.stdout
    assert sorted(path.name for path in home.iterdir() if "letta.db-" not in path.name) == [
        name for name in before if "letta.db-" not in name
    ]
    assert events(home) == told and raw_sql(home, "SELECT * FROM runs") == runs


def test_a_copy_that_the_database_does_not_know_is_salvaged(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    told = events(home)
    raw_sql(home, "PRAGMA foreign_keys = OFF")
    for table, column in (("events", "conversation_id"), ("runs", "conversation_id"), ("conversations", "id")):
        raw_sql(home, f"DELETE FROM {table} WHERE {column} = (SELECT MIN(conversation_id) FROM event_keys)")
    assert events(home) != told
    done = letta(home, "restore", "--salvage", "--yes")
    assert done.returncode == 0 and "Built anew" in done.stdout, done.stdout + done.stderr
    assert events(home) == told


def test_a_salvage_leaves_nothing_beside_the_copies_that_it_read(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    raw_sql(home, "PRAGMA wal_checkpoint(TRUNCATE)")
    copy = home / "letta.db.version-3.20261121T000000Z"
    copy.write_bytes((home / "letta.db").read_bytes())
    (home / "letta.db").write_bytes(os.urandom(20_000))
    done = letta(home, "restore", "--salvage", "--yes")
    assert "Built anew: 2 conversations" in done.stdout, done.stdout + done.stderr
    assert [path.name for path in home.glob("letta.db.version-*")] == [copy.name]
