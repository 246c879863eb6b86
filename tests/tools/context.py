"""A tool context for tests: what the loop gives a tool, with files seen and state kept between calls in plain dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from letta_code.core.errors import ToolError
from letta_code.core.messages import text_of
from letta_code.core.requests import Answer, Choice, Unanswered
from letta_code.llm.model import ModelInfo, ToolSpec
from letta_code.memory.desk import Desk
from letta_code.safety.containment import Grant
from letta_code.safety.taint import Origin, Taints
from letta_code.safety.vault import Vault
from letta_code.tools.base import Tool, ToolResult, Wanted
from letta_code.workspace.workspace import Handle, Workspace


class SeenFiles:
    """`FilesSeen` over a dict of real path to SHA-256."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}

    def sha_of(self, path: str) -> str | None:
        return self.versions.get(path)


class FakeContext:
    """Satisfies `ToolContext`; one object stands for a conversation and is used for all its calls.

    `call` does what the loop does around a tool: parse, operations, run, keep files seen and state.  `printed` is the
    live output, `asked` the questions and `answers` what the person will say, in order.
    """

    def __init__(
        self, workspace: Workspace, *, model: ModelInfo | None = None, memory: Desk | None = None, seq: int = 1
    ) -> None:
        self.workspace = workspace
        self.model = model or ModelInfo(name="test/model")
        self.handles: Mapping[str, Handle] = {}
        self.seen = SeenFiles()
        self.state: Mapping[str, str] = {}
        self.states: dict[str, Mapping[str, str]] = {}
        self.deferred: Sequence[ToolSpec] = ()
        self.call_id = "call-0"
        self.calls = 0
        self.printed: list[str] = []
        self.asked: list[str] = []
        self.answers: list[Answer] = []
        self.wanted: Sequence[Wanted] = ()
        self.seq = seq
        self.approved = True
        self.confirmed = False
        self.grant = Grant()
        self.taints = Taints()
        self.origin = Origin()
        self.vault = Vault()
        self.context_from = 0
        self._memory = memory

    @property
    def memory(self) -> Desk:
        if self._memory is None:
            raise ToolError("There is no memory in this conversation.")
        return self._memory

    def output(self, text: str) -> None:
        self.printed.append(text)

    async def ask(self, question: str, choices: tuple[Choice, ...] = (), *, several: bool = False) -> Answer:
        self.asked.append(question)
        return self.answers.pop(0) if self.answers else Unanswered(reason="nobody is there")

    async def prepare(self, tool: Tool[Any], **arguments: Any) -> Any:
        """Everything before `run`: returns the parsed arguments, with handles and state in place."""
        self.calls += 1
        self.call_id = f"call-{self.calls}"
        args = tool.parse(msgspec.json.encode(arguments).decode())
        self.state = self.states.get(tool.name, {})
        self.wanted = await tool.operations(args, self.workspace, self.state)
        self.handles = {w.handle.given: w.handle for w in self.wanted if w.handle is not None}
        return args

    async def call(self, tool: Tool[Any], **arguments: Any) -> ToolResult:
        """One whole call; raises `ToolError` and `WorkspaceError` as the tool does."""
        args = await self.prepare(tool, **arguments)
        result: ToolResult = await tool.run(args, self)
        for file in result.files:
            self.seen.versions[file.path] = file.sha
        if result.state:
            self.states[tool.name] = result.state
        return result

    async def text(self, tool: Tool[Any], **arguments: Any) -> str:
        """The text for the model of one whole call."""
        return text_of((await self.call(tool, **arguments)).content)
