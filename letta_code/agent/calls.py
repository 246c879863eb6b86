"""Calls: one tool call from the model's words to its result: parse, judge, ask, run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from letta_code.agent.call_context import CallContext
from letta_code.agent.head import Toolset, encode_specs
from letta_code.agent.history import History
from letta_code.agent.loop import Done, Judged, not_run
from letta_code.agent.printed import Printed
from letta_code.core.display import DisplayBlock, TodoItem
from letta_code.core.errors import LettaError, NotStartedError, ToolError, WorkspaceError
from letta_code.core.events import LiveEvent, TodoChanged, ToolResult, ToolsLoaded, ToolStarted
from letta_code.core.ids import new_id
from letta_code.core.messages import TextPart, ToolCall
from letta_code.core.requests import (
    Answer,
    ApprovalRequest,
    Approve,
    Deny,
    Request,
    RuleOffer,
    Unanswered,
)
from letta_code.llm.model import ModelInfo
from letta_code.safety.flowing import Flowing
from letta_code.safety.operations import Decision, ExecOperation, Operation, WriteOperation
from letta_code.safety.secrets import PLACEHOLDER
from letta_code.safety.taint import MARK, NOT_TRUSTED, Origin, Taints, kept_output, origin_of
from letta_code.safety.vault import Vault
from letta_code.tools.base import Tool
from letta_code.tools.base import ToolResult as Result
from letta_code.workspace.workspace import Workspace

if TYPE_CHECKING:
    from letta_code.memory.desk import Desk

log = logging.getLogger(__name__)

NOT_BEGUN = "Not run: the run was stopped before this call began."


class Judge(Protocol):
    """The policy, as a call sees it (safety/policy.py)."""

    def decide_all(self, tool: str, operations: Sequence[Operation]) -> Decision:
        """The strictest verdict of all operations."""
        ...

    def offers(self, tool: str, operations: Sequence[Operation]) -> tuple[RuleOffer, ...]:
        """The rules that a yes could be remembered as."""
        ...

    def with_taints(self, taints: Taints) -> Judge:
        """The same where the conversation holds text from these sources."""
        ...

    def allowed_in(self, tool: str, operations: Sequence[Operation]) -> str:
        """The mode that would not ask, "" where every mode does."""
        ...

    def yes(self, tool: str, operations: Sequence[Operation]) -> str:
        """What the plain yes says where it holds for longer than once, else ""."""
        ...


class _Ready:
    """A call that may run."""

    def __init__(
        self,
        tool: Tool[Any],
        args: Any,
        context: CallContext,
        title: str,
        *,
        destroys: bool,
        runs: bool,
        creates: Sequence[str] = (),
    ) -> None:
        self.tool, self.args, self.context, self.title = tool, args, context, title
        self.destroys = destroys
        self.creates = creates  # files that were not there before, real paths
        self.runs = runs  # whether it is a command and nothing else: before that runs, all words of a result are ours
        self.taint = context.origin.source  # where the result's text comes from, when it is not the person's own


class Calls:
    """Judges and runs the calls of one conversation."""

    def __init__(
        self,
        *,
        history: History,
        toolset: Toolset,
        workspace: Workspace,
        policy: Callable[[], Judge],
        info: Callable[[], ModelInfo],
        ask: Callable[[Request], Awaitable[Answer]],
        emit: Callable[[LiveEvent], None],
        memory: Desk | None = None,
        printed: Printed | None = None,
        vault: Vault | None = None,
        raises_concerns: Callable[[], bool] = lambda: False,
        foreign: bool = False,
        agreed: Callable[[], None] = lambda: None,
        created: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        self.history = history
        self.toolset = toolset
        self.workspace = workspace
        self.policy = policy
        self.info = info
        self.ask = ask
        self.emit = emit
        self.memory = memory
        self.raises_concerns = raises_concerns  # whether somebody is there to be asked, and wants to be
        self.foreign = foreign  # whether the folder is not trusted
        self.printed = printed or Printed()  # what running calls have printed, for an interrupt
        self._agreed = agreed  # told that a person said yes to the hooks that were named
        self._created = created  # told of files that a call made, where nothing of others had a part in it
        self.vault = vault or Vault()
        self._flowing: dict[str, Flowing] = {}  # what running calls print, on its way to who looks on
        self._ready: dict[str, _Ready] = {}
        self._begun: dict[str, _Ready] = {}  # the calls that ran or run: a result may be lost with an interrupt

    def shown(self, call_id: str, text: str) -> str:
        """What may be shown of a running call's output, now that more has come."""
        if call_id not in self._flowing:
            self._flowing[call_id] = Flowing(self.vault)
        return self._flowing[call_id].add(text)

    def _last_words(self, call_id: str) -> str:
        """What a call printed to its end, which is forgotten by that."""
        flowing = self._flowing.pop(call_id, None)
        return self.printed.take(call_id) + (flowing.end() if flowing else "")

    def reads_only(self, call: ToolCall) -> bool:
        """Whether the call changes nothing."""
        tool = self.toolset.known.get(call.name)
        return tool is not None and tool.reads_only

    def may_edit_files(self, call: ToolCall) -> bool:
        """Whether files may change while the call runs, other than by memory's own doing."""
        tool = self.toolset.known.get(call.name)
        return tool is not None and not tool.reads_only and tool.edits_files

    def destroys(self, call: ToolCall) -> bool:
        """Whether a call that was allowed may lose work that nothing brings back."""
        ready = self._ready.get(call.id)
        return ready is not None and ready.destroys

    async def judge(self, call: ToolCall) -> Judged:
        """Parse the arguments, ask the policy and, where it says so, the person."""
        reads = self.reads_only(call)
        tool = self.toolset.known.get(call.name)
        if tool is None:
            refusal = not_run(call, self._unknown(call.name), status="error")
            return Judged(call=call, reads_only=reads, understood=False, refusal=refusal)
        try:
            args = tool.parse(call.arguments)
        except ToolError as error:
            refusal = not_run(call, str(error), status="error")
            return Judged(call=call, reads_only=reads, understood=False, refusal=refusal)
        if not tool.takes_placeholders and (found := PLACEHOLDER.search(call.arguments)):
            return Judged(call=call, reads_only=reads, refusal=not_run(call, _secret(found[0]), status="error"))
        try:
            return await self._decide(call, tool, args)
        except (ToolError, WorkspaceError) as error:
            return Judged(call=call, reads_only=reads, refusal=not_run(call, _for_model(error), status="error"))
        except OSError as error:  # what cannot be looked at cannot be judged
            words = f"Not run: a path that it names could not be looked at ({error}). Name another one."
            return Judged(call=call, reads_only=reads, refusal=not_run(call, words, status="error"))

    async def _decide(self, call: ToolCall, tool: Tool[Any], args: Any) -> Judged:
        from letta_code.safety.coverage import hides_work  # loaded with the policy, after the first request

        state = self.history.tool_state.get(call.name, {})
        wanted = await tool.operations(args, self.workspace, state)
        operations = [w.operation for w in wanted]
        policy = self.policy().with_taints(self.history.taints)
        decision = policy.decide_all(tool.name, operations)
        origin = origin_of(operations, decision.grant, foreign=self.foreign)
        if not origin.source:
            origin = Origin(source=kept_output(operations, self.workspace))
        context = CallContext(
            self, call, wanted, approved=not self.raises_concerns(), grant=decision.grant, origin=origin
        )
        destroys = decision.destructive or any(map(hides_work, operations))
        runs = all(isinstance(operation, ExecOperation) for operation in operations)
        creates = [one.path for one in operations if isinstance(one, WriteOperation) and one.action == "create"]
        ready = _Ready(tool, args, context, tool.title(args), destroys=destroys, runs=runs, creates=creates)
        if decision.verdict == "allow":
            return await self._allowed_or_asked(call, ready, decision)
        if decision.verdict == "deny":
            return _refused(call, ready, _denied(decision))
        blocks = await tool.preview(args, ready.context)
        return await self._ask(call, ready, decision, operations, blocks)

    async def _allowed_or_asked(self, call: ToolCall, ready: _Ready, decision: Decision) -> Judged:
        """The policy allows it; the tool itself may have found a reason to ask (memory that a person wrote)."""
        concern = None if ready.context.approved else await ready.tool.concern(ready.args, ready.context)
        if concern is None:
            return self._allowed(call, ready)
        asked = replace(decision, verdict="ask", reason=concern.why)
        return await self._ask(call, ready, asked, (), concern.blocks)

    async def _ask(
        self,
        call: ToolCall,
        ready: _Ready,
        decision: Decision,
        operations: Sequence[Operation],
        blocks: tuple[DisplayBlock, ...],
    ) -> Judged:
        policy = self.policy().with_taints(ready.context.taints)  # what it was judged with
        yes = policy.yes(ready.tool.name, operations)
        answer = await self.ask(
            ApprovalRequest(
                request_id=new_id("req"),
                call_id=call.id,
                tool=ready.tool.name,
                title=ready.title,
                reason=decision.reason,
                blocks=blocks,
                offers=policy.offers(ready.tool.name, operations) if operations else (),
                destructive=decision.destructive,
                allowed_in=policy.allowed_in(ready.tool.name, operations) if operations else "full",
                yes=yes,
            )
        )
        match answer:
            case Approve():
                ready.context.approved = ready.context.confirmed = True
                if decision.grant.hooks and yes:  # those with a yes from earlier may have changed since
                    self._agreed()
                return self._allowed(call, ready)
            case Deny(message=message, stop=stop):
                words = f"The person declined this call: {message}" if message else "The person declined this call."
                return _refused(call, ready, words, stop=stop)
            case Unanswered(reason=reason):
                return _refused(call, ready, reason)
            case _:
                return _refused(call, ready, f"Not approved: {answer.text}")

    def _allowed(self, call: ToolCall, ready: _Ready) -> Judged:
        self._ready[call.id] = ready
        return Judged(call=call, reads_only=ready.tool.reads_only)

    async def run(self, judged: Judged) -> Done:
        """Run an allowed call; every fault but cancellation becomes a result that the model can act on."""
        call = judged.call
        ready = self._ready.pop(call.id)
        self._begun[call.id] = ready
        self.emit(ToolStarted(call_id=call.id, name=call.name, title=ready.title))
        began = monotonic()
        try:
            result = await ready.tool.run(ready.args, ready.context)
        except asyncio.CancelledError:
            raise
        except (ToolError, WorkspaceError) as error:  # what did not start brings nothing in
            taint = "" if ready.runs and isinstance(error, NotStartedError) else None
            result = Result.text(_for_model(error), is_error=True, taint=taint)
        except LettaError as error:
            result = Result.text(f"{error} {error.hint}".strip(), is_error=True)
        except Exception as error:  # one of the three borders: a tool's bug must not end the run
            log.exception("tool %s failed", call.name)
            result = Result.text(
                f"{call.name} failed inside letta-code ({type(error).__name__}: {error}). Try another way.",
                is_error=True,
            )
        self._last_words(call.id)
        if ready.creates and not (result.is_error or self.foreign or ready.taint or self.history.taints):
            self._created(ready.creates)
        return self._done(call, ready, result, monotonic() - began)

    def _done(self, call: ToolCall, ready: _Ready, result: Result, seconds: float) -> Done:
        taint = ready.taint if result.taint is None else result.taint
        marks = _mark(taint, self.history.taints)
        event = ToolResult(
            message_id=new_id("msg"),
            call_id=call.id,
            name=call.name,
            status="error" if result.is_error else "ok",
            content=(*result.content, *marks),
            title=ready.title,
            blocks=result.blocks,
            files=result.files,
            state=result.state,
            seconds=round(seconds, 4),
            taint=taint,
        )
        also: list[TodoChanged | ToolsLoaded] = []
        if result.todo is not None:
            also.append(TodoChanged(lines=todo_lines(result.todo)))
        if result.load_tools:
            specs = [tool.spec for name, tool in self.toolset.deferred.items() if name in result.load_tools]
            also.append(ToolsLoaded(tools=encode_specs(specs)))
        return Done(result=event, also=tuple(also), marks=len(marks))

    def interrupted(self, call: ToolCall, words: str, status: str) -> ToolResult:
        """The result of a call that was stopped: while it ran, with what it had printed, or before it began."""
        printed = self._last_words(call.id)
        ready = self._ready.pop(call.id, None)
        begun = self._begun.get(call.id)
        if begun is None:
            return not_run(call, NOT_BEGUN, status=status, title=ready.title if ready else "")
        text = f"{words}\nIts output until then:\n{printed}" if printed else words
        return ToolResult(
            message_id=new_id("msg"),
            call_id=call.id,
            name=call.name,
            status=status,
            content=(TextPart(text=text),),
            title=begun.title,
            taint=begun.taint,
        )

    def _unknown(self, name: str) -> str:
        names = list(self.toolset.sent)
        instead = next((t.stands_for[name] for t in self.toolset.sent.values() if name in t.stands_for), "")
        if instead:
            return f"There is no tool {name!r} here: use {instead}."
        from difflib import get_close_matches

        near = get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
        guess = next((n for n in names if near and n.lower() == near[0]), "")
        hint = f" Did you mean {guess}?" if guess else ""
        return f"There is no tool {name[:60]!r}.{hint} The tools are: {', '.join(names)}."


