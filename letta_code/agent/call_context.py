"""Call context: what one running call is given of the conversation that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from letta_code.agent.history import History
from letta_code.core.errors import ToolError
from letta_code.core.events import ToolOutput
from letta_code.core.ids import new_id
from letta_code.core.messages import ToolCall
from letta_code.core.requests import Answer, Choice, QuestionRequest
from letta_code.llm.model import ModelInfo, ToolSpec
from letta_code.safety.containment import Grant
from letta_code.safety.taint import Origin
from letta_code.tools.base import Wanted
from letta_code.workspace.workspace import Handle, Workspace

if TYPE_CHECKING:
    from letta_code.agent.calls import Calls
    from letta_code.memory.desk import Desk

LIVE_OUTPUT_LIMIT = 200_000  # characters of a running call's output that a face is told of


class _Seen:
    def __init__(self, history: History) -> None:
        self._seen = history.seen

    def sha_of(self, path: str) -> str | None:
        return self._seen.get(path)


class CallContext:
    """Implements `ToolContext` for one of the calls of a conversation."""

    def __init__(
        self, calls: Calls, call: ToolCall, wanted: Sequence[Wanted], *, approved: bool, grant: Grant, origin: Origin
    ) -> None:
        self._calls = calls
        self.call_id = call.id
        self.seq = calls.history.answered_seq
        self.approved = approved
        self.confirmed = False
        self.grant = grant
        self.origin = origin
        self.taints = calls.history.taints
        self._name = call.name
        self.handles: Mapping[str, Handle] = {w.handle.given: w.handle for w in wanted if w.handle is not None}
        self.seen = _Seen(calls.history)
        self.vault = calls.vault
        self._offset = 0

    @property
    def workspace(self) -> Workspace:
        return self._calls.workspace

    @property
    def state(self) -> Mapping[str, str]:
        return self._calls.history.tool_state.get(self._name, {})

    @property
    def model(self) -> ModelInfo:
        return self._calls.info()

    @property
    def memory(self) -> Desk:
        if self._calls.memory is None:
            raise ToolError("There is no memory in this conversation.")
        return self._calls.memory

    @property
    def context_from(self) -> int:
        compaction = self._calls.history.compaction
        return compaction.first_kept_seq if compaction else 0

    @property
    def deferred(self) -> Sequence[ToolSpec]:
        return [tool.spec for tool in self._calls.toolset.deferred.values()]

    def output(self, text: str) -> None:
        text = self._calls.shown(self.call_id, text)
        if text and self._offset < LIVE_OUTPUT_LIMIT:
            self._calls.emit(ToolOutput(call_id=self.call_id, offset=self._offset, text=text))
        if text:
            self._calls.printed.add(self.call_id, text)
        self._offset += len(text)

    async def ask(self, question: str, choices: tuple[Choice, ...] = (), *, several: bool = False) -> Answer:
        return await self._calls.ask(
            QuestionRequest(
                request_id=new_id("req"), call_id=self.call_id, question=question, choices=choices, several=several
            )
        )
