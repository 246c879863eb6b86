"""Salvaging: a damaged database is moved aside and built anew from its copies, the newest good backup and itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from letta_code.agent.saving.parts import BackupError, stamp
from letta_code.agent.saving.restoring import alone
from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError
from letta_code.core.ids import utc_now
from letta_code.core.messages import Value
from letta_code.host.files import atomic_write, ensure_private_dir
from letta_code.store import checking, text_index
from letta_code.store.backing import Contents, Rescued, put_back_rest, rescued, side_files, verified
from letta_code.store.catching import unknown_copies
from letta_code.store.database import Store
from letta_code.store.dialect import connect
from letta_code.store.mirror import StoredRow, to_line
from letta_code.store.salvage import read_mirror
from letta_code.store.summary import is_conversation_id

DAMAGED = "damaged-"
_LOOK_SECONDS = 600.0


class Salvaged(Value, frozen=True):
    """What a salvage came to: `aside` holds the old database, `backup` is the copy that was used, "" for none.

    `completed` counts readable copies that got events they had not; `problems` are sentences.
    """

    aside: str
    backup: str
    conversations: int
    events: int
    agents: int
    passages: int
    completed: int
    problems: tuple[str, ...]


def whole(paths: Paths) -> Contents | None:
    """What the database holds, where nothing is wrong that building it anew would mend; None otherwise.  Reads all."""
    try:
        held = verified(paths.database, shared=True)
        database = checking.look_into(paths.database, _LOOK_SECONDS)
    except LettaError:
        return None
    try:
        lost = unknown_copies(database, paths.conversations, paths.agents)
        gaps = checking.events(database, _LOOK_SECONDS).gaps
        found, _, _ = checking.copies(database, paths.conversations, _LOOK_SECONDS)
        wrong = lost or gaps or checking.references(database) or any(one.state == "ahead" for one in found)
    except LettaError:
        return None
    finally:
        database.close()
    return None if wrong else held


def newest_good_copy(paths: Paths) -> Path | None:
    """The newest copy of the database that is sound: a daily one, or one from before a migration."""
    for path in copies(paths):
        try:
            verified(path)
        except LettaError:
            continue
        return path
    return None


def copies(paths: Paths) -> list[Path]:
    """The copies of the database that we made, the newest first; archives are not among them."""
    found = [*paths.backups.glob("letta-*.db"), *paths.home.glob(f"{paths.database.name}.version-*")]
    found = [path for path in found if path.is_file() and not path.name.endswith(("-wal", "-shm", "-journal"))]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def salvage(paths: Paths) -> Salvaged:
    """Build the database anew; nothing is thrown away.  Raises `BackupError`, `StoreError` with all as it was.

    First the readable copies get what only the database or a backup has, then the old file is moved aside, then the
    store is built from the copies: it can be cut off anywhere and be begun again.
    """
    paths.ensure()
    folder = paths.home / f"{DAMAGED}{stamp()}"
    backup = newest_good_copy(paths)
    problems: list[str] = []
    with alone(paths):
        pass  # nobody uses it, and reading it below would give our own hold on it back
    try:
        there, unreadable = _events_of(paths.conversations, problems)
        sources = [paths.database] if os.path.lexists(paths.database) else []
        found = [rescued(path, there, shared=True) for path in sources]
        found += [rescued(backup, there)] if backup else []
        completed = _complete(paths, folder, found, there, unreadable)
        ensure_private_dir(folder)
        with alone(paths):
            for path in side_files(paths.database):
                os.rename(path, folder / path.name)
    except OSError as error:
        raise BackupError(
            f"The salvage stopped: {error.strerror or error} ({error.filename}). Nothing is lost.",
            hint="Make room on the disk or check the rights of the folder, then run it again.",
        ) from error
    if sources and found[0].problems:
        problems += [f"The old database: {found[0].problems[0]}"]
    agents, passages = _rebuilt(paths, found, problems)
    text_index.throw_away(paths.index)
    made = verified(paths.database, shared=True)
    return Salvaged(
        aside=str(folder),
        backup=str(backup or ""),
        conversations=made.conversations,
        events=made.events,
        agents=agents,
        passages=passages,
        completed=completed,
        problems=tuple(problems),
    )


def _events_of(directory: Path, problems: list[str]) -> tuple[dict[str, set[int]], set[str]]:
    """The sound events of each readable copy, and the copies in which something is wrong."""
    there: dict[str, set[int]] = {}
    wrong: set[str] = set()
    for path in _copies_of(directory):
        try:
            rows, parts = read_mirror(path)
        except OSError as error:
            problems.append(f"{path.name}: {error.strerror or error}")
            wrong.add(path.stem)
            continue
        there[path.stem] = {row.seq for row in rows}
        if parts:
            wrong.add(path.stem)
            problems.append(f"{path.name}: line {parts[0].line} {parts[0].text}")
    return there, wrong


def _copies_of(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.glob("conv-*.jsonl")):
        if path.is_file() and not path.is_symlink() and is_conversation_id(path.stem):
            yield path


def _complete(paths: Paths, folder: Path, found: list[Rescued], there: Mapping[str, set[int]], wrong: set[str]) -> int:
    """Write the readable copies anew that miss something or have damaged lines; the old ones are kept aside."""
    names = sorted(wrong | {name for one in found for name in one.events})
    for name in names:
        rows: dict[int, StoredRow] = {}
        for one in reversed(found):  # the database goes before the backup
            rows.update({row.seq: row for row in one.events.get(name, ())})
        path = paths.conversations / f"{name}.jsonl"
        if there.get(name):
            rows.update({row.seq: row for row in read_mirror(path)[0]})
        old = os.path.lexists(path)
        if old:
            ensure_private_dir(folder / "conversations")
            _keep(path, folder / "conversations" / path.name)
        if rows:
            ensure_private_dir(paths.conversations)
            atomic_write(path, b"".join(to_line(rows[seq]) for seq in sorted(rows)), mode=0o600)
        elif os.path.lexists(path):
            path.unlink()
    return len(names)


def _keep(path: Path, aside: Path) -> None:
    """Give a readable copy its name in the folder of what is kept; what is no file of ours moves there."""
    if path.is_file() and not path.is_symlink():
        os.link(path, aside)  # it stays in its place until the new one replaces it
    else:
        os.rename(path, aside)


def _rebuilt(paths: Paths, found: list[Rescued], problems: list[str]) -> tuple[int, int]:
    problems[:0] = _make_agents_known(paths, found)
    with Store.open(
        paths.database, conversations_dir=paths.conversations, agents_dir=paths.agents, run_dir=paths.run
    ) as store:
        store.agents.list()
    agents = passages = 0
    database = connect(paths.database, read_only=False)
    try:
        database.prepare_for_writing()
        for one in found:
            more, others = put_back_rest(database, one)
            agents, passages = agents + more, passages + others
    finally:
        database.close()
    return agents, passages


def _make_agents_known(paths: Paths, found: list[Rescued]) -> list[str]:
    """Names of agents whose marker was lost come from the database or the backup, before conversations name them.

    Returns sentences on the markers that were no markers any more.
    """
    from letta_code.store.marker import Marker, is_whole, read_marker, write_marker

    kept: list[str] = []
    for one in found:
        for agent in one.agents:
            folder = paths.agents / agent.id
            if not agent.id.startswith("agent-") or "/" in agent.id:
                continue
            if is_whole(folder) and read_marker(folder) is not None:
                continue
            ensure_private_dir(folder)
            marker = Marker(
                id=agent.id,
                name=agent.name,
                description=agent.description,
                created_at=agent.created_at or utc_now(),
                deleted_at=agent.deleted_at,
            )
            if aside := write_marker(folder, marker):
                kept.append(f"The mark of {agent.name or agent.id} could not be read; it is kept as {aside}.")
    return kept
