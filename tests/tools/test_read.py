"""Read: numbered pages, pictures, notebooks, and what it refuses."""

from __future__ import annotations

import base64
import codecs
import hashlib
import os
import resource
import struct
import time
import zlib
from pathlib import Path

import msgspec
import pytest

from letta_code.core.display import FileBlock, ImageBlock
from letta_code.core.errors import ToolError
from letta_code.core.messages import ImagePart
from letta_code.llm.model import ModelInfo
from letta_code.safety.operations import ReadOperation
from letta_code.tools.read import Read
from letta_code.workspace.local import LocalWorkspace
from tests.tools.context import FakeContext

READ = Read()


@pytest.fixture
def ctx(tmp_path: Path) -> FakeContext:
    return FakeContext(LocalWorkspace(str(tmp_path), str(tmp_path / ".temp")))


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_lines_come_with_their_numbers(ctx: FakeContext, tmp_path: Path):
    data = b"def f():\n\treturn 1\n\n# end\n"
    (tmp_path / "a.py").write_bytes(data)
    result = await ctx.call(READ, path="a.py")
    assert result.content[0].text == "1:def f():\n2:\treturn 1\n3:\n4:# end"
    assert result.blocks == (FileBlock(path="a.py", text="def f():\n\treturn 1\n\n# end", total_lines=4),)
    assert ctx.seen.sha_of(str(tmp_path / "a.py")) == sha(data)


async def test_pages_go_on_where_they_say(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "a").write_text("".join(f"{i}\n" for i in range(1, 5001)))
    first = await ctx.text(READ, path="a")
    assert first.endswith("\n2000:2000\n[lines 1-2000 of 5000; go on with offset=2001]")
    assert await ctx.text(READ, path="a", offset=4999) == "4999:4999\n5000:5000"
    assert await ctx.text(READ, path="a", offset=7, limit=1) == "7:7\n[lines 7-7 of 5000; go on with offset=8]"
    with pytest.raises(ToolError, match="a has 5000 lines; offset 5001 is past its end"):
        await ctx.call(READ, path="a", offset=5001)


async def test_a_page_ends_at_50_000_characters_and_lines_at_2_000(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "a").write_text("\n".join("é" * 3000 for _ in range(100)))
    text = await ctx.text(READ, path="a")
    assert "1:" + "é" * 2000 + " […1,000 more characters]\n" in text
    assert 48_000 < len(text) < 52_000
    assert "of 100; go on with offset=25" in text


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (b"a\r\nb\r\n", "[CRLF line endings]"),
        (b"a\r\nb\nc\n", "[mixed line endings]"),
        (b"a\rb\r", "[CR line endings]"),
        (b"a\nb", "[no newline at the end of the file]"),
        (codecs.BOM_UTF8 + b"a\nb\n", "[UTF-8 with BOM]"),
        (codecs.BOM_UTF16_LE + "a\r\nb\r\n".encode("utf-16-le"), "[UTF-16 LE with BOM; CRLF line endings]"),
        (b"a\nb \xe9t\n", "[latin-1]"),
        (b"a\nb \x80t\n", "[Windows-1252]"),
    ],
)
async def test_what_is_special_about_a_file_is_said(ctx: FakeContext, tmp_path: Path, data: bytes, note: str):
    (tmp_path / "a").write_bytes(data)
    text = await ctx.text(READ, path="a")
    assert text.startswith("1:a\n2:b")
    assert text.endswith("\n" + note)
    assert ctx.seen.sha_of(str(tmp_path / "a")) == sha(data)


async def test_an_empty_file_is_called_so_and_may_be_edited(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "a").touch()
    assert await ctx.text(READ, path="a") == "(a is empty)"
    assert ctx.seen.sha_of(str(tmp_path / "a")) == sha(b"")


async def test_files_of_proc_say_size_0_and_are_read(ctx: FakeContext):
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here")
    assert "Name:" in await ctx.text(READ, path="/proc/self/status")


