"""Memory drafts: texts of blocks that were not saved when the program ended, kept as files for the person."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from letta_code.host.files import ensure_private_dir, write_new
from letta_code.tui.widgets.memory_editor import Draft


def keep(drafts: Iterable[Draft], folder: Path) -> list[Path]:
    """Write each text to a file of its own; those that cannot be written are left out, for the screen is gone."""
    kept: list[Path] = []
    for draft in drafts:
        label = re.sub(r"[^\w.-]+", "_", draft.block.label)
        name = f"unsaved-{label}-{time.strftime('%Y%m%d-%H%M%S')}"
        try:
            ensure_private_dir(folder)
            kept.append(_written(folder, name, draft.text.encode("utf-8", "replace")))
        except OSError:
            continue
    return kept


def _written(folder: Path, name: str, data: bytes) -> Path:
    """A new file with this content; where blocks have the same name, or nearly, the next ones get a number."""
    numbers = count(2)
    path = folder / f"{name}.md"
    while True:
        try:
            write_new(path, data)
        except FileExistsError:
            path = folder / f"{name}-{next(numbers)}.md"
        else:
            return path
