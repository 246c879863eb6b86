"""Mending: a store that is damaged beyond opening is salvaged by the start itself: nobody meets a blank chat."""

from __future__ import annotations

from letta_code.agent.redaction import secrets_of
from letta_code.config.paths import Paths
from letta_code.core.counts import many
from letta_code.core.errors import LettaError, StoreDamaged
from letta_code.core.redaction import Redactor
from letta_code.store.database import Store


def open_store(paths: Paths, redactor: Redactor | None = None) -> Store:
    """The person's store; a damaged or lost one is built anew first.  Raises `StoreError`."""
    redactor = redactor or secrets_of(paths)
    if _is_lost(paths) and (store := _built_anew(paths, redactor)):
        return store
    try:
        return opened(paths, redactor)
    except StoreDamaged as error:
        return mended(paths, error, redactor)


def mended(paths: Paths, error: StoreDamaged, redactor: Redactor) -> Store:
    """The store built anew from what survives, with a notice; nothing may have it open.

    Raises the error that was met where that cannot be done (another process uses it, the disk is full).
    """
    from letta_code.agent.saving.salvaging import salvage

    try:
        done = salvage(paths)
    except LettaError as why:
        raise StoreDamaged(f"{error} It could not be mended: {why}", hint=why.hint or error.hint) from error
    store = opened(paths, redactor)
    store.note(
        f"{str(error).rstrip('.')}. It is kept in {done.aside}; {many(done.conversations, 'conversation')} and "
        f"{many(done.events, 'event')} were put back from readable copies"
        + (f" and {done.backup}." if done.backup else ".")
        + "".join(f" {text}" for text in done.problems[:3] if str(error) not in text)
    )
    return store


def _is_lost(paths: Paths) -> bool:
    """Whether the database is gone or empty, and a copy of it is there: readable copies alone may be bad too."""
    try:
        if paths.database.lstat().st_size or not paths.database.is_file():
            return False
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return any(paths.backups.glob("letta-*.db"))


def _built_anew(paths: Paths, redactor: Redactor) -> Store | None:
    """The store from the copies; None where that cannot be done now: opening it makes one from what can be read."""
    from letta_code.agent.saving.salvaging import salvage

    try:
        done = salvage(paths)
    except LettaError:
        return None
    store = opened(paths, redactor)
    store.note(
        f"{paths.database} was missing. Restored: {many(done.conversations, 'conversation')} with "
        f"{many(done.events, 'event')} from readable copies"
        + (f" and {done.backup}." if done.backup else ".")
        + "".join(f" {text}" for text in done.problems[:3])
    )
    return store


def opened(paths: Paths, redactor: Redactor | None = None) -> Store:
    """The person's store as it is: nothing is mended.  Raises `StoreError`."""
    return Store.open(
        paths.database,
        conversations_dir=paths.conversations,
        agents_dir=paths.agents,
        run_dir=paths.run,
        backups_dir=paths.backups,
        redactor=redactor or secrets_of(paths),
    )
