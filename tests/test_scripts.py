"""The scripts make the environment once, mend it, and start the program where they are told.

They run here on a copy of the checkout whose locks are empty, so that a set-up takes two seconds and no network: uv is
then missing, which is also the test that pip takes over.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import os, sys
print(os.getcwd(), *sys.argv[1:], sep="|")
if "stdin" in sys.argv: print(sys.stdin.read())
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in a path with spaces; its letta_code prints the folder that it was started in, and its arguments."""
    root = tmp_path / "a check out"
    shutil.copytree(ROOT / "scripts" / "lib", root / "scripts" / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("run", "test"):
        shutil.copy(ROOT / "scripts" / name, root / "scripts" / name)
    (root / "requirements").mkdir()
    for lock in ("runtime", "dev", "local", "uv"):
        (root / "requirements" / f"{lock}.lock").touch()
    (root / "letta_code" / "cli").mkdir(parents=True)
    (root / "letta_code" / "cli" / "demo.py").touch()
    (root / "letta_code" / "__init__.py").touch()
    (root / "letta_code" / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.setenv("LETTA_PYTHON", sys.executable)
    return root


def start(script: Path, *words: str | Path, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *words], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
def test_run_makes_the_environment_once_and_says_so(checkout: Path, tmp_path: Path) -> None:
    first = start(checkout / "scripts" / "run", "-p", "a b", "stdin", cwd=tmp_path, stdin="what was typed")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == [f"{tmp_path}|-p|a b|stdin", "what was typed"]
    for said in ("making .venv/", "installing letta-code's packages", "going on with pip", "done in"):
        assert said in first.stderr

    began = time.monotonic()
    again = start(checkout / "scripts" / "run", "x", cwd=tmp_path)
    assert (again.stdout, again.stderr) == (f"{tmp_path}|x\n", "")
    assert time.monotonic() - began < 1


@pytest.mark.slow
def test_run_starts_in_the_folder_that_is_named(checkout: Path, tmp_path: Path) -> None:
    start(checkout / "scripts" / "test", "--setup", cwd=tmp_path)
    run, project, home = checkout / "scripts" / "run", tmp_path / "my project", tmp_path / "bin"
    for folder in (project, home, project / "demo"):
        folder.mkdir()
    (project / "os.py").write_text("raise SystemExit('the os.py of the project')", encoding="utf-8")
    assert start(run, project, "-p", cwd=tmp_path).stdout == f"{project}|-p\n"
    assert start(run, "my project", cwd=tmp_path).stdout == f"{project}\n"
    # `demo` is a verb; the folder of that name is ./demo
    assert start(run, "demo", cwd=project).stdout == f"{project}|demo\n"
    assert start(run, "./demo", cwd=project).stdout == f"{project / 'demo'}\n"
    (home / "letta").symlink_to(run)
    assert start(home / "letta", "x", cwd=project).stdout == f"{project}|x\n"
    assert start(checkout / ".venv" / "bin" / "letta-code", "x", cwd=project).stdout == f"{project}|x\n"


@pytest.mark.slow
def test_an_environment_that_does_not_fit_is_mended(checkout: Path, tmp_path: Path) -> None:
    setup = [checkout / "scripts" / "test", "--setup"]
    start(*setup, cwd=tmp_path)
    stamp = checkout / ".venv" / "letta-stamp"

    (checkout / "requirements" / "dev.lock").write_text("# changed\n", encoding="utf-8")
    assert "dev.lock has changed: refreshing" in start(*setup, cwd=tmp_path).stderr
    assert (stamp / "dev.lock").read_text(encoding="utf-8") == "# changed\n"

    (stamp / "dev.lock").unlink()  # as after an interrupted refresh, which takes the stamps away first
    (stamp / "runtime.lock").unlink()
    (checkout / ".venv" / "left over").touch()
    assert "making it anew" in start(*setup, cwd=tmp_path).stderr
    assert not (checkout / ".venv" / "left over").exists()

    moved = checkout.rename(tmp_path / "moved")
    done = start(moved / "scripts" / "run", cwd=tmp_path)
    assert "making it anew" in done.stderr
    assert done.stdout == f"{tmp_path}\n"


@pytest.mark.slow
def test_two_starts_at_once_make_one_environment(checkout: Path, tmp_path: Path) -> None:
    both = [
        subprocess.Popen([checkout / "scripts" / "test", "--setup"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("making .venv/" in text for text in said) == 1
    assert sum("waiting for it" in text for text in said) == 1


@pytest.mark.parametrize(
    ("stub", "said"),
    [
        ("echo 3.9; exit 3", "Python 3.9: too old"),
        ("echo 3.12; exit 4", "apt install python3.12-venv"),
        ("exit 127", "No python3 was found"),
    ],
)
def test_what_is_missing_is_named(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stub: str, said: str
) -> None:
    """The stub answers as a real Python does to the question that find_python asks it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("cat", "cmp", "dirname", "readlink", "sh"):
        (programs / name).symlink_to(shutil.which(name) or name)
    (programs / "python3").write_text(f"#!/bin/sh\n{stub}\n", encoding="utf-8")
    (programs / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("LETTA_PYTHON")
    done = start(checkout / "scripts" / "run", cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.slow
def test_without_the_registry_it_fails_plainly_and_keeps_no_stamp(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = f"letta-code-does-not-exist==1 --hash=sha256:{'0' * 64}\n"
    (checkout / "requirements" / "runtime.lock").write_text(lock, encoding="utf-8")
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    done = start(checkout / "scripts" / "run", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "letta-code-does-not-exist" in done.stderr
    assert "No network?" in done.stderr
    assert not (checkout / ".venv" / "letta-stamp").exists()


def test_checks_all_run_and_the_last_line_names_the_failed(tmp_path: Path) -> None:
    """Four stand-ins for the tools: each writes that it ran, one fails."""
    (tmp_path / "scripts" / "lib").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "lib" / "checks.py", tmp_path / "scripts" / "lib")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, code in {"ruff": 0, "lint-imports": 1, "basedpyright": 0, "python": 0}.items():
        (programs / name).write_text(f"#!/bin/sh\necho {name} ran with $*\nexit {code}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-I", tmp_path / "scripts" / "lib" / "checks.py", "-k", "one"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    for ran in ("ruff ran with check", "ruff ran with format", "lint-imports ran", "basedpyright ran", "-k one"):
        assert ran in done.stdout
    assert done.stdout.splitlines()[-1] == "FAILED: lint-imports"
