"""Refusals: what is refused in every mode, whatever the rules say, since no work needs it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from letta_code.core.messages import Value
from letta_code.safety import places
from letta_code.safety.destruction import catastrophe
from letta_code.safety.operations import ExecOperation, Operation, ReadOperation, WriteOperation
from letta_code.safety.rules import Ground
from letta_code.safety.shell_syntax import REFUSED_LENGTH, Reading

# What letta-code itself keeps in its home: changed by its own commands only.
_OWN_FILES = ("letta.db", "config.yaml", "credentials.yaml")
_OWN_FOLDERS = ("conversations", "run", "projects", "checkpoints", "index", "agents", "shared")


class OwnHome(Value):
    """letta-code's own home, and which folders in it are this agent's memory; real paths."""

    folder: str
    memory: tuple[str, ...] = ()

    def is_anothers(self, path: str) -> bool:
        """Whether memory of other agents is there, or below."""
        within = path == self.folder or places.is_within(path, f"{self.folder}/agents")
        return within and not any(places.is_within(path, folder) for folder in self.memory)

    def is_shown(self, path: str) -> bool:
        """Whether the agent reads it without a question: its own memory, and skills."""
        return any(places.is_within(path, folder) for folder in (*self.memory, f"{self.folder}/skills"))

    def keeps(self, path: str) -> bool:
        """Whether it is what only letta-code's own commands change."""
        own = os.path.relpath(path, self.folder)
        return own.startswith(_OWN_FILES) or own.split("/")[0] in _OWN_FOLDERS


def refusal(
    operation: Operation, reading: Reading | None, ground: Ground, own: OwnHome, variables: Mapping[str, str]
) -> str:
    """Why an operation is refused in every mode, "" when it is not; `reading` is of its command, where it has one."""
    match operation:
        case ExecOperation(command=text) if reading is not None and not operation.stop:
            if len(text) > REFUSED_LENGTH:
                return "The command is too long to be judged. Write it to a script file and run that."
            why = catastrophe(text, reading, operation.cwd or ground.root, ground.home, variables)
            return f"Refused in every mode: {why}." if why else ""
        case WriteOperation(path=path):
            return _never_written(path, own)
        case ReadOperation(path=path) if places.is_within(path, "/proc") or path.startswith("/dev/"):
            return "Devices and /proc are not read as files. A command such as `ps` or `df` shows what you need."
        case ReadOperation(path=path) if own.is_anothers(path):
            return "What other agents keep is theirs: it is not read by this one."
        case _:
            return ""


def _never_written(path: str, own: OwnHome) -> str:
    if ".git" in path.lower().split("/"):
        return "Files inside .git are not changed by file tools. Use the Git tool."
    if any(places.is_within(path, folder) for folder in ("/proc", "/sys", "/dev")):
        return f"{path} is not a regular file."
    if own.keeps(path):
        return "letta-code's own settings, keys and conversations are changed by the person, not by the agent."
    return ""
