"""Paths: the only module that knows where letta-code keeps its files."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from letta_code.core.errors import ConfigError
from letta_code.core.messages import Value

HOME_VARIABLE = "LETTA_HOME"
PROJECT_FOLDER = ".letta"


class Paths(Value):
    """The files of one person.  Only names that are ours are here: other programs keep files in the same home."""

    home: Path

    @classmethod
    def find(cls, env: Mapping[str, str] | None = None) -> Paths:
        """`~/.letta`, or where LETTA_HOME points; absolute, not created."""
        named = (os.environ if env is None else env).get(HOME_VARIABLE, "")
        folder = os.path.expanduser(named) if named else os.path.join(os.path.expanduser("~"), PROJECT_FOLDER)
        return cls(home=Path(os.path.abspath(folder)))

    @property
    def config(self) -> Path:
        """The person's settings."""
        return self.home / "config.yaml"

    @property
    def credentials(self) -> Path:
        """Keys of endpoints, 0600."""
        return self.home / "credentials.yaml"

    @property
    def database(self) -> Path:
        """The SQLite store."""
        return self.home / "letta.db"

    @property
    def conversations(self) -> Path:
        """Folder of the readable mirrors, `<id>.jsonl`."""
        return self.home / "conversations"

    @property
    def agents(self) -> Path:
        """Folder of the agents' memory repositories."""
        return self.home / "agents"

    @property
    def shared(self) -> Path:
        """Folder of what several agents see: the repository of shared blocks is `memory` in it."""
        return self.home / "shared"

    @property
    def index(self) -> Path:
        """Folder of search indexes, which may be deleted at any time."""
        return self.home / "index"

    @property
    def skills(self) -> Path:
        """Folder of learned and installed skills."""
        return self.home / "skills"

    @property
    def run(self) -> Path:
        """Folder of the sockets and locks of live runs."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """Folder of log files."""
        return self.home / "logs"

    @property
    def cache(self) -> Path:
        """Folder of what may be deleted at any time."""
        return self.home / "cache"

    @property
    def projects(self) -> Path:
        """Folder of what a person said for one project: rules, the agent; a folder each."""
        return self.home / "projects"

    @property
    def prompts(self) -> Path:
        """Folder of what the person typed at the prompt, one file a project."""
        return self.home / "prompts"

    @property
    def checkpoints(self) -> Path:
        """Folder of the object stores of work-tree snapshots, one a project."""
        return self.home / "checkpoints"

    @property
    def backups(self) -> Path:
        """Folder of the database's daily copies and of backups that were given no other place."""
        return self.home / "backups"

    def ensure(self) -> Paths:
        """Make the home if it is missing, and make it private (0700); returns itself.

        What is in it already is not touched.  Raises `ConfigError` when it cannot be made or is not a folder.
        """
        return self._private(self.home)

    def folder(self, path: Path) -> Path:
        """Make one of the folders above (0700) if it is missing, and return it; raises `ConfigError`."""
        self.ensure()
        self._private(path)
        return path

    def _private(self, path: Path) -> Paths:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = path.stat()
            if found.st_uid != os.geteuid():
                raise ConfigError(
                    f"{path} belongs to another user of this machine: their agents and conversations are not yours to "
                    "open, and files made there now would be lost to them. Nothing was read or written.",
                    hint=f"Run letta-code as its owner, or set {HOME_VARIABLE} to a folder of your own.",
                )
            if stat.S_IMODE(found.st_mode) & 0o077:
                path.chmod(0o700)  # conversations and keys are nobody else's business
        except FileExistsError as error:
            raise ConfigError(
                f"{path} is a file, and letta-code needs a folder there.",
                hint=f"Move it away, or set {HOME_VARIABLE} to another folder.",
            ) from error
        except OSError as error:
            raise ConfigError(
                f"The folder {path} cannot be made: {error.strerror or error}.",
                hint=f"Set {HOME_VARIABLE} to a folder that you may write.",
            ) from error
        return self


def project_config(cwd: str | Path, paths: Paths) -> Path | None:
    """The project's own settings file, None where there is none.

    Looked for in `cwd` and, inside a git work tree, in its parents up to the top of the tree.  The person's own home
    is never taken for a project.
    """
    here = Path(os.path.abspath(cwd))
    top = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    for folder in (here, *here.parents):
        candidate = folder / PROJECT_FOLDER / "config.yaml"
        if candidate.parent != paths.home and candidate != paths.config and os.path.lexists(candidate):
            return candidate
        if folder == top:
            return None
    return None
