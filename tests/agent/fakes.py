"""Fakes for tests of the agent: a journal in memory, a model that plays parts, a small workspace of tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from letta_code.agent.facts import Fact
from letta_code.agent.history import History
from letta_code.agent.port import SessionOptions
from letta_code.agent.session import Session
from letta_code.config.settings import Settings
from letta_code.core import events as ev
from letta_code.core.errors import LettaError, ToolError
from letta_code.core.requests import Approve, RuleOffer
from letta_code.llm.model import CallPiece, ChatRequest, Finish, ModelInfo, StreamPart, TextPiece
from letta_code.memory.desk import Desk
from letta_code.safety.containment import Containment
from letta_code.safety.operations import AskOperation, Decision, ExecOperation, Operation, ReadOperation
from letta_code.safety.taint import Taints
from letta_code.tools.base import Args, Situation, Tool, ToolContext, ToolResult, Wanted
from letta_code.workspace.workspace import Capabilities


class MemoryJournal:
    """Keeps events in a list; can be told to fail."""

    def __init__(self, events: Sequence[ev.Event] = ()) -> None:
        self.events: list[Any] = list(events)
        self.groups: list[tuple[str, ...]] = []
        self.failures: list[LettaError] = []
        self.delay = 0.0

    async def append(self, events: Sequence[ev.Durable]) -> Sequence[ev.Durable]:
        await asyncio.sleep(self.delay)
        if self.failures:
            raise self.failures.pop(0)
        stored = [replace(e, seq=len(self.events) + n, at="2026-01-01T00:00:00.000Z") for n, e in enumerate(events, 1)]
        self.events += stored
        self.groups.append(tuple(ev.type_of(e) for e in stored))  # type: ignore[arg-type]
        return stored

    async def answer(self, event: ev.RequestAnswered) -> tuple[ev.RequestAnswered, bool]:
        for old in self.events:
            if isinstance(old, ev.RequestAnswered) and old.request_id == event.request_id:
                return old, False
        (stored,) = await self.append([event])
        return stored, True  # type: ignore[return-value]

    async def read(self, after: int, until: int) -> Sequence[ev.Event]:
        return [e for e in self.events if after < e.seq <= until]

    async def close(self) -> None:
        pass

    def types(self) -> list[str]:
        return [ev.type_of(e) for e in self.events]

    def of(self, kind: type[Any]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]


class Quarter:
    """Counts a token for every four characters."""

    exact = True

    def count(self, text: str) -> int:
        return len(text) // 4

    def agreed(self, operations: Sequence[Operation]) -> None:
        self.agreed_to.append(list(operations))

    def warm(self) -> None:
        pass

    def use(self, encoding: str) -> None:
        pass


Turn = list[Any]  # stream parts, errors to raise, callables to await


class PlayedModel:
    """Plays turns; each request is kept."""

    def __init__(self, *turns: Turn, info: ModelInfo | None = None) -> None:
        self.turns = list(turns)
        self.requests: list[ChatRequest] = []
        self._info = info or ModelInfo(name="fake/model", window=100_000)

    @property
    def info(self) -> ModelInfo:
        return self._info

    async def stream(self, request: ChatRequest) -> AsyncIterator[StreamPart]:
        self.requests.append(request)
        for part in self.turns.pop(0):
            await asyncio.sleep(0)
            if isinstance(part, BaseException):
                raise part
            if callable(part):
                await part()
                continue
            yield part

    async def close(self) -> None:
        pass


def say(text: str) -> Turn:
    return [TextPiece(text=text), Finish(reason="stop")]


def call(*calls: tuple[str, str], text: str = "") -> Turn:
    pieces: Turn = [TextPiece(text=text)] if text else []
    pieces += [CallPiece(index=i, id=f"c{i}-{id(calls)}", name=n, arguments=a) for i, (n, a) in enumerate(calls)]
    return [*pieces, Finish(reason="tool_calls")]


class EchoArgs(Args):
    text: Annotated[str, msgspec.Meta(description="What to say back")]


class Echo(Tool[EchoArgs]):
    """Reads only."""

    args = EchoArgs
    reads_only = True
    log: list[str]

    def __init__(self) -> None:
        self.log = []
        self.__dict__["description"] = "Echo"

    name = "Echo"

    async def operations(self, args: EchoArgs, workspace: Any, state: Mapping[str, str]) -> Sequence[Wanted]:
        return [Wanted(ReadOperation(path=f"/w/{args.text}", inside=True))]

    async def run(self, args: EchoArgs, ctx: ToolContext) -> ToolResult:
        self.log.append(f"start {args.text}")
        await asyncio.sleep(0.01)
        self.log.append(f"end {args.text}")
        return ToolResult.text(args.text)


class Act(Tool[EchoArgs]):
    """Changes something; `fail` fails, `crash` has a bug, `hang` waits for ever."""

    name = "Act"
    args = EchoArgs

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.__dict__["description"] = "Act"

    async def operations(self, args: EchoArgs, workspace: Any, state: Mapping[str, str]) -> Sequence[Wanted]:
        return [Wanted(ExecOperation(command=args.text, cwd="/w"))]

    async def run(self, args: EchoArgs, ctx: ToolContext) -> ToolResult:
        self.ran.append(args.text)
        if args.text == "fail":
            raise ToolError("It failed. Try `other`.")
        if args.text == "crash":
            raise ValueError("boom")
        if args.text == "hang":
            ctx.output("half a line")
            await asyncio.sleep(3600)
        if args.text == "question":
            answer = await ctx.ask("Which?")
            return ToolResult.text(str(answer))
        return ToolResult.text(f"did {args.text}", state={"last": args.text})


class Counting(Act):
    """Gives another result each time."""

    async def run(self, args: EchoArgs, ctx: ToolContext) -> ToolResult:
        self.ran.append(args.text)
        return ToolResult.text(str(len(self.ran)))


class Later(Tool[EchoArgs]):
    """A deferred tool."""

    name = "Later"
    args = EchoArgs
    deferred = True

    def __init__(self) -> None:
        self.__dict__["description"] = "Later"

    async def operations(self, args: EchoArgs, workspace: Any, state: Mapping[str, str]) -> Sequence[Wanted]:
        return [Wanted(AskOperation())]

    async def run(self, args: EchoArgs, ctx: ToolContext) -> ToolResult:
        return ToolResult.text(f"later {args.text}")


class Finder(Tool[EchoArgs]):
    """Loads the deferred tool."""

    name = "Finder"
    args = EchoArgs

    def __init__(self) -> None:
        self.__dict__["description"] = "Finder"

    async def operations(self, args: EchoArgs, workspace: Any, state: Mapping[str, str]) -> Sequence[Wanted]:
        return [Wanted(AskOperation())]

    async def run(self, args: EchoArgs, ctx: ToolContext) -> ToolResult:
        return ToolResult.text("found", load_tools=("Later",))


for _kind in (Echo, Act, Later, Finder):  # these are no tools of the program
    Tool.registry.pop(_kind.name)


class FakePolicy:
    """Says what `verdicts` says of a tool, else allow."""

    def __init__(self, verdicts: dict[str, str] | None = None) -> None:
        self.verdicts: dict[str, str] = dict(verdicts or {})

    def copied(self) -> FakePolicy:
        return FakePolicy(self.verdicts)

    def with_taints(self, taints: Taints) -> FakePolicy:
        return self

    def decide_all(self, tool: str, operations: Sequence[Operation]) -> Decision:
        return Decision(verdict=self.verdicts.get(tool, "allow"), reason="the test says so")

    def offers(self, tool: str, operations: Sequence[Operation]) -> tuple[RuleOffer, ...]:
        return (RuleOffer(pattern=f"{tool}(x)"),)

    def yes(self, tool: str, operations: Sequence[Operation]) -> str:
        return ""

    def allowed_in(self, tool: str, operations: Sequence[Operation]) -> str:
        return "full"


class NoWorkspace:
    """Runs nothing and keeps nothing."""

    capabilities = Capabilities()

    def source_of(self, path: str) -> str:
        return ""


class FakeSurroundings:
    """Tools and policy of a test; no workspace."""

    def __init__(self) -> None:
        self.workspace: Any = NoWorkspace()
        self.containment = Containment()
        self.permissions: Any = None
        self.desk: Desk | None = None
        self.tools: dict[str, Tool[Any]] = {"Echo": Echo(), "Act": Act(), "Later": Later(), "Finder": Finder()}
        self.policy = FakePolicy()
        self.mode = ""
        self.told: list[Fact] = [Fact(kind="environment", key="e1", text="Date: today")]
        self.remembered: list[Approve] = []
        self.agreed_to: list[list[Operation]] = []
        self.stopped: tuple[str, ...] = ()

    def situation(self, info: ModelInfo) -> Situation:
        return Situation(capabilities=Capabilities(), model=info)

    def facts(self) -> Sequence[Fact]:
        return [*self.told, Fact(kind="mode", key=self.mode, text=f"Mode: {self.mode}.")]

    def set_mode(self, mode: str) -> None:
        self.mode = mode
        self.policy = self.policy.copied()  # as the real one: another object each time
        if mode == "plan":
            self.policy.verdicts["Act"] = "deny"

    def agreed(self) -> None:
        """Nobody has hooks here."""

    def created(self, paths: Sequence[str]) -> None:
        pass

    def remember(self, answer: Approve) -> None:
        self.remembered.append(answer)
        if answer.pattern:
            self.policy = self.policy.copied()
            self.policy.verdicts["Act"] = "allow"

    def warm(self) -> None:
        pass

    def answer_begins(self) -> None:
        pass

    async def close(self) -> Sequence[str]:
        return self.stopped


def session(
    model: PlayedModel,
    journal: MemoryJournal | None = None,
    surroundings: FakeSurroundings | None = None,
    *,
    interactive: bool = True,
    model_name: str = "fake/model",
    **settings: Any,
) -> Session:
    """A session over the fakes; what the journal holds is its history."""
    journal = journal or MemoryJournal()
    history = History()
    history.extend(journal.events)

    async def open_model(name: str) -> PlayedModel:
        return model

    return Session(
        conversation_id="conv-1",
        agent_id="agent-1",
        options=SessionOptions(
            cwd=str(Path("/w")),
            settings=Settings(model=model_name, **settings),
            interactive=interactive,
            face="test",
            trusted=True,
        ),
        journal=journal,
        history=history,
        surroundings=surroundings or FakeSurroundings(),
        open_model=open_model,
        counter=Quarter(),
    )
