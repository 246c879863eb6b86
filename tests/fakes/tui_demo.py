"""Screens without the core: `python -m tests.fakes.tui_demo [SCENE]` plays a scene in the real terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from letta_code.agent.port import SessionOptions, SessionPort
from letta_code.core.display import DiffBlock, FileBlock, MatchesBlock, ShellBlock, TodoBlock, TodoItem
from letta_code.core.requests import Approve, Choice, Deny, RuleOffer
from tests.fakes.session import FakeSession, options

DIFF = (
    "@@ -1,7 +1,9 @@\n"
    ' """Arithmetic."""\n'
    " \n"
    " \n"
    " def add(a, b):\n"
    "-    return a - b\n"
    '+    """The sum of two numbers."""\n'
    "+    return a + b\n"
    " \n"
    " \n"
    " def mean(values):\n"
    "@@ -20,4 +22,4 @@ def mean(values):\n"
    "     total = 0\n"
    "     for value in values:\n"
    "         total += value\n"
    "-    return total / 0\n"
    "+    return total / len(values)\n"
)
OUTPUT = "\n".join(
    [f"tests/test_calc.py::test_case_{n} \x1b[32mPASSED\x1b[0m" for n in range(14)] + ["14 passed in 0.31s"]
)
ANSWER = """The bug is in `add`: it **subtracts**. I will

1. fix the sign,
2. divide by the number of values,
3. run the tests.

```python
def add(a, b):
    return a + b
```

| file | change |
| --- | --- |
| `src/calc.py` | two lines |
"""


async def work(session: FakeSession, text: str) -> None:
    """The scene of a small change."""
    read = session.call("Read", '{"path": "src/calc.py"}')
    grep = session.call("Grep", '{"pattern": "mean("}')
    await session.say("I look at the code first.", read, grep, thought="The person wants the sum fixed. " * 4)
    await session.run_tool(
        read,
        FileBlock(path="src/calc.py", text="def add(a, b):\n    return a - b\n", total_lines=25),
        title="Read src/calc.py",
    )
    await session.run_tool(
        grep, MatchesBlock(query="mean(", lines=("src/calc.py:9:def mean(values):",), total=1), title="Grep mean("
    )
    todo = session.call("Todo")
    await session.say(ANSWER, todo)
    items = (
        TodoItem(text="fix the sign", status="done"),
        TodoItem(text="divide by the number of values", status="in_progress"),
        TodoItem(text="run the tests"),
    )
    await session.run_tool(todo, TodoBlock(items=items), title="Todo 1 of 3 done")
    edit = session.call("Edit", '{"path": "src/calc.py"}')
    await session.say("", edit)
    block = DiffBlock(path="src/calc.py", diff=DIFF, added=3, removed=2)
    if "ask" in text:
        answer = await session.ask_approval(
            edit,
            block,
            title="Edit src/calc.py",
            reason="Mode ask: every edit is asked.",
            offers=(RuleOffer(pattern="Edit(src/**)", text="edits below src"),),
        )
        if isinstance(answer, Deny):
            await session.run_tool(
                edit, title="Edit src/calc.py", status="denied", text=answer.message or "The person said no."
            )
            await session.say("Then I leave it as it is.")
            return
        assert isinstance(answer, Approve)
    await session.run_tool(edit, block, title="Edit src/calc.py")
    shell = session.call("Bash", '{"command": "python -m pytest -q"}')
    await session.say("", shell)
    if "ask" in text:
        await session.ask_approval(
            shell,
            ShellBlock(command="rm -rf build && python -m pytest -q", cwd="/work/project"),
            title="Bash rm -rf build && python -m pytest -q",
            reason="The command removes files.",
            offers=(RuleOffer(pattern="Bash(python -m pytest)"), RuleOffer(pattern="Bash(rm)")),
            destructive=True,
        )
        await session.ask_question(
            shell,
            "Which tests should run?",
            (Choice(label="All", description="14 tests, 2 s"), Choice(label="Only test_calc.py")),
        )
    await session.run_tool(
        shell,
        ShellBlock(command="python -m pytest -q", output=OUTPUT, exit_code=0, seconds=2.3),
        title="Bash python -m pytest -q",
        output=OUTPUT,
        seconds=2.3,
    )
    await session.say("Fixed: `add` adds and `mean` divides by the number of values. All 14 tests pass.")


EVIL = (
    "\x1b[2J\x1b[H\x1b]52;c;ZXZpbA==\x07\x1b]0;title\x07\x1b]8;;http://evil\x07link\x1b]8;;\x07"
    "\x1bPq#0\x1b\\\\\x9b31m\x90q\x9c\x07\x08 [bold]x[/] [@click=app.quit]y[/] [ \u202egnp.exe \ud800"
)


async def hostile(session: FakeSession, text: str) -> None:
    """Everything that comes from outside tries to speak to the terminal."""
    call = session.call(EVIL, EVIL)
    await session.say(f"# {EVIL}\n\n[{EVIL}](http://{EVIL})\n\n```{EVIL}\n{EVIL}\n```\n", call, thought=EVIL)
    blocks = (
        DiffBlock(path=EVIL, diff=f"@@ -1 +1 @@ {EVIL}\n-{EVIL}\n+{EVIL}"),
        ShellBlock(command=EVIL, output=EVIL, exit_code=1),
        FileBlock(path=EVIL, text=EVIL),
        MatchesBlock(query=EVIL, lines=(EVIL,)),
        TodoBlock(items=(TodoItem(text=EVIL),)),
    )
    await session.run_tool(call, *blocks, title=EVIL, output=EVIL, text=EVIL)
    await session.rename(EVIL)
    await session.say("the end of it")


async def endless(session: FakeSession, text: str) -> None:
    """A run that ends only when it is stopped."""
    while True:
        await session.say("More and more. ")
        await asyncio.sleep(0.05)


SCENES = {"work": work, "hostile": hostile, "endless": endless}


async def open_demo(given: SessionOptions) -> SessionPort:
    """A session that plays the scene, slowly enough to watch."""
    scene = SCENES[sys.argv[1] if len(sys.argv) > 1 else "work"]
    return FakeSession(scene, pause=float(os.environ.get("DEMO_PAUSE", "0.02")), cwd=given.cwd)


if __name__ == "__main__":
    from letta_code.tui.main import run

    sys.exit(run(options(), open_demo, history_folder=Path(os.environ.get("DEMO_HOME", "/tmp/letta-demo"))))
