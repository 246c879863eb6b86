"""What a conversation must still know after its messages left, and whether a request has it before it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from letta_code.core.messages import AssistantText, Message, Reminder, Summary, ToolText, UserText, text_of
from letta_code.llm.model import ChatRequest

_CUT = re.compile(r"\[([\d,]+) characters are left out here: all of it is event (\d+) of this conversation\]")
_TODO = re.compile(r'<block label="todo" scope="conversation"[^\n]*>\n(.*?)\n</block>', re.DOTALL)


class Truth:
    """Kept beside the conversation.

    A rule, decision or file must stand as a line of its own in the summary, or in the message that it came with: that
    the head names it, or a sentence speaks of it, is not enough.  A task may stand in its block.  The person's words of
    the run that goes on are there whole, or say that they were cut and at which event they stand (`cut`).
    """

    def __init__(self) -> None:
        self.rules: list[str] = []
        self.decisions: dict[str, str] = {}  # as the summary must tell it → the answer
        self.files: list[str] = []
        self.todo: list[str] = []
        self.task = ""
        self.facts: dict[str, str] = {}  # value → who says it
        self.cut: dict[int, str] = {}  # event that a summary names for what it cut → what it must hold
        self.only_in_block = 0  # open tasks that a summary did not tell, but their block

    def lost(self, request: ChatRequest) -> list[str]:
        """What is not before the model."""
        summary = "\n".join(m.text for m in request.messages if isinstance(m, Summary))
        lines = {_plain(line) for line in summary.splitlines()}
        said = [_of(m) for m in request.messages if not isinstance(m, Summary | Reminder)]
        lost = [rule for rule in self.rules if _plain(rule) not in lines and not _in(rule, said)]
        lost += [d for d, answer in self.decisions.items() if _plain(d) not in lines and not _in(answer, said)]
        lost += [file for file in self.files if _plain(file) not in lines and not _in(f"write {file}", said)]
        return [*lost, *self._lost_todo(request.system, lines, said), *self._lost_task(request, summary)]

    def _lost_todo(self, head: str, lines: set[str], said: list[str]) -> Iterator[str]:
        found = _TODO.search(head)
        block = {_plain(line) for line in found[1].splitlines()} if found else set[str]()
        for task in self.todo:
            if _plain(task) not in lines and not _in(task, said):
                self.only_in_block += bool(lines)
                if _plain(task) not in block:
                    yield f"todo {task}"

    def _lost_task(self, request: ChatRequest, summary: str) -> Iterator[str]:
        persons = [text_of(m.content) for m in request.messages if isinstance(m, UserText)]
        if _in(self.task, [*persons, _unwrapped(summary)]):
            return
        cut = _CUT.search(summary)
        if cut and _in(self.task[:40], [_unwrapped(summary)]) and _in(self.task[-40:], [_unwrapped(summary)]):
            self.cut[int(cut[2])] = self.task
        else:
            yield f"task {self.task[:80]}"


def _unwrapped(summary: str) -> str:
    return re.sub(r"\n {2}", "\n", summary)


def _in(wanted: str, texts: list[str]) -> bool:
    plain = " ".join(wanted.split())
    return any(plain in " ".join(text.split()) for text in texts)


def _plain(line: str) -> str:
    return re.sub(r"^(?:- )?(?:\[\d+\] )?(?:\[[ >]\] )?", "", line.strip()).strip(" .")


def _of(message: Message) -> str:
    match message:
        case UserText() | ToolText():
            return text_of(message.content)
        case AssistantText():
            return message.text + "".join(f"\n{call.name} {call.arguments}" for call in message.tool_calls)
        case Reminder() | Summary():
            return message.text
