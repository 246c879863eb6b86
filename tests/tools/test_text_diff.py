"""Diffs: they apply, count rightly, and cost as much as the change."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letta_code.tools.text.diff import LINE_CAP, added_block, deleted_block, diff_block, whole_diff
from letta_code.tools.text.replace import Span, apply

LINES = st.lists(st.sampled_from(["a", "b", "", "x = 1", "}", "-- c"]), max_size=30)


def patched(folder: Path, old: str, diff: str) -> str:
    file = folder / "file"
    file.write_text(old)
    header = "--- file\n+++ file\n"
    subprocess.run(
        ["patch", "-s", "--no-backup-if-mismatch", "file"],
        input=header + diff + "\n",
        text=True,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return file.read_text()


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs the program patch")
@settings(max_examples=60, deadline=None)
@given(old=LINES, new=LINES, ends=st.booleans())
def test_patch_makes_the_new_text_of_the_old_one(tmp_path_factory: pytest.TempPathFactory, old, new, ends):
    before, after = "".join(f"{line}\n" for line in old), "\n".join(new) + ("\n" if ends and new else "")
    block = whole_diff("file", before, after)
    if before == after:
        assert block.diff == ""
    elif before and after:  # patch(1) removes a file that becomes empty
        assert patched(tmp_path_factory.mktemp("patch"), before, block.diff) == after


def test_hunks_far_apart_stay_apart_and_count_lines_by_the_new_file():
    content = "".join(f"{i}\n" for i in range(1, 101))
    spans = [
        Span(start=0, end=2, text="one\nand a half\n"),
        Span(start=content.index("90"), end=content.index("91"), text=""),
    ]
    block = diff_block("file", content, spans)
    assert [line for line in block.diff.split("\n") if line.startswith("@@")] == [
        "@@ -1,4 +1,5 @@",
        "@@ -87,7 +88,6 @@",
    ]
    assert (block.added, block.removed, block.cut) == (2, 2, 0)
    assert apply(content, spans).startswith("one\nand a half\n2\n")


def test_a_missing_last_newline_is_said():
    assert whole_diff("f", "a\nb", "a\nb\n").diff.split("\n")[1:] == [
        " a",
        "-b",
        "\\ No newline at end of file",
        "+b",
    ]


def test_crlf_and_cr_files_have_the_same_diff_as_lf_files():
    plain = whole_diff("f", "a\nb\nc\n", "a\nX\nc\n").diff
    assert whole_diff("f", "a\r\nb\r\nc\r\n", "a\r\nX\r\nc\r\n").diff == plain
    assert whole_diff("f", "a\rb\rc\r", "a\rX\rc\r").diff == plain


def test_long_diffs_are_cut_and_say_how_many_lines():
    block = added_block("f", "x\n" * 5000)
    assert block.added == 5000
    assert len(block.diff.split("\n")) == LINE_CAP
    assert block.cut == 5001 - LINE_CAP


def test_added_and_deleted():
    assert added_block("f", "a\nb").diff == "@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file"
    gone = deleted_block("f", "a\n")
    assert (gone.diff, gone.status, gone.removed, gone.added) == ("@@ -1 +0,0 @@\n-a", "deleted", 1, 0)
    assert deleted_block("f", "").diff == ""


def test_a_small_change_of_a_large_file_is_quick():
    content = "some line of text\n" * 500_000
    began = time.perf_counter()
    block = diff_block("f", content, [Span(start=4_000_000, end=4_000_010, text="x")])
    assert time.perf_counter() - began < 0.2
    assert (block.added, block.removed) == (1, 1)


def test_a_rewritten_large_file_is_quick_too():
    old, new = "".join(f"{i}\n" for i in range(60_000)), "".join(f"{i * 7}\n" for i in range(60_000))
    began = time.perf_counter()
    block = whole_diff("f", old, new)
    assert time.perf_counter() - began < 2
    assert block.cut > 0
