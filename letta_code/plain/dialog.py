"""Requests as numbered choices: a number answers, other words are an answer of one's own."""

from __future__ import annotations

from collections.abc import Sequence

from letta_code.core.display import ShellBlock
from letta_code.core.messages import Value
from letta_code.core.requests import Answer, ApprovalRequest, Approve, Deny, QuestionRequest, Reply
from letta_code.plain.render import block_lines
from letta_code.safety.terminal import visible

_SCOPES = (("conversation", "in this conversation"), ("project", "in this project"), ("always", "always"))


class Option(Value):
    """One numbered line and the answer that it stands for."""

    label: str
    answer: Answer


def approval_lines(request: ApprovalRequest) -> list[str]:
    """What is asked: the call, why, and the real command or diff."""
    lines = ["", f"May it do this?  {visible(request.title)}"]
    if request.destructive:
        lines.append("  Careful: it may destroy work that nothing brings back.")
    if request.reason:
        lines.append(f"  {visible(request.reason)}")
    for block in request.blocks:
        if isinstance(block, ShellBlock):  # never cut: what is not seen cannot be allowed
            lines += [f"  $ {line}" for line in visible(block.command).rstrip("\n").split("\n")]
        lines += [f"  {line}" for line in block_lines(block)]
    return lines


def approval_options(request: ApprovalRequest) -> list[Option]:
    """Yes once, yes remembered as each offered rule, no, no and stop."""
    options = [Option(label=visible(request.yes) or "Yes, this once", answer=Approve())]
    for offer in request.offers:
        options += [
            Option(
                label=f"Yes, and do not ask again for {visible(offer.pattern)} {words}",
                answer=Approve(remember=scope, pattern=offer.pattern),
            )
            for scope, words in _SCOPES
        ]
    options.append(Option(label="No, go on without it", answer=Deny()))
    options.append(Option(label="No, and stop", answer=Deny(stop=True)))
    return options


def option_lines(options: Sequence[Option]) -> list[str]:
    """The numbered lines."""
    return [f"  {number}. {option.label}" for number, option in enumerate(options, 1)]


def approval_answer(text: str, options: Sequence[Option]) -> Answer | None:
    """What a typed line means; other words than a number, y or n are a no with that reason.  None: ask again."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        number = int(text[:4])
        return options[number - 1].answer if 0 < number <= len(options) else None
    if not text:
        return None
    if text.lower() in ("y", "yes"):
        return Approve()
    if text.lower() in ("n", "no"):
        return Deny()
    return Deny(message=text)


def leaving_lines(owner: str) -> list[str]:
    """What Ctrl-C may mean where another process runs the conversation."""
    return ["", f"{owner} runs this.", "  1. Leave; it goes on there", "  2. Stop the run", "  3. Keep watching"]


def question_lines(request: QuestionRequest) -> list[str]:
    """The question and its numbered choices."""
    lines = ["", visible(request.question)]
    for number, choice in enumerate(request.choices, 1):
        more = f": {visible(choice.description)}" if choice.description else ""
        lines.append(f"  {number}. {visible(choice.label)}{more}")
    if request.choices:
        lines.append(f"  Answer with {'numbers such as 1,3' if request.several else 'a number'}, or in your own words.")
    return lines


def question_answer(text: str, request: QuestionRequest) -> Answer | None:
    """Labels for numbers, else the words themselves.  None: ask again."""
    text = text.strip()
    if not text:
        return None
    parts = [part.strip() for part in text.split(",")] if request.several else [text]
    if request.choices and all(part.isascii() and part.isdigit() for part in parts):
        numbers = [int(part[:4]) for part in parts]
        if not all(0 < number <= len(request.choices) for number in numbers):
            return None
        return Reply(text=", ".join(request.choices[number - 1].label for number in numbers))
    return Reply(text=text)
