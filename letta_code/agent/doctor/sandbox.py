"""Sandbox: which one holds commands here, what it does not do, and the one command that gives the full one."""

from __future__ import annotations

import os
import shlex
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from letta_code.agent.doctor.base import Finding, Look, Telling, check
from letta_code.config.settings import load
from letta_code.core.errors import LettaError
from letta_code.host.probe import ask
from letta_code.safety.containment import Grant, Sandbox
from letta_code.safety.sandboxes.choose import Territory, Wish, choose

_said = Telling("sandbox")
_LIMITS = "Not held: what a program does inside the work tree, and how long it runs."
_TRIAL = 'echo in > "$1"; echo out > "$2"; (exec 3<>/dev/tcp/127.0.0.1/"$3") 2>/dev/null && echo net > "$1"; exit 0'


@check("sandbox", 7)
def sandbox(look: Look) -> Iterator[Finding]:
    """The sandbox that a session in this folder would have, and whether it really holds."""
    wish = _wish(look)
    if wish == "off":
        says = (
            "Switched off by the setting `sandbox`: commands run with all of your rights, so each one is asked about."
        )
        by_variable = "LETTA_SANDBOX" in look.environ
        mend = "unset LETTA_SANDBOX" if by_variable else f"${{EDITOR:-vi}} {shlex.quote(str(look.paths.config))}"
        yield _said("sandbox", "skipped", says, mend=mend)
        return
    with tempfile.TemporaryDirectory(prefix="letta-doctor-") as folder:
        yield from _held(wish, Path(os.path.realpath(folder)))


def _held(wish: Wish, folder: Path) -> Iterator[Finding]:
    for name in ("tree", "temp", "home/.letta", "elsewhere"):
        (folder / name).mkdir(parents=True)
    home = str(folder / "home")
    at = Territory(root=str(folder / "tree"), temp=str(folder / "temp"), home=home, letta_home=f"{home}/.letta")
    chosen = choose(wish, at)
    held = chosen.containment
    if held.kind == "none":
        yield _said("sandbox", "warning", held.says, "", held.mend)
        return
    if wrong := _not_held(chosen, folder):
        means = f"Do not rely on it here ({held.kind}): without a sandbox every command is asked about."
        yield _said("sandbox", "wrong", wrong, means, "LETTA_SANDBOX=off letta-code")
    elif held.confines:
        yield _said("sandbox", "ok", f"{held.says} Tried just now: it held.", _LIMITS)
    else:
        yield _said("sandbox", "warning", f"{held.says} Tried just now: it held.", "", held.mend)


def _not_held(sandbox: Sandbox, folder: Path) -> str:
    """What a confined command could do that it must not (or could not that it must), "" when all is right."""
    inside, outside = folder / "tree/src/in", folder / "elsewhere/out"
    inside.parent.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        try:
            argv = ["/bin/bash", "--noprofile", "--norc", "-c", _TRIAL, "bash", str(inside), str(outside), port]
            confined = sandbox.confine(argv, str(folder / "tree"), {"PATH": os.defpath}, Grant())
        except LettaError as error:
            return str(error)
        try:
            said = ask(confined.argv, cwd=str(folder / "tree"), env=confined.env)
        finally:
            if confined.close is not None:
                confined.close()
            sandbox.close()
    if outside.exists():
        return "A confined command could write outside the work tree."
    text = inside.read_text(encoding="utf-8") if inside.exists() else ""
    if text == "net\n":
        return "A confined command could reach the network."
    if text != "in\n":
        why = " ".join((said.text if said else "").split())[:200] or "no answer"
        return f"A confined command could not write in the work tree ({why})."
    return ""


def _wish(look: Look) -> Wish:
    try:
        return load(look.cwd, env=look.environ, paths=look.paths).settings.sandbox
    except LettaError:  # the check of the settings says what is wrong with them
        return "auto"
