"""The scripted run that is killed: every kind of turn, as a file for `scripted:` and as replies of a model server."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.replies import Call, Reply

EFFECTS = "effects.txt"


def _bash(command: str) -> tuple[str, dict[str, Any]]:
    return "Bash", {"command": command}


def _effect(name: str, more: str = "") -> tuple[str, dict[str, Any]]:
    """A command that leaves a line: one line per call, however often the process died."""
    return _bash(f"echo {name} >> {EFFECTS}{more}")


# What the model says and asks for, turn by turn: single calls, several that only read, several in order, long output.
TURNS: tuple[tuple[str, tuple[tuple[str, dict[str, Any]], ...]], ...] = (
    ("I write a file.", (("Write", {"path": "notes.txt", "content": "one\ntwo\n"}),)),
    ("I read it and look around.", (("Read", {"path": "notes.txt"}), ("Read", {"path": "notes.txt"}))),
    ("I run a command.", (_effect("a", "; sleep 0.02"),)),
    ("I change it.", (("Edit", {"path": "notes.txt", "old_string": "one", "new_string": "three"}),)),
    ("Two commands in order.", (_effect("b"), _effect("c", "; sleep 0.01"))),
    ("Much output.", (_bash(f"echo d >> {EFFECTS}; seq 1 5000"),)),
    ("A mixture.", (("Read", {"path": "notes.txt"}), _effect("e"), ("Read", {"path": "notes.txt"}))),
    ("A list of tasks.", (("Todo", {"items": [{"text": "be killed", "status": "done"}]}),)),
    ("A slow one.", (_effect("f", "; sleep 0.05; echo slept"),)),
    ("The last one.", (_effect("g"),)),
)
ENDING = "Everything is done. " * 5


def as_file() -> str:
    """The script for `--model scripted:FILE` (JSON is YAML)."""
    turns: list[dict[str, Any]] = [
        {"text": text, "tools": [{"name": name, "args": args} for name, args in calls], "delay": 0.002}
        for text, calls in TURNS
    ]
    turns.append({"text": ENDING, "delay": 0.002})
    return json.dumps({"turns": turns, "answers": [{"text": "Nothing is left to do."}]})


def as_replies() -> tuple[Reply, ...]:
    """The same for the scripted model server."""
    replies = [
        Reply(text=text, tools=tuple(Call(name, json.dumps(args)) for name, args in calls), pause=0.001)
        for text, calls in TURNS
    ]
    # Enough endings: a conversation may be asked to go on after it was done.
    return (*replies, Reply(text=ENDING, pause=0.001), Reply(text="Nothing is left to do.", repeat=200))
