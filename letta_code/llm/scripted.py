"""A model that plays a written script of turns: for the demo, the tests and the benches.

`--model scripted:FILE.yaml`.  The file is a list of turns, or a mapping:

    info: {window: 200000, edit_family: edit, sees_images: false}   # optional, fields of ModelInfo
    turns:
      - text: I will look at the file.       # streamed in pieces
        reasoning: It must be in app.py.     # optional, comes first
        tools:
          - {name: Read, args: {path: app.py}}
          - {name: Bash, arguments: '{"command": "ls'}   # `arguments`: the JSON text itself, also when it is broken
        usage: {input: 900, output: 40, cache_read: 800}
        expect: [app.py, "VERSION = 1"]      # must all stand in the last message (of the turn's results), else it fails
        delay: 0.02                          # seconds before every piece
        pieces: 12                           # characters a piece
        finish: length                       # else tool_calls or stop
        repeat: 3                            # the turn is played 3 times; `repeat: forever` as the last turn
      - error: {status: 429, message: slow down, retry_after: 2, times: 2}   # fails 2 times, then the turn is played
        text: Done.
      - error: {status: 500, after: 2, times: 1}   # … after 2 pieces;  `cut: true` breaks off instead of a status
        text: Never mind, it works now.
    answers:                                 # once the turns have run out: the first whose `match` stands in the last
      - {match: "hello", text: Hello.}       #   message; without `match`: any
    asides:                                  # requests beside the conversation: the first whose `match` stands in the
      - {match: "# Goals", text: All went well.}   #   instructions (of a summary, say), else the request is refused

`{{turn}}` in texts and arguments becomes the number of the turn, counted from 1 over all turns played.

Where the script stands is counted from the assistant messages in the request, so that a process that resumes a
conversation goes on at the right place; a summary stands for those that it took away.  Only `times` of errors is
counted in the process.  What the script did not foresee fails loudly as `BadRequest`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from letta_code.core.errors import BadRequest, ConfigError, StreamBroken
from letta_code.core.messages import AssistantText, Message, Reminder, Summary, Usage, text_of
from letta_code.llm.faults import Asked, fault_of
from letta_code.llm.model import (
    CallPiece,
    ChatRequest,
    Finish,
    ModelInfo,
    ReasoningPiece,
    StreamPart,
    TextPiece,
    UsagePiece,
)

Times: TypeAlias = Annotated[int, msgspec.Meta(ge=1)] | Literal["forever"]


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One call of a turn: `args` as an object, or `arguments` as the JSON text."""

    name: str
    args: dict[str, Any] = {}
    arguments: str | None = None
    id: str = ""

    def text(self) -> str:
        """The arguments as the model would write them."""
        return self.arguments if self.arguments is not None else msgspec.json.encode(self.args).decode()


