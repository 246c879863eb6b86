"""Faults of letta-code's own, so that the torture of mutated files can show that it finds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def _no_mending() -> None:
    """A damaged database is an error at each start, as it was before it was mended by itself."""
    from letta_code.agent import mending, start

    def refused(_paths: Any, error: Exception) -> Any:
        raise error

    mending.mended = refused
    start.mended = refused


def _blank() -> None:
    """What the readable copies have beyond the database is not looked for."""
    from letta_code.store import catching, database

    def nothing(_database: Any, _directory: Path, _agents: Path | None) -> list[Path]:
        return []

    catching.unknown_copies = nothing
    database.last_seq_of = lambda _path: 0


def _overwritten() -> None:
    """Settings that cannot be read are written over."""
    from letta_code.config import files
    from letta_code.core.events import Notice

    def forgot(path: Path, _error: Exception) -> Notice:
        if not path.is_file():
            path.rename(path.with_name("gone"))
        return Notice(level="warning", code="settings", text="Settings were made anew.")

    files.keep_aside = forgot


def _through_links() -> None:
    """Settings that cannot be read are kept, and written anew where a link leads."""
    from letta_code.config import files
    from letta_code.config.yamlfile import BadFile
    from letta_code.core.events import Notice

    keep_aside = files.keep_aside

    def kept(path: Path, error: BadFile) -> Notice:
        if not (path.is_symlink() and path.is_file()):
            return keep_aside(path, error)
        aside = path.with_name(f"{path.name}.corrupt")
        aside.write_bytes(path.read_bytes())
        return Notice(level="warning", code="settings", text=f"{path} is kept as {aside}.")

    files.keep_aside = kept


def _unsaid() -> None:
    """What was lost comes back from its copies, and nobody hears of it."""
    from letta_code.store.database import Store

    def note(self: Store, text: str) -> None:
        del self, text

    Store.note = note


def _waits() -> None:
    """A pipe in the place of a file that is appended to is waited for."""
    from letta_code.tui import history

    def append(path: Path, line: bytes) -> None:
        with path.open("ab") as file:
            file.write(line)

    history.append_line = append


PLANTS: dict[str, Callable[[], None]] = {
    "no-mending": _no_mending,
    "blank": _blank,
    "overwritten": _overwritten,
    "through-links": _through_links,
    "unsaid": _unsaid,
    "waits": _waits,
}
