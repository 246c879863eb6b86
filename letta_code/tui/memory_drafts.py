"""Memory drafts: texts of blocks that were not saved when the program ended, kept as files for the person."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

from letta_code.host.files import atomic_write, ensure_private_dir
from letta_code.tui.widgets.memory_editor import Draft


def keep(drafts: Iterable[Draft], folder: Path) -> list[Path]:
    """Write each text to a file of its own; those that cannot be written are left out, for the screen is gone."""
    kept: list[Path] = []
    for draft in drafts:
        label = re.sub(r"[^\w.-]+", "_", draft.block.label)
        path = folder / f"unsaved-{label}-{time.strftime('%Y%m%d-%H%M%S')}.md"
        try:
            ensure_private_dir(folder)
            atomic_write(path, draft.text.encode("utf-8", "replace"))
        except OSError:
            continue
        kept.append(path)
    return kept
