"""Sockets between processes of one person: names, rights, stale files, and what a hostile peer may send."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from letta_code.host import sockets
from letta_code.host.sockets import Lines, LineTooLong, connect, listen


async def echo(lines: Lines) -> None:
    while (line := await lines.read()) is not None:
        lines.write(line + b"!\n")
    await lines.close()


async def test_lines_go_both_ways_through_a_private_socket(tmp_path: Path) -> None:
    path = tmp_path / "run" / "conv.sock"
    listener = await listen(path, echo)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    lines = await connect(path)
    lines.write(b"one\n")
    lines.write(b"two\n")
    assert [await lines.read(), await lines.read()] == [b"one!", b"two!"]
    await lines.close()
    listener.close()
    assert not path.exists()
    with pytest.raises(OSError, match="No such file"):
        await connect(path)


async def test_the_socket_of_a_dead_owner_is_replaced_and_the_next_ones_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "conv.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    with pytest.raises(ConnectionRefusedError):
        await connect(path)
    first = await listen(path, echo)
    second = await listen(path, echo)
    first.close()
    lines = await connect(path)
    lines.write(b"x\n")
    assert await lines.read() == b"x!"
    await lines.close()
    second.close()
    path.write_text("a file of the person")
    with pytest.raises(FileExistsError):
        await listen(path, echo)
    assert path.read_text() == "a file of the person"


async def test_a_path_that_is_too_long_has_a_short_private_stand_in(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30) / "conv.sock"
    listener = await listen(path, echo)
    assert str(listener.path).startswith(f"/tmp/letta-{os.getuid()}/")
    assert stat.S_IMODE(listener.path.parent.stat().st_mode) == 0o700
    link = tmp_path / "short"
    link.symlink_to(path.parent)
    for same in (path, link / "conv.sock"):  # both sides find it, whatever they call the folder
        lines = await connect(same)
        lines.write(b"x\n")
        assert await lines.read() == b"x!"
        await lines.close()
    listener.close()
    assert not listener.path.exists()


@pytest.mark.parametrize("bad", ["open", "link"])
def test_a_stand_in_folder_that_others_can_reach_is_refused(tmp_path: Path, bad: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    sockets._must_be_private(folder)  # the real one is shared by all tests
    if bad == "open":
        folder.chmod(0o755)
    else:
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        sockets._must_be_private(folder)


async def test_another_persons_process_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "conv.sock"
    listener = await listen(path, echo)
    lines = await connect(path)
    monkeypatch.setattr(sockets, "_uid", lambda _: os.getuid() + 1)  # what the kernel would say of somebody else
    with pytest.raises(PermissionError):
        await connect(path)
    reader, writer = await asyncio.open_unix_connection(str(path))
    assert await reader.read() == b"", "and the listener hears nothing from them"
    writer.close()
    lines.cut()
    listener.close()


async def test_an_endless_line_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "LINE_LIMIT", 100_000)
    caught: list[BaseException] = []
    heard = asyncio.Event()

    async def reads(lines: Lines) -> None:
        try:
            await lines.read()
        except LineTooLong as error:
            caught.append(error)
        heard.set()

    listener = await listen(tmp_path / "conv.sock", reads)
    _, writer = await asyncio.open_unix_connection(str(tmp_path / "conv.sock"))
    with pytest.raises(ConnectionError):
        while True:
            writer.write(b"x" * 50_000)
            await writer.drain()
            await asyncio.sleep(0)
    assert caught
    listener.close()


async def test_what_a_peer_does_not_read_is_counted(tmp_path: Path) -> None:
    peers: list[Lines] = []

    async def keeps(lines: Lines) -> None:
        peers.append(lines)
        await lines.read()

    listener = await listen(tmp_path / "conv.sock", keeps)
    lines = await connect(tmp_path / "conv.sock")
    lines.write(b"hello")  # no whole line
    while not peers:  # noqa: ASYNC110 - the other side is waited for
        await asyncio.sleep(0.01)
    for _ in range(100):
        peers[0].write(b"y" * 99_999 + b"\n")
    assert peers[0].unsent > 5_000_000
    peers[0].cut()
    assert peers[0].unsent == 0
    listener.close()
    lines.cut()
