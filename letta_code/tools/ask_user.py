"""AskUser: a question to the person, with choices where there are some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from letta_code.core.display import QuestionBlock
from letta_code.core.errors import ToolError
from letta_code.core.requests import Approve, Choice, Deny, Reply, Unanswered
from letta_code.safety.operations import AskOperation
from letta_code.tools.base import Args, Situation, Tool, ToolContext, ToolResult, Wanted
from letta_code.workspace.workspace import Workspace

MOST = 10  # choices
GO_ON = "Go on with your best judgement, and say in your answer what you assumed."


class AskUserArgs(Args, frozen=True):
    """Arguments of AskUser."""

    question: Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]
    choices: Annotated[list[str], msgspec.Meta(max_length=MOST)] = msgspec.field(default_factory=list)
    several: Annotated[bool, msgspec.Meta(description="more than one may be chosen")] = False


class AskUser(Tool[AskUserArgs]):
    """Asks the person."""

    name = "AskUser"
    edits_files = False
    args = AskUserArgs
    takes_placeholders = True
    order = 90

    def applies(self, situation: Situation) -> bool:
        """Only where somebody can answer."""
        return situation.interactive

    def title(self, args: AskUserArgs) -> str:
        """The question."""
        line = " ".join(args.question.split())
        return f"Ask: {line}" if len(line) <= 80 else f"Ask: {line[:79]}…"

    async def operations(self, args: AskUserArgs, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """Touches nothing."""
        if not args.question.strip():
            raise ToolError("question is empty.")
        if len(set(args.choices)) != len(args.choices) or not all(choice.strip() for choice in args.choices):
            raise ToolError("choices must be different from each other and not empty.")
        return [Wanted(operation=AskOperation(what=args.question))]

    async def run(self, args: AskUserArgs, ctx: ToolContext) -> ToolResult:
        """Ask and wait."""
        choices = tuple(Choice(label=choice) for choice in args.choices)
        answer = await ctx.ask(args.question, choices, several=args.several)
        match answer:
            case Reply(text=text):
                return ToolResult.text(text, QuestionBlock(question=args.question, answer=text))
            case Deny(message=message):
                told = f"The person did not answer{f': {message}' if message else '.'} {GO_ON}"
            case Unanswered(reason=reason):
                told = f"Nobody answered ({reason}). {GO_ON}"
            case Approve():
                return ToolResult.text("Yes.", QuestionBlock(question=args.question, answer="Yes."))
        return ToolResult.text(told, QuestionBlock(question=args.question))
