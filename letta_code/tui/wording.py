"""Wording: how runs, calls and lengths of time read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from letta_code.core import events as ev
from letta_code.core.messages import ContentPart, TextPart, ToolCall

ATTACHED = "[The person ran this in the shell]\n$ "

END_TEXTS = {
    ev.StopReason.INTERRUPTED: "Interrupted. What was done so far is kept.",
    ev.StopReason.DENIED: "Stopped, because you said no.",
    ev.StopReason.ORPHANED: "The process that did this work ended before it was finished.",
    ev.StopReason.LENGTH: "The answer reached the model's output limit; say “go on” to continue.",
    ev.StopReason.REFUSAL: "The model refused to answer.",
    ev.StopReason.MAX_TURNS: "Stopped at the limit of turns (--max-turns); say “go on” to continue.",
    ev.StopReason.TIME_LIMIT: "Stopped at the time limit (--time-limit); say “go on” to continue.",
    ev.StopReason.REPEATED_CALL: "Stopped: the model made the same call five times.",
    ev.StopReason.REPEATED_ERROR: "Stopped: the model met the same error again and again.",
}


def said(content: tuple[ContentPart, ...]) -> tuple[str, tuple[str, ...]]:
    """The person's own words, and the names of what was attached to them."""
    words: list[str] = []
    attached: list[str] = []
    for part in content:
        if not isinstance(part, TextPart):
            attached.append(part.name or part.media_type)
        elif part.text.startswith(ATTACHED):
            attached.append("$ " + part.text[len(ATTACHED) :].partition("\n")[0])
        else:
            words.append(part.text)
    return "\n".join(words), tuple(attached)


def title_of(call: ToolCall) -> str:
    """A title until the tool gives its own: the name and the first short text among the arguments."""
    try:
        raw = (call.arguments or "{}").encode("utf-8", "surrogatepass")
        arguments = msgspec.json.decode(raw, type=dict[str, object])
    except msgspec.DecodeError:
        return call.name
    for value in arguments.values():
        if isinstance(value, str) and value.strip():
            return f"{call.name} {' '.join(value.split())[:200]}"
    return call.name


def run_summary(event: ev.RunFinished) -> str:
    parts = [f"{event.steps} step{'' if event.steps == 1 else 's'}", seconds_text(event.seconds)]
    if event.cost:
        parts.append(f"${event.cost:.2f}" if event.cost >= 0.01 else f"${event.cost:.4f}")
    return " · ".join(parts)


def age(at: str) -> float:
    """Seconds since a stored time, 0.0 for none that can be read or that is yet to come."""
    try:
        began = datetime.fromisoformat(at)
    except ValueError:
        return 0.0
    return max((datetime.now(UTC) - began).total_seconds(), 0.0) if began.tzinfo else 0.0


def seconds_text(seconds: float) -> str:
    """A length of time for people: `0.4 s`, `12 s`, `3 min 05 s`, `1 h 02 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{int(seconds)} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def folder_text(cwd: str) -> str:
    """A folder as a person writes it: the home as `~`."""
    home = str(Path.home())
    return "~" + cwd[len(home) :] if cwd == home or cwd.startswith(home + "/") else cwd
