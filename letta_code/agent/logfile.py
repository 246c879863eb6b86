"""The log: bugs that were caught at a border, with their tracebacks; nothing else, and never on the screen."""

from __future__ import annotations

import logging
from pathlib import Path

from letta_code.core.errors import LettaError
from letta_code.core.redaction import Redactor

NAME = "letta-code.log"


class LogFile(logging.Handler):
    """Appends to a file that is made at the first record; a log that cannot be written is no reason to stop."""

    def __init__(self, folder: Path, redactor: Redactor) -> None:
        super().__init__()
        self._folder = folder
        self._redactor = redactor
        self.setFormatter(logging.Formatter("%(asctime)s %(process)d %(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        from letta_code.host.files import append_line, ensure_private_dir

        try:
            ensure_private_dir(self._folder)
            for line in self._redactor.clean(self.format(record)).split("\n"):
                append_line(self._folder / NAME, line.encode("utf-8", "replace"))
        except (OSError, LettaError):
            return


def log_to(folder: Path, redactor: Redactor) -> None:
    """Send this program's log there, without secrets, once a process."""
    log = logging.getLogger("letta_code")
    if not any(isinstance(handler, LogFile) for handler in log.handlers):
        log.addHandler(LogFile(folder, redactor))
        log.propagate = False