async def test_a_missing_file_names_its_like(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "src").mkdir()
    for name in ("session.py", "Sessions.ts", "other.txt"):
        (tmp_path / "src" / name).touch()
    with pytest.raises(
        ToolError, match=r"src/sesion.py does not exist. Like names in its folder: session.py, Sessions.ts"
    ):
        await ctx.call(READ, path="src/sesion.py")
    kinds = [(w.operation.path, w.operation.file_kind) for w in ctx.wanted if isinstance(w.operation, ReadOperation)]
    assert kinds == [(str(tmp_path / "src/sesion.py"), "missing"), (str(tmp_path / "src"), "directory")]
    with pytest.raises(ToolError, match="Its folder gone does not exist either"):
        await ctx.call(READ, path="gone/a.py")


@pytest.mark.row("K06", "C08")
async def test_folders_devices_and_binaries_are_refused_with_what_to_do(ctx: FakeContext, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bin").write_bytes(b"\x7fELF\x00\x01" * 50)
    with pytest.raises(ToolError, match="is a folder; use List"):
        await ctx.call(READ, path=".")
    with pytest.raises(ToolError, match="device, pipe or socket"):
        await ctx.call(READ, path="pipe")
    with pytest.raises(ToolError, match="device, pipe or socket"):
        await ctx.call(READ, path="/dev/zero")
    with pytest.raises(ToolError, match="bin is an ELF program"):
        await ctx.call(READ, path="bin")
    assert ctx.seen.versions == {}


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"".join(b"\0" + b"\xff\0\0" * width for _ in range(height)))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0" + b"\xff\xc0\x00\x11\x08\x00\x20\x00\x30\x03" + b"\0" * 20
GIF = b"GIF89a" + struct.pack("<HH", 48, 32) + b"\0" * 20
WEBP = (
    b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + (47).to_bytes(3, "little") + (31).to_bytes(3, "little") + b"\0" * 9
)


@pytest.mark.parametrize(
    ("data", "media_type", "size"),
    [
        (png(48, 32), "image/png", (48, 32)),
        (JPEG, "image/jpeg", (48, 32)),
        (GIF, "image/gif", (48, 32)),
        (WEBP, "image/webp", (48, 32)),
    ],
)
async def test_a_picture_goes_to_a_model_that_sees(tmp_path: Path, data: bytes, media_type: str, size: tuple[int, int]):
    ctx = FakeContext(LocalWorkspace(str(tmp_path)), model=ModelInfo(name="m", sees_images=True))
    (tmp_path / "p").write_bytes(data)
    result = await ctx.call(READ, path="p")
    text, picture = result.content
    assert f"{size[0]}x{size[1]} pixels" in text.text
    assert isinstance(picture, ImagePart)
    assert (base64.b64decode(picture.data), picture.media_type, picture.name) == (data, media_type, "p")
    assert result.blocks == (
        ImageBlock(path="p", media_type=media_type, width=size[0], height=size[1], bytes=len(data)),
    )


async def test_a_picture_for_a_model_that_does_not_see_or_too_large(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "p.png").write_bytes(png(4, 4) + b"\0" * 5_000_001)
    result = await ctx.call(READ, path="p.png")
    assert "cannot see pictures" in result.content[0].text
    assert len(result.content) == 1
    ctx.model = ModelInfo(name="m", sees_images=True)
    with pytest.raises(ToolError, match="larger than 5 MB"):
        await ctx.call(READ, path="p.png")


async def test_a_notebook_shows_its_cells_and_its_json_on_demand(ctx: FakeContext, tmp_path: Path):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "words"]},
        {
            "cell_type": "code",
            "source": "1 + 1",
            "outputs": [
                {"output_type": "execute_result", "data": {"text/plain": ["2"], "image/png": "AAAA"}},
                {"output_type": "stream", "text": "x" * 9000},
                {"output_type": "error", "ename": "ValueError", "evalue": "bad"},
            ],
        },
    ]
    data = msgspec.json.format(msgspec.json.encode({"cells": cells, "metadata": {}, "nbformat": 4}), indent=1)
    (tmp_path / "n.ipynb").write_bytes(data)
    text = await ctx.text(READ, path="n.ipynb")
    assert text.startswith(
        "[cell 1, markdown]\n# Title\nwords\n[cell 2, code]\n1 + 1\n[output] 2 (image/png)\n[output] xxx"
    )
    assert "7,000 characters left out" in text
    assert "[output] ValueError: bad" in text
    assert "Edit works on its JSON" in text
    assert (await ctx.text(READ, path="n.ipynb", offset=1, limit=3)).startswith('1:{\n2: "cells": [\n')
    (tmp_path / "odd.ipynb").write_text("not json")
    assert (await ctx.text(READ, path="odd.ipynb")).startswith("1:not json")


