"""Asking: the request of a reflection, and the model's answer as data.

The answer is plain text with the patch in it, not a call: a patch is many lines of quoted text, which models write more
reliably as it is than escaped within the JSON of a call, and models without calls can answer as well.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from letta_code.agent.transcript import shortened
from letta_code.core.ids import new_id
from letta_code.core.messages import TextPart, Usage, UserText, Value
from letta_code.llm.model import ChatModel, ChatRequest, Finish, TextPiece, UsagePiece
from letta_code.llm.retry import Restarted, RetryLimits, stream_with_retries
from letta_code.memory.block import TASK, TODO, one_line
from letta_code.memory.render import escaped, rendered
from letta_code.memory.view import View
from letta_code.safety.secrets import without_secrets
from letta_code.safety.terminal import strip_controls

RETRIES = RetryLimits(retry_seconds=60.0, unreachable_seconds=10.0)  # behind the scenes: nobody waits, it comes again
_MOST_FILES = 60
_BEGIN, _END = "*** Begin Patch", "*** End Patch"
_SECTION = re.compile(r"^\*\*\* (?:Update|Add|Delete|Move|Rewrite) (?:Block|File):", re.MULTILINE)
_WHY = re.compile(r"^\W*why\W*:\W*(.+)$", re.IGNORECASE | re.MULTILINE)
_NOTHING = re.compile(r"\W*nothing\b", re.IGNORECASE)
_CONTROLS_OF_TEXT = re.compile(r"<(?=\s*/?\s*(?:transcript|answer|waiting)\b)", re.IGNORECASE)


class Said(Value):
    """A model's answer: its text, why it ended, and what it used (None where the provider counted nothing)."""

    text: str
    finish: str = "stop"
    usage: Usage | None = None


class Answer(Value):
    """What the model proposes; `patch` is "" when there is nothing to keep."""

    patch: str = ""
    why: str = ""


def instructions() -> str:
    """The system prompt."""
    return (Path(__file__).parents[1] / "prompts" / "reflection.md").read_text(encoding="utf-8").strip()


def memory_text(view: View) -> str:
    """The blocks as they are; without those that the program keeps or other agents share."""
    blocks = [b for b in view.blocks if b.label not in (TODO, TASK) and b.scope != "shared"]
    parts = ["<memory>", *(rendered(block) for block in blocks)]
    others = [block for block in view.others if not block.path.startswith("conflicts/")]
    if others:
        parts.append("Files that are read on demand, by label:")
        parts += [
            escaped(f"{b.label} ({b.fill} characters) {one_line(b.description, 200)}") for b in others[:_MOST_FILES]
        ]
    return "\n".join([*parts, "</memory>"])


def question(*, today: str, where: str, memory: str, transcript: str, waiting: str = "", focus: str = "") -> str:
    """The first message: the blocks, the transcript, and what is asked."""
    parts = [f"Today is {today}. The conversation is about work in {where}.", memory]
    if waiting:
        quoted = _quoted(waiting)
        parts.append(f"Proposed before and not decided yet; do not propose it again:\n<waiting>\n{quoted}\n</waiting>")
    parts.append(f"<transcript>\n{transcript}\n</transcript>")
    if focus:
        parts.append(f"The person asked for this reflection and says what matters: {focus}")
    parts.append("Answer with NOTHING, or with Why and the patch.")
    return "\n\n".join(parts)


def second_question(*, today: str, memory: str, answer: str, problem: str) -> str:
    """The message after an answer that cannot be used; the transcript is not sent again."""
    return "\n\n".join(
        [
            f"Today is {today}. You have read a conversation and answered with a change of these blocks.",
            memory,
            f"<answer>\n{_quoted(answer)}\n</answer>",
            f"It cannot be used: {problem}",
            "Nothing of it was done. Say the same so that it fits: Why and the whole patch, or NOTHING.",
        ]
    )


def _quoted(text: str) -> str:
    return _CONTROLS_OF_TEXT.sub("&lt;", escaped(text))


async def ask(
    model: ChatModel,
    system: str,
    text: str,
    *,
    max_output: int,
    conversation_id: str,
    cut_off: Callable[[Usage], None],
) -> Said:
    """One request, with few retries; raises `ProviderError`.  `cut_off` hears what was used when it is cancelled."""
    request = ChatRequest(
        system=system,
        tools=(),
        messages=(UserText(message_id=new_id("msg"), content=(TextPart(text=text),)),),
        max_output=max_output,
        conversation_id=conversation_id,
        aside="reflection",
    )
    pieces: list[str] = []
    finish, usage = "stop", None
    try:
        async with aclosing(stream_with_retries(model, request, limits=RETRIES)) as parts:
            async for part in parts:
                match part:
                    case TextPiece():
                        pieces.append(part.text)
                    case Restarted():
                        pieces.clear()
                    case UsagePiece():
                        usage = part.usage
                    case Finish():
                        finish = part.reason
                    case _:
                        pass
    except asyncio.CancelledError:
        if usage:
            cut_off(usage)
        raise
    return Said(text="".join(pieces), finish=finish, usage=usage)


def read_answer(text: str) -> Answer | None:
    """What was answered; None when it is neither a patch nor NOTHING."""
    text = strip_controls(text)
    begin = text.find(_BEGIN)
    if begin < 0 and (section := _SECTION.search(text)):  # the frame was forgotten
        begin = section.start()
    if begin < 0:
        said = text.partition("</think>")[2] or text
        return Answer() if _NOTHING.match(said) else None
    before, rest = text[:begin], text[begin:]
    patch = rest[: end + len(_END)] if (end := rest.rfind(_END)) >= 0 else rest
    # Code fences around it, and the word that stands for an empty block, are no part of a patch.
    lines = [line for line in patch.split("\n") if not line.startswith("```") and line[1:] != "(empty)"]
    return Answer(patch="\n".join(lines).rstrip(), why=_why(before))


def _why(before: str) -> str:
    named = _WHY.findall(before)
    lines = [line for line in before.split("\n") if line.strip(" `*#-")]
    why = named[-1] if named else lines[-1] if lines else ""
    return without_secrets(one_line(shortened(why, 300), 400))[0]
