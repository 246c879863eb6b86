"""Requests: what may be asked of a person, and the answers; both are durable and tied by an id."""

from __future__ import annotations

from typing import TypeAlias

from letta_code.core.display import DisplayBlock
from letta_code.core.messages import Value


class RuleOffer(Value):
    """A rule that a yes can be remembered as; `pattern` is shown just as it would be saved, e.g. `Bash(npm test)`."""

    pattern: str
    text: str = ""


class ApprovalRequest(Value, tag_field="kind", tag="approval"):
    """May this call run?  `blocks` show the real command or diff, `reason` says why it is asked.

    `allowed_in` is the mode that would not ask about it, "" where every mode does.  `yes` is what the plain yes says
    where it holds for longer than this once.
    """

    request_id: str
    call_id: str
    tool: str
    title: str
    reason: str = ""
    blocks: tuple[DisplayBlock, ...] = ()
    offers: tuple[RuleOffer, ...] = ()
    destructive: bool = False
    allowed_in: str = ""
    yes: str = ""


class Choice(Value):
    """One answer offered to a question."""

    label: str
    description: str = ""


class QuestionRequest(Value, tag_field="kind", tag="question"):
    """A question to the person; a free text answer is always possible."""

    request_id: str
    call_id: str
    question: str
    choices: tuple[Choice, ...] = ()
    several: bool = False


Request: TypeAlias = ApprovalRequest | QuestionRequest


class Approve(Value, tag_field="kind", tag="approve"):
    """Yes.  `remember` is once, conversation, project or always; `pattern` is the rule that is remembered."""

    remember: str = "once"
    pattern: str = ""


class Deny(Value, tag_field="kind", tag="deny"):
    """No.  `message` goes to the model; `stop` ends the run instead of letting the model go on."""

    message: str = ""
    stop: bool = False


class Reply(Value, tag_field="kind", tag="reply"):
    """The person's words or the chosen labels, joined by `, `."""

    text: str


class Unanswered(Value, tag_field="kind", tag="unanswered"):
    """Nobody could answer (headless), or the run ended first; `reason` goes to the model."""

    reason: str


Answer: TypeAlias = Approve | Deny | Reply | Unanswered