class ScriptedError(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault: `status` as a provider would answer, or `cut`: the stream breaks off after `after` pieces."""

    status: int = 500
    message: str = "scripted fault"
    retry_after: float | None = None
    times: Times = 1
    after: int = 0
    cut: bool = False


class ScriptedTurn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer; the module's docstring tells the fields."""

    text: str = ""
    reasoning: str = ""
    tools: tuple[ScriptedCall, ...] = ()
    usage: Usage | None = None
    expect: str | tuple[str, ...] = ()
    match: str = ""
    delay: float = 0.0
    pieces: Annotated[int, msgspec.Meta(ge=1)] = 24
    finish: str = ""
    repeat: Times = 1
    error: ScriptedError | None = None


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole script."""

    turns: tuple[ScriptedTurn, ...] = ()
    answers: tuple[ScriptedTurn, ...] = ()
    asides: tuple[ScriptedTurn, ...] = ()
    info: dict[str, Any] = {}


def read_script(path: Path) -> Script:
    """A script from its YAML (or JSON) file; raises `ConfigError` naming the place that is off."""
    import yaml

    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        said = f"The script {path} cannot be read: {error.strerror}"
        raise ConfigError(said, hint="scripted: takes a path, relative to the working directory.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"The script {path} is no YAML: {error}", hint="See letta_code/llm/scripted.py.") from error
    try:
        return msgspec.convert({"turns": data} if isinstance(data, list) else data, Script)
    except msgspec.ValidationError as error:
        hint = "letta_code/llm/scripted.py tells the format."
        raise ConfigError(f"The script {path} is off: {error}", hint=hint) from error


class ScriptedModel:
    """A `ChatModel` that plays a script."""

    def __init__(self, name: str, script: Script) -> None:
        self._name = name
        self._script = script
        self._info = _info(name, script)
        self._failed: dict[int, int] = {}

    @property
    def info(self) -> ModelInfo:
        """What the script says of its model."""
        return self._info

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart, None]:
        """The pieces of the turn whose time it is; see `ChatModel.stream`."""
        played = sum(_answers(message) for message in request.messages)
        turn = self._aside(request) if request.aside else self._turn(played, request.messages)
        self._check(turn, played, request.messages)
        fault = self._fault(turn, -1 - self._script.asides.index(turn) if request.aside else played)
        for sent, part in enumerate(_parts(turn, played + 1)):
            if fault is not None and sent >= fault.after:
                raise self._error(fault)
            # Without a delay the loop gets a turn as well: a long answer must not hold the others up.
            await asyncio.sleep(turn.delay)
            yield part
        if fault is not None:
            raise self._error(fault)
        yield Finish(reason=turn.finish or ("tool_calls" if turn.tools else "stop"))

    async def close(self) -> None:
        """Nothing to give back."""

    def _turn(self, played: int, messages: Sequence[Message]) -> ScriptedTurn:
        left = played
        for turn in self._script.turns:
            if turn.repeat == "forever" or left < turn.repeat:
                return turn
            left -= turn.repeat
        said = _last_words(messages)
        for turn in self._script.answers:
            if turn.match in said:
                return turn
        raise BadRequest(
            f"The script {self._name} has no turn {played + 1}: it has run out.",
            hint="Add turns or `answers` to it. The last message was: " + said[-200:],
        )

    def _aside(self, request: ChatRequest) -> ScriptedTurn:
        for turn in self._script.asides:
            if turn.match in request.system:
                return turn
        raise BadRequest(f"The script {self._name} has nothing to say to a request beside the conversation.")

    def _check(self, turn: ScriptedTurn, played: int, messages: Sequence[Message]) -> None:
        wanted = (turn.expect,) if isinstance(turn.expect, str) else turn.expect
        said = _last_words(messages)
        for text in wanted:
            if text not in said:
                raise BadRequest(
                    f"Turn {played + 1} of {self._name} expected {text!r} in the last message.",
                    hint="It was: " + said[-500:],
                )

    def _fault(self, turn: ScriptedTurn, played: int) -> ScriptedError | None:
        fault = turn.error
        if fault is None:
            return None
        failed = self._failed.get(played, 0)
        if fault.times != "forever" and failed >= fault.times:
            return None
        self._failed[played] = failed + 1
        return fault

    def _error(self, fault: ScriptedError) -> Exception:
        if fault.cut:
            return StreamBroken(f"The script broke the answer off: {fault.message}", url=self._name)
        headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
        body = msgspec.json.encode({"error": {"message": fault.message}})
        return fault_of(fault.status, headers, body, Asked(provider="the script", model=self._name, url=self._name))


def _answers(message: Message) -> int:
    return message.answers if isinstance(message, Summary) else int(isinstance(message, AssistantText))


def _parts(turn: ScriptedTurn, number: int) -> Iterator[StreamPart]:
    for piece in _cut(turn.reasoning, turn.pieces, number):
        yield ReasoningPiece(text=piece)
    for piece in _cut(turn.text, turn.pieces, number):
        yield TextPiece(text=piece)
    for index, call in enumerate(turn.tools):
        yield CallPiece(index=index, id=call.id or f"call_{number}_{index}", name=call.name)
        for piece in _cut(call.text(), turn.pieces, number):
            yield CallPiece(index=index, arguments=piece)
    if turn.usage is not None:
        yield UsagePiece(usage=turn.usage)


def _cut(text: str, size: int, number: int) -> Iterator[str]:
    text = text.replace("{{turn}}", str(number))
    return (text[start : start + size] for start in range(0, len(text), size))


def _last_words(messages: Sequence[Message]) -> str:
    """What was said since the model spoke last: the person's words, or all results of the turn."""
    texts: list[str] = []
    for message in reversed(messages):
        if isinstance(message, AssistantText):
            break
        texts.append(message.text if isinstance(message, (Reminder, Summary)) else text_of(message.content))
    return "\n".join(reversed(texts))


def _info(name: str, script: Script) -> ModelInfo:
    try:
        return msgspec.convert({"window": 200_000, "loopback": True, **script.info, "name": name}, ModelInfo)
    except msgspec.ValidationError as error:
        raise ConfigError(f"The script {name} has a wrong `info`: {error}", hint="Fields of ModelInfo.") from error
