"""Store: the database file, its pages, events and readable copies, its runs, and what lies beside it."""

from __future__ import annotations

import os
import shlex
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from letta_code.agent.doctor.base import FIX, Finding, Look, Mend, State, Telling, check
from letta_code.agent.saving.daily import KEPT_MIGRATION_COPIES
from letta_code.agent.saving.restoring import BEFORE, read_note
from letta_code.agent.saving.salvaging import copies
from letta_code.core.counts import many, size
from letta_code.core.errors import StoreBusy, StoreError
from letta_code.host.locks import FileLock
from letta_code.host.probe import file_system
from letta_code.store import checking
from letta_code.store.backing import side_files
from letta_code.store.dialect import WAL_BYTES_KEPT, Database

SALVAGE = "letta-code restore --salvage"
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs")
_FOLDERS = ("conversations", "agents", "shared", "run", "logs", "cache", "backups")
_STATES = {
    "missing": "is missing",
    "behind": "is shorter than the database",
    "ahead": "is longer than the database",
    "torn": "ends in the middle of a line",
    "damaged": "has damaged lines",
    "unreadable": "cannot be read",
    "foreign": "is not a file of ours",
}


_said = Telling("store")


@check("store", 1, seconds=30.0)
def store(look: Look) -> Iterator[Finding]:
    """All of it; a database that cannot be opened ends the reading, not the check."""
    yield from _home(look)
    yield from _cut_off(look)
    path = look.paths.database
    if not os.path.lexists(path):
        yield from _no_database(look)
    else:
        yield from _file(path)
        yield from _database(look, path)
    yield from _beside(look, path)


def _no_database(look: Look) -> Iterator[Finding]:
    left = [*look.paths.conversations.glob("conv-*.jsonl")]
    if left:
        yield _said(
            "database",
            "wrong",
            f"{look.paths.database} is missing; readable copies are there of {many(len(left), 'conversation')}.",
            "The next start builds it anew from them; with a backup of the database more may come back.",
            SALVAGE,
        )
    else:
        yield _said("database", "skipped", f"There is no {look.paths.database} yet: the first start makes it.")


def _home(look: Look) -> Iterator[Finding]:
    home = look.paths.home
    if not home.is_dir():
        state: State = "wrong" if os.path.lexists(home) else "skipped"
        says = f"{home} is no folder." if state == "wrong" else f"There is no {home} yet: the first start makes it."
        mend = f"mv {shlex.quote(str(home))} {shlex.quote(f'{home}.old')}" if state == "wrong" else ""
        yield _said("home", state, says, mend=mend)
        return
    yield from _rights(home, "home", 0o700)
    for name in _FOLDERS:
        path = home / name
        if os.path.lexists(path) and not path.is_dir():
            means = "What belongs into that folder cannot be written."
            mend = f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.aside')}"
            yield _said(name, "wrong", f"{path} is no folder.", means, mend)
    kind = file_system(home)
    if kind in _REMOTE:
        yield _said(
            "file system",
            "warning",
            f"{home} is on {kind}.",
            "Locks and SQLite's log do not work reliably on file systems of other machines: conversations may be lost.",
            "export LETTA_HOME=/a/folder/on/this/machine",
        )
    elif kind:
        yield _said("file system", "ok", f"{home} is on {kind}.")


def _rights(path: Path, what: str, wanted: int) -> Iterator[Finding]:
    try:
        found = path.stat()
    except OSError as error:
        yield _said(what, "wrong", f"{path}: {error.strerror or error}.", mend=f"ls -ld {shlex.quote(str(path))}")
        return
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.getuid():
        mend = f"sudo chown -R {os.getuid()} {shlex.quote(str(path))}"
        yield _said(what, "warning", f"{path} belongs to user {found.st_uid}, not to you.", mend=mend)
    elif mode & 0o077:
        says = f"{path} has the rights {mode:04o}: others can look into it."
        yield _said(
            what, "wrong", says, "Conversations and keys are nobody else's.", FIX, fix=Mend("private", str(path))
        )
    elif mode & wanted & 0o700 != wanted & 0o700:
        says = f"{path} has the rights {mode:04o}: you cannot write it."
        yield _said(what, "wrong", says, "Nothing can be saved.", FIX, fix=Mend("private", str(path)))
    else:
        yield _said(what, "ok", f"{path} is there and private ({mode:04o}).")


