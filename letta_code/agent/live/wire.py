"""Wire: what the owner of a conversation and its followers say to each other, one line of JSON each."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import msgspec

from letta_code.agent.job import Job
from letta_code.agent.port import Status
from letta_code.core import errors
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.core.messages import ContentPart, Value
from letta_code.core.requests import Answer
from letta_code.llm.model import ModelInfo

PROTOCOL = 1  # another number means that the two cannot understand each other; `Hello` and `Bye` never change

# ---------------------------------------------------------------- acts


class Send(Value, tag_field="act", tag="send"):
    """`SessionPort.send`."""

    content: tuple[ContentPart, ...]
    client_id: str


class Unqueue(Value, tag_field="act", tag="unqueue"):
    """`SessionPort.unqueue`."""

    client_id: str


class GiveAnswer(Value, tag_field="act", tag="answer"):
    """`SessionPort.answer`."""

    request_id: str
    answer: Answer
    by: str


class Interrupt(Value, tag_field="act", tag="interrupt"):
    """`SessionPort.interrupt`."""


class SetMode(Value, tag_field="act", tag="set_mode"):
    """`SessionPort.set_mode`."""

    mode: str


class SetModel(Value, tag_field="act", tag="set_model"):
    """`SessionPort.set_model`."""

    name: str


class Rename(Value, tag_field="act", tag="rename"):
    """`SessionPort.rename`."""

    title: str


class Compact(Value, tag_field="act", tag="compact"):
    """`SessionPort.compact`."""

    instructions: str = ""


class Reflect(Value, tag_field="act", tag="reflect"):
    """`SessionPort.reflect`."""

    focus: str = ""


class ToBackground(Value, tag_field="act", tag="to_background"):
    """Give the run away at its next step boundary: who asks starts the process that goes on with it."""

    by: str


class TakeOver(Value, tag_field="act", tag="take_over"):
    """Give the conversation away at the next step boundary of what runs, at once when nothing does."""

    by: str


Act: TypeAlias = (
    Send | Unqueue | GiveAnswer | Interrupt | SetMode | SetModel | Rename | Compact | Reflect | ToBackground | TakeOver
)

# ---------------------------------------------------------------- follower to owner


class Hello(Value, tag_field="say", tag="hello"):
    """The first line of a follower."""

    protocol: int = PROTOCOL


class Ask(Value, tag_field="say", tag="ask"):
    """Do something; answered by the `Replied` of the same id."""

    id: int
    act: Act


class Ping(Value, tag_field="say", tag="ping"):
    """Are you there?"""


FromFollower: TypeAlias = Hello | Ask | Ping

# ---------------------------------------------------------------- owner to follower


class Fault(Value):
    """An error as data: `kind` finds its class again."""

    kind: str
    text: str
    hint: str = ""


class Welcome(Value, tag_field="say", tag="welcome"):
    """The first line of an owner: everything stored up to `last_seq` is to be read from the store.

    `partial` is what goes on right now, as live events; after it all is told as it happens.
    """

    status: Status
    last_seq: int
    partial: tuple[msgspec.Raw, ...] = ()
    pid: int = 0
    version: str = ""
    protocol: int = PROTOCOL
    model: ModelInfo | None = None


class Wake(Value, tag_field="say", tag="wake"):
    """The events up to `seq` are in the store now."""

    seq: int


class Told(Value, tag_field="say", tag="told"):
    """A live event, or a notice that is not stored (its seq is 0)."""

    event: msgspec.Raw


class State(Value, tag_field="say", tag="state"):
    """The session's state has changed."""

    status: Status
    model: ModelInfo | None = None


class Replied(Value, tag_field="say", tag="replied"):
    """What came of an act.  What it stored has a seq of at most `seq`."""

    id: int
    seq: int = 0
    result: msgspec.Raw = msgspec.Raw(b"null")
    fault: Fault | None = None


class Moved(Value):
    """The result of `ToBackground`: the run, "" where none is left, and what its next process is to be told."""

    run_id: str = ""
    job: Job | None = None


class Pong(Value, tag_field="say", tag="pong"):
    """I am."""


class Bye(Value, tag_field="say", tag="bye"):
    """The last line of an owner.  `reason` is released, closed or protocol; `text` says it to a person."""

    reason: str
    text: str = ""


FromOwner: TypeAlias = Welcome | Wake | Told | State | Replied | Pong | Bye

# ---------------------------------------------------------------- JSON

_encoder = msgspec.json.Encoder()
_follower: msgspec.json.Decoder[FromFollower] = msgspec.json.Decoder(FromFollower)
_owner: msgspec.json.Decoder[FromOwner] = msgspec.json.Decoder(FromOwner)


class _Numbered(msgspec.Struct):
    say: str = ""
    id: int = 0


_numbered: msgspec.json.Decoder[_Numbered] = msgspec.json.Decoder(_Numbered)


def encode(said: FromFollower | FromOwner) -> bytes:
    """One line, its newline included."""
    return _encoder.encode(said) + b"\n"


def from_follower(line: bytes) -> FromFollower | int | None:
    """What a follower said; the id of an act that this version does not know; None for what means nothing to it.

    Raises `msgspec.DecodeError` for what is no JSON object at all.
    """
    try:
        return _follower.decode(line)
    except msgspec.ValidationError:
        head = _whole(_numbered, line)
        return head.id if head is not None and head.say == "ask" else None
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"not UTF-8 ({error.reason})") from error


def from_owner(line: bytes) -> FromOwner | None:
    """What the owner said; None for what a newer one says.  Raises `msgspec.DecodeError`."""
    try:
        return _owner.decode(line)
    except msgspec.ValidationError:
        return None
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"not UTF-8 ({error.reason})") from error


T = TypeVar("T")


def _whole(decoder: msgspec.json.Decoder[T], line: bytes) -> T | None:
    try:
        return decoder.decode(line)
    except msgspec.ValidationError:
        return None


def told(event: ev.Event | ev.LiveEvent) -> Told:
    """An event to be told."""
    return Told(event=msgspec.Raw(ev.encode(event)))


def told_event(event: msgspec.Raw) -> ev.Event | ev.LiveEvent | None:
    """The event that was told, None for one of a newer version."""
    raw = bytes(event)
    try:
        return ev.decode_live(raw)
    except msgspec.ValidationError:
        stored = ev.decode(raw)
        return None if isinstance(stored, ev.UnknownEvent) else stored


def reply(number: int, result: object, seq: int) -> Replied:
    """What an act gave."""
    return Replied(id=number, seq=seq, result=msgspec.Raw(_encoder.encode(result)))


# ---------------------------------------------------------------- errors


def fault_of(error: LettaError) -> Fault:
    """An error as data."""
    return Fault(kind=error.kind, text=str(error), hint=error.hint)


def error_of(fault: Fault) -> LettaError:
    """The error again, of the class that it had; a plain `LettaError` where that is not known here."""
    known: list[type[LettaError]] = [LettaError]
    for kind in known:
        if kind.kind == fault.kind:
            return kind(fault.text, hint=fault.hint)
        known += [one for one in kind.__subclasses__() if one.__module__ == errors.__name__]
    return LettaError(fault.text, hint=fault.hint)
