"""Long conversations as an agent leaves them: turns with calls, results, diffs and, where asked, compactions."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from _lived import words

from letta_code.config.paths import Paths
from letta_code.core import events as ev
from letta_code.core.display import DiffBlock, ShellBlock
from letta_code.core.messages import ReasoningPart, TextPart, ToolCall, Usage
from letta_code.safety.vault import Secrets
from letta_code.store.database import Store

LAST = "endoftheconversation"  # the last word that was said: when it is on the screen the end is shown
CALLS = 2  # steps with a call in each turn
TURN = 3 + 2 * CALLS + 1  # events of a turn
MESSAGES_A_TURN = CALLS + 2  # the person's and the model's


def grow(home: Path, conversation: str, *, events: int, compactions: int = 0) -> int:
    """Make a stored conversation grow to at least so many events; returns how many messages it has."""
    return asyncio.run(_grow(Paths(home=home), conversation, events, compactions))


async def _grow(paths: Paths, conversation: str, events: int, compactions: int) -> int:
    rng = random.Random(events)
    with Store.open(
        paths.database,
        conversations_dir=paths.conversations,
        agents_dir=paths.agents,
        run_dir=paths.run,
        redactor=Secrets(),
    ) as store:
        turns = -(-(events - store.last_seq(conversation)) // TURN)
        every = turns // (compactions + 1) if compactions else 0
        for number in range(turns):
            await store.append(conversation, list(_turn(rng, number, last=number == turns - 1)))
            if every and number and number % every == 0 and number < turns - 1:
                await store.append(conversation, _compaction(store, conversation, rng))
        found = store.conversations.get(conversation)
        return found.message_count if found else 0


def _compaction(store: Store, conversation: str, rng: random.Random) -> Sequence[ev.KnownEvent]:
    kept = store.last_seq(conversation) - 4 * TURN + 1
    summary = words(rng, 400)
    return [
        ev.ContextCompacted(message_id=f"sum-{kept}", summary=summary, first_kept_seq=kept, evicted=200, tokens_after=0)
    ]


def _turn(rng: random.Random, number: int, *, last: bool) -> Iterator[ev.KnownEvent]:
    run = f"run-{number:06}"
    yield ev.UserMessage(message_id=f"u-{number}", content=_text(words(rng, 25)), client_id=f"say-long-{number}")
    yield ev.RunStarted(run_id=run, model="bench/fake", mode="ask")
    for step in range(CALLS):
        call = f"call-{number}-{step}"
        name, arguments, result = _call(rng, number, step)
        yield ev.AssistantMessage(
            run_id=run,
            message_id=f"a-{number}-{step}",
            model="bench/fake",
            text=words(rng, 15),
            reasoning=(ReasoningPart(text=words(rng, 40)),),
            tool_calls=(ToolCall(id=call, name=name, arguments=json.dumps(arguments)),),
            usage=Usage(input=9_000, output=200),
            usage_exact=True,
            cost=0.001,
            finish="tool_calls",
        )
        yield result(call, run)
    said = "\n\n".join((words(rng, 40), f"- {words(rng, 8)}\n- {words(rng, 8)}", f"```python\n{words(rng, 12)}\n```"))
    yield ev.AssistantMessage(
        run_id=run,
        message_id=f"a-{number}-end",
        model="bench/fake",
        text=f"{said}\n\n{LAST}" if last else said,
        usage=Usage(input=9_500, output=300),
        usage_exact=True,
        cost=0.001,
    )
    yield ev.RunFinished(run_id=run, reason=ev.StopReason.DONE, steps=CALLS + 1, seconds=12.0)
    yield ev.SettingChanged(name="mode", value="ask")


_Result = Callable[[str, str], ev.ToolResult]


def _call(rng: random.Random, number: int, step: int) -> tuple[str, dict[str, str], _Result]:
    path = f"src/part{number % 40}/{words(rng, 1)}.py"
    if step % 2:
        return "Edit", {"path": path, "old": words(rng, 10), "new": words(rng, 10)}, _edited(rng, path, number)
    command = f"grep -rn {words(rng, 1)} src"
    return "Bash", {"command": command}, _ran(rng, command, number)


def _ran(rng: random.Random, command: str, number: int) -> _Result:
    output = "\n".join(words(rng, 8) for _ in range(12))

    def result(call: str, run: str) -> ev.ToolResult:
        block = ShellBlock(command=command, output=output, exit_code=0, seconds=0.2)
        return ev.ToolResult(run_id=run, message_id=f"r-{number}-{call}", call_id=call, name="Bash", status="ok",
                             content=_text(output), title=command, blocks=(block,), seconds=0.2)  # fmt: skip

    return result


def _edited(rng: random.Random, path: str, number: int) -> _Result:
    lines = [f"{sign}{words(rng, 6)}" for sign in "-+ " * 3]
    diff = "@@ -1,6 +1,6 @@\n" + "\n".join(lines)

    def result(call: str, run: str) -> ev.ToolResult:
        block = DiffBlock(path=path, diff=diff, added=3, removed=3)
        return ev.ToolResult(run_id=run, message_id=f"r-{number}-{call}", call_id=call, name="Edit", status="ok",
                             content=_text("Edited."), title=f"Edit {path}", blocks=(block,), seconds=0.1)  # fmt: skip

    return result


def _text(text: str) -> tuple[TextPart, ...]:
    return (TextPart(text=text),)
