"""Files by handle: what was judged is what is touched, special files are never opened, attributes are kept."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from letta_code.core.errors import WorkspaceError
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import Workspace

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    return tree.resolve()


@pytest.fixture
async def workspace(tree: Path) -> AsyncIterator[LocalWorkspace]:
    made = LocalWorkspace(str(tree))
    protocol: Workspace = made  # the type checker's proof
    assert protocol is made
    yield made
    await made.close()


async def put(workspace: Workspace, path: str, data: bytes) -> None:
    await workspace.replace(await workspace.resolve(path, "write"), data)


async def get(workspace: Workspace, path: str) -> bytes:
    return await workspace.read(await workspace.resolve(path, "read"))


# ---------------------------------------------------------------- resolve


async def test_what_is_where(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "folder").mkdir()
    (tree / "folder" / "file").write_text("x")
    found = {
        path: (handle.kind, handle.inside, handle.path)
        for path in [".", "folder", "folder/file", "folder/../new", "nothing/at/all", "..", "/etc/hosts", "~"]
        for handle in [await workspace.resolve(path, "read")]
    }
    assert found["."] == ("directory", True, str(tree))
    assert found["folder/file"] == ("file", True, f"{tree}/folder/file")
    assert found["folder/../new"] == ("missing", True, f"{tree}/new")
    assert found["nothing/at/all"][0] == "missing"
    assert found[".."] == ("directory", False, str(tree.parent))
    assert found["/etc/hosts"] == ("file", False, os.path.realpath("/etc/hosts"))
    assert found["~"] == ("directory", False, os.path.realpath(os.environ["HOME"]))


async def test_a_folder_that_begins_like_the_tree_is_outside(workspace: LocalWorkspace, tree: Path) -> None:
    evil = tree.with_name("tree-evil")
    evil.mkdir()
    (evil / "f").write_text("x")
    assert not (await workspace.resolve("../tree-evil/f", "read")).inside
    assert not (await workspace.resolve(str(evil / "f"), "read")).inside


async def test_links_are_judged_by_where_they_lead(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / ".env").write_text("KEY=1")
    (tree / "notes.md").symlink_to(".env")
    (tree / "root").symlink_to("/")
    (tree / "new").symlink_to("/etc/not-there-yet")
    (tree / "loop").symlink_to("loop")
    assert (await workspace.resolve("notes.md", "read")).path == f"{tree}/.env"
    assert (await workspace.resolve("root/etc/x", "write")).path == "/etc/x"
    assert not (await workspace.resolve("root/etc/x", "write")).inside
    assert (await workspace.resolve("new", "write")).path == "/etc/not-there-yet"
    with pytest.raises(WorkspaceError, match="loop"):
        await workspace.resolve("loop", "read")


async def test_to_delete_a_link_means_the_link(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "target").write_text("stays")
    (tree / "link").symlink_to("target")
    (tree / "dangling").symlink_to("nowhere")
    for name in ("link", "dangling"):
        handle = await workspace.resolve(name, "delete")
        assert handle.path == f"{tree}/{name}"
        await workspace.remove(handle)
    assert [path.name for path in tree.iterdir()] == ["target"]
    assert (await workspace.resolve("..", "delete")).inside is False


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000, "\ud800"])
async def test_paths_that_are_none(workspace: LocalWorkspace, path: str) -> None:
    with pytest.raises(WorkspaceError):
        await workspace.resolve(path, "read")


async def test_relative_paths_start_at_the_base(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "sub").mkdir()
    assert (await workspace.resolve("f", "read", base="sub")).path == f"{tree}/sub/f"
    assert (await workspace.resolve("f", "read", base="/etc")).path == "/etc/f"
    assert (await workspace.resolve("/etc/f", "read", base="sub")).path == "/etc/f"


NAMES = [
    b"new\nline",
    b"esc\x1b[31m",
    b"\xff\xfe not utf-8",
    "ü日本".encode(),
    b"-rf",
    b"a" * 255,
    b"back\\slash",
    b" ",
]


@linux
@pytest.mark.parametrize("name", NAMES)
async def test_odd_names_are_shown_harmless_and_come_back(workspace: LocalWorkspace, tree: Path, name: bytes) -> None:
    (tree / os.fsdecode(name)).write_bytes(b"content")
    (entry,) = await workspace.list(await workspace.resolve(".", "list"))
    assert entry.name.isprintable()
    msgspec.json.encode(entry)  # can be stored
    handle = await workspace.resolve(entry.name, "read")
    msgspec.json.encode(handle.path)
    assert await workspace.read(handle) == b"content"


# ---------------------------------------------------------------- special files


async def test_special_files_are_never_opened(workspace: LocalWorkspace, tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    (tree / "zero").symlink_to("/dev/zero")
    listener = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(tree)  # the path of a socket may not be long
    listener.bind("socket")
    os.chdir(here)
    for path in ["fifo", "zero", "socket", "/dev/stdin", "/dev/null"]:
        async with asyncio.timeout(2):
            handle = await workspace.resolve(path, "read")
            assert handle.kind in ("other", "missing"), path
            for use in (workspace.read(handle), workspace.remove(handle), workspace.list(handle)):
                with pytest.raises(WorkspaceError):
                    await use
            if handle.kind == "other":
                with pytest.raises(WorkspaceError, match="never opened"):
                    await workspace.replace(handle, b"x")
    listener.close()


async def test_a_file_that_becomes_a_fifo_does_not_hang_the_read(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "f").write_text("x")
    handle = await workspace.resolve("f", "read")
    (tree / "f").unlink()
    os.mkfifo(tree / "f")
    async with asyncio.timeout(2):
        with pytest.raises(WorkspaceError):
            await workspace.read(handle)


async def test_a_huge_file_is_read_in_parts_only(workspace: LocalWorkspace, tree: Path) -> None:
    with (tree / "huge").open("wb") as file:
        file.truncate(4 * 1024**3)
        file.seek(3 * 1024**3)
        file.write(b"here")
    handle = await workspace.resolve("huge", "read")
    with pytest.raises(WorkspaceError, match="parts"):
        await workspace.read(handle)
    assert await workspace.read(handle, 3 * 1024**3, 4) == b"here"
    assert await workspace.read(handle, 4 * 1024**3 - 2, 100) == b"\0\0"


# ---------------------------------------------------------------- what was judged


async def test_a_replaced_file_is_not_read(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "f").write_text("judged")
    handle = await workspace.resolve("f", "read")
    (tree / "other").write_text("not judged")
    (tree / "other").rename(tree / "f")
    with pytest.raises(WorkspaceError, match="replaced"):
        await workspace.read(handle)


async def test_a_link_put_in_after_judging_is_not_followed(workspace: LocalWorkspace, tree: Path) -> None:
    secret = tree.parent / "secret"
    secret.mkdir()
    (secret / "f").write_text("secret")
    (tree / "d").mkdir()
    (tree / "d" / "f").write_text("plain")
    there = await workspace.resolve("d/f", "read")
    missing = await workspace.resolve("d/new", "write")
    deep = await workspace.resolve("d/x/y/new", "write")
    (tree / "d").rename(tree / "old")
    (tree / "d").symlink_to(secret)
    for use in (
        workspace.read(there),
        workspace.replace(there, b"x"),
        workspace.remove(there),
        workspace.replace(missing, b"x"),
        workspace.replace(deep, b"x", make_parents=True),
        workspace.rename(there, missing),
    ):
        with pytest.raises(WorkspaceError):
            await use
    assert {path.name: path.read_text() for path in secret.iterdir()} == {"f": "secret"}


@pytest.mark.row("C04")
async def test_a_racing_link_never_leads_out(workspace: LocalWorkspace, tree: Path) -> None:
    """One thread swaps a folder and a link to a secret place; what is judged inside never reads the secret."""
    secret = tree.parent / "secret"
    secret.mkdir()
    (secret / "f").write_bytes(b"secret")
    (tree / "real").mkdir()
    (tree / "real" / "f").write_bytes(b"plain")
    (tree / "link").symlink_to(secret)
    going = True

    def swap() -> None:
        while going:
            os.rename(tree / "real", tree / "d")
            os.rename(tree / "d", tree / "real")
            os.rename(tree / "link", tree / "d")
            os.rename(tree / "d", tree / "link")

    thread = threading.Thread(target=swap)
    thread.start()
    outcomes: dict[bytes, int] = {}
    try:
        for _ in range(10_000):
            try:
                handle = await workspace.resolve("d/f", "read")
                data = await workspace.read(handle)
            except WorkspaceError:
                continue
            assert not (handle.inside and data == b"secret")
            outcomes[data] = outcomes.get(data, 0) + 1
    finally:
        going = False
        thread.join()
    assert outcomes, "the race was never won: nothing was tested"


# ---------------------------------------------------------------- replace


async def test_new_files_and_folders(workspace: LocalWorkspace, tree: Path) -> None:
    handle = await workspace.resolve("a/b/c.txt", "write")
    with pytest.raises(WorkspaceError, match="does not exist"):
        await workspace.replace(handle, b"x")
    identity = await workspace.replace(handle, b"content", make_parents=True)
    assert (tree / "a/b/c.txt").read_bytes() == b"content"
    again = await workspace.resolve("a/b/c.txt", "read")
    assert again.identity == identity
    assert stat.S_IMODE(identity.mode) == 0o666 & ~_umask()
    assert [path.name for path in (tree / "a/b").iterdir()] == ["c.txt"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
async def test_replace_keeps_mode_bits_and_leaves_nothing_behind(
    workspace: LocalWorkspace, tree: Path, size: int
) -> None:
    (tree / "script").write_text("old")
    (tree / "script").chmod(0o4751)
    await put(workspace, "script", b"n" * size)
    assert (tree / "script").read_bytes() == b"n" * size
    assert stat.S_IMODE((tree / "script").stat().st_mode) == 0o4751
    assert [path.name for path in tree.iterdir()] == ["script"]


@linux
async def test_replace_keeps_extended_attributes(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "f").write_text("old")
    try:
        os.setxattr(tree / "f", "user.note", b"kept")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    await put(workspace, "f", b"new")
    assert os.getxattr(tree / "f", "user.note") == b"kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
async def test_replace_keeps_the_owner(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "f").write_text("old")
    os.chown(tree / "f", 12345, 23456)
    await put(workspace, "f", b"new")
    status = (tree / "f").stat()
    assert (status.st_uid, status.st_gid, (tree / "f").read_text()) == (12345, 23456, "new")


async def test_replace_through_a_link_changes_its_target(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "target").write_text("old")
    (tree / "link").symlink_to("target")
    await put(workspace, "link", b"new")
    assert (tree / "link").is_symlink()
    assert (tree / "target").read_text() == "new"


async def test_a_hard_link_is_broken(workspace: LocalWorkspace, tree: Path) -> None:
    outside = tree.parent / "store"
    outside.write_text("shared")
    os.link(outside, tree / "f")
    await put(workspace, "f", b"mine")
    assert (outside.read_text(), (tree / "f").read_text()) == ("shared", "mine")


async def test_a_changed_file_is_not_overwritten(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "f").write_text("one")
    handle = await workspace.resolve("f", "write")
    (tree / "f").write_text("two")
    os.utime(tree / "f", ns=(1, handle.identity.modified_ns + 1))
    with pytest.raises(WorkspaceError, match="changed"):
        await workspace.replace(handle, b"three")
    (tree / "f").unlink()
    with pytest.raises(WorkspaceError, match="removed"):
        await workspace.replace(handle, b"three")
    missing = await workspace.resolve("f", "write")
    (tree / "f").write_text("came")
    with pytest.raises(WorkspaceError, match="came into being"):
        await workspace.replace(missing, b"three")
    assert (tree / "f").read_text() == "came"
    assert [path.name for path in tree.iterdir()] == ["f"]


async def test_what_is_no_file_is_not_replaced(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "d").mkdir()
    with pytest.raises(WorkspaceError, match="directory"):
        await put(workspace, "d", b"x")
    (tree / "f").write_text("x")
    with pytest.raises(WorkspaceError):
        await workspace.replace(await workspace.resolve("f/below", "write"), b"x", make_parents=True)


@linux
async def test_a_full_disk_leaves_the_old_content(tmp_path: Path) -> None:
    """/dev/shm-like: a tiny file system is not at hand, so a size limit of the process stands for it."""
    import resource
    import signal

    (tmp_path / "f").write_text("old")
    workspace = LocalWorkspace(str(tmp_path))
    handle = await workspace.resolve("f", "write")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(WorkspaceError):
            await workspace.replace(handle, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("f", "old")]


# ---------------------------------------------------------------- remove, rename, list


async def test_remove_and_rename(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "a").write_text("a")
    (tree / "b").write_text("b")
    source = await workspace.resolve("a", "delete")
    with pytest.raises(WorkspaceError, match="exists already"):
        await workspace.rename(source, await workspace.resolve("b", "write"))
    target = await workspace.resolve("new/c", "write")
    await workspace.rename(source, target)
    assert (tree / "new/c").read_text() == "a"
    assert not (tree / "a").exists()
    with pytest.raises(WorkspaceError):
        await workspace.remove(source)
    await workspace.remove(await workspace.resolve("b", "delete"))
    assert not (tree / "b").exists()
    with pytest.raises(WorkspaceError, match="directory"):
        await workspace.remove(await workspace.resolve("new", "delete"))


async def test_rename_never_overwrites_what_came_meanwhile(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "a").write_text("a")
    source = await workspace.resolve("a", "delete")
    target = await workspace.resolve("b", "write")
    (tree / "b").write_text("came")
    with pytest.raises(WorkspaceError):
        await workspace.rename(source, target)
    assert (tree / "b").read_text() == "came"


async def test_list(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "d").mkdir()
    (tree / "f").write_text("12345")
    (tree / "link").symlink_to("f")
    os.mkfifo(tree / "pipe")
    entries = await workspace.list(await workspace.resolve(".", "list"))
    assert [(e.name, e.kind, e.link) for e in entries] == [
        ("d", "directory", ""),
        ("f", "file", ""),
        ("link", "other", "f"),
        ("pipe", "other", ""),
    ]
    assert entries[1].size == 5
    with pytest.raises(WorkspaceError, match="not a directory"):
        await workspace.list(await workspace.resolve("f", "list"))
