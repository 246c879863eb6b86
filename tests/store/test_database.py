"""Opening: private files, other programs' homes, newer versions, damage."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from letta_code.core.errors import StoreDamaged, StoreError, StoreReadOnly
from letta_code.store import engine as engines
from letta_code.store.database import Store
from letta_code.store.dialect import Database
from letta_code.store.engine import open_engine
from letta_code.store.marker import MARKER
from letta_code.store.migrations import FIRST, MIGRATIONS, Migration, newest
from tests.fakes.redaction import NoSecrets
from tests.store.support import note, open_store, raw_sql, said, started, worker


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_everything_it_makes_is_private(store: Store, conversation: str, home: Path) -> None:
    store.acquire_writer(conversation).release()
    folders = [path for path in (home, *home.rglob("*")) if path.is_dir()]
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"letta.db", "letta.db-wal", "letta.db-shm", f"{conversation}.jsonl"}
    assert {_mode(path) for path in folders} == {0o700}
    assert {_mode(path) for path in files} == {0o600}


def test_a_folder_that_others_use_keeps_its_mode(home: Path) -> None:
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    with open_store(home):
        assert _mode(home) == 0o755


def test_commits_wait_for_the_disk(store: Store) -> None:
    settings = store.journal._engine.write_now(  # only the writer's own connection can tell
        lambda database: [
            database.query(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )
    assert settings == ["wal", 2, 1]


async def test_the_log_is_bounded_while_much_is_written(store: Store, conversation: str, home: Path) -> None:
    for _ in range(60):
        await store.append(conversation, [said("x" * 1_000_000)])
    assert (home / "letta.db-wal").stat().st_size < 40 << 20
    assert (home / "letta.db").stat().st_size > 30 << 20


async def test_closing_moves_the_log_into_the_file(store: Store, conversation: str, home: Path) -> None:
    store.read(conversation)
    store.close()
    assert sorted(path.name for path in home.glob("letta.db*")) == ["letta.db"]


async def test_a_reader_that_comes_while_the_store_is_closed_is_closed_too(
    store: Store, conversation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is collected later would find itself the last, and cannot empty the log."""
    opened: list[Database] = []
    really = engines.connect

    def connect(path: Path, *, read_only: bool) -> Database:
        database = really(path, read_only=read_only)
        opened.append(database)
        if len(opened) == 1:  # (closing reads something itself)
            closing = threading.Thread(target=store.close)
            closing.start()
            closing.join()
        return database

    monkeypatch.setattr(engines, "connect", connect)
    with pytest.raises(StoreError, match="closed"):
        await asyncio.to_thread(store.read, conversation)
    with pytest.raises(StoreError, match="closed"):
        opened[0].query("SELECT 1")


async def test_a_store_of_a_newer_version_is_read_but_not_written(store: Store, conversation: str, home: Path) -> None:
    await store.append(conversation, [note("a")])
    store.close()
    raw_sql(home, f"PRAGMA user_version = {newest() + 1}")
    before = (home / "letta.db").read_bytes()
    with open_store(home) as later:
        assert later.read_only
        assert "newer" in later.notices[0]
        assert [stored.seq for stored in later.read(conversation)] == [1, 2]
        assert later.conversations.get(conversation) is not None
        with pytest.raises(StoreReadOnly) as caught:
            await later.append(conversation, [note("b")])
        assert "newer" in caught.value.hint
    assert (home / "letta.db").read_bytes() == before


async def test_read_only_on_request(store: Store, conversation: str, home: Path) -> None:
    with open_store(home, read_only=True) as reader:
        assert reader.read_only
        assert reader.last_seq(conversation) == 1
        with pytest.raises(StoreReadOnly):
            await reader.append(conversation, [note("b")])
        await store.append(conversation, [note("b")])
        assert reader.last_seq(conversation) == 2


def test_another_programs_database_of_that_name_is_not_touched(home: Path) -> None:
    home.mkdir()
    connection = apsw.Connection(str(home / "letta.db"))
    connection.execute("CREATE TABLE theirs (id); INSERT INTO theirs VALUES (1)")
    connection.close()
    before = (home / "letta.db").read_bytes()
    with pytest.raises(StoreError, match="another program"):
        open_store(home)
    assert (home / "letta.db").read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "a named pipe"), (os.mkdir, "a folder")])
def test_what_is_no_file_is_called_what_it_is(
    home: Path, make: Callable[[Path], None], kind: str, read_only: bool
) -> None:
    home.mkdir()
    make(home / "letta.db")
    with pytest.raises(StoreError, match=rf"letta\.db is {kind}, not a database file") as caught:
        open_store(home, read_only=read_only)
    assert "away" in caught.value.hint


# What Letta Code itself keeps in ~/.letta, and what looks like ours.
_FOREIGN = {
    "settings.json": b'{"theirs": true}',
    "agents/agent-11111111-2222/memory/system/persona.md": b"theirs",
    "conversations/conv-theirs.jsonl": b'{"role":"user","content":"theirs"}\n',
    "conversations/notes.txt": b"theirs",
    "lc-local-backend/memfs/agent-1/memory/x.md": b"theirs",
    "skills/theirs/SKILL.md": b"theirs",
    "run/theirs.sock": b"",
}