async def test_a_file_of_many_megabytes_is_paged_hashed_and_counted(ctx: FakeContext, tmp_path: Path):
    data = b"".join(b"line %d\r\n" % i for i in range(1, 800_001))
    (tmp_path / "big").write_bytes(data)
    text = await ctx.text(READ, path="big", offset=700_000, limit=2)
    assert text == (
        "700000:line 700000\n700001:line 700001\n"
        "[lines 700000-700001 of 800000; go on with offset=700002; CRLF line endings]"
    )
    assert ctx.seen.sha_of(str(tmp_path / "big")) == sha(data)
    assert (await ctx.text(READ, path="big", offset=800_000)).startswith("800000:line 800000\n[CRLF")
    with pytest.raises(ToolError, match="800000 lines"):
        await ctx.call(READ, path="big", offset=800_001)


async def test_pages_of_a_large_file_equal_those_of_a_small_one(ctx: FakeContext, tmp_path: Path, monkeypatch):
    lines = [("é🙂" * (i % 50) + str(i))[: i % 211] for i in range(60_000)]
    (tmp_path / "a").write_text("\n".join(lines), encoding="utf-8")
    for offset in (1, 2, 777, 30_000, 59_990):
        at_once = await ctx.text(READ, path="a", offset=offset, limit=40)
        with monkeypatch.context() as patch:
            patch.setattr("letta_code.tools.read.AT_ONCE", 0)
            patch.setattr("letta_code.tools.text.paging.CHUNK", 4099)
            assert await ctx.text(READ, path="a", offset=offset, limit=40) == at_once


async def test_a_large_file_in_another_encoding_is_shown_in_it(ctx: FakeContext, tmp_path: Path):
    data = b"plain\n" * 900_000 + b"caf\xe9 x\n"
    (tmp_path / "a").write_bytes(data)
    assert await ctx.text(READ, path="a", offset=900_001) == "900001:café x\n[latin-1]"
    assert ctx.seen.sha_of(str(tmp_path / "a")) == sha(data)


@pytest.mark.row("K06")
async def test_4_gb_and_a_line_of_50_mb_cost_little(ctx: FakeContext, tmp_path: Path):
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.write(b"first\nsecond\n" * 100_000)
        file.truncate(4_000_000_000)
    (tmp_path / "min.js").write_bytes(b"x" * 50_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    text = await ctx.text(READ, path="huge", offset=5, limit=2)
    assert text.startswith(
        "5:first\n6:second\n[lines 5-6 of a file of 4,000 MB; go on with offset=7; larger than 50 MB"
    )
    assert ctx.seen.sha_of(str(huge)) is None, "what is not hashed cannot be edited"
    assert "[…49,998,000 more bytes]" in await ctx.text(READ, path="min.js")
    with pytest.raises(ToolError, match="beyond its first 512 MB"):
        await ctx.call(READ, path="huge", offset=10_000_000)
    assert time.perf_counter() - began < 10
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert used < 64_000, f"{used} kB"


async def test_the_block_for_the_person_is_short(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "a").write_text("word " * 30 + "\n" * 3000)
    block = (await ctx.call(READ, path="a")).blocks[0]
    assert isinstance(block, FileBlock)
    assert block.text.count("\n") < 40
    assert block.total_lines == 3000


async def test_names_with_control_characters_are_shown_escaped(ctx: FakeContext, tmp_path: Path):
    (tmp_path / "a\x1b[31m\nb").write_text("x\n")
    result = await ctx.call(READ, path="a\x1b[31m\nb")
    assert result.content[0].text == "1:x"
    assert READ.title(READ.args(path="a\x1b[31m\nb")) == "Read a\\x1b[31m\\nb"
    with pytest.raises(ToolError, match=r"Like names in its folder: a\\x1b\[31m\\nb"):
        await ctx.call(READ, path="a\x1b[31m\nc")
