"""Repositories whose configuration runs programs: each trap, when sprung, leaves a file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

HOOKS = [
    *("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-index-change", "post-checkout"),
    *("post-merge", "pre-auto-gc", "reference-transaction", "post-rewrite", "fsmonitor-watchman"),
]


def git(folder: Path, *arguments: str) -> str:
    """Plain git, as the person who sets a scene."""
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def repository(folder: Path) -> Path:
    """A repository with one commit of `f.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "f.txt").write_text("one\n")
    git(folder, "add", "f.txt")
    git(folder, "commit", "-q", "-m", "first")
    return folder.resolve()


class Hostile:
    """A repository full of traps; `sprung` names those that ran."""

    def __init__(self, folder: Path) -> None:
        self.traps = folder / "traps"
        self.traps.mkdir(parents=True)
        self.root = repository(folder / "repo")
        (self.root / "f.txt").write_text("one\ntwo\n")
        (self.root / "g.txt").write_text("new\n")

    @property
    def sprung(self) -> list[str]:
        return sorted(path.name for path in self.traps.iterdir() if path.suffix == ".ran")

    def script(self, name: str) -> str:
        """A program that leaves its name behind and passes its input on."""
        path = self.traps / name
        path.write_text(f"#!/bin/sh\ntouch '{self.traps}/{name}.ran'\ncat 2>/dev/null\nexit 0\n")
        path.chmod(0o755)
        return str(path)

    def everything(self) -> Hostile:
        """All traps but filters and merge drivers."""
        config = {
            "core.fsmonitor": "fsmonitor",
            "core.pager": "pager",
            "core.editor": "editor",
            "core.sshCommand": "ssh",
            "core.askPass": "askpass",
            "credential.helper": "credential",
            "diff.external": "external",
            "diff.evil.textconv": "textconv",
            "diff.evil.command": "command",
            "gpg.program": "gpg",
            "gpg.ssh.program": "gpgssh",
            "pager.log": "pagerlog",
            "pager.status": "pagerstatus",
            "sequence.editor": "sequence",
            "interactive.diffFilter": "difffilter",
        }
        for key, name in config.items():
            git(self.root, "config", key, self.script(name))
        for key in ("commit.gpgSign", "log.showSignature", "tag.gpgSign"):
            git(self.root, "config", key, "true")
        for hook in HOOKS:
            (self.root / ".git/hooks").mkdir(exist_ok=True)
            os.symlink(self.script(f"hook-{hook}"), self.root / ".git/hooks" / hook)
        self.attributes("*.txt diff=evil\n")
        return self

    def filters(self) -> Hostile:
        """Clean, smudge and process filters of the repository's own."""
        for name in ("clean", "smudge"):
            git(self.root, "config", f"filter.evil.{name}", self.script(name))
        git(self.root, "config", "filter.long.process", self.script("process"))
        git(self.root, "config", "filter.long.required", "true")
        self.attributes("f.txt filter=evil\ng.txt filter=long\n")
        return self

    def merges(self) -> Hostile:
        """A merge driver of the repository's own."""
        git(self.root, "config", "merge.evil.driver", self.script("merge"))
        self.attributes("*.txt merge=evil\n")
        return self

    def attributes(self, text: str) -> None:
        with (self.root / ".gitattributes").open("a") as file:
            file.write(text)


def submodule_with(folder: Path, key: str) -> tuple[Path, Hostile]:
    """A repository with a submodule `sub`, whose configuration names a trap by `key`; and the traps.

    The submodule's file has changed but not its size, so git must look into it.
    """
    hostile = Hostile(folder / "inner")
    outer = repository(folder / "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(hostile.root), "sub")
    git(outer, "config", "submodule.sub.ignore", "none")
    (outer / "sub/.gitattributes").write_text("*.txt filter=evil\n")
    (outer / "sub/f.txt").write_text("eno\n")
    git(outer / "sub", "config", key, hostile.script(key.replace(".", "-")))
    return outer, hostile
