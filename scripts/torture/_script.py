"""The scripted runs that are killed: every kind of turn, as a file for `scripted:` and as replies of a model server."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.replies import Call, Reply

EFFECTS = "effects.txt"
Turns = tuple[tuple[str, tuple[tuple[str, dict[str, Any]], ...]], ...]


def _bash(command: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "Bash", {"command": command, **more}


def _effect(name: str, more: str = "") -> tuple[str, dict[str, Any]]:
    """A command that leaves a line: one line per call, however often the process died."""
    return _bash(f"echo {name} >> {EFFECTS}{more}")


def effect_of(arguments: str) -> str:
    """The line that a call leaves, "" for a call that leaves none."""
    try:
        words = str(json.loads(arguments).get("command", "")).split()
    except (json.JSONDecodeError, AttributeError):
        return ""
    return words[1] if words[:1] == ["echo"] and words[2:3] == [">>"] else ""


def _remember(name: str) -> tuple[str, dict[str, Any]]:
    return "memory", {"command": "create", "label": name, "value": f"what {name} is\n", "scope": "project"}


# What the model says and asks for, turn by turn: single calls, several that only read, several in order, long output.
TURNS: Turns = (
    ("I write a file.", (("Write", {"path": "notes.txt", "content": "one\ntwo\n"}),)),
    ("I read it and look around.", (("Read", {"path": "notes.txt"}), ("Read", {"path": "notes.txt"}))),
    ("I run a command.", (_effect("a", "; sleep 0.15"),)),
    ("I change it.", (("Edit", {"path": "notes.txt", "old": "one", "new": "three"}),)),
    ("I remember.", (_remember("first"), _remember("second"))),
    ("Two commands in order.", (_effect("b"), _effect("c", "; sleep 0.1"))),
    ("Much output.", (_bash(f"echo d >> {EFFECTS}; seq 1 5000"),)),
    ("A mixture.", (("Read", {"path": "notes.txt"}), _effect("e"), ("Read", {"path": "notes.txt"}))),
    ("A list of tasks.", (("Todo", {"items": [{"text": "be killed", "status": "done"}]}),)),
    ("A server.", (_bash(f"echo s >> {EFFECTS}; sleep 300", background=True),)),
    ("A slow one.", (_effect("f", "; sleep 0.2; echo slept"),)),
    ("The last one.", (_effect("g"),)),
)
# Each is asked about: nobody has allowed anything.
ASKED: Turns = tuple((f"May I do {name}?", (_effect(name, "; sleep 0.02"),)) for name in ("a", "b", "c"))
# More than a small limit of the context holds: it is summarised again and again.
LONG: Turns = tuple(
    (f"Much of {name}.", (_bash(f"echo {name} >> {EFFECTS}; seq 1 900"),)) for name in ("a", "b", "c", "d", "e", "f")
)
LIMIT = 9_000  # tokens
ENDING = "Everything is done. " * 5
_SUMMARY = (
    "# Goals\nTo be killed at any moment and to go on all the same, with the task of the person as it was given.\n"
    "# Decisions and exact identifiers\nCommands append one line each to effects.txt and are never run again.\n"
    "# Current state\nSome of the commands were run, in the order of their letters; their output was numbers.\n"
    "# Next step\nRun the next command, look at what it prints, and say when everything is done.\n"
)


def as_file(turns: Turns = TURNS) -> str:
    """The script for `--model scripted:FILE` (JSON is YAML)."""
    played: list[dict[str, Any]] = [
        {"text": text, "tools": [{"name": name, "args": args} for name, args in calls], "delay": 0.002}
        for text, calls in turns
    ]
    played.append({"text": ENDING, "delay": 0.002})
    asides = [{"text": _SUMMARY, "delay": 0.002}]
    return json.dumps({"turns": played, "answers": [{"text": "Nothing is left to do."}], "asides": asides})


def as_replies() -> tuple[Reply, ...]:
    """The same for the scripted model server."""
    replies = [
        Reply(text=text, tools=tuple(Call(name, json.dumps(args)) for name, args in calls), pause=0.001)
        for text, calls in TURNS
    ]
    # Enough endings: a conversation may be asked to go on after it was done.
    return (*replies, Reply(text=ENDING, pause=0.001), Reply(text="Nothing is left to do.", repeat=200))
