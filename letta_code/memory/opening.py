"""Opening: an agent's memory from the store and the home, at the desk of one conversation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from letta_code.memory.block import project_key
from letta_code.memory.blocks import Blocks
from letta_code.memory.desk import Desk

if TYPE_CHECKING:
    from letta_code.core.redaction import Redactor
    from letta_code.memory.archival import Archive
    from letta_code.memory.recall import Recall
    from letta_code.store.database import Store
    from letta_code.store.text_index import TextIndex


def open_desk(
    store: Store,
    home: Path,
    agent_id: str,
    root: str,
    conversation_id: str,
    *,
    name: str = "agent",
    known: Mapping[str, int] | None = None,
) -> Desk:
    """The memory of an agent in the project at `root`; touches nothing yet.

    `name` is what its commits carry; `known` has, for each conversation that this one is a fork of, the last event
    that was copied: what the agent did there until then is no news.  What looks like a key is never kept.
    """

    def refuse(text: str) -> str:
        return _refuse(text, store.redactor, conversation_id)

    blocks = Blocks(home, agent_id, project_key(root), conversation_id, agent=name, refuse=refuse)
    blocks.known = known or {}
    index: list[TextIndex] = []

    def opened() -> TextIndex:
        from letta_code.memory.recall import spoken

        if not index:
            index.append(store.text_index(Path(os.path.join(home, "index")), spoken))
        return index[0]

    def archive() -> Archive:
        from letta_code.memory.archival import Archive

        return Archive(store.passages, opened(), agent_id, refuse=refuse)

    def recall() -> Recall:
        from letta_code.memory.recall import Recall

        return Recall(opened(), agent_id)

    return Desk(blocks, conversation_id, open_archive=archive, open_recall=recall)


def _refuse(text: str, redactor: Redactor | None, conversation_id: str) -> str:
    """Why a text is not kept: it looks like a key, or holds a value that is known to be secret; else ""."""
    from letta_code.safety.secrets import secret_reason

    if why := secret_reason(text):
        return why
    known = redactor is not None and redactor.clean(text, conversation_id) != text
    return "it holds a value that is a key or password here" if known else ""