async def test_a_home_full_of_another_programs_files_is_left_as_it_is(home: Path) -> None:
    for name, data in _FOREIGN.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    with open_store(home) as store:
        assert store.notices == ()
        assert store.agents.list() == []
        assert store.conversations.list(empty=True) == []
        agent = await store.agents.ensure_default()
        created = await store.conversations.create(agent.id, "/work")
        await store.append(created.id, [said("hello")])
        await store.append("conv-theirs", [started("conv-theirs", agent.id), said("same name")])
        assert store.agents.folder("agent-11111111-2222") is None
        assert store.agents.folder(agent.id) == home / "agents" / agent.id
        assert "conv-theirs.jsonl" in store.notices[0]
    for name, data in _FOREIGN.items():
        path = home / name
        assert path.read_bytes() == data
        assert path.stat().st_mtime == 1_000_000_000
    assert [path.parent.name for path in home.rglob(MARKER)] == [agent.id]


@pytest.mark.parametrize("damage", ["noise", "header", "short"])
async def test_a_damaged_database_is_named_and_the_conversations_come_back_when_it_is_moved(
    store: Store, conversation: str, home: Path, damage: str
) -> None:
    kept = await store.append(conversation, [said("precious")])
    store.close()
    path = home / "letta.db"
    whole = path.read_bytes()
    match damage:
        case "noise":
            path.write_bytes(b"no database at all" * 1000)
        case "header":
            path.write_bytes(b"\0" * 100 + whole[100:])
        case _:
            path.write_bytes(whole[:6000])
    with pytest.raises(StoreError, match=r"letta\.db") as caught, open_store(home) as broken:
        broken.read(conversation)
        broken.conversations.list()
    assert "aside" in caught.value.hint
    path.rename(home / "letta.db.damaged")
    with open_store(home) as again:
        assert again.read(conversation)[-1].event == kept[0]
        assert "Restored: 1 conversation from" in again.notices[0]
        assert (await again.append(conversation, [note("on")]))[0].seq == 3


async def test_an_emptied_database_is_not_taken_for_a_new_one(store: Store, conversation: str, home: Path) -> None:
    await store.append(conversation, [said("precious")])
    store.close()
    (home / "letta.db").write_bytes(b"")
    with open_store(home) as again:
        assert [found.opening for found in again.conversations.list()] == ["precious"]


async def test_a_home_that_may_only_be_read_is_read(store: Store, conversation: str, home: Path) -> None:
    await store.append(conversation, [said("hello")])
    store.close()
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to others
        Path(place).chmod(0o755)
        locked = Path(place) / ".letta"
        shutil.copytree(home, locked)
        for path in (*locked.rglob("*"), locked):
            path.chmod(0o555 if path.is_dir() else 0o444)
        output, _ = worker("locked", locked, conversation).communicate(timeout=30)
        locked.chmod(0o755)
    opened, count, writing, making = output.splitlines()
    assert opened.startswith("True ")
    assert "Nothing will be saved" in opened
    assert (count, writing) == ("2", "store_read_only")
    assert making.startswith("store_read_only")
    assert "rights" in making


def test_a_file_in_the_place_of_the_home_says_so(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no folder")
    with pytest.raises(StoreReadOnly, match="cannot be written"):
        open_store(tmp_path / "home")


# ---------------------------------------------------------------- migrations

_NEXT = newest() + 1
_SECOND = Migration(
    number=_NEXT, name="colours", statements=("ALTER TABLE agents ADD COLUMN colour TEXT DEFAULT 'blue'",)
)
_BROKEN = Migration(
    number=_NEXT, name="broken", statements=("CREATE TABLE half (id TEXT)", "CREATE TABLE agents (x TEXT)")
)


async def test_an_older_store_is_copied_then_brought_up_to_date(store: Store, conversation: str, home: Path) -> None:
    await store.append(conversation, [said("precious")])
    store.close()
    engine = open_engine(home / "letta.db", home / "run", migrations=(*MIGRATIONS, _SECOND))
    assert engine.reader().query("SELECT colour FROM agents") == [("blue",)]
    assert engine.reader().schema_version() == _NEXT
    (copy,) = home.glob(f"letta.db.version-{newest()}.*")
    assert str(copy) in engine.notices[0]
    engine.close()
    assert _mode(copy) == 0o600
    with Store.open(copy, redactor=NoSecrets()) as old:
        assert old.last_seq(conversation) == 2
    again = open_engine(home / "letta.db", home / "run", migrations=(*MIGRATIONS, _SECOND))
    assert again.notices == ()
    again.close()


async def test_a_migration_that_fails_leaves_the_store_as_it_was(store: Store, conversation: str, home: Path) -> None:
    store.close()
    with pytest.raises(StoreError):
        open_engine(home / "letta.db", home / "run", migrations=(*MIGRATIONS, _BROKEN))
    with open_store(home) as again:
        assert again.last_seq(conversation) == 1
        assert not again.read_only
    assert raw_sql(home, "SELECT name FROM sqlite_master WHERE name = 'half'") == []


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.number for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    assert MIGRATIONS[0] is FIRST


async def test_another_kind_of_file_is_not_written_over_from_the_log(home: Path) -> None:
    with open_store(home) as store:
        await store.agents.create("ada", "billing")
        path = store.path
        kept = {end: path.with_name(path.name + end).read_bytes() for end in ("-wal", "-shm")}
    path.write_bytes(b"a letter to somebody")
    for end, data in kept.items():
        path.with_name(path.name + end).write_bytes(data)
    with pytest.raises(StoreDamaged, match=r"letta\.db is damaged"):
        open_store(home)
    assert path.read_bytes() == b"a letter to somebody"
