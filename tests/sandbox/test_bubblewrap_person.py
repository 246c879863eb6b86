"""Bubblewrap for somebody who is not root, as most are: a part of the other tests by a process without rights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.sandbox.ground import works

NOBODY = 65534
PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from letta_code.safety.containment import Grant
from letta_code.safety.sandboxes.limits import Limits
from tests.sandbox.ground import GIT, NOTHING, Ground

ESCAPE = "unshare -Urm sh -c 'umount .git; mount -o remount,bind,rw /; echo x > .git/config; echo x > ~/.bashrc'; :"

async def main():
    ground = Ground(Path(sys.argv[1]), limits=Limits(processes=150, threads=300))
    git = ground.repository()
    config = (git / "config").read_bytes()
    (ground.root / "new").write_text("x")
    told = {}
    for name, text, grant in (
        ("inside", "echo x > made; echo x > /tmp/y; cat /tmp/y; id -u", NOTHING),
        ("outside", f"echo x > {ground.outside}/f; echo x > ~/.bashrc; cat ~/.ssh/* ~/.letta/letta.db; ls", NOTHING),
        ("planted", "mv .git .g; git config a.b c; touch .git/hooks/x; echo x > .envrc; mkdir -p .letta/x; :", GIT),
        ("commit", "git add new && git commit -qm second && git log --oneline | wc -l", GIT),
        ("escape", ESCAPE, NOTHING),
        ("network", "cat < /dev/tcp/127.0.0.1/22; ls /proc | grep -c '^[0-9]'; :", NOTHING),
        ("bomb", "ulimit -u; for i in $(seq 400); do sleep 60 & done; wait", NOTHING),
    ):
        result = await ground.sh(text, grant)
        told[name] = [result.exit_code, result.head.decode(), result.exceeded, list(result.notes)]
    told["names"] = sorted(ground.names())
    told["kept"] = [(git / "config").read_bytes() == config, (ground.home / ".bashrc").read_text() == "old",
                    (ground.outside / "f").read_text() == "old", not (git / "hooks/x").exists()]
    await ground.workspace.close()
    print(json.dumps(told))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def told(repository: Path) -> Iterator[dict[str, Any]]:
    """What the program tells that ran as nobody, or as whoever runs the tests when that is not root."""
    folder = Path(tempfile.mkdtemp(prefix="letta-person-", dir="/var/tmp"))
    drop: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("no setpriv to drop rights with")
        os.chown(folder, NOBODY, NOBODY)
        drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    packages = os.path.dirname(os.path.dirname(msgspec.__file__))
    paths = os.pathsep.join([str(repository), packages])
    env = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}

    def run(python: str, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [*drop, python, "-c", *words]
        return subprocess.run(argv, env=env, cwd="/", check=False, capture_output=True, text=True, timeout=110)

    try:
        # The Python of the checkout may lie in a home folder that nobody else may enter; it must start itself again.
        again = "import subprocess, sys; from letta_code.workspace import local; "
        again += "sys.exit(subprocess.call([sys.executable, '-c', 'import asyncio']))"
        python = next((one for one in (sys.executable, "/usr/bin/python3") if run(one, again).returncode == 0), "")
        if not python:
            pytest.skip("nobody may not run a Python with this checkout")
        done = run(python, PROGRAM, str(folder / "ground"))
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


pytestmark = works


def test_the_tree_is_written_and_nothing_else(told: dict[str, Any]) -> None:
    assert told["inside"][1].startswith("x\n")
    assert int(told["inside"][1].split()[1]) != 0
    assert "SECRET" not in told["outside"][1]
    assert told["kept"] == [True, True, True, True], told
    assert told["names"] == [".git", "AGENTS.md", "README.md", "made", "new"]


def test_git_commits_where_granted(told: dict[str, Any]) -> None:
    assert told["commit"][:2] == [0, "2\n"]


def test_neither_network_nor_processes_of_others(told: dict[str, Any]) -> None:
    assert int(told["network"][1].split()[-1]) < 8


def test_too_many_processes_are_ended(told: dict[str, Any]) -> None:
    assert "150 processes" in told["bomb"][2] or "fork: retry" in told["bomb"][1], told["bomb"]
