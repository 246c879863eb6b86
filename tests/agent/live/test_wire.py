"""The words between owner and follower: round trips, newer versions, errors that come out as the class they were."""

from __future__ import annotations

import msgspec
import pytest

from letta_code.agent.live import wire
from letta_code.core import events as ev
from letta_code.core.errors import ConfigError, ConversationBusy, LettaError, RateLimited, StoreFull, UsageError
from letta_code.core.messages import TextPart
from letta_code.core.requests import Deny


@pytest.mark.parametrize(
    "said",
    [
        wire.Hello(protocol=7),
        wire.Ask(id=3, act=wire.Send(content=(TextPart(text="a\nb"),), client_id="c")),
        wire.Ask(id=4, act=wire.GiveAnswer(request_id="r", answer=Deny(message="no"), by="plain")),
        wire.Ping(),
    ],
)
def test_what_a_follower_says_arrives(said: wire.FromFollower) -> None:
    line = wire.encode(said)
    assert line.count(b"\n") == 1
    assert wire.from_follower(line) == said


def test_newer_words_are_passed_by_and_unknown_acts_have_their_number() -> None:
    assert wire.from_follower(b'{"say":"sing"}') is None
    assert wire.from_owner(b'{"say":"sing"}') is None
    assert wire.from_follower(b'{"say":"ask","id":9,"act":{"act":"fly"}}') == 9
    assert wire.told_event(msgspec.Raw(b'{"type":"dancing","message_id":"m"}')) is None
    with pytest.raises(msgspec.DecodeError):
        wire.from_owner(b"\xff{{")


@pytest.mark.parametrize(
    "event",
    [ev.TextDelta(message_id="m", offset=3, text="ö"), ev.Notice(level="info", text="not stored")],
)
def test_live_events_and_notices_are_told(event: ev.LiveEvent) -> None:
    said = wire.from_owner(wire.encode(wire.told(event)))
    assert isinstance(said, wire.Told)
    assert wire.told_event(said.event) == event


@pytest.mark.parametrize("kind", [LettaError, UsageError, ConfigError, ConversationBusy, StoreFull, RateLimited])
def test_an_error_comes_out_as_the_class_that_it_was(kind: type[LettaError]) -> None:
    again = wire.error_of(wire.fault_of(kind("what", hint="do")))
    assert type(again) is kind
    assert (str(again), again.hint) == ("what", "do")
    assert type(wire.error_of(wire.Fault(kind="of tomorrow", text="x"))) is LettaError
