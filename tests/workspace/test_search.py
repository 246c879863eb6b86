"""Search and walk: ripgrep and the Python engine agree, ignored and binary files stay out, nothing hangs."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letta_code.core.errors import WorkspaceError
from letta_code.workspace.globs import matcher
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.ripgrep_lines import SHOWN_LINE, Lines
from letta_code.workspace.workspace import Found, SearchLine, SearchQuery

FILES = {
    ".gitignore": "*.log\nbuild/\n/only-top.txt\n!keep.log\n",
    "src/app.py": "import os\n\ndef main():\n    return 'needle'\n\nmain()\n",
    "src/view.ts": "const needle = 1\n",
    "src/deep/er/mod.py": "# Needle in a comment\nNEEDLE = 2\n",
    "src/.gitignore": "secret.py\n",
    "src/secret.py": "needle\n",
    "src/deep/secret.py": "needle\n",
    "noise.log": "needle\n",
    "keep.log": "needle\n",
    "build/out.py": "needle\n",
    "only-top.txt": "needle\n",
    "sub/only-top.txt": "needle\n",
    ".github/ci.yml": "needle: yes\n",
    "crlf.txt": "one\r\nneedle\r\nthree\r\n",
    "no-newline.txt": "needle",
    "empty.txt": "",
    "a.b-c d/sp ace.md": "needle (a+b)\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for index, (name, text) in enumerate(FILES.items()):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        os.utime(path, (1_000_000 + index, 1_000_000 + index))
    (tmp_path / "binary.bin").write_bytes(b"\0\1needle\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("needle\n")
    (tmp_path / "link.py").symlink_to("src/app.py")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path.resolve()


@pytest.fixture(params=["ripgrep", "python"])
async def workspace(request: pytest.FixtureRequest, tree: Path) -> AsyncIterator[LocalWorkspace]:
    made = LocalWorkspace(str(tree), use_ripgrep=request.param == "ripgrep")
    assert made.capabilities.search_engine == request.param
    yield made
    await made.close()


async def find(workspace: LocalWorkspace, path: str = ".", **query: object) -> Found:
    async with asyncio.timeout(20):
        return await workspace.search(await workspace.resolve(path, "list"), SearchQuery(**query))  # pyright: ignore[reportArgumentType]


def names(found: Found) -> list[str]:
    return sorted({line.path for line in found.lines})


VISIBLE = [
    "a.b-c d/sp ace.md",
    "crlf.txt",
    "keep.log",
    "no-newline.txt",
    "src/app.py",
    "src/view.ts",
    "sub/only-top.txt",
]


async def test_files_that_git_ignores_hidden_binary_and_special_ones_stay_out(workspace: LocalWorkspace) -> None:
    assert names(await find(workspace, pattern="needle")) == VISIBLE
    assert names(await find(workspace, pattern="needle", hidden=True)) == [".github/ci.yml", *VISIBLE]
    everything = names(await find(workspace, pattern="needle", no_ignore=True))
    assert everything == sorted(
        [*VISIBLE, "build/out.py", "noise.log", "only-top.txt", "src/secret.py", "src/deep/secret.py"]
    )


async def test_files_come_newest_first(workspace: LocalWorkspace) -> None:
    found = await find(workspace, pattern="needle", mode="files")
    assert [line.path for line in found.lines] == [name for name in reversed(FILES) if name in VISIBLE]


QUERIES: dict[str, dict[str, object]] = {
    "lines": {"pattern": "needle"},
    "ignoring case": {"pattern": "needle", "ignore_case": True},
    "literal": {"pattern": "(a+b)", "literal": True},
    "anchored": {"pattern": "^needle$"},
    "context": {"pattern": "def main", "before": 2, "after": 1},
    "overlapping context": {"pattern": "main", "before": 1, "after": 1},
    "multiline": {"pattern": r"main\(\):\n.*needle", "multiline": True},
    "by name": {"pattern": "needle", "globs": ("*.py",), "ignore_case": True},
    "several names": {"pattern": "needle", "globs": ("*.{ts,md}", "*.txt")},
    "by path": {"pattern": "needle", "globs": ("src/**",), "ignore_case": True},
    "without some": {"pattern": "needle", "globs": ("!src/**", "!*.md")},
    "names without some": {"pattern": "needle", "globs": ("*.py", "!app.py"), "ignore_case": True},
    "by type": {"pattern": "needle", "file_type": "py", "ignore_case": True},
    "ignored by glob": {"pattern": "needle", "globs": ("*.log",)},
    "nothing": {"pattern": "no such thing"},
}


@pytest.mark.parametrize("kind", QUERIES)
@pytest.mark.parametrize("mode", ["content", "count", "files"])
async def test_both_engines_agree(tree: Path, kind: str, mode: str) -> None:
    results: list[Found] = []
    for engine in (True, False):
        workspace = LocalWorkspace(str(tree), use_ripgrep=engine)
        results.append(await find(workspace, **{**QUERIES[kind], "mode": mode}))
        await workspace.close()
    if kind == "multiline" and mode == "count":
        results = [Found(lines=tuple(SearchLine(path=ln.path) for ln in f.lines)) for f in results]  # lines or matches
    assert results[0] == results[1]
    assert (results[0].lines == ()) == (kind == "nothing")


async def test_an_ignored_file_is_not_brought_back_by_a_glob(workspace: LocalWorkspace) -> None:
    assert names(await find(workspace, pattern="needle", globs=("*.log",))) == ["keep.log"]
    assert names(await find(workspace, pattern="needle", globs=("**/*.py",))) == ["src/app.py"]


async def test_one_file(workspace: LocalWorkspace) -> None:
    found = await find(workspace, "src/app.py", pattern="needle|os", mode="content")
    assert [(line.path, line.line, line.text) for line in found.lines] == [
        ("app.py", 1, "import os"),
        ("app.py", 4, "    return 'needle'"),
    ]
    for path in ("fifo", "missing"):
        with pytest.raises(WorkspaceError):
            await find(workspace, path, pattern="x")


async def test_the_limit_is_told(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "many.txt").write_text("".join(f"row {n}\n" for n in range(1000)))
    found = await find(workspace, pattern="row", mode="content", limit=10)
    assert (len(found.lines), found.more) == (10, True)
    assert [line.line for line in found.lines] == list(range(1, 11))
    found = await find(workspace, pattern="row", mode="content", limit=1000)
    assert (len(found.lines), found.more) == (1000, False)


async def test_a_bad_expression_says_what_to_do(workspace: LocalWorkspace) -> None:
    with pytest.raises(WorkspaceError, match="literal"):
        await find(workspace, pattern="(")
    with pytest.raises(WorkspaceError, match=r"[Tt]ype"):
        await find(workspace, pattern="x", file_type="nosuchtype")


async def test_long_lines_are_cut_around_the_match(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "long.js").write_text("x" * 1_000_000 + "needle" + "y" * 1_000_000)
    (line,) = (await find(workspace, "long.js", pattern="needle", mode="content")).lines
    assert "needle" in line.text
    assert len(line.text) < SHOWN_LINE + 50
    assert "2,000,006 bytes" in line.text


async def test_a_line_with_a_million_matches_costs_little(tree: Path) -> None:
    (tree / "dense.js").write_text("y" * 2_000_000 + "\nneedle\n")
    workspace = LocalWorkspace(str(tree))
    first, second = (await find(workspace, "dense.js", pattern="y|needle", mode="content")).lines
    assert "too long" in first.text
    assert (second.line, second.text) == (2, "needle")
    await workspace.close()


async def test_huge_sparse_file_and_fifo_do_not_hang(workspace: LocalWorkspace, tree: Path) -> None:
    with (tree / "huge.dat").open("wb") as file:
        file.truncate(4 * 1024**3)
    began = time.monotonic()
    assert names(await find(workspace, pattern="needle")) == VISIBLE
    assert time.monotonic() - began < 5


async def test_unreadable_and_odd_names(workspace: LocalWorkspace, tree: Path) -> None:
    (tree / "new\nline.txt").write_text("odd needle\n")
    (tree / os.fsdecode(b"\xff.txt")).write_text("odd needle\n")
    found = await find(workspace, pattern="odd", mode="content")
    assert names(found) == ["\\xff.txt", "new\\nline.txt"]
    walked = await workspace.walk(await workspace.resolve(".", "list"), "*.txt")
    assert {"\\xff.txt", "new\\nline.txt"} <= set(walked.paths)


async def test_walk(workspace: LocalWorkspace) -> None:
    root = await workspace.resolve(".", "list")
    walked = await workspace.walk(root, "*.py")
    assert walked.paths == ("src/deep/er/mod.py", "src/app.py")
    assert (await workspace.walk(root, "src/*.{py,ts}")).paths == ("src/view.ts", "src/app.py")
    assert (await workspace.walk(root, ".github/**")).paths == (".github/ci.yml",)
    assert set((await workspace.walk(root, "**/secret.py", ignored=True)).paths) == {
        "src/secret.py",
        "src/deep/secret.py",
    }
    assert "link.py" not in (await workspace.walk(root)).paths
    limited = await workspace.walk(root, limit=2)
    assert (len(limited.paths), limited.more) == (2, True)
    with pytest.raises(WorkspaceError, match="not a directory"):
        await workspace.walk(await workspace.resolve("src/app.py", "list"))


async def test_the_ignore_files_above_count_within_a_repository(workspace: LocalWorkspace) -> None:
    assert (await workspace.walk(await workspace.resolve("src/deep", "list"))).paths == ("er/mod.py",)


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.py", ["a.py", "x/y/a.py"], ["a.pyc", "a.py/x"]),
        ("src/*.py", ["src/a.py"], ["src/x/a.py", "x/src/a.py"]),
        ("**/*.py", ["a.py", "x/a.py", "x/y/a.py"], ["a.ts"]),
        ("src/**", ["src/a", "src/x/y"], ["src", "other/a"]),
        ("src/", ["src/a", "src/x/y", "lib/src/a"], ["source/a"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "ab"]),
        ("*.{ts,tsx}", ["a.ts", "x/a.tsx"], ["a.t", "a.{ts,tsx}"]),
        ("[a-c]?.txt", ["ax.txt", "c1.txt"], ["dx.txt", "a/.txt", "a.txt"]),
        ("[!a].txt", ["b.txt"], ["a.txt", "/.txt"]),
        ("./top.md", ["top.md"], []),
        ("/top.md", ["top.md"], []),
        ("a[b", ["a[b"], ["ab"]),
        (r"\*.py", ["*.py"], ["a.py"]),
        ("a+(b).c", ["a+(b).c"], ["aab.c"]),
        ("**", ["a", "a/b"], []),
    ],
)
def test_globs(glob: str, yes: list[str], no: list[str]) -> None:
    match = matcher(glob).fullmatch
    assert [path for path in yes if not match(path)] == []
    assert [path for path in no if match(path)] == []


def test_a_glob_with_an_open_brace_is_told() -> None:
    with pytest.raises(WorkspaceError, match="brace"):
        matcher("*.{a,b")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_ripgrep_output_may_come_in_any_pieces(size: int) -> None:
    text = (
        b'{"type":"begin","data":{"path":{"text":"./a.py"}}}\n'
        b'{"type":"match","data":{"path":{"text":"./a.py"},"lines":{"bytes":"/wo="},"line_number":3,'
        b'"absolute_offset":0,"submatches":[{"match":{"text":"x"},"start":0,"end":1}]}}\n'
        b'{"type":"context","data":{"path":{"text":"./a.py"},"lines":{"text":"next\\n"},"line_number":4,'
        b'"absolute_offset":2,"submatches":[]}}\n'
        b'{"type":"end","data":{"path":{"text":"./a.py"},"binary_offset":null,"stats":{}}}\n'
        b'{"data":{"stats":{}},"type":"summary"}\n'
    )
    found: list[SearchLine] = []
    reader = Lines(lambda _, line: found.append(line))
    for start in range(0, len(text), size):
        reader.add(text[start : start + size])
    assert [(line.line, line.text, line.is_match) for line in found] == [(3, "\ufffd", True), (4, "next", False)]


@pytest.mark.parametrize("target", ["d", "d/f"])
async def test_a_racing_link_never_leads_a_search_out(workspace: LocalWorkspace, tree: Path, target: str) -> None:
    """One thread swaps a folder and a link to a secret place; what is judged inside never shows the secret."""
    secret = tree.parent / f"{tree.name}-secret"
    secret.mkdir()
    (secret / "f").write_text("needle of somebody else\n")
    (tree / "real").mkdir()
    (tree / "real" / "f").write_text("needle of the tree\n")
    (tree / "link").symlink_to(secret)
    going = True

    def swap() -> None:
        while going:
            os.rename(tree / "real", tree / "d")
            time.sleep(0.001)
            os.rename(tree / "d", tree / "real")
            os.rename(tree / "link", tree / "d")
            time.sleep(0.001)
            os.rename(tree / "d", tree / "link")

    thread = threading.Thread(target=swap)
    thread.start()
    texts: set[str] = set()
    try:
        for _ in range(150):
            try:
                handle = await workspace.resolve(target, "list")
                found = await workspace.search(handle, SearchQuery(pattern="needle", mode="content"))
            except WorkspaceError:
                continue
            texts |= {line.text for line in found.lines if handle.inside}
    finally:
        going = False
        thread.join()
    assert texts <= {"needle of the tree"}


@pytest.mark.parametrize("swapped", ["d", "d/f"])
async def test_what_became_a_link_since_it_was_judged_is_not_searched(
    workspace: LocalWorkspace, tree: Path, swapped: str
) -> None:
    secret = tree.parent / f"{tree.name}-secret"
    secret.mkdir()
    (secret / "f").write_text("needle of somebody else\n")
    (tree / "d").mkdir()
    (tree / "d" / "f").write_text("plain\n")
    folder, file = [await workspace.resolve(name, "list") for name in ("d", "d/f")]
    (tree / swapped).rename(tree / "old")
    (tree / swapped).symlink_to(secret / "f" if swapped == "d/f" else secret)
    with pytest.raises(WorkspaceError, match=r"link|replaced"):
        await workspace.search(file, SearchQuery(pattern="needle"))
    if swapped == "d":
        with pytest.raises(WorkspaceError, match=r"link|replaced"):
            await workspace.search(folder, SearchQuery(pattern="needle"))
        with pytest.raises(WorkspaceError, match=r"link|replaced"):
            await workspace.walk(folder)


async def test_a_ripgrep_of_the_work_tree_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would run outside the sandbox, and a command may have put it there: beside our Python, or on PATH."""
    tree, bin_, elsewhere = tmp_path / "tree", tmp_path / "tree/.venv/bin", tmp_path / "elsewhere"
    bin_.mkdir(parents=True)
    elsewhere.mkdir()
    (bin_ / "rg").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (bin_ / "rg").chmod(0o755)
    (elsewhere / "rg").symlink_to(bin_ / "rg")
    (tree / "a.txt").write_text("needle\n")
    monkeypatch.setattr(sys, "executable", str(bin_ / "python"))
    workspace = LocalWorkspace(str(tree), environment={"PATH": f"{bin_}:{elsewhere}"})
    handle = await workspace.resolve("a.txt", "read")
    found = await workspace.search(handle, SearchQuery(pattern="needle"))
    await workspace.close()
    assert len(found.lines) == 1
    assert not (tmp_path / "ran").exists()
