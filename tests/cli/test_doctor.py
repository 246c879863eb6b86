"""`letta-code doctor` as a process: each kind of damage is named, and the command that it names mends it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.lived_in import letta, lived_in
from tests.store.support import raw_sql

Finding = dict[str, str]


def looked(home: Path, *words: str) -> tuple[int, list[Finding]]:
    done = letta(home, "doctor", "--json", *words)
    assert done.stderr == "", done.stderr
    return done.returncode, json.loads(done.stdout)


def wrong(findings: list[Finding]) -> list[Finding]:
    # No model is chosen and TERM differs between machines: that is not about the home.
    about = ("store", "memory", "index", "config")
    return [one for one in findings if one["state"] in ("wrong", "warning") and one["check"] in about]


def listed(home: Path) -> list[tuple[str, str, int]]:
    found = json.loads(letta(home, "conversations", "--all", "--json").stdout)
    return sorted((one["id"], one["cwd"], one["message_count"]) for one in found)


def mend(home: Path, command: str) -> None:
    """Type what the doctor named; a question is answered with yes, an editor empties the file."""
    command = command.replace("letta-code ", f"{sys.executable} -m letta_code ")
    if " restore " in command and "--yes" not in command:
        command += " --yes"
    environment = {**os.environ, "LETTA_HOME": str(home), "EDITOR": "truncate -s 0"}
    done = subprocess.run(
        ["bash", "-c", command], env=environment, cwd=home.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr


def _page(home: Path) -> None:
    _closed(home)
    path = home / "letta.db"
    data = bytearray(path.read_bytes())
    data[8192 : 8192 * 3] = os.urandom(8192 * 2)
    path.write_bytes(data)


def _closed(home: Path) -> None:
    """The log is in the file."""
    raw_sql(home, "PRAGMA wal_checkpoint(TRUNCATE)")


def _mirror(home: Path) -> Path:
    return sorted((home / "conversations").glob("*.jsonl"))[0]


def _middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def _memory(home: Path) -> Path:
    return next((home / "agents").iterdir()) / "memory"


def _lock(home: Path) -> None:
    path = _memory(home) / ".git" / "index.lock"
    path.write_bytes(b"")
    os.utime(path, (time.time() - 7200,) * 2)


def _object(home: Path) -> None:
    head = (_memory(home) / ".git/refs/heads/main").read_text().strip()
    path = _memory(home) / ".git/objects" / head[:2] / head[2:]
    path.chmod(0o600)
    path.write_bytes(b"nonsense")


def _index(home: Path) -> None:
    path = next((home / "index").glob("text-*.db"))
    path.write_bytes(b"SQLite format 3\0" + os.urandom(9000))


def _private(name: str) -> Callable[[Path], None]:
    return lambda home: (home / name).chmod(0o755 if (home / name).is_dir() else 0o644)


DAMAGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "page": (_page, "store", "damaged"),
    "header": (lambda home: (home / "letta.db").write_bytes(os.urandom(50_000)), "store", "damaged"),
    "empty database": (lambda home: (home / "letta.db").write_bytes(b""), "store", "no tables"),
    "no database": (lambda home: (home / "letta.db").unlink(), "store", "is missing"),
    "event": (lambda home: raw_sql(home, "UPDATE events SET body = 'x' WHERE seq = 3"), "store", "are damaged"),
    "lost event": (lambda home: raw_sql(home, "DELETE FROM events WHERE seq = 3"), "store", "missing in 2 conv"),
    "reference": (lambda home: raw_sql(home, "UPDATE runs SET conversation_id = 'gone'"), "store", "name nothing"),
    "copy missing": (lambda home: _mirror(home).unlink(), "store", "is missing"),
    "copy torn": (lambda home: os.truncate(_mirror(home), _mirror(home).stat().st_size - 9), "store", "middle of a"),
    "copy damaged": (lambda home: _middle(_mirror(home)), "store", "damaged lines"),
    "home open": (_private("."), "store", "rights 0755"),
    "database open": (_private("letta.db"), "store", "rights 0644"),
    "keys open": (_private("credentials.yaml"), "config", "rights 0644"),
    "settings": (lambda home: (home / "config.yaml").write_text("model: [\n"), "config", "not valid YAML"),
    "unknown setting": (lambda home: (home / "config.yaml").write_text("modle: x\n"), "config", "did you mean"),
    "wrong type": (lambda home: (home / "config.yaml").write_text("max_turns: many\n"), "config", "max_turns"),
    "index": (_index, "index", "damaged"),
    "git lock": (_lock, "memory", "index.lock"),
    "git object": (_object, "memory", "is damaged"),
    "marker": (lambda home: (_memory(home).parent / ".letta-code-agent").unlink(), "memory", "marks it"),
    "folder": (
        lambda home: (shutil.rmtree(home / "logs", ignore_errors=True), (home / "logs").write_text("x")),
        "store",
        "is no folder",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_wrong_is_named_and_the_named_command_mends_it(tmp_path: Path, name: str) -> None:
    home = lived_in(tmp_path / "home")
    damage, check, says = DAMAGES[name]
    before = listed(home)
    code, found = looked(home)
    assert (code, wrong(found)) == (0, [])
    damage(home)
    code, found = looked(home)
    named = [one for one in wrong(found) if one["check"] == check and says in one["says"]]
    assert named and code == (1 if any(one["state"] == "wrong" for one in found) else 0), found
    mend(home, named[0]["mend"])
    letta(home, "memory", "append", "notes/after", "x", "--cwd", str(tmp_path))  # the next write takes the files in
    code, found = looked(home)
    # A history that was set aside is told as long as it is: a backup from elsewhere may have it whole.
    left = [one for one in wrong(found) if not (name == "git object" and "damaged-git" in one["says"])]
    assert (code, left) == (0, []), left
    assert listed(home) == before
    assert "Ada Wechsler" in letta(home, "memory", "show", "human").stdout


def test_fix_names_what_it_does_and_does_only_what_is_safe(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    _page(home)
    _private("credentials.yaml")(home)
    database = (home / "letta.db").read_bytes()
    done = letta(home, "doctor", "--fix")
    assert f"I take the rights of others from {home / 'credentials.yaml'} … done." in done.stdout
    assert done.returncode == 1 and "letta-code restore --salvage" in done.stdout
    assert (home / "letta.db").read_bytes() == database
    assert (home / "credentials.yaml").stat().st_mode & 0o777 == 0o600


def test_a_projects_forbidden_settings_are_named(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    (tmp_path / ".letta").mkdir()
    (tmp_path / ".letta" / "config.yaml").write_text("mode: full\n")
    code, found = looked(home, "config")
    assert code == 1 and any("never taken from a project" in one["says"] for one in found)


def test_keys_are_never_shown_and_the_network_is_not_asked(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    (home / "config.yaml").write_text("model: openai/gpt-5\n")
    done = letta(home, "doctor")
    assert "a key is known (not shown)" in done.stdout and "sk-very-secret" not in done.stdout + done.stderr
    assert "It was not asked" in done.stdout


def test_a_run_whose_process_died_is_named_with_its_conversation(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    raw_sql(home, "UPDATE runs SET status = 'running', owner = '', ended_at = ''")
    _, found = looked(home, "store")
    named = [one for one in found if "no process does it" in one["says"]]
    assert len(named) == 2 and all(one["mend"].startswith("letta-code --resume conv-") for one in named)


def test_an_unknown_check_is_said(tmp_path: Path) -> None:
    done = letta(tmp_path, "doctor", "teeth")
    assert done.returncode == 2 and "There is no check 'teeth'" in done.stderr