def _file(path: Path) -> Iterator[Finding]:
    if not path.is_file():
        mend = f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.aside')}"
        yield _said("database", "wrong", f"{path} is no regular file.", "Nothing can be opened or saved.", mend)
        return
    yield from _rights(path, "database", 0o600)
    for side in side_files(path):
        if (side.is_symlink() and side != path) or not side.is_file():
            mend = f"mv {shlex.quote(str(side))} {shlex.quote(f'{path}.aside{side.name[len(path.name) :]}')}"
            yield _said("database", "wrong", f"{side} is no regular file.", "The database cannot be opened.", mend)
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size > 4 * WAL_BYTES_KEPT:
        yield _said(
            "log of the database",
            "warning",
            f"{log} has {size(log.stat().st_size)}.",
            "Some process holds the database open for a long time and keeps the log from being emptied.",
            "letta-code conversations",
        )


def _database(look: Look, path: Path) -> Iterator[Finding]:
    if any(not side.is_file() for side in side_files(path)):
        return
    began = time.monotonic()
    try:
        database = checking.look_into(path, look.seconds)
    except StoreError as error:
        yield _unreadable(error)
        return
    told = set[str]()
    try:
        for part in (_version, _pages, _references, _events, _copies, _runs):
            left = max(1.0, look.seconds - (time.monotonic() - began))
            database.stop_after(left)
            try:
                yield from part(look, database, left)
            except StoreError as error:
                if str(error) not in told:  # each part meets the same damage
                    yield _unreadable(error, time.monotonic() - began >= look.seconds)
                told.add(str(error))
    finally:
        database.close()


def _unreadable(error: StoreError, late: bool = False) -> Finding:
    if late:
        mend = "letta-code doctor store --seconds 600"
        return _said("database", "warning", "There was no time to look at all of it.", mend=mend)
    if isinstance(error, StoreBusy):
        return _said("database", "warning", f"{error}.", mend="letta-code doctor store")
    means = "Conversations cannot be opened. Nothing is lost that a readable copy or a backup has."
    return _said("database", "wrong", f"{error}.", means, SALVAGE)


def _version(_look: Look, database: Database, _left: float) -> Iterator[Finding]:
    version, ours = checking.version_of(database)
    if version > ours:
        yield _said(
            "version",
            "warning",
            f"The database was written by a newer letta-code (version {version}, ours {ours}).",
            "It opens for reading only.",
            "pip install --upgrade letta-code",
        )
    elif version < ours:
        yield _said("version", "ok", f"The database has version {version}; the next start brings it to {ours}.")
    else:
        yield _said("version", "ok", f"The database has this program's version, {version}.")


def _pages(_look: Look, database: Database, _left: float) -> Iterator[Finding]:
    wrong = database.damage()
    if any("interrupt" in line.lower() for line in wrong):
        mend = "letta-code doctor store --seconds 600"
        yield _said("pages", "warning", "There was no time to look at every page.", mend=mend)
    elif wrong:
        means = "Some conversations may not open, and writing may spoil more."
        yield _said("pages", "wrong", f"The file is damaged: {' '.join(wrong[0].split())[:200]}.", means, SALVAGE)
    else:
        yield _said("pages", "ok", "Every page of the database is sound.")


def _references(_look: Look, database: Database, _left: float) -> Iterator[Finding]:
    wrong = checking.references(database)
    if wrong:
        yield _said("references", "wrong", f"{many(len(wrong), 'row')} name nothing: {wrong[0]}.", mend=SALVAGE)
    else:
        yield _said("references", "ok", "All rows name what is there.")


