"""Say: one line to the person."""

from __future__ import annotations

import errno
import sys


def say(text: str) -> None:
    """Write a line at once; nobody is there any more where the terminal is gone."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
