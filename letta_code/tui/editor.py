"""Editor: the draft in the person's own editor."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

from letta_code.core.errors import LettaError
from letta_code.host.foreground import run_in_foreground


def edit_text(text: str) -> str:
    """The text after the person saved and left $VISUAL, $EDITOR or vi.  Blocks; the terminal must be given up first.

    Raises `LettaError`, with the draft as it was, when the editor cannot be started or fails.
    """
    setting = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        words = shlex.split(setting) or ["vi"]
    except ValueError as error:
        raise LettaError(
            f"The editor {setting} cannot be started: {error}.", hint="Mend the quotes in $EDITOR."
        ) from error
    with tempfile.TemporaryDirectory(prefix="letta-") as folder:
        path = Path(folder, "prompt.md")
        ended = text if not text or text.endswith("\n") else text + "\n"  # as editors expect a file to end
        path.write_text(ended, encoding="utf-8", errors="replace")
        try:
            code = run_in_foreground([*words, str(path)])
        except OSError as error:
            raise LettaError(
                f"The editor {words[0]} cannot be started: {error.strerror}.", hint="Set $EDITOR to another one."
            ) from error
        if code != 0:
            raise LettaError(f"The editor ended with code {code}; the draft is as it was.")
        return path.read_text(encoding="utf-8", errors="replace").rstrip("\n")
