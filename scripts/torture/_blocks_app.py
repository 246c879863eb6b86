"""A person's git and editor change memory while a real letta-code works: nothing is lost, model and person are told.

As a program it is that letta-code, with a planted fault or none: `_blocks_app.py PLANT FLAGS…`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LABEL = "human"
SEED = 60  # lines that stand there before

Git = Callable[..., str]
Find = Callable[[str, str], None]


class Played(NamedTuple):
    """What happened: texts of the person, of calls that were told to be kept, and what was told to whom."""

    by_hand: list[str]
    acknowledged: list[str]
    to_model: str
    to_person: str
    conflicts: int
    errors: int


def script(rounds: int) -> str:
    """A model that talks slowly and edits one line a turn, and adds one; it never looks at what it is told."""
    turns: list[dict[str, Any]] = []
    for number in range(rounds):
        edit = {
            "command": "str_replace",
            "label": LABEL,
            "old_string": f"line {number}.",
            "new_string": f"app {number}.",
        }
        add = {"command": "insert", "label": LABEL, "insert_text": f"added {number}."}
        calls = [{"name": "memory", "args": edit}, {"name": "memory", "args": add}]
        turns.append({"text": f"Turn {number}. I think.", "tools": calls, "delay": 0.03, "pieces": 30})
    return json.dumps({"turns": [*turns, {"text": "Done."}, {"text": "Seen.", "repeat": "forever"}]})


def play(home: Path, root: Path, rounds: int, plant: str, git: Git) -> Played:
    """Run letta-code; while the model talks, and before its calls, change memory by hand."""
    project, model = home / "project", f"scripted:{home / 'script.yaml'}"
    project.mkdir()
    (home / "script.yaml").write_text(script(rounds), encoding="utf-8")
    by_hand: list[str] = []
    for number in _turns(home, project, model, plant):
        if number >= rounds:
            continue
        text, (line, way) = f"hand {number}.", _manner(number)
        _edit(root, f"line {line}.", text)
        if way == "git":
            git(root, "commit", "-q", "-a", "-m", text, check=False)
        by_hand.append(text)
    events = _said(home, project, model, plant)
    return _judged(events, by_hand)


def _manner(number: int) -> tuple[int, str]:
    """Which line a person changes while the model is about to change line `number`, and by what."""
    match number % 4:
        case 0:
            return number, "file"  # both change the same line
        case 1:
            return number, "git"
        case 2:
            return SEED - 1 - number, "file"  # nobody else touches it
        case _:
            return number + 1, "git"  # the model is told of it before it gets there


def _edit(root: Path, old: str, new: str) -> None:
    """As an editor does it that reads and saves at once: another file takes the place of the old one."""
    path = root / f"system/{LABEL}.md"
    lines = path.read_text(encoding="utf-8").splitlines()
    changed = [new if line == old else line for line in lines]
    if changed == lines:
        changed.append(new)  # somebody else took that line: it comes at the end
    beside = path.with_name(f".{path.name}.swp")
    beside.write_text("\n".join(changed) + "\n", encoding="utf-8")
    os.replace(beside, path)


def _command(model: str, plant: str, *flags: str) -> list[str]:
    words = [sys.executable, str(HERE / "_blocks_app.py"), plant or "none", "-p", "Go on.", "--model", model]
    return [*words, "--mode", "full", "--output-format", "stream-json", "--quiet", *flags]


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "LETTA_HOME": str(home), "PYTHONPATH": str(ROOT)}


def _turns(home: Path, project: Path, model: str, plant: str) -> Iterator[int]:
    """Numbers of turns, each while the model says its first words."""
    process = subprocess.Popen(
        _command(model, plant), cwd=project, env=_environment(home), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout
    with process:
        turn, talks = 0, False
        for line in process.stdout:
            kind = json.loads(line).get("type")
            if kind == "text_delta" and not talks:
                talks = True
                yield turn
            elif kind == "assistant_message":
                turn, talks = turn + 1, False
    if process.returncode:
        raise RuntimeError(f"letta-code ended with {process.returncode}")


def _said(home: Path, project: Path, model: str, plant: str) -> list[dict[str, Any]]:
    """One more run, in which the model is told what came last; then the whole conversation."""
    _output(_command(model, plant, "--continue"), home, project)
    letta = [sys.executable, "-m", "letta_code"]
    [conversation] = json.loads(_output([*letta, "conversations", "--json"], home, project))
    return [json.loads(line) for line in _output([*letta, "export", conversation["id"]], home, project).splitlines()]


def _output(command: Sequence[str], home: Path, project: Path) -> str:
    done = subprocess.run(
        command,
        cwd=project,
        env=_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def _judged(events: Sequence[dict[str, Any]], by_hand: list[str]) -> Played:
    wanted = {
        call["id"]: arguments.get("new_string") or arguments.get("insert_text")
        for event in events
        for call in event.get("tool_calls", ())
        if (arguments := json.loads(call["arguments"]))
    }
    results = [event for event in events if event["type"] == "tool_result"]
    refused = [event for event in results if "Not merged" in json.dumps(event["content"])]
    kept = [event for event in results if event["status"] == "ok" or event in refused]
    told = [event for event in events if event["type"] in ("reminder_added", "context_pinned")]
    return Played(
        by_hand=by_hand,
        acknowledged=[wanted[event["call_id"]] for event in kept],
        to_model=json.dumps([*told, *(event["content"] for event in results)]),
        to_person=json.dumps([*[e for e in events if e["type"] == "notice"], *(e.get("blocks") for e in results)]),
        conflicts=len(refused),
        errors=len(results) - len(kept),
    )


def judge(played: Played, lines: Sequence[str], find: Find) -> None:
    """Compare with the lines of all blocks and conflict files."""
    there = set(lines)
    for text in played.acknowledged:
        if text not in there:
            find("lost", f"app meanwhile: {text}")
    for text in played.by_hand:
        if text not in there:
            find("overwritten", f"app meanwhile: {text}")
        if text not in played.to_model:
            find("untold", f"app meanwhile: the model was never told of {text}")
    if played.by_hand and "hand edit was taken into memory" not in played.to_person:
        find("untold", "app meanwhile: the person was not told that hand edits were taken in")
    if played.conflicts and "one is kept in" not in played.to_person:
        find("untold", "app meanwhile: the person was not told of a conflict")


def main() -> int:
    """Be letta-code."""
    plant = sys.argv[1]
    if plant != "none":
        sys.path.insert(0, str(HERE))
        from _blocks_worker import PLANTS

        PLANTS[plant]()
    from letta_code.cli import main as letta

    return letta(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
