"""A rewind that is killed in its middle: the next start says so, and /undo goes back all the way."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from tests.e2e.terminal import ROOT, Terminal

FILES = 3000
MAKE = f"mkdir d; i=0; while [ $i -lt {FILES} ]; do echo $i > d/$i; i=$((i+1)); done; echo changed > old.txt"


def begin(work: Path, script: Path, *more: str) -> Terminal:
    command = ["-m", "letta_code", "--plain", "--model", f"scripted:{script}", "--mode", "full", *more]
    return Terminal(*command, cwd=work, env={"PYTHONPATH": str(ROOT)}, columns=200, lines=40)


def test_killed_in_the_middle_it_is_told_and_undo_ends_it(tmp_path: Path) -> None:
    work, script = tmp_path / "work", tmp_path / "script.json"
    work.mkdir()
    (work / "old.txt").write_text("old\n")
    turns = [{"text": "I make.", "tools": [{"name": "Bash", "args": {"command": MAKE}}]}, {"text": "All is made."}]
    script.write_text(json.dumps({"turns": turns}))
    terminal = begin(work, script)
    try:
        terminal.until("\n>")
        terminal.send("go\r")
        terminal.until("All is made.", 60)
        assert len(os.listdir(work / "d")) == FILES
        terminal.until(has_end)  # what the run left is kept: an undo can tell it from the person's
        terminal.send("/undo\r")
        wait = time.monotonic() + 60
        while len(os.listdir(work / "d")) == FILES:
            assert time.monotonic() < wait, "it never began"
        os.kill(terminal.child.pid, signal.SIGKILL)
    finally:
        terminal.close()
    left = len(os.listdir(work / "d")) if (work / "d").exists() else 0
    assert 0 < left < FILES, "it was not killed in the middle"
    terminal = begin(work, script, "--continue")
    try:
        terminal.until("Going back was cut off", 60)
        terminal.until("\n>")
        (work / "mine.txt").write_text("mine\n")
        terminal.send("/undo\r")
        terminal.until("Undone:", 60)
    finally:
        terminal.close()
    assert not (work / "d").exists()
    assert (work / "old.txt").read_text() == "old\n"
    assert (work / "mine.txt").read_text() == "mine\n"


def has_end() -> bool:
    """Whether the store of this home names what a run left."""
    home = Path(os.environ["LETTA_HOME"])
    return any("%2Eend" in path.name for path in home.glob("**/refs/kept/*"))
