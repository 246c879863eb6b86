"""Wide: work trees in which a command writes what runs later without a sandbox, so that no sandbox contains it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from letta_code.safety.containment import Containment
from letta_code.safety.places import is_within

if TYPE_CHECKING:
    from letta_code.safety.sandboxes.choose import Territory

# Nothing may be worked on in these, nor in a folder above one; others of the system only where they are it themselves.
_WHOLLY = (
    *("/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/local/bin"),
    *("/usr/local/sbin", "/boot", "/System", "/Library", "/private/etc"),
)
_THEMSELVES = (
    *("/dev", "/proc", "/sys", "/opt", "/run", "/srv", "/tmp", "/usr/local/lib", "/usr/local/share", "/usr/share"),
    *("/var/lib", "/var/spool", "/var/tmp", "/Applications", "/private/tmp", "/private/var"),
)
_OF_THE_HOME = (".config", ".local/bin", ".local/share", ".ssh", "bin")  # what starts programs, and programs


def held(full: Containment, at: Territory) -> Containment:
    """`full` where the work tree is one project's; else what is left of it: every command is asked about."""
    named = _named(at)
    if not named:
        return full
    says = (
        f"The work tree {named}: what a command writes there may run later with all of your rights (shell start-up "
        "files, programs), so every command is asked about. Start letta-code in the folder of a project."
    )
    return Containment(kind=full.kind, confines=False, says=says, mend=full.mend)


def _named(at: Territory) -> str:
    """What a work tree is that is too wide, "" for any other."""
    if at.root == os.sep:
        return "is the whole disk"
    if at.home and at.root == at.home:
        return "is your home folder"
    if at.home and is_within(at.home, at.root):
        return f"({at.root}) has your home folder in it"
    if any(is_within(f"{at.home}/{name}", at.root) for name in _OF_THE_HOME if at.home):
        return f"({at.root}) is where your programs and their settings are"
    system = {*map(os.path.realpath, (*_WHOLLY, *_THEMSELVES))}
    if any(is_within(path, at.root) for path in system):
        return f"({at.root}) is a folder of the system"
    if any(is_within(at.root, os.path.realpath(path)) for path in _WHOLLY):
        return f"({at.root}) lies in a folder of the system"
    return ""
