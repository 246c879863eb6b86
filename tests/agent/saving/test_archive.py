"""Archives that somebody made to do harm, or that the disk spoiled: refused before anything is changed."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from letta_code.agent.saving.archive import MANIFEST, ROOT, Entry, Manifest, back_up
from letta_code.agent.saving.opened import read_archive
from letta_code.agent.saving.parts import BackupError
from letta_code.agent.saving.restoring import plan, restore
from letta_code.config.paths import Paths
from tests.fakes.lived_in import content, lived_in

TOPS = ("agents", "shared", "conversations", "skills")


def _tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], manifest: Manifest | None = None) -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for member, data in members:
            member.size = len(data) if member.type == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(data))
        if manifest is not None:
            data = msgspec.json.encode(manifest)
            last = tarfile.TarInfo(MANIFEST)
            last.size = len(data)
            tar.addfile(last, io.BytesIO(data))
    return path


def _manifest(files: dict[str, Entry], folders: tuple[str, ...] = ()) -> Manifest:
    return Manifest(format=1, version="0.1.0", created_at="", home="/x", database=None, files=files, folders=folders)


def _entry(data: bytes) -> Entry:
    import hashlib

    return Entry(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _file(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode = 0o600
    return member


def _other(name: str, kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


BAD_NAMES = [
    "../out", "/etc/cron.d/x", f"{ROOT}/../out", f"{ROOT}/skills/../../../out", f"{ROOT}//skills/x",
    f"{ROOT}/run/x.lock",
    f"{ROOT}/skills/a\nb", f"{ROOT}/skills/.", f"{ROOT}/", "skills/x", f"{ROOT}/letta.db/../x", f"{ROOT}/bin/sh",
    f"{ROOT}/skills/a\\..\\b", f"{ROOT}/" + "skills/" * 900 + "x",
]  # fmt: skip
KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"S"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_no_name_leads_out_of_the_home(tmp_path: Path, name: str) -> None:
    inner = name.partition("/")[2]
    path = _tar(tmp_path / "a", [(_file(name), b"x")], _manifest({inner: _entry(b"x")}))
    with pytest.raises(BackupError, match="no sound backup"):
        plan(Paths(home=tmp_path / "home"), path)
    folders = _tar(tmp_path / "b", [], _manifest({}, (inner,)))
    if not name.startswith(("skills/x", "../out", "/etc")):  # as a folder's name without its root those are others
        with pytest.raises(BackupError, match="no sound backup"):
            plan(Paths(home=tmp_path / "home"), folders)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("kind", KINDS)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = _tar(tmp_path / "a", [(_other(f"{ROOT}/skills/x", kind), b"")], _manifest({"skills/x": _entry(b"")}))
    with pytest.raises(BackupError, match="no sound backup"):
        read_archive(path)


@pytest.mark.parametrize(
    "claims",
    [{}, {"skills/x": _entry(b"other")}, {"skills/x": _entry(b"x"), "skills/y": _entry(b"y")}],
    ids=["unlisted", "changed", "missing"],
)
def test_every_file_is_what_the_list_says(tmp_path: Path, claims: dict[str, Entry]) -> None:
    path = _tar(tmp_path / "a", [(_file(f"{ROOT}/skills/x"), b"x")], _manifest(claims))
    with pytest.raises(BackupError, match="list of files"):
        read_archive(path)


def test_twice_the_same_something_behind_the_list_and_no_list(tmp_path: Path) -> None:
    member = (_file(f"{ROOT}/skills/x"), b"x")
    fine = _manifest({"skills/x": _entry(b"x")})
    with pytest.raises(BackupError, match="twice"):
        read_archive(_tar(tmp_path / "a", [member, member], fine))
    data = msgspec.json.encode(fine)
    with pytest.raises(BackupError, match="behind"):
        read_archive(_tar(tmp_path / "b", [member, (_file(MANIFEST), data), (_file(f"{ROOT}/skills/y"), b"y")]))
    with pytest.raises(BackupError, match="end is missing"):
        read_archive(_tar(tmp_path / "c", [member]))
    assert read_archive(_tar(tmp_path / "d", [member], fine)) == fine


def test_headers_that_claim_much_cost_no_memory(tmp_path: Path) -> None:
    import resource

    header = tarfile.TarInfo(f"{ROOT}/skills/x")
    header.type, header.size = tarfile.XHDTYPE, 3 << 30
    path = tmp_path / "bomb"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header.tobuf())
        for _ in range(64):
            file.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BackupError, match=r"too long|no sound"):
        read_archive(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def _cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def _bits(data: bytearray, dice: random.Random) -> None:
    data[dice.randrange(400, len(data) - 8)] ^= 1 << dice.randrange(8)


@pytest.mark.parametrize("spoil", [_cut, _bits])
def test_a_spoiled_archive_changes_nothing(tmp_path: Path, spoil: Callable[[bytearray, random.Random], None]) -> None:
    home = lived_in(tmp_path / "home")
    back_up(Paths(home=home), tmp_path / "b.tar.gz")
    good, before = (tmp_path / "b.tar.gz").read_bytes(), content(home, *TOPS)
    for seed in range(25):
        data = bytearray(good)
        spoil(data, random.Random(seed))
        (tmp_path / "bad").write_bytes(data)
        try:
            told = plan(Paths(home=home), tmp_path / "bad")[1]
        except BackupError:
            continue
        # A bit that pads the end of a block says nothing: then all is as it was written.
        assert spoil is _bits and told == read_archive(tmp_path / "b.tar.gz")
    assert content(home, *TOPS) == before


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "text"])
def test_what_is_no_archive_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case _:
            path.write_text("hello")
    with pytest.raises(BackupError):
        plan(Paths(home=tmp_path / "home"), path)


# ---------------------------------------------------------------- a disk that refuses


@pytest.mark.parametrize("moment", range(1, 14, 2))
def test_a_restore_that_fails_anywhere_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    home = lived_in(tmp_path / "home")
    paths = Paths(home=home)
    back_up(paths, tmp_path / "b.tar.gz")
    (home / "skills" / "deploy" / "SKILL.md").write_text("changed since")
    before, names = content(home, *TOPS), sorted(path.name for path in home.iterdir())
    rename, count = os.rename, 0

    def refuses(*given: str | Path) -> None:
        nonlocal count
        count += 1
        if count == moment:
            raise OSError(28, "No space left on device", str(given[0]))
        rename(*given)

    _, manifest = plan(paths, tmp_path / "b.tar.gz")
    database = (home / "letta.db").read_bytes()
    monkeypatch.setattr(os, "rename", refuses)
    with pytest.raises(BackupError, match="No space left"):
        restore(paths, tmp_path / "b.tar.gz", manifest)
    assert content(home, *TOPS) == before and (home / "letta.db").read_bytes() == database
    assert sorted(path.name for path in home.iterdir() if path.suffix != "") == sorted(
        name for name in names if Path(name).suffix not in ("", ".db-shm")
    )


def test_links_and_what_is_anothers_are_left_out_and_told(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    (home / "skills" / "away").symlink_to("/etc")
    (home / "agents" / "agent-other").mkdir()
    (home / "agents" / "agent-other" / "secret").write_text("another program's")
    (home / "conversations" / "notes.txt").write_text("another program's")
    made = back_up(Paths(home=home), tmp_path / "b.tar.gz").manifest
    assert any(line.startswith("skills/away") for line in made.left_out)
    assert not [name for name in made.files if "other" in name or "notes.txt" in name or name.startswith("skills/away")]


@pytest.mark.parametrize("folders", [(), ("skills/x",)])
def test_a_file_and_a_folder_of_one_name_are_no_sound_backup(tmp_path: Path, folders: tuple[str, ...]) -> None:
    names = ["skills/x"] if folders else ["skills/x", "skills/x/y"]
    members = [(_file(f"{ROOT}/{name}"), b"a") for name in names]
    path = _tar(tmp_path / "b.tar.gz", members, _manifest({name: _entry(b"a") for name in names}, folders))
    with pytest.raises(BackupError, match="no sound backup: 'skills/x' is a file in it and a folder"):
        plan(Paths(home=tmp_path / "home"), path)
