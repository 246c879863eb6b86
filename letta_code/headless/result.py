"""The result of a headless run: the JSON object that ends the output, and the exit code."""

from __future__ import annotations

from typing import Any

import msgspec

from letta_code.core.errors import LettaError
from letta_code.core.events import RunFinished, StopReason
from letta_code.core.messages import Usage, Value

EXIT_DONE, EXIT_ERROR, EXIT_PERMISSION, EXIT_LIMIT = 0, 1, 3, 4
EXIT_READER_GONE = 141  # 128 + SIGPIPE, as the shell reports a writer whose reader left

_CODES = {
    StopReason.DONE: EXIT_DONE,
    StopReason.INTERRUPTED: 130,
    StopReason.DENIED: EXIT_PERMISSION,
    StopReason.MAX_TURNS: EXIT_LIMIT,
    StopReason.TIME_LIMIT: EXIT_LIMIT,
    StopReason.REPEATED_CALL: EXIT_LIMIT,
    StopReason.REPEATED_ERROR: EXIT_LIMIT,
}
_SUBTYPES = {
    EXIT_DONE: "success",
    EXIT_PERMISSION: "denied",
    EXIT_LIMIT: "limit",
    75: "unavailable",
    129: "interrupted",
    130: "interrupted",
    143: "interrupted",
}
_WORDS = {
    StopReason.INTERRUPTED: ("The run was interrupted.", "Go on with: {again}"),
    StopReason.DENIED: (
        "The run was stopped: what it needs was not allowed.",
        "Allow it with --allow RULE, or: {again}",
    ),
    StopReason.MAX_TURNS: ("The limit of model calls was reached.", "Raise --max-turns, and go on with: {again}"),
    StopReason.TIME_LIMIT: ("The time limit was reached.", "Raise --time-limit, and go on with: {again}"),
    StopReason.REPEATED_CALL: ("The model made the same call again and again.", "Say more in the prompt."),
    StopReason.REPEATED_ERROR: ("The model ran into the same error again and again.", "Say more in the prompt."),
    StopReason.LENGTH: ("The answer was cut: the model's output limit was reached.", "Go on with: {again}"),
    StopReason.REFUSAL: ("The model refused to answer.", "Ask in other words, or use another model."),
    StopReason.ORPHANED: ("The process of this run died. What it had done is kept.", "Go on with: {again}"),
}


class Failure(Value):
    """What went wrong, in the words a person reads."""

    kind: str
    message: str
    hint: str = ""


class Denial(Value):
    """A call that was not made.

    `allow` is the flag that would allow it, "" where a rule or the mode forbids it or only a person's yes is offered;
    `advice` is what to do in words, "" where nothing allows it.
    """

    tool: str
    title: str
    reason: str = ""
    allow: str = ""
    advice: str = ""


class Result(Value, tag_field="type", tag="result", omit_defaults=False):
    """The last line of a headless run.

    `subtype` is success, error, denied, limit, unavailable or interrupted; `result` the model's last words; `steps`
    model calls; `usage` tokens; `cost` US dollars (null where no price is known).
    """

    subtype: str
    is_error: bool
    result: str = ""
    conversation_id: str = ""
    run_id: str = ""
    model: str = ""
    steps: int = 0
    usage: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    cost: float | None = None
    seconds: float = 0.0
    stop_reason: str = ""
    exit_code: int = 0
    error: Failure | None = None
    denials: tuple[Denial, ...] = ()


def exit_code_of(finished: RunFinished) -> int:
    """The exit code that goes with the way a run ended."""
    if finished.reason == StopReason.ERROR:
        return code_of_kind(finished.error_kind)
    return _CODES.get(finished.reason, EXIT_ERROR)


def code_of_kind(kind: str) -> int:
    """The exit code of an error by its kind; 1 for a kind that is not ours."""
    found = _kinds(LettaError)
    return found.get(kind, EXIT_ERROR)


def _kinds(base: type[LettaError]) -> dict[str, int]:
    codes = {base.kind: base.exit_code}
    for below in base.__subclasses__():
        codes.update(_kinds(below))
    return codes


def result_of(finished: RunFinished, **more: Any) -> Result:
    """The result of a run that ended."""
    code = more.pop("exit_code", exit_code_of(finished))
    return Result(
        subtype=_SUBTYPES.get(code, "error"),
        is_error=code != EXIT_DONE,
        run_id=finished.run_id,
        steps=finished.steps,
        usage=usage_fields(finished.usage),
        cost=finished.cost,
        seconds=round(finished.seconds, 3),
        stop_reason=finished.reason,
        exit_code=code,
        error=failure_of(finished, more.get("conversation_id", "")),
        **more,
    )


def result_of_error(error: LettaError, **more: Any) -> Result:
    """The result of a run that never began."""
    return Result(
        subtype=_SUBTYPES.get(error.exit_code, "error"),
        is_error=True,
        stop_reason=StopReason.ERROR,
        exit_code=error.exit_code,
        usage=usage_fields(Usage()),
        error=Failure(kind=error.kind, message=str(error), hint=error.hint),
        **more,
    )


def failure_of(finished: RunFinished, conversation_id: str = "") -> Failure | None:
    """What went wrong, None for a run that was done."""
    if finished.reason == StopReason.DONE:
        return None
    words, hint = _WORDS.get(finished.reason, ("The run ended without an answer.", ""))
    kind = finished.error_kind or finished.reason
    again = f"letta-code --resume {conversation_id}" if conversation_id else "letta-code --continue"
    return Failure(kind=kind, message=finished.error or words, hint=finished.hint or hint.format(again=again))


def usage_fields(usage: Usage) -> dict[str, int]:
    """Tokens by name, zeros too: a reader of JSON should not have to guess what is left out."""
    return {name: getattr(usage, name) for name in usage.__struct_fields__}
