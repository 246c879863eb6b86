"""The person's store, for verbs that read it."""

from __future__ import annotations

import sys

from letta_code.config.paths import Paths
from letta_code.store.database import Store


def open_store() -> Store:
    """Open it; what was found wrong with it is said on stderr.  Raises `StoreError`."""
    paths = Paths.find().ensure()
    store = Store.open(
        paths.database, conversations_dir=paths.conversations, agents_dir=paths.agents, run_dir=paths.run
    )
    for notice in store.notices:
        print(notice, file=sys.stderr)
    return store
