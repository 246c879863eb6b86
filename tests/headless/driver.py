"""A process of the headless face over a fake session: `driver.py SCENARIO FORM [two-way]`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

from letta_code.agent.port import SessionOptions
from letta_code.config.settings import Settings
from letta_code.core import events as ev
from letta_code.core.errors import BadKey, ConfigError
from letta_code.core.messages import TextPart, ToolCall, Usage
from letta_code.core.requests import ApprovalRequest, Approve, Choice, QuestionRequest, Reply, RuleOffer, Unanswered
from letta_code.headless.run import Printing, run

sys.path.insert(0, os.path.dirname(__file__))
from fake import FakeSession

DONE = ev.RunFinished(reason="done", steps=2, usage=Usage(input=20, output=4), cost=0.5, seconds=1.25)


async def answer(session: FakeSession) -> ev.RunFinished:
    session.says("Looking.", tool_calls=(ToolCall(id="1", name="Read", arguments="{}"),))
    session.live(ev.ToolStarted(call_id="1", name="Read", title="Read a\x1b[31m.py"))
    session.keep(ev.ToolResult(message_id="m", call_id="1", name="Read", status="ok", content=(TextPart(text="x"),)))
    session.says("It is **fixed**.")
    return DONE


async def approval(session: FakeSession) -> ev.RunFinished:
    request = ApprovalRequest(
        request_id="req-1",
        call_id="1",
        tool="Bash",
        title="Bash npm test",
        reason="commands are asked for",
        offers=(RuleOffer(pattern="Bash(npm test)"),),
    )
    given = await session.ask(request)
    match given:
        case Approve():
            session.says("ran")
        case Unanswered(reason=reason):
            session.says(reason)
    return DONE


async def question(session: FakeSession) -> ev.RunFinished:
    choices = (Choice(label="a"), Choice(label="b"))
    given = await session.ask(QuestionRequest(request_id="req-2", call_id="2", question="Which?", choices=choices))
    session.says(given.text if isinstance(given, Reply) else "nobody")
    return DONE


async def endless(session: FakeSession) -> ev.RunFinished:
    session.live(ev.ToolStarted(call_id="1", name="Bash", title="Bash sleep 100"))
    await asyncio.sleep(100)
    return DONE


async def stubborn(session: FakeSession) -> ev.RunFinished:
    session.live(ev.ToolStarted(call_id="1", name="Bash", title="Bash sleep 100"))
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(100)


async def flood(session: FakeSession) -> ev.RunFinished:
    for number in range(20_000):
        session.live(ev.TextDelta(message_id="m", offset=number * 1000, text="x" * 1000))
        if number % 100 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(100)
    return DONE


def ending(reason: str, **more: object):
    async def script(session: FakeSession) -> ev.RunFinished:
        session.says("so far")
        return ev.RunFinished(reason=reason, **more)  # type: ignore[arg-type]

    return script


SCRIPTS = {
    "answer": answer,
    "approval": approval,
    "question": question,
    "endless": endless,
    "stubborn": stubborn,
    "flood": flood,
    **{
        reason: ending(reason)
        for reason in ("denied", "max_turns", "time_limit", "repeated_call", "length", "refusal", "interrupted")
    },
    "quota": ending("error", error_kind="quota", error="No money left.", hint="Pay."),
    "bad_key": ending("error", error_kind="bad_key", error="The key is wrong.", hint="letta-code configure"),
    "unreachable": ending("error", error_kind="unreachable", error="http://127.0.0.1:1 refused.", hint="Start it."),
}


async def open_session(options: SessionOptions) -> FakeSession:
    scenario = sys.argv[1]
    if scenario == "no-model":
        raise ConfigError("No model is configured.", hint="letta-code configure")
    if scenario == "bad-key-at-open":
        raise BadKey("The key is wrong.", hint="letta-code configure")
    if scenario == "slow-open":
        print("opening", file=sys.stderr, flush=True)
        await asyncio.sleep(100)
    if scenario == "bug":
        raise ZeroDivisionError("a bug that quotes ghp_" + "a1B2c3D4e5F6" * 3)
    return FakeSession(options, SCRIPTS[scenario])


if __name__ == "__main__":
    two_way = "two-way" in sys.argv
    settings = Settings(model="fake/model")
    options = SessionOptions(cwd=os.getcwd(), settings=settings, interactive=two_way, face="headless")
    printing = Printing(prompt="" if two_way else "do it", form=sys.argv[2], two_way=two_way, quiet="quiet" in sys.argv)
    sys.exit(run(options, printing, open_session))
