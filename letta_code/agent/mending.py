"""Mending: a store that is damaged beyond opening is salvaged by the start itself: nobody meets a blank chat."""

from __future__ import annotations

from letta_code.config.paths import Paths
from letta_code.core.counts import many
from letta_code.core.errors import LettaError, StoreDamaged
from letta_code.store.database import Store


def open_store(paths: Paths) -> Store:
    """The person's store; a damaged one is kept aside and built anew first.  Raises `StoreError`."""
    try:
        return _opened(paths)
    except StoreDamaged as error:
        return mended(paths, error)


def mended(paths: Paths, error: StoreDamaged) -> Store:
    """The store built anew from what survives, with a notice; nothing may have it open.

    Raises the error that was met where that cannot be done (another process uses it, the disk is full).
    """
    from letta_code.agent.saving.salvaging import salvage

    try:
        done = salvage(paths)
    except LettaError as why:
        raise StoreDamaged(f"{error} It could not be mended: {why}", hint=why.hint or error.hint) from error
    store = _opened(paths)
    store.note(
        f"{error} It is kept in {done.aside}; {many(done.conversations, 'conversation')} and "
        f"{many(done.events, 'event')} were put back from readable copies"
        + (f" and {done.backup}." if done.backup else ".")
        + "".join(f" {text}" for text in done.problems[:3])
    )
    return store


def _opened(paths: Paths) -> Store:
    return Store.open(paths.database, conversations_dir=paths.conversations, agents_dir=paths.agents, run_dir=paths.run)
