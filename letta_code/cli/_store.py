"""The person's store, for verbs that read it."""

from __future__ import annotations

import sys

from letta_code.agent import mending
from letta_code.config.paths import Paths
from letta_code.store.database import Store


def open_store() -> Store:
    """Open it; what was found wrong with it is said on stderr.  Raises `StoreError`."""
    paths = Paths.find().ensure()
    store = mending.open_store(paths)
    for notice in store.notices:
        print(notice, file=sys.stderr)
    return store
