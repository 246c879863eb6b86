"""Sandbox: what this machine could shut commands into; this version of letta-code does not use it yet."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator

from letta_code.agent.doctor.base import Finding, Look, Telling, check
from letta_code.host.probe import ask, landlock_version

_said = Telling("sandbox")
_NOT_YET = "Not used yet by this version: commands run with your rights, and the policy asks."


@check("sandbox", 7)
def sandbox(look: Look) -> Iterator[Finding]:
    """bubblewrap and Landlock."""
    if sys.platform != "linux":
        yield _said("sandbox", "skipped", f"No sandbox of this system ({sys.platform}) is looked at. {_NOT_YET}")
        return
    program = shutil.which("bwrap", path=look.environ.get("PATH", ""))
    if program is None:
        yield _said("bubblewrap", "skipped", f"bwrap is not installed. {_NOT_YET}", mend="apt install bubblewrap")
    else:
        argv = [program, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
        said = ask(argv)
        if said is not None and said.code == 0:
            yield _said("bubblewrap", "ok", f"bwrap works here ({program}). {_NOT_YET}")
        else:
            why = " ".join((said.text if said else "").split())[:160] or "it does not start"
            says = f"bwrap cannot shut a command in: {why}. {_NOT_YET}"
            mend = "sudo sysctl -w kernel.unprivileged_userns_clone=1"
            yield _said("bubblewrap", "skipped", says, "User namespaces are probably switched off.", mend)
    version = landlock_version()
    if version:
        yield _said("Landlock", "ok", f"The kernel's Landlock has version {version}. {_NOT_YET}")
    else:
        yield _said("Landlock", "skipped", f"The kernel has no Landlock. {_NOT_YET}")
