"""Row K05: a folder of very many files and links in circles costs the start nothing, because nothing walks it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_code.core.requests import Approve
from tests.adversarial.stage import Stage

_seen: list[tuple[str, str]] = []
_watched: list[str] = []
_LOOKS = ("os.scandir", "os.listdir")


def _watch(event: str, args: tuple[object, ...]) -> None:
    if not _watched:
        return
    if event in _LOOKS and os.path.realpath(os.fsdecode(str(args[0] or "."))).startswith(_watched[0]):
        _seen.append(("look", str(args[0])))
    elif event in ("subprocess.Popen", "os.posix_spawn"):
        _seen.append(("start", " ".join(map(str, args[1] if isinstance(args[1], list | tuple) else ()))))
    elif event == "socket.connect":
        _seen.append(("connect", str(args[1])))


sys.addaudithook(_watch)


@pytest.fixture
def crowded(stage: Stage) -> Iterator[Path]:
    """The work tree, crowded, and watched from here on."""
    for number in range(150):
        folder = stage.ws / f"d{number}" / "deep" / "er"
        folder.mkdir(parents=True)
        for name in range(4):
            (folder / f"f{name}").write_text("needle\n")
    for name, target in (
        ("self", "self"),
        ("loop", "."),
        ("d1/up", ".."),
        ("d2/other", "../d3"),
        ("d3/other", "../d2"),
    ):
        (stage.ws / name).symlink_to(target)
    _seen.clear()
    _watched.append(os.path.realpath(stage.ws))
    yield stage.ws
    _watched.clear()


@pytest.mark.row("K05")
async def test_nothing_walks_the_tree_before_the_first_request(stage: Stage, sandbox: str, crowded: Path) -> None:
    played = await stage.play(("List", {}))
    server = str(stage.server.url.rpartition(":")[2])
    first = next(number for number, (what, words) in enumerate(_seen) if what == "connect" and server in words)
    before = _seen[:first]
    assert {words for what, words in before if what == "look"} <= {str(crowded), "."}  # its top only
    assert not any("git" in os.path.basename(words.split(" ")[0]) for what, words in before if what == "start")
    assert "d0" in played.text


@pytest.mark.row("K05")
async def test_links_in_circles_end(stage: Stage, sandbox: str, crowded: Path) -> None:
    """Searches and commands come to an end, each file found once."""
    played = await stage.play(
        ("Grep", {"pattern": "needle"}),
        ("Glob", {"pattern": "**/f0"}),
        ("Bash", {"command": "find . -name f0 | wc -l"}),
        answer=Approve(),
        mode="auto",
    )
    assert [result.status for result in played.results] == ["ok"] * 3
    assert "up/" not in played.text
    assert "loop/" not in played.text
    assert "150" in played.text