def _events(_look: Look, database: Database, left: float) -> Iterator[Finding]:
    found = checking.events(database, left * 0.7)
    if found.bad:
        says = f"{many(found.bad, 'event')} of {found.looked_at:,} are damaged: {', '.join(found.damaged[:5])}."
        means = "They are read from the readable copies where those have them."
        yield _said("events", "wrong", says, means, SALVAGE)
    if found.gaps:
        says = f"Events are missing in {many(len(found.gaps), 'conversation')}: {', '.join(found.gaps[:5])}."
        yield _said("events", "wrong", says, "What was said there is shown with gaps.", SALVAGE)
    if found.looked_at < found.total:
        says = f"{found.looked_at:,} of {found.total:,} events were looked at in the time there was."
        yield _said("events", "warning", says, mend="letta-code doctor store --seconds 600")
    elif not found.bad:
        yield _said("events", "ok", f"{many(found.total, 'event')}: each has its checksum.")


def _copies(look: Look, database: Database, left: float) -> Iterator[Finding]:
    found, compared, total = checking.copies(database, look.paths.conversations, left * 0.7)
    for one in found[:10]:
        path = str(look.paths.conversations / f"{one.conversation}.jsonl")
        why = f" ({one.why})" if one.why else ""
        says = f"{path} {_STATES[one.state]}{why}: it has event {one.last} of {one.wanted}."
        if one.state == "ahead":
            means = "The database is an older one: what the copy has more is not shown."
            yield _said("readable copy", "wrong", says, means, SALVAGE)
        else:
            means = "Nothing is lost now; it would be if the database were damaged."
            yield _said("readable copy", "warning", says, means, FIX, fix=Mend("copy", path))
    if len(found) > 10:
        says = f"{len(found) - 10} more readable copies are not whole."
        yield _said("readable copy", "warning", says, mend=FIX, fix=Mend("copies", str(look.paths.conversations)))
    if compared < total:
        says = f"{compared:,} of {total:,} readable copies were compared in the time there was."
        yield _said("readable copies", "warning", says, mend="letta-code doctor store --seconds 600")
    elif not found:
        yield _said("readable copies", "ok", f"{many(total, 'conversation')}: every one has its readable copy.")


def _runs(look: Look, database: Database, _left: float) -> Iterator[Finding]:
    runs = checking.open_runs(database)
    held = {run.conversation for run in runs if FileLock(look.paths.run / f"{run.conversation}.lock").is_taken()}
    dead = [run for run in runs if run.conversation not in held and run.alive is not True]
    for run in dead[:10]:
        says = f"The run {run.id} of {run.conversation} has not ended, and no process does it."
        means = "Opening the conversation closes it and tells the model what was cut off."
        yield _said("run", "warning", says, means, f"letta-code --resume {run.conversation}")
    if len(dead) > 10:
        yield _said(
            "run", "warning", f"{len(dead) - 10} more runs were cut off.", mend="letta-code conversations --all"
        )
    if not dead:
        yield _said("runs", "ok", f"{many(len(runs), 'run')} going on, none was cut off.")


def _cut_off(look: Look) -> Iterator[Finding]:
    for folder in sorted(look.paths.home.glob(f"{BEFORE}*")):
        note = read_note(folder)
        if note is not None and note.state == "moving":
            means = "Some of what was there waits in that folder."
            mend = f"letta-code restore {shlex.quote(str(folder))} --yes"
            yield _said("restore", "wrong", f"A restore was cut off: {folder}.", means, mend)


def _beside(look: Look, path: Path) -> Iterator[Finding]:
    found = copies(look.paths)
    old = [one for one in found if one.parent == path.parent]
    if len(old) > KEPT_MIGRATION_COPIES:
        amount = size(sum(one.stat().st_size for one in old))
        says = f"{len(old)} copies from before a migration lie beside the database ({amount})."
        yield _said("old copies", "ok", f"{says} `letta-code clean` removes those that are old.")
    if os.path.lexists(path) and not found:
        says = "There is no copy of the database yet; one a day is made in a quiet moment of a session."
        yield _said("backups", "warning", says, "A damaged database comes back from readable copies only.",
                    "letta-code backup")  # fmt: skip
    elif found:
        days = int((time.time() - found[0].stat().st_mtime) / 86_400)
        yield _said("backups", "ok", f"The newest copy of the database is {found[0].name}, {many(days, 'day')} old.")
