"""Git's own reading of a configuration: comments, continued lines and quotes mean what they mean to git."""

from __future__ import annotations

import os
from functools import lru_cache

_TIMEOUT = 10.0  # seconds
_ALONE = {"PATH": os.defpath, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C.UTF-8"}


@lru_cache(maxsize=64)
def settings(text: bytes, git: str) -> tuple[tuple[str, str], ...] | None:
    """Key (`section.sub.name`, section and name in small letters) and value of each setting, in order; None: unknown.

    `git` is the program, which is to be none of a project.  Nothing is included, no repository is looked for, nothing
    is run.  Blocks for some 5 ms, for none where the same text was read before.
    """
    import subprocess

    try:
        done = subprocess.run(
            [git, "config", "--no-includes", "--file", "-", "--list", "-z"],
            cwd="/",
            env=_ALONE,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    if done.returncode:
        return None
    entries = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    return tuple((key, value) for key, _, value in (entry.partition("\n") for entry in entries if entry))
