"""A lived-in home, made once a session of tests and copied for each; and what is in a home, to be compared."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.fakes.memory_home import main

REPOSITORY = Path(__file__).resolve().parents[2]


@cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="lived-in-"))
    asyncio.run(main(folder / "home", folder / "project"))
    return folder / "home"


def lived_in(home: Path) -> Path:
    """Copy it to a place where nothing is yet; settings and a key are in it, too."""
    shutil.copytree(_made(), home)
    home.chmod(0o700)
    (home / "config.yaml").write_text("max_turns: 7  # mine\n", encoding="utf-8")
    (home / "credentials.yaml").write_text("openai: sk-very-secret\n", encoding="utf-8")
    (home / "credentials.yaml").chmod(0o600)
    (home / "skills" / "deploy").mkdir(parents=True)
    (home / "skills" / "deploy" / "SKILL.md").write_text("---\nname: deploy\n---\nPush it.\n", encoding="utf-8")
    return home


def letta(
    home: Path, *words: str, env: dict[str, str] | None = None, timeout: float = 90
) -> subprocess.CompletedProcess[str]:
    """The real program on that home."""
    return subprocess.run(
        [sys.executable, "-m", "letta_code", *words],
        env={**os.environ, "LETTA_HOME": str(home), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=home.parent,
    )


def content(home: Path, *tops: str) -> dict[str, bytes]:
    """Path → bytes of the files below some parts of a home."""
    found: dict[str, bytes] = {}
    for top in tops:
        for path in sorted((home / top).rglob("*")):
            if path.is_file() and path.name != "memory.lock":
                found[path.relative_to(home).as_posix()] = path.read_bytes()
    return found