def todo_lines(items: Sequence[TodoItem]) -> tuple[str, ...]:
    """The todo list as lines for people and models."""
    marks = {"done": "x", "in_progress": ">"}
    return tuple(f"[{marks.get(item.status, ' ')}] {item.text}" for item in items)


def _mark(taint: str, known: Taints) -> tuple[TextPart, ...]:
    """A line that the first result of a source ends in; a folder that is not trusted is one source here."""
    told = any(source.endswith(NOT_TRUSTED) for source in known.sources) if taint.endswith(NOT_TRUSTED) else False
    return (TextPart(text=MARK.format(taint)),) if taint and not told and taint not in known.sources else ()


def _secret(placeholder: str) -> str:
    return (
        f"Not run: {placeholder} stands for a secret whose value you were not shown. Only Edit, Write and ApplyPatch "
        "put it back, into the file that it came from; commands, memory and the network never get it. Let the command "
        "take it from where it is kept (its file, an environment variable), or ask the person."
    )


def _for_model(error: LettaError) -> str:
    return f"{error}\n{error.hint}" if error.hint else str(error)


def _refused(call: ToolCall, ready: _Ready, words: str, *, stop: bool = False) -> Judged:
    refusal = not_run(call, words, title=ready.title)
    return Judged(call=call, reads_only=ready.tool.reads_only, refusal=refusal, stop=stop)


def _denied(decision: Decision) -> str:
    reason = (decision.reason or "the policy forbids it").rstrip(".")
    return f"Not allowed: {reason}. Do not try to reach the same effect another way."
