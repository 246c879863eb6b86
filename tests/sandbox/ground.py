"""Ground: a work tree, a home with secrets and letta-code's own home, and a real workspace confined by bubblewrap."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from letta_code.safety.containment import Grant
from letta_code.safety.sandboxes.bubblewrap import Bubblewrap
from letta_code.safety.sandboxes.bubblewrap_probe import Probe, probe
from letta_code.safety.sandboxes.choose import Territory
from letta_code.safety.sandboxes.late import LateSandbox
from letta_code.safety.sandboxes.limits import Limits
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import ExecResult, ExecSpec

PROBE: Probe = probe("/nowhere")
works = pytest.mark.skipif(not PROBE.program, reason=PROBE.says)
NOTHING = Grant()
GIT = Grant(git=True)
IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Test Person"), ("EMAIL", "test@example.invalid"))
}


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds; a busy machine may take long."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"it did not happen within {seconds:g} s")


class Ground:
    """`sh` runs a text as the Bash tool does; paths are real ones of this machine."""

    def __init__(self, folder: Path, *, limits: Limits | None = None, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.root = folder / "work"
        self.home = folder / "home"
        self.letta = self.home / ".letta"
        self.temp = folder / "temp"
        self.outside = folder / "outside"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", **IDENTITY, **(env or {})}
        for path, text in {
            self.root / "README.md": "old",
            self.root / "AGENTS.md": "old",
            self.home / ".bashrc": "old",
            self.home / ".ssh/id_ed25519": "SECRET",
            self.home / ".aws/credentials": "SECRET",
            self.home / ".netrc": "SECRET",
            self.home / ".config/gh/hosts.yml": "SECRET",
            self.home / ".docker/config.json": "SECRET",
            self.home / "notes.txt": "plain",
            self.letta / "letta.db": "SECRET",
            self.letta / "credentials.yaml": "SECRET",
            self.letta / "agents/other/memory/human.md": "SECRET",
            self.letta / "skills/one/SKILL.md": "plain",
            self.outside / "f": "old",
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.temp.mkdir(mode=0o700)
        territory = Territory(root=str(self.root), temp=str(self.temp), home=str(self.home), letta_home=str(self.letta))
        self.sandbox = Bubblewrap(PROBE.program, territory, limits=limits or Limits())
        self.late = LateSandbox("bubblewrap", str(self.letta), str(self.root))
        self.late.temp = str(self.temp)
        self.late._chosen = self.sandbox  # as it would choose, but with the limits of the test
        self.workspace = LocalWorkspace(
            str(self.root), str(self.temp), environment=self.env, keep_processes=True, sandbox=self.late
        )

    async def sh(self, text: str, grant: Grant = NOTHING, *, timeout: float = 60.0, **more: Any) -> ExecResult:
        """Run a text; stderr is in the output."""
        spec = ExecSpec(shell=text, grant=grant, timeout=timeout, report_cwd=True, **more)
        return await self.workspace.exec(spec)

    async def said(self, text: str, grant: Grant = NOTHING) -> str:
        """What a text prints."""
        return (await self.sh(text, grant)).head.decode("utf-8", "replace")

    def repository(self, folder: Path | None = None, *options: str) -> Path:
        """Make a repository with one commit in a folder (the work tree)."""
        at = folder or self.root
        at.mkdir(parents=True, exist_ok=True)
        for words in (["init", "-q", *options], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "first"]):
            subprocess.run(["git", *words], cwd=at, check=True, env={**os.environ, **IDENTITY})
        return at / ".git"

    def names(self) -> set[str]:
        """What stands in the work tree."""
        return {path.name for path in self.root.iterdir()}
